"""AI integrations: the providers and models of the emulated space, over REST and GraphQL."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.clock import write_time
from airflow_provider_online_tasks.emulator.errors import NotFoundError
from airflow_provider_online_tasks.emulator.graphql import USER, camel
from airflow_provider_online_tasks.emulator.rest import Call, Operation, checked_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from graphql import GraphQLResolveInfo

    from airflow_provider_online_tasks.emulator.graphql import Context
    from airflow_provider_online_tasks.emulator.state import EmulatorState

_VARIANT: Final = (
    r"(-(turbo|mini|nano|preview|vision|latest|pro|codex|chat|realtime|audio|\d+k|\d+|high|low))*"
)
_OPENAI: Final = rf"(chatgpt-4o|gpt-3[.-]5|gpt-4|gpt-4o|gpt-4[.-][15]|gpt-5([.-]\d)?|o[134]){_VARIANT}"
_CLAUDE: Final = r"(anthropic[.-])?claude-[\w.:-]*(opus|sonnet|haiku|instant|[23])[\w.:-]*"
_GEMINI: Final = r"gemini-(pro|ultra|\d+([.-]\d+)?)([.-](pro|flash|ultra|lite|exp|preview|latest|\d+))*"
_ANY: Final = r".+"
_LONGEST: Final = 500  # no model has a longer name, and the patterns are slow on longer texts


class Integration(NamedTuple):
    """An AI integration: the credentials of a provider, and a pattern of its models' names."""

    id: str
    name: str
    provider: str
    models: str


INTEGRATIONS: Final = tuple(
    Integration(ids.encode("LlmIntegration", number), name, provider, models)
    for number, (name, provider, models) in enumerate(
        (
            ("OpenAI", "openAI", _OPENAI),
            ("Anthropic", "anthropic", _CLAUDE),
            ("Gemini", "gemini", _GEMINI),
            ("Vertex AI", "vertexAI", rf"{_GEMINI}|{_CLAUDE}"),
            # The owner of these names the models.
            ("Azure OpenAI", "azureOpenAI", _ANY),
            ("Amazon Bedrock", "awsBedrock", _ANY),
            ("NVIDIA NIM", "nvidiaNim", _ANY),
            ("Custom endpoint", "custom", _ANY),
        ),
        1,
    )
)
_BY_ID: Final = {each.id: each for each in INTEGRATIONS}
_BY_PROVIDER: Final = {each.provider.lower(): each for each in INTEGRATIONS}


def missing_model(llm: Mapping[str, Any]) -> str | None:
    """Return why a model cannot be called, or None."""
    integration_id, provider, model = llm.get("integrationId"), llm.get("provider"), llm.get("modelName")
    if integration_id is not None:
        integration = _BY_ID.get(integration_id)
        if integration is None:
            return f"the AI integration {integration_id!r} does not exist, or its credentials are invalid"
    elif provider is not None:
        integration = _BY_PROVIDER.get(provider.lower())
        if integration is None:
            return f"the space has no AI integration of the provider {provider!r}"
    else:
        return None
    if model is None:
        return None
    if len(model) <= _LONGEST and re.fullmatch(integration.models, model.replace("_", "-"), re.IGNORECASE):
        return None
    return f"the call to {integration.name} failed: the model {model[:_LONGEST]!r} does not exist"


def integrations(_: Any, info: GraphQLResolveInfo[Context]) -> list[dict[str, Any]]:
    """Resolve the AI integrations of a space."""
    state = info.context.state
    return [
        {**camel(_integration(state, each)), "provider": each.provider, "creator": USER}
        for each in INTEGRATIONS
    ]


def list_ai_integrations(call: Call) -> dict[str, Any]:
    """List the AI integrations of the space."""
    found = [each for each in INTEGRATIONS if call.in_space and call.matches_name(each.name)]
    return call.listed(
        "ai_integrations",
        found,
        lambda each: -INTEGRATIONS.index(each),
        lambda each: _integration(call.state, each),
    )


def known_integration(value: str) -> str:
    """Return the ID of an AI integration that exists."""
    if checked_id(value, "LlmIntegration") not in _BY_ID:
        raise NotFoundError(f"AI integration {value!r} not found")
    return value


def _integration(state: EmulatorState, integration: Integration) -> dict[str, Any]:
    return {
        "id": integration.id,
        "name": integration.name,
        # The spelling of REST: OPEN_AI, AWS_BEDROCK, …
        "provider": re.sub(r"(?<=[a-z])(?=[A-Z])", "_", integration.provider).upper(),
        "has_api_key": True,
        "base_url": None,
        "model_names": [],
        "enable_default_models": True,
        "function_calling_enabled": True,
        "auth_type": "DEFAULT",
        "scopings": [],
        "created_at": write_time(state.started_at),
        "updated_at": write_time(state.started_at),
        "created_by_user_id": ids.USER_ID,
    }


OPERATIONS = (Operation("GET", "/v2/ai-integrations", list_ai_integrations, "ai_integrations"),)
