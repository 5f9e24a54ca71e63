"""Makes of any value one that Airflow can send, store and show: what a trigger's event is made of.

An event goes through MessagePack to the triggerer's supervisor, and through JSON into the database. A value
that one of them cannot write would end the triggerer, with the tasks of everybody.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

MOST_BYTES = 64_000
LONGEST_TEXT = 4_000
MOST_ITEMS = 1_000
DEEPEST = 8
LARGEST_INTEGER = 2**63 - 1
# Texts of an event that is too large are cut to ever fewer characters.
SHORTER = (300, 60)
_encode = json.JSONEncoder(allow_nan=False).encode


def plain(value: Any, *, longest_text: int = LONGEST_TEXT) -> Any:
    """Return a value that MessagePack and JSON can write.

    Texts lose control characters and halves of characters, and are cut. Integers are kept within 64 bits.
    Numbers that JSON does not have, such as NaN, become None.
    """
    return _plain(value, longest_text, DEEPEST)


def fitting(value: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a mapping as :func:`plain` does, and small enough for an event; None if it cannot be."""
    for longest in (LONGEST_TEXT, *SHORTER):
        made: dict[str, Any] = plain(value, longest_text=longest)
        if size(made) <= MOST_BYTES:
            return made
    return None


def size(value: Any) -> int:
    """Return the bytes that a plain value takes at most, as MessagePack or as JSON."""
    return len(_encode(value))


def _plain(value: Any, longest: int, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, longest)
    if isinstance(value, int):
        return max(-LARGEST_INTEGER, min(int(value), LARGEST_INTEGER))
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if depth == 0:
        return None
    if isinstance(value, dict | Mapping):
        items = list(value.items())[:MOST_ITEMS]
        return {_text(str(key), longest): _plain(one, longest, depth - 1) for key, one in items}
    if isinstance(value, list | tuple):
        return [_plain(one, longest, depth - 1) for one in value[:MOST_ITEMS]]
    return _text(str(value), longest)


def _text(text: str, longest: int) -> str:
    if text.isascii() and text.isprintable() and len(text) <= longest:
        return str(text)
    cut = text if len(text) <= longest else text[: longest - 1] + "…"
    return "".join(sign if sign.isprintable() or sign in "\n\t" else " " for sign in cut)
