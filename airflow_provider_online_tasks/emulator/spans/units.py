"""What an evaluator evaluates: a span, the spans of a trace, or the traces of a session."""

from __future__ import annotations

import dataclasses
import json
import operator
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_online_tasks.emulator.evaluators.texts import input_text, output_text
from airflow_provider_online_tasks.emulator.spans.columns import as_text, column

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

LONGEST_VALUE: Final = 100_000
CONVERSATION: Final = "conversation"

Span = dict[str, Any]

_PLAIN: Final = ("name", "kind", "parent_id", "status_code", "status_message", "span_id", "trace_id")
_COLUMNS: Final[dict[str, Callable[[Span], Any]]] = {
    **{name: operator.itemgetter(name) for name in _PLAIN},
    "span_kind": lambda span: span["kind"],
    "context.span_id": lambda span: span["span_id"],
    "context.trace_id": lambda span: span["trace_id"],
    "start_time": lambda span: span["start_time"].isoformat(),
    "end_time": lambda span: span["end_time"].isoformat(),
    "latency_ms": lambda span: (span["end_time"] - span["start_time"]).total_seconds() * 1000,
}


@dataclasses.dataclass(frozen=True)
class Unit:
    """A span, a trace or a session.

    :param granularity: ``span``, ``trace`` or ``session``.
    :param span_id: the span that holds its evaluations: itself, or the root of the (first) trace.
    :param spans: its spans, ordered by start time.
    """

    granularity: str
    span_id: str
    spans: tuple[Span, ...]

    def value(self, path: str, within: Collection[str] | None = None) -> str | None:
        """Return the value of a path, or None if no span has it.

        :param within: the IDs of the spans to read; None reads all.
        """
        if path == CONVERSATION and self.granularity == "session":
            return self._conversation()
        values = [
            value
            for span in self.spans
            if within is None or span["span_id"] in within
            if (value := _value(span, path)) is not None
        ]
        return ",".join(values)[:LONGEST_VALUE] if values else None

    @property
    def as_span(self) -> Span:
        """The unit as one span: the root of a trace, or all exchanges of a session."""
        if self.granularity == "span":
            return self.spans[0]
        roots = [span for span in self.spans if span["parent_id"] is None] or [self.spans[0]]
        attributes: dict[str, Any] = {}
        for span in (*self.spans, *roots):
            attributes.update(span["attributes"])
        for key in ("input.value", "output.value"):
            attributes[key] = "\n".join(
                text for span in roots if (text := _value(span, f"attributes.{key}")) is not None
            )
        failed = any(span["status_code"] == "ERROR" for span in roots)
        first = next(span for span in self.spans if span["span_id"] == self.span_id)
        status = {"status_code": "ERROR" if failed else first["status_code"]}
        return {**first, **status, "attributes": attributes}

    def _conversation(self) -> str:
        turns = [
            {"input": input_text(span), "output": output_text(span)}
            for span in self.spans
            if span["parent_id"] is None
        ]
        return json.dumps(turns, ensure_ascii=False)[:LONGEST_VALUE]


def _value(span: Span, path: str) -> str | None:
    if path in _COLUMNS:
        return as_text(_COLUMNS[path](span))
    if not path.startswith("attributes."):
        return None
    return as_text(column(span["attributes"], path.removeprefix("attributes.")))
