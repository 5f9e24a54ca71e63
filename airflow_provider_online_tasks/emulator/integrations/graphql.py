"""AI integrations over GraphQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.emulator.clock import write_time
from airflow_provider_online_tasks.emulator.graphql import USER
from airflow_provider_online_tasks.emulator.integrations.models import INTEGRATIONS

if TYPE_CHECKING:
    from graphql import GraphQLResolveInfo

    from airflow_provider_online_tasks.emulator.graphql import Context


def integrations(_: Any, info: GraphQLResolveInfo[Context]) -> list[dict[str, Any]]:
    """Resolve the AI integrations of a space."""
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
            "creator": USER,
        }
        for each in INTEGRATIONS
    ]
