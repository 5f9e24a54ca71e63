"""DAGs with one task, ``run``; most have mapped task instances, each an execution with its window."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG

from airflow_provider_online_tasks.operators.runs import RunOnlineTaskOperator
from airflow_provider_online_tasks.operators.spans import SendSpansOperator
from airflow_provider_online_tasks.sensors.runs import OnlineTaskRunSensor

CONN_ID = "{{ dag_run.conf['conn_id'] }}"
RUN_ID = "{{ dag_run.conf['run_ids'][ti.map_index] }}"
# Tries enough for a machine on which Airflow's own API takes long to come back.
RETRIES: dict[str, Any] = {"retries": 20, "retry_delay": timedelta(seconds=5)}


def executions(count: int, **arguments: Any) -> None:
    """Run the online task over so many windows."""
    RunOnlineTaskOperator.partial(
        task_id="run",
        online_task_id="{{ dag_run.conf['online_task_id'] }}",
        conn_id=CONN_ID,
        **RETRIES | arguments,
    ).expand(lookback=[timedelta(hours=number) for number in range(1, count + 1)])


for count in (1, 2, 4, 6, 12, 30, 60):
    with DAG(f"deferred_{count}", schedule=None):
        executions(count, wait_for_completion=True, deferrable=True)

for count in (1, 4):
    with DAG(f"blocking_{count}", schedule=None):
        executions(count, wait_for_completion=True, deferrable=False)

with DAG("deferred_1_for_20_seconds", schedule=None):
    executions(1, wait_for_completion=True, deferrable=True, timeout=20, retries=0)

with DAG("blocking_1_for_120_seconds", schedule=None):
    executions(1, wait_for_completion=True, deferrable=False, timeout=120)

with DAG("sends_1", schedule=None):
    SendSpansOperator(
        task_id="run",
        run_id="{{ dag_run.conf['run_id'] }}",
        evaluator="{{ dag_run.conf['evaluator'] }}",
        labels=["correct", "incorrect"],
        dataset_id="{{ dag_run.conf['dataset_id'] }}",
        conn_id=CONN_ID,
        **RETRIES,
    )

for count in (12, 60):
    with DAG(f"submitted_{count}", schedule=None):
        executions(count)

for deferred, poked in ((6, 0), (60, 10)):
    with DAG(f"sensors_{deferred}", schedule=None):
        OnlineTaskRunSensor.partial(
            task_id="deferred", run_id=RUN_ID, conn_id=CONN_ID, deferrable=True, **RETRIES
        ).expand(doc_md=[str(number) for number in range(deferred)])
        if poked:
            OnlineTaskRunSensor.partial(
                task_id="poked", run_id=RUN_ID, conn_id=CONN_ID, mode="poke", deferrable=False, **RETRIES
            ).expand(doc_md=[str(number) for number in range(poked)])
