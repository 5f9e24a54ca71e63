"""Spans and their evaluations, as far as results need them.

Fields: https://arize.com/docs/api-reference/spans/list-spans
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.api.answers._fields import LONGEST_TEXT, optional_text, text
from airflow_provider_online_tasks.api.calls import Page, RestCall, read_page

if TYPE_CHECKING:
    from airflow_provider_online_tasks.inputs import DataWindow

SPANS_PAGE = 500
ATTRIBUTES = "attributes."
# The column prefix of evaluations, by what they are of.
EVAL_PREFIXES = {"span": "eval", "trace": "trace_eval", "session": "session_eval"}
_SHORTEST_TEXT = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """What one evaluator says of one span.

    :param name: the evaluator's column name.
    :param label: its label, if it gave one.
    :param score: its score, if it gave one that is a finite number.
    :param explanation: why, if it was asked to say.
    :param metadata: identifiers of the task and the run, where the API has them.
    :param not_number: whether it gave a score that is no finite number: NaN, infinity, text, a boolean.
    """

    name: str
    label: str | None
    score: float | None
    explanation: str | None
    metadata: Mapping[str, Any]
    not_number: bool = False

    @classmethod
    def from_wire(cls, value: Mapping[str, Any]) -> Evaluation:
        """Read an evaluation as REST v2 tells it."""
        score = finite(value.get("score"))
        return cls(
            name=text(value["name"]),
            label=optional_text(value.get("label")),
            score=score,
            explanation=optional_text(value.get("explanation"), LONGEST_TEXT),
            metadata=value.get("metadata") or {},
            not_number=score is None and value.get("score") is not None,
        )

    def names(self, identifier: str) -> bool:
        """Return whether its metadata holds an identifier; under which key is not documented."""
        return identifier in self.metadata.values()


def finite(value: object) -> float | None:
    """Return a finite number; None for everything else, booleans and text included."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """A span with its evaluations.

    :param attributes: those of its attributes that were asked for, or all.
    """

    span_id: str
    trace_id: str | None
    name: str | None
    start_time: str | None
    evaluations: tuple[Evaluation, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_wire(cls, value: Mapping[str, Any]) -> Span:
        """Read a span as REST v2 tells it."""
        context = value["context"]
        return cls(
            span_id=str(context["span_id"]),
            trace_id=context.get("trace_id"),
            name=value.get("name"),
            start_time=value.get("start_time"),
            evaluations=tuple(Evaluation.from_wire(item) for item in value.get("evaluations") or ()),
            attributes=value.get("attributes") or {},
        )

    def attribute(self, path: str) -> Any:
        """Return an attribute by its dotted path; None if the span has none of that name.

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


def list_spans(
    project_id: str,
    window: DataWindow,
    *,
    query_filter: str | None = None,
    evaluators: Sequence[str] = (),
    granularity: str = "span",
    attributes: Sequence[str] = (),
    text_length: int | None = _SHORTEST_TEXT,
    cursor: str | None = None,
    limit: int = SPANS_PAGE,
) -> RestCall[Page[Span]]:
    """POST /v2/spans: the spans of a window, newest first, with as little of each as the API lets one ask.

    :param evaluators: column names of the evaluators whose evaluations are wanted; all if empty.
    :param granularity: what those evaluators judge: ``span``, ``trace`` or ``session``.
    :param attributes: dotted paths of the attributes that are wanted too, with ``evaluators``.
    :param text_length: the most characters of each text; None for all of it.
    """
    body: dict[str, Any] = {
        "project_id": project_id,
        "start_time": wire_time(window.start),
        "end_time": wire_time(window.end),
    }
    if text_length is not None:
        body["truncate_string_length"] = text_length
    if query_filter:
        body["filter"] = query_filter
    if evaluators:
        body["included_columns"] = [
            f"{EVAL_PREFIXES[granularity]}.{name}.{part}"
            for name in evaluators
            for part in ("label", "score", "explanation", "metadata")
        ]
        body["included_columns"] += [ATTRIBUTES + path.removeprefix(ATTRIBUTES) for path in attributes]
    query: dict[str, str | int] = {"limit": limit}
    if cursor is not None:
        query["cursor"] = cursor
    return RestCall(
        name="list spans",
        method="POST",
        path="/v2/spans",
        query=query,
        body=body,
        read=read_page("spans", Span.from_wire),
    )
