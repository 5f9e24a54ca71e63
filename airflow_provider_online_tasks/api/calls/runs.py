"""Runs of a task, over REST. API: https://arize.com/docs/api-reference/tasks"""

from __future__ import annotations

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
    """GET /v2/tasks/{task_id}/runs, in an order that is not documented."""
    return RestCall(
        name="list task runs",
        method="GET",
        path=f"/v2/tasks/{part(task_id)}/runs",
        query=paged(limit, cursor, status=status.value if status else None),
        read=read_page("task_runs", TaskRun.from_wire),
    )


def cancel_task_run(run_id: str) -> RestCall[TaskRun]:
    """POST /v2/task-runs/{run_id}/cancel, valid while the run is pending or running."""
    return RestCall(
        name="cancel task run",
        method="POST",
        path=f"/v2/task-runs/{part(run_id)}/cancel",
        read=TaskRun.from_wire,
        about=run_id,
    )
