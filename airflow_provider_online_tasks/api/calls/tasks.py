"""Tasks over REST. API: https://arize.com/docs/api-reference/tasks"""

from __future__ import annotations

from airflow_provider_online_tasks.api.calls._pages import Page, read_page
from airflow_provider_online_tasks.api.calls._rest import PAGE, RestCall, paged, part
from airflow_provider_online_tasks.api.responses.tasks import Task


def get_task(task_id: str) -> RestCall[Task]:
    """GET /v2/tasks/{task_id}."""
    return RestCall(
        name="get task", method="GET", path=f"/v2/tasks/{part(task_id)}", read=Task.from_wire, about=task_id
    )


def list_tasks(
    *,
    project_id: str | None = None,
    name: str | None = None,
    limit: int = PAGE,
    cursor: str | None = None,
) -> RestCall[Page[Task]]:
    """GET /v2/tasks; ``name`` matches a part of the name."""
    return RestCall(
        name="list tasks",
        method="GET",
        path="/v2/tasks",
        query=paged(limit, cursor, project_id=project_id, name=name),
        read=read_page("tasks", Task.from_wire),
    )


def delete_task(task_id: str) -> RestCall[None]:
    """DELETE /v2/tasks/{task_id}. A repeat after it was executed raises NotFound."""
    return RestCall(
        name="delete task", method="DELETE", path=f"/v2/tasks/{part(task_id)}", read=lambda _: None
    )
