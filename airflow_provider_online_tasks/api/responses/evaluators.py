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
    name,
)
from airflow_provider_online_tasks.api.responses.model import Model

LONGEST_MESSAGE = 1_000
"""Maximum number of characters of a commit message."""

EvaluatorType = Literal["TEMPLATE", "CODE", "HARNESS", "REMOTE"]


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _message(value: object) -> str:
    return "" if value is None else name(value, LONGEST_TEXT)


@dataclass(frozen=True, kw_only=True)
class Evaluator(Model):
    """An evaluator of the Eval Hub.

    :param id: its global ID.
    :param name: its name, unique in its space.
    :param type: the type of evaluator.
    """

    id: Id
    name: Name
    type: Annotated[EvaluatorType, BeforeValidator(_upper)]


@dataclass(frozen=True, kw_only=True)
class EvaluatorVersion(Model):
    """A version of an evaluator. It never changes.

    :param id: its global ID.
    :param evaluator_id: the ID of its evaluator.
    :param commit_message: its author's description.
    :param created_at: time of creation.
    """

    id: Id
    evaluator_id: Id
    commit_message: Annotated[str, BeforeValidator(_message)] = ""
    created_at: Time | None = None


@dataclass(frozen=True, kw_only=True)
class ArizeTemplate(Model):
    """One of Arize's own prompts for LLM judges.

    :param name: its name, and the default column of its evaluations.
    :param template: the prompt.
    :param classification_choices: the score of each label.
    :param direction: whether a high score is good.
    :param data_granularity: what it evaluates; None for spans.
    """

    name: Annotated[Name, Field(validation_alias="column_name")]
    template: Exact
    classification_choices: dict[Exact, Number]
    direction: Annotated[Code | None, BeforeValidator(_lower)] = None
    data_granularity: Annotated[Code | None, BeforeValidator(_lower)] = None
