"""The columns of a span's attributes: the attributes themselves, and what Arize makes of nested ones.

A list such as ``retrieval.documents`` is a column, and so is what its entries hold:
``retrieval.documents.contents``. The keys of ``metadata``, which instrumentation writes as JSON, are columns
of their own.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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
# The column, and the attributes that its values are; # is a place in a list.
_PLURALS: Final = {
    f"{base}.{plural}": re.compile(
        re.escape(f"{base}.#.{singular}").replace(r"\#", r"\d+") + "$"  # re.escape writes # as \#
    )
    for base, plurals in _LISTS.items()
    for plural, singular in plurals.items()
}


def is_made(key: str) -> bool:
    """Whether Arize may make this column of other attributes."""
    return key in _LISTS or key in _PLURALS or key.startswith(f"{_METADATA}.")


def made_columns(names: Iterable[str], metadata_keys: Iterable[str]) -> set[str]:
    """Return the columns that Arize makes of attributes.

    :param names: the names of the attributes.
    :param metadata_keys: the keys that ``metadata`` has.
    """
    names = list(names)
    found = {base for base in _LISTS if any(name.startswith(f"{base}.") for name in names)}
    found |= {column for column, pattern in _PLURALS.items() if any(map(pattern.match, names))}
    return found | {f"{_METADATA}.{key}" for key in metadata_keys}


def column(attributes: Mapping[str, Any], key: str) -> Any:
    """Return what a column of a span holds, or None.

    :param attributes: the span's attributes, by their flat dotted names.
    :param key: the column, without ``attributes.``.
    """
    if key in attributes:
        return attributes[key]
    pattern = _PLURALS.get(key)
    if pattern is not None:
        return [value for name, value in attributes.items() if pattern.match(name)] or None
    if key.startswith(f"{_METADATA}."):
        found = metadata_of(attributes.get(_METADATA)).get(key.removeprefix(f"{_METADATA}."))
        if found is not None:
            return found
    below = {
        name.removeprefix(f"{key}."): value
        for name, value in attributes.items()
        if name.startswith(f"{key}.")
    }
    return _nested(below) if below else None


def made_column(attributes: str, key: str) -> str | int | float | None:
    """Return what a column holds as a value of SQLite.

    :param attributes: the span's attributes as JSON.
    """
    value = column(json.loads(attributes), key)
    return value if value is None or isinstance(value, str | int | float) else as_text(value)


def as_text(value: Any) -> str | None:
    """Return a value as the text that a prompt is filled with."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def metadata_of(written: Any) -> Mapping[str, Any]:
    """Return a span's metadata, which is written as JSON; empty where it is not an object."""
    if isinstance(written, str):
        try:
            written = json.loads(written)
        except (ValueError, RecursionError):
            return {}
    return written if isinstance(written, dict) else {}


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
