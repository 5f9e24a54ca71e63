"""DAGs that act whenever a run of a task has finished."""

from __future__ import annotations

import os
from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_online_tasks.operators.runs import RunOnlineTaskOperator
from airflow_provider_online_tasks.triggers.task_runs import FinishedRunsTrigger

# A watcher's task has to be known when the DAG is parsed.
ONLINE_TASK_ID = os.environ["WATCHED_ONLINE_TASK_ID"]


def runs(name: str, **arguments: Any) -> AssetWatcher:
    """Watch the task."""
    trigger = FinishedRunsTrigger(online_task_id=ONLINE_TASK_ID, poll_interval=2.0, **arguments)
    return AssetWatcher(name=name, trigger=trigger)


every = Asset("every_run", watchers=[runs("every")])
bad = Asset("bad_runs", watchers=[runs("bad", statuses=["FAILED", "CANCELLED"])])
waited_for = Asset("waited_for")


@task
def read(triggering_asset_events: Any = None) -> list[dict[str, Any]]:
    """Return what the events say."""
    return [event.extra for events in triggering_asset_events.values() for event in events]


for name, asset in {"on_every_run": every, "on_bad_runs": bad, "on_own_run": waited_for}.items():
    with DAG(name, schedule=[asset]):
        read.override(task_id="run")()

with DAG("waits", schedule=None):
    RunOnlineTaskOperator(
        task_id="run",
        online_task_id=ONLINE_TASK_ID,
        data_start_time="2026-01-01",
        data_end_time="2026-01-02",
        wait_for_completion=True,
        on_nothing_evaluated="succeed",
        poll_interval=1,
        outlets=[waited_for],
    )
