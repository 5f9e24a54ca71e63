"""The texts of a span: input, output, retrieved documents and reference."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_REFERENCE_NAMES: Final = frozenset({"reference", "context", "documents"})


def input_text(span: Mapping[str, Any]) -> str:
    """Return the input of a span."""
    return as_text(attributes_of(span).get("input.value")) or _messages(span, "llm.input_messages.", "user")


def output_text(span: Mapping[str, Any]) -> str:
    """Return the output of a span."""
    output = as_text(attributes_of(span).get("output.value"))
    return output or _messages(span, "llm.output_messages.", "assistant")


def documents_text(span: Mapping[str, Any]) -> str:
    """Return the documents that a span retrieved."""
    return "\n".join(
        as_text(value)
        for key, value in attributes_of(span).items()
        if key.startswith("retrieval.documents.") and key.endswith(".document.content")
    )


def reference_text(span: Mapping[str, Any]) -> str:
    """Return the texts that a span's output should agree with: retrieved documents and context."""
    texts = [documents_text(span)]
    texts += [
        as_text(value)
        for key, value in attributes_of(span).items()
        if key.rpartition(".")[2] in _REFERENCE_NAMES
    ]
    # applications put retrieved texts into the system message
    return "\n".join(filter(None, texts)) or _messages(span, "llm.input_messages.", "system")


def attributes_of(span: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the attributes of a span, with flat, dotted names."""
    attributes: Mapping[str, Any] = span.get("attributes") or {}
    return attributes


def as_text(value: Any) -> str:
    """Return an attribute's value as text: JSON, unless it is text already."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _messages(span: Mapping[str, Any], prefix: str, role: str) -> str:
    attributes = attributes_of(span)
    return "\n".join(
        as_text(attributes.get(key.removesuffix("role") + "content"))
        for key, value in attributes.items()
        if key.startswith(prefix) and key.endswith(".message.role") and value == role
    )
