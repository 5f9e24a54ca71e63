"""Spans and their evaluations.

Fields: https://arize.com/docs/api-reference/spans/list-spans
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AliasPath, Field, PlainValidator

from airflow_provider_online_tasks._numbers import finite
from airflow_provider_online_tasks.api.responses.fields import (
    Id,
    Listed,
    LongText,
    Name,
    ObjectOrNothing,
    TimeText,
)
from airflow_provider_online_tasks.api.responses.model import Model

ATTRIBUTES = "attributes."


def _is_not_number(value: object) -> bool:
    return value is not None and finite(value) is None


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation(Model):
    """An evaluation of a span by one evaluator.

    :param name: the evaluator's column name.
    :param label: its label, if any.
    :param score: its score, if it is a finite number.
    :param explanation: its explanation, if any.
    :param metadata: IDs of the task and the run, if the API has them.
    :param not_number: whether the score is something else than a finite number: NaN, infinity, text, a
        boolean.
    """

    name: Name
    label: Name | None = None
    score: Annotated[float | None, PlainValidator(finite)] = None
    explanation: LongText | None = None
    metadata: ObjectOrNothing = field(default_factory=dict)
    not_number: Annotated[bool, Field(validation_alias="score"), PlainValidator(_is_not_number)] = False

    def names(self, identifier: str) -> bool:
        """Return whether its metadata contains an ID; the key is not documented."""
        return identifier in self.metadata.values()


@dataclass(frozen=True, kw_only=True, slots=True)
class Span(Model):
    """A span with its evaluations.

    :param span_id: its ID.
    :param trace_id: the ID of its trace.
    :param name: its name.
    :param start_time: its start time in Arize's form.
    :param evaluations: its evaluations.
    :param attributes: the requested attributes, or all.
    """

    span_id: Annotated[Id, Field(validation_alias=AliasPath("context", "span_id"))]
    trace_id: Annotated[Id | None, Field(validation_alias=AliasPath("context", "trace_id"))] = None
    name: Name | None = None
    start_time: TimeText | None = None
    evaluations: Annotated[tuple[Evaluation, ...], Listed] = ()
    attributes: ObjectOrNothing = field(default_factory=dict)

    def attribute(self, path: str) -> Any:
        """Return an attribute by its dotted path; None if the span does not have it.

        :param path: with or without the leading ``attributes.``.
        """
        name = path.removeprefix(ATTRIBUTES)
        found: Any = self.attributes
        if name in found:
            return found[name]
        for part in name.split("."):
            if not isinstance(found, Mapping):
                return None
            found = found.get(part)
        return found
