"""Evaluators of the Eval Hub, their versions, and Arize's own templates, over REST.

API: https://arize.com/docs/api-reference/evaluators
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast, get_args

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks._times import parse_time
from airflow_provider_online_tasks.api.answers._fields import text
from airflow_provider_online_tasks.api.calls import RUNS_PAGE, Page, RestCall, _id, _paged, _part, read_page

LONGEST_MESSAGE = 1000
"""Characters that a commit message may have."""

EvaluatorType = Literal["TEMPLATE", "CODE", "HARNESS", "REMOTE"]


@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """An evaluator of the Eval Hub.

    :param id: its global ID.
    :param name: its name, unique in its space.
    :param type: what judges.
    """

    id: str
    name: str
    type: EvaluatorType

    @classmethod
    def from_wire(cls, value: Mapping[str, Any]) -> Evaluator:
        """Read an evaluator as REST v2 writes it."""
        kind = str(value["type"]).upper()
        if kind not in get_args(EvaluatorType):
            raise ValueError(f"type is {shown(value['type'])}")
        return cls(id=_id(value, "id"), name=text(value["name"]), type=cast("EvaluatorType", kind))


def get_evaluator(evaluator_id: str) -> RestCall[Evaluator]:
    """GET /v2/evaluators/{evaluator_id}."""
    return RestCall(
        name="get evaluator",
        method="GET",
        path=f"/v2/evaluators/{_part(evaluator_id)}",
        read=Evaluator.from_wire,
        about=evaluator_id,
    )


@dataclass(frozen=True, kw_only=True)
class EvaluatorVersion:
    """A version of an evaluator: it never changes.

    :param id: its global ID.
    :param evaluator_id: the evaluator it is of.
    :param commit_message: what its author says about it.
    :param created_at: when it was created.
    """

    id: str
    evaluator_id: str
    commit_message: str
    created_at: datetime | None

    @classmethod
    def from_wire(cls, value: Mapping[str, Any]) -> EvaluatorVersion:
        """Read a version as REST v2 writes it."""
        created_at = value.get("created_at")
        return cls(
            id=_id(value, "id"),
            evaluator_id=_id(value, "evaluator_id"),
            commit_message=str(value.get("commit_message") or "")[:LONGEST_MESSAGE],
            created_at=None if created_at is None else parse_time(created_at, "created_at"),
        )


@dataclass(frozen=True, kw_only=True)
class ArizeTemplate:
    """One of Arize's own judge prompts.

    :param name: its name, and the column it writes to by default.
    :param template: the prompt.
    :param classification_choices: label to score.
    :param direction: whether a high score is good.
    :param data_granularity: what it judges; None for spans.
    """

    name: str
    template: str
    classification_choices: Mapping[str, float]
    direction: str | None
    data_granularity: str | None

    @classmethod
    def from_wire(cls, value: Mapping[str, Any]) -> ArizeTemplate:
        """Read a template as REST v2 writes it."""
        choices = value["classification_choices"]
        if not isinstance(choices, Mapping):
            raise TypeError(f"classification_choices is {shown(choices)}")
        return cls(
            name=str(value["column_name"]),
            template=str(value["template"]),
            classification_choices={str(label): float(score) for label, score in choices.items()},
            direction=_word(value, "direction"),
            data_granularity=_word(value, "data_granularity"),
        )


def _word(value: Mapping[str, Any], name: str) -> str | None:
    return None if value.get(name) is None else str(value[name]).lower()


def list_evaluators(
    *, name: str, space_id: str | None = None, cursor: str | None = None
) -> RestCall[Page[Evaluator]]:
    """GET /v2/evaluators; ``name`` matches as a part of the name, in upper or lower case."""
    return RestCall(
        name="list evaluators",
        method="GET",
        path="/v2/evaluators",
        query=_paged(RUNS_PAGE, cursor, name=name, space_id=space_id),
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
    if not isinstance(version, Mapping):
        raise TypeError(f"version is {shown(version)}, not an object")
    return EvaluatorVersion.from_wire({**version, "evaluator_id": value["id"]})


def list_evaluator_versions(
    evaluator_id: str, *, cursor: str | None = None
) -> RestCall[Page[EvaluatorVersion]]:
    """GET /v2/evaluators/{evaluator_id}/versions, in an order that is not documented."""
    return RestCall(
        name="list evaluator versions",
        method="GET",
        path=f"/v2/evaluators/{_part(evaluator_id)}/versions",
        query=_paged(RUNS_PAGE, cursor),
        read=read_page("evaluator_versions", EvaluatorVersion.from_wire),
    )


def create_evaluator_version(
    evaluator_id: str, *, content: Mapping[str, Any], commit_message: str
) -> RestCall[EvaluatorVersion]:
    """POST /v2/evaluators/{evaluator_id}/versions: returns the new version, the active one from then on."""
    return RestCall(
        name="create evaluator version",
        method="POST",
        path=f"/v2/evaluators/{_part(evaluator_id)}/versions",
        body={"commit_message": commit_message, **content},
        read=EvaluatorVersion.from_wire,
        repeatable=False,
    )


def list_evaluator_templates() -> RestCall[tuple[ArizeTemplate, ...]]:
    """GET /v2/evaluator-templates: Arize's own judge prompts."""

    def read(value: Mapping[str, Any]) -> tuple[ArizeTemplate, ...]:
        listed = value["evaluator_templates"]
        if not isinstance(listed, list):
            raise TypeError(f"evaluator_templates is {shown(listed)}, not a list")
        return tuple(ArizeTemplate.from_wire(one) for one in listed)

    return RestCall(name="list evaluator templates", method="GET", path="/v2/evaluator-templates", read=read)
