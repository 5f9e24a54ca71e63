"""The values of a span, a trace or a session: attributes, and the columns that Arize computes from them.

A list such as ``retrieval.documents`` is a column, and so are the values of its entries:
``retrieval.documents.contents``. The keys of ``metadata``, which instrumentation writes as JSON, are columns
too.
"""

from __future__ import annotations

import dataclasses
import json
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

CONVERSATION: Final = "conversation"
_LONGEST: Final = 100_000

Span = dict[str, Any]

_FIELDS: Final = {
    **{name: name for name in ("name", "kind", "parent_id", "status_code", "status_message")},
    **{name: name for name in ("trace_id", "start_time", "end_time")},
    "span_id": "shown_id",
    "span_kind": "kind",
    "context.span_id": "shown_id",
    "context.trace_id": "trace_id",
    "latency_ms": "start_time",
}
_DOCUMENTS: Final = {
    "ids": "document.id",
    "scores": "document.score",
    "contents": "document.content",
    "metadatas": "document.metadata",
}
_MESSAGES: Final = {
    "roles": "message.role",
    "contents": "message.content",
    "tool_calls.function.names": "message.tool_calls.#.tool_call.function.name",
    "tool_calls.function.arguments": "message.tool_calls.#.tool_call.function.arguments",
}
_LISTS: Final = {
    "retrieval.documents": _DOCUMENTS,
    "reranker.input_documents": _DOCUMENTS,
    "reranker.output_documents": _DOCUMENTS,
    "llm.input_messages": _MESSAGES,
    "llm.output_messages": _MESSAGES,
}
_METADATA: Final = "metadata"
# Columns with the attributes that hold their values; # is an index in a list.
_PLURALS: Final = {
    f"{base}.{plural}": re.compile(
        re.escape(f"{base}.#.{singular}").replace(r"\#", r"\d+") + "$"  # re.escape writes # as \#
    )
    for base, plurals in _LISTS.items()
    for plural, singular in plurals.items()
}


def is_computed(key: str) -> bool:
    """Whether Arize may compute this column from other attributes."""
    return key in _LISTS or key in _PLURALS or key.startswith(f"{_METADATA}.")


def computed_columns(names: Iterable[str], metadata_keys: Iterable[str]) -> set[str]:
    """Return the columns that Arize computes."""
    names = list(names)
    found = {base for base in _LISTS if any(name.startswith(f"{base}.") for name in names)}
    found |= {column for column, pattern in _PLURALS.items() if any(map(pattern.match, names))}
    return found | {f"{_METADATA}.{key}" for key in metadata_keys}


def column(attributes: Mapping[str, Any], key: str) -> Any:
    """Return the value of a column, named without ``attributes.``, or None."""
    if key in attributes:
        return attributes[key]
    pattern = _PLURALS.get(key)
    if pattern is not None:
        return [value for name, value in attributes.items() if pattern.match(name)] or None
    if key.startswith(f"{_METADATA}."):
        value = metadata_of(attributes.get(_METADATA)).get(key.removeprefix(f"{_METADATA}."))
        if value is not None:
            return value
    prefix = f"{key}."
    below = {
        name.removeprefix(prefix): value for name, value in attributes.items() if name.startswith(prefix)
    }
    return _nested(below) if below else None


def computed_column(attributes: str, key: str) -> str | int | float | None:
    """Return the value of a column for SQLite."""
    value = column(json.loads(attributes), key)
    return value if value is None or isinstance(value, str | int | float) else as_text(value)


def as_text(value: Any) -> str | None:
    """Return a value as the text that fills a prompt: JSON, unless it is text already."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def metadata_of(metadata: Any) -> Mapping[str, Any]:
    """Return the object in ``metadata``, which is JSON text; empty if it is not an object."""
    if isinstance(metadata, str):
        try:
            metadata = json.loads(metadata)
        except (ValueError, RecursionError):
            return {}
    return metadata if isinstance(metadata, dict) else {}


def _nested(flat: Mapping[str, Any]) -> Any:
    """Return the objects and lists that dotted names stand for."""
    groups: dict[str, Any] = {}
    nested: set[str] = set()
    for name, value in flat.items():
        first, _, rest = name.partition(".")
        if rest:
            if first not in nested:
                groups[first] = {}
                nested.add(first)
            groups[first][rest] = value
        elif first not in nested:
            groups[first] = value
    values = {name: _nested(value) if name in nested else value for name, value in groups.items()}
    if values and all(name.isdecimal() for name in values):
        return [values[name] for name in sorted(values, key=int)]
    return values


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
        """Return the values at a path as Arize joins and cuts them, or None if no span has one."""
        if path == CONVERSATION and self.granularity == "session":
            turns = [
                {name: as_text(_value(span, f"attributes.{name}.value")) for name in ("input", "output")}
                for span in self._roots
            ]
            turns = [turn for turn in turns if set(turn.values()) != {None}]
            return json.dumps(turns, ensure_ascii=False)[:_LONGEST] if turns else None
        spans = [span for span in self.spans if within is None or span["span_id"] in within]
        texts = [text for span in spans if (text := as_text(_value(span, path))) is not None]
        if self.granularity == "span" or not texts:
            return texts[0] if texts else None
        joined = ",".join(text[:_LONGEST] for text in texts)
        return joined[:_LONGEST] if self.granularity == "session" else joined

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
