"""Evaluators of the Eval Hub, their versions, and Arize's own templates.

Fields: https://arize.com/docs/api-reference/evaluators
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from airflow_provider_online_tasks.api.responses.fields import (
    LONGEST_TEXT,
    Code,
    Exact,
    Id,
    Name,
    Number,
    Time,
    text,
)
from airflow_provider_online_tasks.api.responses.model import Model

LONGEST_MESSAGE = 1_000
"""Characters that a commit message may have."""

EvaluatorType = Literal["TEMPLATE", "CODE", "HARNESS", "REMOTE"]


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _message(value: object) -> str:
    return "" if value is None else text(value, LONGEST_TEXT)


@dataclass(frozen=True, kw_only=True)
class Evaluator(Model):
    """An evaluator of the Eval Hub.

    :param id: its global ID.
    :param name: its name, unique in its space.
    :param type: what judges.
    """

    id: Id
    name: Name
    type: Annotated[EvaluatorType, BeforeValidator(_upper)]


@dataclass(frozen=True, kw_only=True)
class EvaluatorVersion(Model):
    """A version of an evaluator: it never changes.

    :param id: its global ID.
    :param evaluator_id: the evaluator it is of.
    :param commit_message: what its author says about it.
    :param created_at: when it was created.
    """

    id: Id
    evaluator_id: Id
    commit_message: Annotated[str, BeforeValidator(_message)] = ""
    created_at: Time | None = None


@dataclass(frozen=True, kw_only=True)
class ArizeTemplate(Model):
    """One of Arize's own judge prompts.

    :param name: its name, and the column it writes to by default.
    :param template: the prompt.
    :param classification_choices: label to score.
    :param direction: whether a high score is good.
    :param data_granularity: what it judges; None for spans.
    """

    name: Annotated[Name, Field(validation_alias="column_name")]
    template: Exact
    classification_choices: dict[Exact, Number]
    direction: Annotated[Code | None, BeforeValidator(_lower)] = None
    data_granularity: Annotated[Code | None, BeforeValidator(_lower)] = None
