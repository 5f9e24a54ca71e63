"""The Eval Hub over REST: evaluators, their versions, Arize's templates, and the AI integrations they use."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.clock import write_time
from airflow_provider_online_tasks.emulator.errors import UnknownObjectError
from airflow_provider_online_tasks.emulator.judges.evaluator import GRANULARITIES
from airflow_provider_online_tasks.emulator.judges.hub import KIND_OF_TYPE, TEMPLATES, HubEvaluator, Version
from airflow_provider_online_tasks.emulator.judges.models import INTEGRATIONS
from airflow_provider_online_tasks.emulator.rest.fields import (
    flag,
    identifier,
    is_in_space,
    json_response,
    only,
    paged,
    path_id,
    text,
)
from airflow_provider_online_tasks.emulator.rest.problems import ProblemError
from airflow_provider_online_tasks.emulator.runs.tasks import compiled

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from airflow_provider_online_tasks.emulator.state import EmulatorState

_TYPES = ("TEMPLATE", "CODE", "HARNESS", "REMOTE")
_COLUMN_NAME = re.compile(r"[a-zA-Z0-9_\s\-&()]+")
_OLD_NAME = "use_function_calling_if_available"
_DIRECTIONS = ("MAXIMIZE", "MINIMIZE", "NONE")
_MANAGED = ("MATCHES_REGEX", "JSON_PARSEABLE", "CONTAINS_ANY_KEYWORD", "CONTAINS_ALL_KEYWORDS", "EXACT_MATCH")
_PARAMETER_TYPES = ("STRING", "STRING_ARRAY", "REGEX")
_NEEDED = {
    "MATCHES_REGEX": frozenset({"pattern"}),
    "CONTAINS_ANY_KEYWORD": frozenset({"keywords"}),
    "CONTAINS_ALL_KEYWORDS": frozenset({"keywords"}),
}


def list_evaluators(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    """List the evaluators that match, newest first."""
    name = request.query_params.get("name", "").lower()
    found = [each for each in state.hub.all() if is_in_space(request) and name in each.name.lower()]
    found.sort(key=lambda each: -each.number)
    page, pagination = paged(request, found, lambda each: each.number)
    return json_response({"evaluators": [_evaluator(each) for each in page], "pagination": pagination})


def create_evaluator(state: EmulatorState, _: Request, fields: dict[str, Any]) -> Response:
    """Create an evaluator with its first version."""
    only(fields, "space_id name description type version")
    if identifier(text(fields, "space_id", required=True), "Space") != ids.SPACE_ID:
        raise UnknownObjectError(f"Space {fields['space_id']!r} not found")
    name = text(fields, "name", required=True, longest=255)
    type_name = text(fields, "type", required=True)
    if type_name not in _TYPES:
        raise ProblemError(400, f"type is {type_name!r}; it has to be one of {', '.join(_TYPES)}")
    if type_name not in KIND_OF_TYPE:
        raise ProblemError(422, f"This emulator has no evaluators of type {type_name}")
    config, message = _version_input(type_name, fields.get("version"))
    evaluator = state.hub.create(
        name=name,
        description=text(fields, "description"),
        type_name=type_name,
        config=config,
        message=message,
    )
    return json_response(_evaluator_with_version(evaluator, evaluator.versions[-1]), 201)


def get_evaluator(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    """Return an evaluator with a version, the newest unless another is asked for."""
    evaluator = _evaluator_of(state, request)
    version_id = request.query_params.get("version_id")
    if version_id is not None:
        identifier(version_id, "EvaluatorVersion")
    return json_response(_evaluator_with_version(evaluator, evaluator.version(version_id)))


def update_evaluator(state: EmulatorState, request: Request, fields: dict[str, Any]) -> Response:
    """Change an evaluator's name or description."""
    evaluator = _evaluator_of(state, request)
    only(fields, "name description")
    if not fields:
        raise ProblemError(400, "Nothing to update; give at least one field")
    changes: dict[str, Any] = {}
    if fields.get("name") is not None:
        changes["name"] = text(fields, "name", required=True, longest=255)
    if "description" in fields:
        changes["description"] = text(fields, "description")
    state.hub.update(evaluator, changes)
    return json_response(_evaluator(evaluator))


def delete_evaluator(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    """Delete an evaluator with all its versions."""
    state.hub.delete(_evaluator_of(state, request))
    return Response(status_code=204)


def list_evaluator_versions(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    """List an evaluator's versions, newest first."""
    evaluator = _evaluator_of(state, request)
    numbered = list(enumerate(evaluator.versions))[::-1]
    page, pagination = paged(request, numbered, lambda each: each[0])
    versions = [_version(evaluator, version) for _, version in page]
    return json_response({"evaluator_versions": versions, "pagination": pagination})


def create_evaluator_version(state: EmulatorState, request: Request, fields: dict[str, Any]) -> Response:
    """Add a version, which is the one that runs from then on."""
    evaluator = _evaluator_of(state, request)
    config, message = _version_input(evaluator.type, fields)
    return json_response(_version(evaluator, state.hub.add_version(evaluator, config, message)), 201)


def delete_evaluator_versions(state: EmulatorState, request: Request, fields: dict[str, Any]) -> Response:
    """Delete versions of an evaluator."""
    evaluator = _evaluator_of(state, request)
    only(fields, "version_ids")
    wanted = fields.get("version_ids")
    if not isinstance(wanted, list) or not 1 <= len(wanted) <= 100:
        raise ProblemError(400, "version_ids needs one to a hundred entries")
    gone = state.hub.delete_versions(evaluator, wanted)
    left = [each for each in dict.fromkeys(wanted) if each not in gone]
    return json_response({"completed": True, "deleted_version_ids": gone, "not_deleted_version_ids": left})


def get_evaluator_version(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    """Return a version."""
    found = state.hub.of_version(path_id(request, "version_id", "EvaluatorVersion"))
    return json_response(_version(*found))


def list_evaluator_templates(_state: EmulatorState, _request: Request, _: dict[str, Any]) -> Response:
    """List the judge prompts to begin with."""
    templates = [
        {
            "column_name": each.column_name,
            "display_name": each.display_name,
            "template": each.template,
            "rails": list(each.choices),
            "classification_choices": each.choices,
            "direction": each.direction,
            "data_granularity": each.data_granularity,
        }
        for each in TEMPLATES
    ]
    return json_response({"evaluator_templates": templates})


def list_ai_integrations(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    """List the AI integrations of the space."""
    found = [_integration(state, each.id) for each in INTEGRATIONS] if is_in_space(request) else []
    page, pagination = paged(request, found, lambda each: -(ids.decode(each["id"]) or (0, 0))[1])
    return json_response({"ai_integrations": page, "pagination": pagination})


def get_ai_integration(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    """Return an AI integration."""
    return json_response(_integration(state, path_id(request, "integration_id", "LlmIntegration")))


def _integration(state: EmulatorState, integration_id: str) -> dict[str, Any]:
    found = next((each for each in INTEGRATIONS if each.id == integration_id), None)
    if found is None:
        raise UnknownObjectError(f"AI integration {integration_id!r} not found")
    return {
        "id": found.id,
        "name": found.name,
        # OPEN_AI, AWS_BEDROCK, …: the provider's name as REST writes it.
        "provider": re.sub(r"(?<=[a-z])(?=[A-Z])", "_", found.provider).upper(),
        "has_api_key": True,
        "enable_default_models": True,
        "function_calling_enabled": True,
        "created_at": write_time(state.started_at),
        "updated_at": write_time(state.started_at),
        "created_by_user_id": ids.USER_ID,
    }


def _evaluator_of(state: EmulatorState, request: Request) -> HubEvaluator:
    return state.hub.get(path_id(request, "evaluator_id", "Evaluator"))


def _evaluator(evaluator: HubEvaluator) -> dict[str, Any]:
    return {
        "id": evaluator.id,
        "name": evaluator.name,
        "description": evaluator.description or "",
        "type": evaluator.type,
        "space_id": ids.SPACE_ID,
        "created_at": write_time(evaluator.created_at),
        "updated_at": write_time(evaluator.updated_at),
        "created_by_user_id": ids.USER_ID,
    }


def _evaluator_with_version(evaluator: HubEvaluator, version: Version) -> dict[str, Any]:
    return {**_evaluator(evaluator), "version": _version(evaluator, version)}


def _version(evaluator: HubEvaluator, version: Version) -> dict[str, Any]:
    return {
        "id": version.id,
        "evaluator_id": evaluator.id,
        "commit_hash": version.commit_hash,
        "commit_message": version.commit_message,
        "created_at": write_time(version.created_at),
        "created_by_user_id": ids.USER_ID,
        "type": evaluator.type,
        evaluator.kind.config_field: version.config,
    }


def _version_input(type_name: str, value: Any) -> tuple[dict[str, Any], str]:
    """Read a version of an evaluator: what it does, and its commit message."""
    if not isinstance(value, dict):
        raise ProblemError(400, "version has to be an object and is required")
    field = KIND_OF_TYPE[type_name].config_field
    only(value, f"commit_message {field}", "version.")
    message = text(value, "commit_message", required=True, longest=1000)
    config = value.get(field)
    if not isinstance(config, dict):
        raise ProblemError(400, f"version.{field} has to be an object and is required")
    name = text(config, "name", required=True)
    if not _COLUMN_NAME.fullmatch(name):
        raise ProblemError(
            400, f"{field}.name is {name!r}; it has to be letters, digits, spaces and any of _-&()"
        )
    return _CONFIG_READERS[type_name](config), message


def _template_config(config: dict[str, Any]) -> dict[str, Any]:
    # Arize's TypeScript client still calls it so.
    if _OLD_NAME in config:
        config = {**config, "use_function_calling": config[_OLD_NAME]}
        del config[_OLD_NAME]
    only(
        config,
        "name template include_explanations use_function_calling use_structured_output "
        "classification_choices direction data_granularity llm_config",
        "template_config.",
    )
    text(config, "template", required=True)
    for name in ("include_explanations", "use_function_calling"):
        if name not in config:
            raise ProblemError(400, f"template_config.{name} is required")
        flag(config, name)
    choices = config.get("classification_choices")
    if choices is not None and (
        not isinstance(choices, dict)
        or not choices
        or not all(isinstance(each, int | float) and not isinstance(each, bool) for each in choices.values())
    ):
        raise ProblemError(400, "template_config.classification_choices has to map labels to numbers")
    llm = config.get("llm_config")
    if not isinstance(llm, dict):
        raise ProblemError(400, "template_config.llm_config has to be an object and is required")
    only(llm, "ai_integration_id model_name invocation_parameters provider_parameters", "llm_config.")
    identifier(text(llm, "ai_integration_id", required=True), "LlmIntegration")
    text(llm, "model_name", required=True)
    for name in ("invocation_parameters", "provider_parameters"):
        if not isinstance(llm.get(name), dict):
            raise ProblemError(400, f"llm_config.{name} has to be an object and is required")
    return {
        **config,
        "use_structured_output": config.get("use_structured_output", True),
        "classification_choices": choices,
        "direction": _one_of(config, "direction", _DIRECTIONS) or "MAXIMIZE",
        "data_granularity": _granularity(config) or "SPAN",
    }


def _code_config(config: dict[str, Any]) -> dict[str, Any]:
    kind = text(config, "type", required=True)
    shared = "type name data_granularity query_filter variables static_params"
    match kind:
        case "MANAGED":
            only(config, f"{shared} managed_evaluator", "code_config.")
            if _one_of(config, "managed_evaluator", _MANAGED) is None:
                raise ProblemError(400, "code_config.managed_evaluator is required")
        case "CUSTOM":
            only(config, f"{shared} code imports", "code_config.")
            text(config, "code", required=True)
        case _:
            raise ProblemError(400, f"code_config.type is {kind!r}; it has to be MANAGED or CUSTOM")
    if not isinstance(config.get("variables"), list) or not config["variables"]:
        raise ProblemError(400, "code_config.variables has to be a list of columns and is required")
    compiled(text(config, "query_filter"))
    given = _static_params(config.get("static_params"))
    needed = _NEEDED.get(config.get("managed_evaluator", ""), frozenset())
    if missing := sorted(needed - given):
        raise ProblemError(
            400, f"code_config.static_params needs {missing[0]!r} of {config['managed_evaluator']}"
        )
    return {**config, "data_granularity": _granularity(config)}


def _static_params(value: Any) -> set[str]:
    """Check an evaluator's static parameters and return their names."""
    if value is not None and not isinstance(value, list):
        raise ProblemError(400, "code_config.static_params has to be a list")
    for each in value or ():
        if not isinstance(each, dict):
            raise ProblemError(400, "Each of code_config.static_params has to be an object")
        only(each, "name type default_value", "static_params.")
        text(each, "name", required=True)
        kind, given = _one_of(each, "type", _PARAMETER_TYPES), each.get("default_value")
        texts = given if kind == "STRING_ARRAY" else [given]
        if kind is None or not isinstance(texts, list) or not all(isinstance(one, str) for one in texts):
            raise ProblemError(
                400, f"static_params.{each['name']} needs a type and a default_value that is of it"
            )
    return {each["name"] for each in value or ()}


_CONFIG_READERS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "TEMPLATE": _template_config,
    "CODE": _code_config,
}


def _granularity(config: dict[str, Any]) -> str | None:
    return _one_of(config, "data_granularity", tuple(each.upper() for each in GRANULARITIES))


def _one_of(fields: dict[str, Any], name: str, allowed: tuple[str, ...]) -> str | None:
    value: str | None = text(fields, name)
    if value is not None and value not in allowed:
        raise ProblemError(400, f"{name} is {value!r}; it has to be one of {', '.join(allowed)}")
    return value
