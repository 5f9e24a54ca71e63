"""The project and the space over REST: what identifiers stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.clock import write_time
from airflow_provider_online_tasks.emulator.errors import UnknownObjectError
from airflow_provider_online_tasks.emulator.rest.fields import is_in_space, json_response, paged, path_id

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from airflow_provider_online_tasks.emulator.state import EmulatorState


def _project(state: EmulatorState, project_id: str) -> dict[str, Any]:
    return {
        "id": project_id,
        "name": ids.PROJECTS[project_id],
        "space_id": ids.SPACE_ID,
        "created_at": write_time(state.started_at),
        "project_type": "APPLICATION",
    }


def _space(state: EmulatorState) -> dict[str, Any]:
    return {
        "id": ids.SPACE_ID,
        "name": ids.SPACE_NAME,
        "organization_id": ids.ORGANIZATION_ID,
        "description": "",
        "created_at": write_time(state.started_at),
        "is_private": False,
    }


def list_projects(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    """List the projects that match."""
    name = request.query_params.get("name", "").lower()
    found = [
        _project(state, project_id)
        for project_id, project_name in ids.PROJECTS.items()
        if is_in_space(request) and name in project_name.lower()
    ]
    page, pagination = paged(request, found, lambda project: -list(ids.PROJECTS).index(project["id"]))
    return json_response({"projects": page, "pagination": pagination})


def get_project(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    """Return a project."""
    project_id = path_id(request, "project_id", "Model")
    if project_id not in ids.PROJECTS:
        raise UnknownObjectError(f"Project {project_id!r} not found")
    return json_response(_project(state, project_id))


def list_spaces(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    """List the spaces that match."""
    query = request.query_params
    known = query.get("org_id") in (None, ids.ORGANIZATION_ID)
    found = [_space(state)] if known and query.get("name", "").lower() in ids.SPACE_NAME.lower() else []
    page, pagination = paged(request, found, lambda _: 1)
    return json_response({"spaces": page, "pagination": pagination})


def get_space(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    """Return a space."""
    space_id = path_id(request, "space_id", "Space")
    if space_id != ids.SPACE_ID:
        raise UnknownObjectError(f"Space {space_id!r} not found")
    return json_response(_space(state))
