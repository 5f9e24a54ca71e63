"""AI integrations over REST."""

from __future__ import annotations

import re
from typing import Any

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.clock import write_time
from airflow_provider_online_tasks.emulator.errors import NotFoundError
from airflow_provider_online_tasks.emulator.integrations.models import INTEGRATIONS
from airflow_provider_online_tasks.emulator.rest import Call, Operation


def list_ai_integrations(call: Call) -> dict[str, Any]:
    """List the AI integrations of the space."""
    found = [_integration(call, each.id) for each in INTEGRATIONS] if call.in_space else []
    return call.listed("ai_integrations", found, lambda each: -(ids.decode(each["id"]) or (0, 0))[1])


def get_ai_integration(call: Call) -> dict[str, Any]:
    """Return an AI integration."""
    return _integration(call, call.id("integration_id", "LlmIntegration"))


def _integration(call: Call, integration_id: str) -> dict[str, Any]:
    found = next((each for each in INTEGRATIONS if each.id == integration_id), None)
    if found is None:
        raise NotFoundError(f"AI integration {integration_id!r} not found")
    return {
        "id": found.id,
        "name": found.name,
        # The spelling of REST: OPEN_AI, AWS_BEDROCK, …
        "provider": re.sub(r"(?<=[a-z])(?=[A-Z])", "_", found.provider).upper(),
        "has_api_key": True,
        "enable_default_models": True,
        "function_calling_enabled": True,
        "created_at": write_time(call.state.started_at),
        "updated_at": write_time(call.state.started_at),
        "created_by_user_id": ids.USER_ID,
    }


OPERATIONS = (
    Operation("GET", "/v2/ai-integrations", list_ai_integrations, "ai_integrations"),
    Operation("GET", "/v2/ai-integrations/{integration_id}", get_ai_integration),
)
