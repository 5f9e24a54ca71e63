"""What identifiers stand for over GraphQL: organization, space, projects, evaluators, integrations."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from ariadne import ObjectType, QueryType

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.clock import write_time
from airflow_provider_online_tasks.emulator.errors import UnknownObjectError
from airflow_provider_online_tasks.emulator.graphql.scalars import coded_error
from airflow_provider_online_tasks.emulator.judges.models import INTEGRATIONS
from airflow_provider_online_tasks.emulator.runs.tasks import Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from graphql import GraphQLResolveInfo

    from airflow_provider_online_tasks.emulator.judges.hub import HubEvaluator
    from airflow_provider_online_tasks.emulator.state import EmulatorState

_USER = {"id": ids.USER_ID, "name": "Emulated user", "email": "user@example.com"}


@dataclasses.dataclass(frozen=True)
class Named:
    """A node that has nothing of its own but its name."""

    type: str
    id: str
    name: str


SPACE = Named("Space", ids.SPACE_ID, ids.SPACE_NAME)
MODELS = [Named("Model", project_id, name) for project_id, name in ids.PROJECTS.items()]
ORGANIZATION = Named("AccountOrganization", ids.ORGANIZATION_ID, ids.ORGANIZATION_NAME)


def bindables(query: QueryType) -> list[ObjectType]:
    """Return what answers the fields of named things.

    :param query: the root, which gets the fields that lead to them.
    """
    query.set_field("node", _node)
    query.set_field("viewer", lambda *_: {"id": ids.USER_ID})
    query.set_field("account", lambda *_: {"id": ids.encode("Account", 1), "name": "Emulated account"})
    account, viewer = ObjectType("Account"), ObjectType("Viewer")
    account.set_field("organizations", lambda _, _info, **found: connection([ORGANIZATION], **found))
    viewer.set_field("spaces", lambda _, _info, **found: connection([SPACE], **found))
    organization, space, model = (ObjectType(name) for name in ("AccountOrganization", "Space", "Model"))
    organization.set_field("spaces", lambda _, _info, **found: connection([SPACE], **found))
    space.set_field("models", lambda _, _info, **found: connection(MODELS, **found))
    space.set_field("evaluators", _evaluators)
    space.set_field("llmIntegrations", _integrations)
    space.set_field("private", lambda *_: False)
    model.set_field("modelType", lambda *_: "generative_llm")
    model.set_field("isDemoModel", lambda *_: False)
    for each in (organization, space, model):
        each.set_field("createdAt", lambda _, info: write_time(info.context.state.started_at))
    for each in (organization, space):
        each.set_field("description", lambda *_: "")
    return [account, viewer, organization, space, model]


def type_of(value: Any, *_: Any) -> str:
    """Return the name of a node's type."""
    if isinstance(value, dict):
        return "Evaluator"
    return "OnlineTask" if isinstance(value, Task) else str(value.type)


def connection(
    items: Sequence[Any],
    *,
    search: str | None = None,
    useExactSearchMatch: bool | None = None,  # noqa: N803 -- the argument's name in the schema
    first: int | None = None,
    after: str | None = None,
) -> dict[str, Any]:
    """Return a page of named things."""
    wanted = (search or "").lower()
    found = [
        each
        for each in items
        if (wanted in ("", _name(each)) if useExactSearchMatch else wanted in _name(each))
    ]
    begin = 0
    if after:
        decoded = ids.decode(after)
        if decoded is None or decoded.type != "Cursor":
            raise coded_error("after is no cursor that this server gave", "BAD_USER_INPUT")
        begin = decoded.number
    if first is not None and first < 1:
        raise coded_error(f"first is {first}; it has to be 1 or more", "BAD_USER_INPUT")
    end = len(found) if first is None else begin + first
    has_next = end < len(found)
    return {
        "edges": [{"node": each} for each in found[begin:end]],
        "pageInfo": {"hasNextPage": has_next, "endCursor": ids.encode("Cursor", end) if has_next else None},
    }


def _name(item: Any) -> str:
    name: str = item["name"] if isinstance(item, dict) else item.name
    return name.lower()


def _node(_: Any, info: GraphQLResolveInfo[Any], id: str) -> Any:  # noqa: A002 -- the argument's name in the schema
    state: EmulatorState = info.context.state
    for named in (SPACE, *MODELS, ORGANIZATION):
        if named.id == id:
            return named
    decoded = ids.decode(id)
    try:
        match decoded.type if decoded is not None else None:
            case "Evaluator":
                return _evaluator(state.hub.get(id))
            case "TaskRun":
                return Named("TaskRun", state.runs.get(id).id, "")
        return state.tasks.get(id)
    except UnknownObjectError:
        return None


def _evaluators(
    _: Any,
    info: GraphQLResolveInfo[Any],
    *,
    name: str | None = None,
    taskType: str | None = None,  # noqa: N803 -- the argument's name in the schema
    **found: Any,
) -> dict[str, Any]:
    state: EmulatorState = info.context.state
    evaluators = [_evaluator(each) for each in reversed(state.hub.all())]
    matching = [
        each for each in evaluators if name in (None, each["name"]) and taskType in (None, each["taskType"])
    ]
    return connection(matching, **found)


def _evaluator(evaluator: HubEvaluator) -> dict[str, Any]:
    newest = evaluator.versions[-1]
    return {
        "id": evaluator.id,
        "name": evaluator.name,
        "description": evaluator.description,
        "taskType": evaluator.kind.task_type.lower(),
        "commitHash": newest.commit_hash,
        "commitMessage": newest.commit_message,
        "tags": [],
        "createdAt": write_time(evaluator.created_at),
        "updatedAt": write_time(evaluator.updated_at),
        "createdBy": _USER,
    }


def _integrations(_: Any, info: GraphQLResolveInfo[Any]) -> list[dict[str, Any]]:
    started = write_time(info.context.state.started_at)
    return [
        {
            "id": each.id,
            "name": each.name,
            "provider": each.provider,
            "hasApiKey": True,
            "baseUrl": None,
            "modelNames": [],
            "enableDefaultModels": True,
            "functionCallingEnabled": True,
            "createdAt": started,
            "updatedAt": started,
            "creator": _USER,
        }
        for each in INTEGRATIONS
    ]
