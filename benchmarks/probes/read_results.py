"""Read the evaluations of a run's spans with the operator, and page through them with bare ``requests``."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import requests
from telling import memory, tell, told

given = told()
CONTEXT: Any = {"ti": SimpleNamespace(xcom_push=lambda **_: None)}


def read() -> tuple[int, Any]:
    # The replay holds another number of spans than the run says: what is there is read once.
    operator = EvalResultsOperator(
        task_id="read",
        run_id=given["run_id"],
        conn_id=given["conn_id"],
        complete_within=0,
        on_incomplete="warn",
    )
    summary = operator.execute(CONTEXT)
    return int(summary["spans"]), summary


def statistics(summary: Any) -> float:
    """Return the CPU seconds of what the intervals need: means and variances, and a gate's rules."""
    from airflow_provider_online_tasks.gate.rules import read_rules
    from airflow_provider_online_tasks.gate.verdict import judge
    from airflow_provider_online_tasks.results.counts import Mean

    evaluators = summary["evaluators"]
    rules = read_rules(
        {
            name: {**dict.fromkeys(found["labels"], ">= 0.1"), "score_mean": ">= 0.1"}
            for name, found in evaluators.items()
        }
    )
    began = time.process_time()
    for found in evaluators.values():
        mean = Mean()
        for _ in range(found["scored"]):
            mean.add(found["score_mean"])
    judge(rules, summary, confidence=0.95, accept_unverified=True)
    return time.process_time() - began


def page() -> tuple[int, Any]:
    count, cursor = 0, None
    with requests.Session() as session:
        while True:
            query = {"limit": 500} | ({"cursor": cursor} if cursor else {})
            answer = session.post(
                f"{given['url']}/v2/spans",
                params=query,
                json=given["body"],
                headers={"Authorization": f"Bearer {given['key']}"},
                timeout=60,
            ).json()
            count += len(answer["spans"])
            cursor = answer["pagination"].get("next_cursor")
            if not cursor:
                return count, None


if given["how"] == "operator":
    from airflow_provider_online_tasks.api.calls import spans  # noqa: F401
    from airflow_provider_online_tasks.operators.results import EvalResultsOperator

reading = read if given["how"] == "operator" else page
before, began, cpu_began = memory(), time.perf_counter(), time.process_time()
read_spans, found = reading()
figures = {
    "spans": read_spans,
    "seconds": time.perf_counter() - began,
    "cpu_seconds": time.process_time() - cpu_began,
    "memory_before": before,
    "memory_peak": memory("VmHWM"),
}
if found is not None:
    figures["statistics_cpu_seconds"] = statistics(found)
tell(figures)
