"""Import modules in a fresh process, after ``airflow.sdk``; make their operators, as a DAG's file does."""

from __future__ import annotations

import importlib
import sys
import time

from telling import tell, told

given = told()
HEAVY = frozenset(given["heavy"])


def clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def loaded() -> set[str]:
    return {name.partition(".")[0] for name in sys.modules} & HEAVY


began = clocks()
from airflow.sdk import DAG, BaseOperator, BaseSensorOperator  # noqa: E402, F401

bare, with_airflow = clocks(), loaded()
modules = [importlib.import_module(name) for name in given["modules"]]
imported, with_modules = clocks(), loaded()
with DAG("parsed"):
    for module, name, arguments in given["operators"]:
        getattr(importlib.import_module(module), name)(task_id=name, **arguments)
made = clocks()

tell(
    {
        "airflow_seconds": bare[0] - began[0],
        "import_seconds": imported[0] - bare[0],
        "import_cpu_seconds": imported[1] - bare[1],
        "operators_seconds": made[0] - imported[0],
        "loaded_by_airflow": sorted(with_airflow),
        "loaded_besides": sorted(with_modules - with_airflow),
    }
)
