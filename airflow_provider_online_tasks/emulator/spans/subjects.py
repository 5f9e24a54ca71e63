"""What an evaluator looks at: a span, the spans of a trace, or the traces of a session."""

from __future__ import annotations

import dataclasses
import json
import operator
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

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
class Subject:
    """One thing to judge.

    :param granularity: ``span``, ``trace`` or ``session``.
    :param span_id: the span that its evaluation is written to: itself, or the root of the (first) trace.
    :param spans: its spans, in the order they started.
    """

    granularity: str
    span_id: str
    spans: tuple[Span, ...]

    def value(self, path: str, within: Collection[str] | None = None) -> str | None:
        """Return what a path stands for, or None where it is on no span.

        :param within: read only these spans, by their IDs.
        """
        if path == CONVERSATION and self.granularity == "session":
            return self._conversation()
        found = [
            value
            for span in self.spans
            if within is None or span["span_id"] in within
            if (value := _value(span, path)) is not None
        ]
        return ",".join(found)[:LONGEST_VALUE] if found else None

    @property
    def as_span(self) -> Span:
        """One span for rules that read a span: a trace's root, or a session as one long exchange."""
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
            {name: _value(span, f"attributes.{name}.value") or "" for name in ("input", "output")}
            for span in self.spans
            if span["parent_id"] is None
        ]
        return json.dumps(turns, ensure_ascii=False)[:LONGEST_VALUE]


def _value(span: Span, path: str) -> str | None:
    if path in _COLUMNS:
        return _as_text(_COLUMNS[path](span))
    if not path.startswith("attributes."):
        return None
    key = path.removeprefix("attributes.")
    attributes: Mapping[str, Any] = span["attributes"]
    if key in attributes:
        return _as_text(attributes[key])
    below = {
        name.removeprefix(f"{key}."): value
        for name, value in attributes.items()
        if name.startswith(f"{key}.")
    }
    return _as_text(_nested(below)) if below else None


def _nested(flat: Mapping[str, Any]) -> Any:
    """Return dotted names as the objects and lists they were before."""
    groups: dict[str, Any] = {}
    for name, value in flat.items():
        first, _, rest = name.partition(".")
        if rest:
            groups.setdefault(first, {})[rest] = value
        else:
            groups[first] = value
    made = {
        name: _nested(value)
        if isinstance(value, dict) and any(n.startswith(f"{name}.") for n in flat)
        else value
        for name, value in groups.items()
    }
    if made and all(name.isdecimal() for name in made):
        return [made[name] for name in sorted(made, key=int)]
    return made


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)
