"""Projects, spaces and organisations, over REST.

API: https://arize.com/docs/api-reference/projects and https://arize.com/docs/api-reference/spaces
"""

from __future__ import annotations

from airflow_provider_online_tasks.api.answers.spaces import InOrganization, InSpace, Project
from airflow_provider_online_tasks.api.calls._pages import Page, read_page
from airflow_provider_online_tasks.api.calls._rest import PAGE, RestCall, paged, part


def list_projects(
    *, name: str, space_id: str | None = None, cursor: str | None = None
) -> RestCall[Page[Project]]:
    """GET /v2/projects; ``name`` matches as a part of the name, in upper or lower case."""
    return RestCall(
        name="list projects",
        method="GET",
        path="/v2/projects",
        query=paged(PAGE, cursor, name=name, space_id=space_id),
        read=read_page("projects", Project.from_wire),
    )


def get_project_space(project_id: str) -> RestCall[str]:
    """GET /v2/projects/{project_id}: returns the ID of its space."""
    return RestCall(
        name="get project",
        method="GET",
        path=f"/v2/projects/{part(project_id)}",
        read=lambda value: InSpace.from_wire(value).space_id,
        about=project_id,
    )


def get_space_organization(space_id: str) -> RestCall[str]:
    """GET /v2/spaces/{space_id}: returns the ID of its organisation, which older servers leave out."""
    return RestCall(
        name="get space",
        method="GET",
        path=f"/v2/spaces/{part(space_id)}",
        read=lambda value: InOrganization.from_wire(value).organization_id,
        about=space_id,
    )
