"""Spaces and projects over REST."""

from __future__ import annotations

from typing import Any

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.clock import write_time
from airflow_provider_online_tasks.emulator.rest import Call, Operation, project_id, space_id


def list_projects(call: Call) -> dict[str, Any]:
    """List the matching projects."""
    found = [each for each, name in ids.PROJECTS.items() if call.in_space and call.matches_name(name)]
    order = list(ids.PROJECTS)
    return call.listed("projects", found, lambda each: -order.index(each), lambda each: _project(call, each))


def get_project(call: Call) -> dict[str, Any]:
    """Return a project."""
    return _project(call, project_id(call.path["project_id"]))


def list_spaces(call: Call) -> dict[str, Any]:
    """List the matching spaces."""
    known = call.query.get("org_id") in (None, ids.ORGANIZATION_ID)
    found = [_space(call)] if known and call.matches_name(ids.SPACE_NAME) else []
    return call.listed("spaces", found, lambda _: 1)


def get_space(call: Call) -> dict[str, Any]:
    """Return a space."""
    space_id(call.path["space_id"])
    return _space(call)


def _project(call: Call, found: str) -> dict[str, Any]:
    return {
        "id": found,
        "name": ids.PROJECTS[found],
        "space_id": ids.SPACE_ID,
        "created_at": write_time(call.state.started_at),
        "project_type": "APPLICATION",
    }


def _space(call: Call) -> dict[str, Any]:
    return {
        "id": ids.SPACE_ID,
        "name": ids.SPACE_NAME,
        "organization_id": ids.ORGANIZATION_ID,
        "description": "",
        "created_at": write_time(call.state.started_at),
        "is_private": False,
    }


OPERATIONS = (
    Operation("GET", "/v2/projects", list_projects, "projects"),
    Operation("GET", "/v2/projects/{project_id}", get_project, "name"),
    Operation("GET", "/v2/spaces", list_spaces, "spaces"),
    Operation("GET", "/v2/spaces/{space_id}", get_space, "name"),
)
