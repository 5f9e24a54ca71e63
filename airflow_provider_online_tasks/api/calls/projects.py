"""Projects by name, over REST. API: https://arize.com/docs/api-reference/projects"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_online_tasks.api.calls import RUNS_PAGE, Page, RestCall, _id, read_page


@dataclass(frozen=True, kw_only=True)
class Project:
    """A project.

    :param id: its global ID, which GraphQL calls the model's.
    :param name: its name.
    :param space_id: the space it is in.
    """

    id: str
    name: str
    space_id: str | None

    @classmethod
    def from_wire(cls, value: Mapping[str, Any]) -> Project:
        """Read a project as REST v2 writes it."""
        space_id = None if value.get("space_id") is None else _id(value, "space_id")
        return cls(id=_id(value, "id"), name=str(value["name"]), space_id=space_id)


def list_projects(
    *, name: str, space_id: str | None = None, cursor: str | None = None
) -> RestCall[Page[Project]]:
    """GET /v2/projects; ``name`` matches as a part of the name, in upper or lower case."""
    query: dict[str, str | int] = {"limit": RUNS_PAGE, "name": name}
    query |= {} if space_id is None else {"space_id": space_id}
    query |= {} if cursor is None else {"cursor": cursor}
    return RestCall(
        name="list projects",
        method="GET",
        path="/v2/projects",
        query=query,
        read=read_page("projects", Project.from_wire),
    )
