"""Wait for runs by sensors, each in a process forked from one that has Airflow loaded, as tasks are."""

from __future__ import annotations

import importlib
import json
import os
import time
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow.sdk import DAG, BaseSensorOperator  # noqa: F401
from telling import tell, told

given = told()
CONTEXT: Any = {"ti": SimpleNamespace(xcom_push=lambda **_: None)}


def private_memory() -> int:
    """Return the bytes that this process shares with no other."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def sense(run_id: str) -> dict[str, Any]:
    began, before = time.process_time(), private_memory()
    kind = getattr(importlib.import_module(given["module"]), given["sensor"])
    kind(task_id="wait", run_id=run_id, poke_interval=given["poll_interval"]).execute(CONTEXT)
    noticed_at = time.time()
    return {
        "run_id": run_id,
        "noticed_at": noticed_at,
        "cpu_seconds": time.process_time() - began,
        "memory": private_memory() - before,
    }


def child(run_id: str, file: Path) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        file.write_text(json.dumps(sense(run_id)))
    except BaseException:  # noqa: BLE001  a child that returned would go on as its parent
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


files = [Path(f"sensor-{number}.json") for number in range(len(given["runs"]))]
children = [child(run_id, file) for run_id, file in zip(given["runs"], files, strict=True)]
codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
if any(codes):
    raise SystemExit(f"A sensor failed: {codes}")
tell({"sensors": [json.loads(file.read_text()) for file in files]})
