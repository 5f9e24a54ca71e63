"""Import operators in a new process after ``airflow.sdk``, and create them, as a DAG file does."""

from __future__ import annotations

import importlib
import sys
import time

from probe_io import read_arguments, write_result

arguments = read_arguments()

from airflow.sdk import DAG, BaseOperator, BaseSensorOperator  # noqa: E402, F401

loaded = set(sys.modules)
began = time.perf_counter()
modules = [importlib.import_module(name) for name in arguments["modules"]]
imported = time.perf_counter()
count = len(set(sys.modules) - loaded)
with DAG("parsed"):
    for module, name, fields in arguments["operators"]:
        getattr(importlib.import_module(module), name)(task_id=name, **fields)

write_result(
    {
        "import_seconds": imported - began,
        "operators_seconds": time.perf_counter() - imported,
        "modules": count,
    }
)
