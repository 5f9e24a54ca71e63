"""Organizations, spaces and projects over REST and GraphQL, and ``node``, which finds objects by ID."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ariadne import InterfaceType, ObjectType, QueryType

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.clock import write_time
from airflow_provider_online_tasks.emulator.errors import NotFoundError
from airflow_provider_online_tasks.emulator.evaluators.api import evaluator, evaluators
from airflow_provider_online_tasks.emulator.graphql import Context, Named, connection
from airflow_provider_online_tasks.emulator.integrations import integrations
from airflow_provider_online_tasks.emulator.rest import Call, Operation, project_id, space_id
from airflow_provider_online_tasks.emulator.tasks.models import Task

if TYPE_CHECKING:
    from graphql import GraphQLResolveInfo

_SPACE = Named("Space", ids.SPACE_ID, ids.SPACE_NAME)
_MODELS = [Named("Model", project_id, name) for project_id, name in ids.PROJECTS.items()]
_ORGANIZATION = Named("AccountOrganization", ids.ORGANIZATION_ID, ids.ORGANIZATION_NAME)


def resolvers() -> list[Any]:
    """Return the resolvers of queries."""
    query = QueryType()
    query.set_field("node", _node)
    query.set_field("viewer", lambda *_: {"id": ids.USER_ID})
    query.set_field("account", lambda *_: {"id": ids.encode("Account", 1), "name": "Emulated account"})
    account, viewer = ObjectType("Account"), ObjectType("Viewer")
    account.set_field(
        "organizations", lambda _, _info, **page: connection("Organization", [_ORGANIZATION], **page)
    )
    viewer.set_field("spaces", lambda _, _info, **page: connection("Space", [_SPACE], **page))
    organization, space, model = (ObjectType(name) for name in ("AccountOrganization", "Space", "Model"))
    organization.set_field("spaces", lambda _, _info, **page: connection("Space", [_SPACE], **page))
    space.set_field("models", lambda _, _info, **page: connection("Model", _MODELS, **page))
    space.set_field("evaluators", evaluators)
    space.set_field("llmIntegrations", integrations)
    space.set_field("private", lambda *_: False)
    model.set_field("modelType", lambda *_: "generative_llm")
    model.set_field("isDemoModel", lambda *_: False)
    for each in (organization, space, model):
        each.set_field("createdAt", lambda _, info: write_time(info.context.state.started_at))
    for each in (organization, space):
        each.set_field("description", lambda *_: "")
    return [query, account, viewer, organization, space, model, InterfaceType("Node", _type_of)]


def _type_of(value: Any, *_: Any) -> str:
    if isinstance(value, dict):
        return "Evaluator"
    return "OnlineTask" if isinstance(value, Task) else str(value.type)


def _node(_: Any, info: GraphQLResolveInfo[Context], id: str) -> Any:  # noqa: A002 -- the argument's name in the schema
    state = info.context.state
    for named in (_SPACE, *_MODELS, _ORGANIZATION):
        if named.id == id:
            return named
    decoded = ids.decode(id)
    try:
        match decoded.type if decoded is not None else None:
            case "Evaluator":
                return evaluator(state.hub.get(id))
            case "TaskRun":
                return Named("TaskRun", state.runs.get(id).id, "")
        return state.tasks.get(id)
    except NotFoundError:
        return None


def list_projects(call: Call) -> dict[str, Any]:
    """List the matching projects."""
    found = [each for each, name in ids.PROJECTS.items() if call.in_space and call.matches_name(name)]
    order = list(ids.PROJECTS)
    return call.listed("projects", found, lambda each: -order.index(each), lambda each: _project(call, each))


def list_spaces(call: Call) -> dict[str, Any]:
    """List the matching spaces."""
    known = call.query.get("org_id") in (None, ids.ORGANIZATION_ID)
    found = [_space(call)] if known and call.matches_name(ids.SPACE_NAME) else []
    return call.listed("spaces", found, lambda _: 1)


def _project(call: Call, found: str) -> dict[str, Any]:
    return {
        "id": found,
        "name": ids.PROJECTS[found],
        "space_id": ids.SPACE_ID,
        "created_at": write_time(call.state.started_at),
        "project_type": "APPLICATION",
    }


def _space(call: Call) -> dict[str, Any]:
    space_id(call.path.get("space_id", ids.SPACE_ID))
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
    Operation(
        "GET",
        "/v2/projects/{project_id}",
        lambda call: _project(call, project_id(call.path["project_id"])),
        "name",
        label="get_project",
    ),
    Operation("GET", "/v2/spaces", list_spaces, "spaces"),
    Operation("GET", "/v2/spaces/{space_id}", _space, "name", label="get_space"),
)
