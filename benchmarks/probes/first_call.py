"""Import a hook and read a run's status in a new process."""

from __future__ import annotations

import importlib
import time

from probe_io import memory, read_arguments, write_result

arguments = read_arguments()

from airflow.sdk import DAG, BaseOperator  # noqa: E402, F401

clock, cpu, bytes_before = time.perf_counter(), time.process_time(), memory()
hook = getattr(importlib.import_module(arguments["module"]), arguments["hook"])(arguments["conn_id"])
hook.get_task_run(arguments["run_id"])

write_result(
    {
        "seconds": time.perf_counter() - clock,
        "cpu_seconds": time.process_time() - cpu,
        "memory": memory() - bytes_before,
    }
)
