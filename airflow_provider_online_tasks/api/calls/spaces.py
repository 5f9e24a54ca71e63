"""Projects, spaces and organizations over REST, and the spaces that GraphQL shows.

API: https://arize.com/docs/api-reference/projects and https://arize.com/docs/api-reference/spaces
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_online_tasks.api.calls._pages import Page, read_page
from airflow_provider_online_tasks.api.calls._rest import PAGE, RestCall, paged, part
from airflow_provider_online_tasks.api.responses.spaces import InOrganization, InSpace, Project, Space

SPACES_PAGE = 50
VIEWER_SPACES = (
    f"{{ viewer {{ spaces(first: {SPACES_PAGE}) "
    "{ edges { node { id name } } pageInfo { hasNextPage endCursor } } } }"
)
"""A GraphQL query for the first spaces that the key can read."""


def list_spaces() -> RestCall[Page[Space]]:
    """GET /v2/spaces: the first spaces that the key can read."""
    return RestCall(
        name="list spaces",
        method="GET",
        path="/v2/spaces",
        query=paged(SPACES_PAGE, None),
        read=read_page("spaces", Space.from_wire),
    )


def read_viewer_spaces(data: Mapping[str, Any]) -> Page[Space]:
    """Read the response to :data:`VIEWER_SPACES`.

    :raises KeyError: a field is missing.
    :raises TypeError: a field has another type.
    :raises ValueError: a field has a wrong value.
    """
    spaces = data["viewer"]["spaces"]
    more = spaces["pageInfo"]
    return Page(
        items=tuple(Space.from_wire(edge["node"]) for edge in spaces["edges"]),
        next_cursor=str(more["endCursor"]) if more["hasNextPage"] else None,
    )


def list_projects(
    *, name: str, space_id: str | None = None, cursor: str | None = None
) -> RestCall[Page[Project]]:
    """GET /v2/projects; ``name`` matches a part of the name, case-insensitively."""
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
    """GET /v2/spaces/{space_id}: returns the ID of its organization, which older servers omit."""
    return RestCall(
        name="get space",
        method="GET",
        path=f"/v2/spaces/{part(space_id)}",
        read=lambda value: InOrganization.from_wire(value).organization_id,
        about=space_id,
    )
