"""The Eval Hub over GraphQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.emulator.clock import write_time
from airflow_provider_online_tasks.emulator.graphql import USER, connection

if TYPE_CHECKING:
    from graphql import GraphQLResolveInfo

    from airflow_provider_online_tasks.emulator.evaluators.hub import HubEvaluator
    from airflow_provider_online_tasks.emulator.graphql import Context


def evaluators(
    _: Any,
    info: GraphQLResolveInfo[Context],
    *,
    name: str | None = None,
    taskType: str | None = None,  # noqa: N803 -- the argument's name in the schema
    **page: Any,
) -> dict[str, Any]:
    """Resolve the evaluators of a space, newest first."""
    found = [evaluator(each) for each in reversed(info.context.state.hub.all())]
    matching = [
        each for each in found if name in (None, each["name"]) and taskType in (None, each["taskType"])
    ]
    return connection(matching, **page)


def evaluator(found: HubEvaluator) -> dict[str, Any]:
    """Return an evaluator with its newest version."""
    newest = found.versions[-1]
    return {
        "id": found.id,
        "name": found.name,
        "description": found.description,
        "taskType": found.kind.task_type.lower(),
        "commitHash": newest.commit_hash,
        "commitMessage": newest.commit_message,
        "tags": [],
        "createdAt": write_time(found.created_at),
        "updatedAt": write_time(found.updated_at),
        "createdBy": USER,
    }
