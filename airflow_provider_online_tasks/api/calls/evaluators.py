"""Evaluators of the Eval Hub, their versions, and Arize's own templates over REST.

API: https://arize.com/docs/api-reference/evaluators
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_online_tasks.api.calls._pages import Page, read_page
from airflow_provider_online_tasks.api.calls._rest import PAGE, RestCall, paged, part
from airflow_provider_online_tasks.api.responses.evaluators import (
    LONGEST_MESSAGE,
    ArizeTemplate,
    Evaluator,
    EvaluatorType,
    EvaluatorVersion,
)

__all__ = ["LONGEST_MESSAGE", "ArizeTemplate", "Evaluator", "EvaluatorType", "EvaluatorVersion"]


def get_evaluator(evaluator_id: str) -> RestCall[Evaluator]:
    """GET /v2/evaluators/{evaluator_id}."""
    return RestCall(
        name="get evaluator",
        method="GET",
        path=f"/v2/evaluators/{part(evaluator_id)}",
        read=Evaluator.from_wire,
        about=evaluator_id,
    )


def list_evaluators(
    *, name: str, space_id: str | None = None, cursor: str | None = None
) -> RestCall[Page[Evaluator]]:
    """GET /v2/evaluators; ``name`` matches a part of the name, case-insensitively."""
    return RestCall(
        name="list evaluators",
        method="GET",
        path="/v2/evaluators",
        query=paged(PAGE, cursor, name=name, space_id=space_id),
        read=read_page("evaluators", Evaluator.from_wire),
    )


def create_evaluator(
    *,
    space_id: str,
    name: str,
    description: str | None,
    evaluator_type: EvaluatorType,
    content: Mapping[str, Any],
    commit_message: str,
) -> RestCall[EvaluatorVersion]:
    """POST /v2/evaluators: returns the first version of the new evaluator."""
    body = {
        "space_id": space_id,
        "name": name,
        "type": evaluator_type,
        "version": {"commit_message": commit_message, **content},
    }
    return RestCall(
        name="create evaluator",
        method="POST",
        path="/v2/evaluators",
        body=body if description is None else {**body, "description": description},
        read=_read_first_version,
        repeatable=False,
    )


def _read_first_version(value: Mapping[str, Any]) -> EvaluatorVersion:
    version = value["version"]
    if isinstance(version, Mapping):
        version = {**version, "evaluator_id": value["id"]}
    return EvaluatorVersion.from_wire(version, "version")


def list_evaluator_versions(
    evaluator_id: str, *, cursor: str | None = None
) -> RestCall[Page[EvaluatorVersion]]:
    """GET /v2/evaluators/{evaluator_id}/versions, in an undocumented order."""
    return RestCall(
        name="list evaluator versions",
        method="GET",
        path=f"/v2/evaluators/{part(evaluator_id)}/versions",
        query=paged(PAGE, cursor),
        read=read_page("evaluator_versions", EvaluatorVersion.from_wire),
    )


def create_evaluator_version(
    evaluator_id: str, *, content: Mapping[str, Any], commit_message: str
) -> RestCall[EvaluatorVersion]:
    """POST /v2/evaluators/{evaluator_id}/versions: returns the new version, which becomes the active one."""
    return RestCall(
        name="create evaluator version",
        method="POST",
        path=f"/v2/evaluators/{part(evaluator_id)}/versions",
        body={"commit_message": commit_message, **content},
        read=EvaluatorVersion.from_wire,
        repeatable=False,
    )


def list_evaluator_templates() -> RestCall[tuple[ArizeTemplate, ...]]:
    """GET /v2/evaluator-templates: Arize's own prompts for LLM judges."""
    return RestCall(
        name="list evaluator templates",
        method="GET",
        path="/v2/evaluator-templates",
        read=lambda value: read_page("evaluator_templates", ArizeTemplate.from_wire)(value).items,
    )
