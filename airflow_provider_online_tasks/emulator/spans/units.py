"""What an evaluator evaluates: a span, the spans of a trace, or the traces of a session."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_online_tasks.emulator.spans.columns import as_text, column

if TYPE_CHECKING:
    from collections.abc import Collection

CONVERSATION: Final = "conversation"

Span = dict[str, Any]

_FIELDS: Final = {
    **{name: name for name in ("name", "kind", "parent_id", "status_code", "status_message")},
    **{name: name for name in ("span_id", "trace_id", "start_time", "end_time")},
    "span_kind": "kind",
    "context.span_id": "span_id",
    "context.trace_id": "trace_id",
    "latency_ms": "start_time",
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

    def text(self, path: str, within: Collection[str] | None = None) -> str | None:
        """Return the values at a path, or None if no span has one.

        :param within: the IDs of the spans to read; None reads all.
        """
        if path == CONVERSATION and self.granularity == "session":
            values = [
                _value(span, f"attributes.{key}")
                for span in self._roots
                for key in ("input.value", "output.value")
            ]
            return "\n".join(filter(None, map(as_text, values)))
        spans = [span for span in self.spans if within is None or span["span_id"] in within]
        texts = [text for span in spans if (text := as_text(_value(span, path))) is not None]
        return "\n".join(texts) if texts else None

    @property
    def _roots(self) -> list[Span]:
        return [span for span in self.spans if span["parent_id"] is None] or [self.spans[0]]

    @property
    def as_span(self) -> Span:
        """The unit as one span: the root of a trace, or all exchanges of a session."""
        if self.granularity == "span":
            return self.spans[0]
        roots = self._roots
        attributes: dict[str, Any] = {}
        for span in (*self.spans, *roots):
            attributes.update(span["attributes"])
        for key in ("input.value", "output.value"):
            attributes[key] = "\n".join(
                text for span in roots if (text := as_text(_value(span, f"attributes.{key}"))) is not None
            )
        failed = any(span["status_code"] == "ERROR" for span in roots)
        first = next(span for span in self.spans if span["span_id"] == self.span_id)
        status = {"status_code": "ERROR" if failed else first["status_code"]}
        return {**first, **status, "attributes": attributes}


def _value(span: Span, path: str) -> Any:
    if path in _FIELDS:
        return span[_FIELDS[path]]
    if not path.startswith("attributes."):
        return None
    return column(span["attributes"], path.removeprefix("attributes."))
