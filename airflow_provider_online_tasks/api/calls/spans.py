"""Spans and their evaluations, as far as results need them.

Fields: https://arize.com/docs/api-reference/spans/list-spans
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.api.calls import Page, RestCall, read_page

if TYPE_CHECKING:
    from airflow_provider_online_tasks.inputs import DataWindow

SPANS_PAGE = 500
_SHORTEST_TEXT = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """What one evaluator says of one span.

    :param name: the evaluator's column name.
    :param label: its label, if it gave one.
    :param score: its score, if it gave one.
    :param explanation: why, if it was asked to say.
    :param metadata: identifiers of the task and the run, where the API has them.
    """

    name: str
    label: str | None
    score: float | None
    explanation: str | None
    metadata: Mapping[str, Any]

    @classmethod
    def from_wire(cls, value: Mapping[str, Any]) -> Evaluation:
        """Read an evaluation as REST v2 tells it."""
        score = value.get("score")
        return cls(
            name=str(value["name"]),
            label=None if value.get("label") is None else str(value["label"]),
            score=None if score is None else float(score),
            explanation=value.get("explanation"),
            metadata=value.get("metadata") or {},
        )

    def names(self, identifier: str) -> bool:
        """Return whether its metadata holds an identifier; under which key is not documented."""
        return identifier in self.metadata.values()


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """A span with its evaluations."""

    span_id: str
    trace_id: str | None
    name: str | None
    start_time: str | None
    evaluations: tuple[Evaluation, ...]

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
        )


def list_spans(
    project_id: str,
    window: DataWindow,
    *,
    query_filter: str | None = None,
    evaluators: Sequence[str] = (),
    cursor: str | None = None,
    limit: int = SPANS_PAGE,
) -> RestCall[Page[Span]]:
    """POST /v2/spans: the spans of a window, newest first, with as little of each as the API lets one ask.

    :param evaluators: column names of the evaluators whose evaluations are wanted; all if empty.
    """
    body: dict[str, Any] = {
        "project_id": project_id,
        "start_time": wire_time(window.start),
        "end_time": wire_time(window.end),
        "truncate_string_length": _SHORTEST_TEXT,
    }
    if query_filter:
        body["filter"] = query_filter
    if evaluators:
        body["included_columns"] = [
            f"eval.{name}.{part}"
            for name in evaluators
            for part in ("label", "score", "explanation", "metadata")
        ]
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
