"""DAGs with one task each, ``run``, which runs an online task over the last day and waits for its end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG

from airflow_provider_online_tasks.operators.runs import RunOnlineTaskOperator

MAPPED = 20

waiting: dict[str, Any] = {
    "task_id": "run",
    "online_task_id": "{{ dag_run.conf['online_task_id'] }}",
    "wait_for_completion": True,
    "poll_interval": 1,
    "retries": 2,
    "retry_delay": timedelta(seconds=1),
}
day = timedelta(days=1)

with DAG("blocking", schedule=None):
    RunOnlineTaskOperator(**waiting, lookback=day)

with DAG("deferred", schedule=None):
    RunOnlineTaskOperator(**waiting, lookback=day, deferrable=True)

with DAG("deferred_not_cancelled", schedule=None):
    RunOnlineTaskOperator(**waiting, lookback=day, deferrable=True, cancel_on_kill=False)

with DAG("deferred_bounded", schedule=None):
    bounded = waiting | {"retries": 0, "execution_timeout": timedelta(seconds=10)}
    RunOnlineTaskOperator(**bounded, lookback=day, deferrable=True)

with DAG("mapped", schedule=None):
    RunOnlineTaskOperator.partial(
        **waiting | {"poll_interval": 5}, deferrable=True, override_evaluations=True
    ).expand(lookback=[timedelta(hours=6 * count) for count in range(1, MAPPED + 1)])
