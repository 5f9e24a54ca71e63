"""Read the evaluations of a run's spans with the operator, or fetch the same pages with bare ``requests``."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import requests
from probe_io import memory, read_arguments, write_result

arguments = read_arguments()

if arguments["reader"] == "operator":
    from airflow_provider_online_tasks.api import calls  # noqa: F401
    from airflow_provider_online_tasks.operators.results import EvalResultsOperator


def read_with_operator() -> int:
    # The replay has more spans than the run evaluated, so the operator must not wait for completeness.
    operator = EvalResultsOperator(
        task_id="read",
        run_id=arguments["run_id"],
        conn_id=arguments["conn_id"],
        complete_within=0,
        on_incomplete="warn",
    )
    context: Any = {"ti": SimpleNamespace(xcom_push=lambda **_: None)}
    return int(operator.execute(context)["spans"])


def read_with_requests() -> int:
    count, cursor = 0, None
    with requests.Session() as session:
        while True:
            page = session.post(
                f"{arguments['base_url']}/v2/spans",
                params={"limit": 500} | ({"cursor": cursor} if cursor else {}),
                json=arguments["body"],
                headers={"Authorization": f"Bearer {arguments['key']}"},
                timeout=60,
            ).json()
            count += len(page["spans"])
            cursor = page["pagination"].get("next_cursor")
            if not cursor:
                return count


read = read_with_operator if arguments["reader"] == "operator" else read_with_requests
before, began = memory(), time.perf_counter()
count = read()
write_result({"spans": count, "seconds": time.perf_counter() - began, "memory": memory("VmHWM") - before})
