"""Read a run's status in a fresh process."""

from __future__ import annotations

import importlib
import sys
import time

from telling import memory, tell, told

given = told()


began = time.perf_counter()
from airflow.sdk import DAG, BaseOperator  # noqa: E402, F401

bare = time.perf_counter(), time.process_time(), memory()
hook = getattr(importlib.import_module(given["module"]), given["hook"])(given["conn_id"])
hook.get_task_run(given["run_id"])

tell(
    {
        "airflow_seconds": bare[0] - began,
        "call_seconds": time.perf_counter() - bare[0],
        "call_cpu_seconds": time.process_time() - bare[1],
        "call_memory": memory() - bare[2],
        "loaded": sorted({name.partition(".")[0] for name in sys.modules} & set(given["heavy"])),
    }
)
