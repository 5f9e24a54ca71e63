"""Runs of a task over REST. API: https://arize.com/docs/api-reference/tasks"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from typing import Any

from airflow_provider_online_tasks.api.calls._pages import Page, read_page
from airflow_provider_online_tasks.api.calls._rest import PAGE, RestCall, paged, part
from airflow_provider_online_tasks.api.responses.runs import RunStatus, TaskRun


def get_task_run(run_id: str) -> RestCall[TaskRun]:
    """GET /v2/task-runs/{run_id}."""
    return RestCall(
        name="get task run",
        method="GET",
        path=f"/v2/task-runs/{part(run_id)}",
        read=TaskRun.from_wire,
        about=run_id,
    )


def list_task_runs(
    task_id: str, *, status: RunStatus | None = None, limit: int = PAGE, cursor: str | None = None
) -> RestCall[Page[TaskRun]]:
    """GET /v2/tasks/{task_id}/runs, in an undocumented order."""
    return RestCall(
        name="list task runs",
        method="GET",
        path=f"/v2/tasks/{part(task_id)}/runs",
        query=paged(limit, cursor, status=status.value if status else None),
        read=read_page("task_runs", TaskRun.from_wire),
    )


def skim_task_runs(
    task_id: str, wanted: Container[str], *, cursor: str | None = None
) -> RestCall[Page[TaskRun]]:
    """GET /v2/tasks/{task_id}/runs, and read only some of the runs.

    A run that cannot be read is left out, so that it does not hide the others.

    :param wanted: IDs of the runs, checked when the response arrives.
    """

    def read_wanted(item: object) -> TaskRun | None:
        if not isinstance(item, dict) or item.get("id") not in wanted:
            return None
        try:
            return TaskRun.from_wire(item)
        except (KeyError, TypeError, ValueError):
            return None

    def skim(value: dict[str, Any]) -> Page[TaskRun]:
        page = read_page("task_runs", read_wanted)(value)
        return Page(items=tuple(run for run in page.items if run is not None), next_cursor=page.next_cursor)

    return replace(list_task_runs(task_id, cursor=cursor), read=skim)


def cancel_task_run(run_id: str) -> RestCall[TaskRun]:
    """POST /v2/task-runs/{run_id}/cancel, valid while the run is pending or running."""
    return RestCall(
        name="cancel task run",
        method="POST",
        path=f"/v2/task-runs/{part(run_id)}/cancel",
        read=TaskRun.from_wire,
        about=run_id,
    )
