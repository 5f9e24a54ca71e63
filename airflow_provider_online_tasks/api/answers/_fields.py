"""The fields of answers: each has a type, and a limit of its length or range."""

from __future__ import annotations

from airflow_provider_online_tasks._text import shown

LONGEST_ID = 512
LONGEST_WORD = 100
LONGEST_NAME = 1_000
LONGEST_REASON = 2_000
LONGEST_TEXT = 20_000
MOST = 2**63 - 1
"""The largest count that every encoding of Airflow can hold."""
_KEPT = "\u00a0\u200c\u200d"


def identifier(value: object, name: str) -> str:
    """Read an ID: text that is printable and can be a part of an address, or a whole number.

    :raises ValueError: it is no ID.
    """
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MOST:
        return str(value)
    if (
        not isinstance(value, str)
        or not 0 < len(value) <= LONGEST_ID
        or value in (".", "..")
        or not value.isprintable()
        or value.isspace()
    ):
        raise ValueError(f"{name} is {shown(value)}, not an ID")
    return value


def line(value: object, most: int = LONGEST_REASON) -> str:
    """Read a text as one line without control characters, cut to a length."""
    text = _str(value, most)
    if not text.isprintable():
        text = " ".join("".join(sign if _is_kept(sign) else " " for sign in text).split())
    return _cut(text, most)


def text(value: object, most: int = LONGEST_NAME) -> str:
    """Read a text that may be compared, such as a name: what is printable stays as it is.

    Line breaks and tabs stay too; what cannot be encoded or drives a terminal becomes ``\\ufffd``.
    """
    found = _str(value, most)
    if not found.isprintable():
        found = "".join(sign if _is_kept(sign) or sign in "\n\t" else "\ufffd" for sign in found)
    return _cut(found, most)


def optional_text(value: object, most: int = LONGEST_NAME) -> str | None:
    """Read a text, or None."""
    return None if value is None else text(value, most)


def count(value: object, name: str) -> int:
    """Read a count; None is 0.

    :raises ValueError: it is no whole number from 0 on, or too large.
    """
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST:
        raise ValueError(f"{name} is not a count: {shown(value)}")
    return value


def _str(value: object, most: int) -> str:
    if isinstance(value, str):
        return value[: most + 1]
    try:
        return str(value)[: most + 1]
    except (ValueError, RecursionError):
        return shown(value)


def _is_kept(sign: str) -> bool:
    return sign.isprintable() or sign in _KEPT


def _cut(found: str, most: int) -> str:
    return found if len(found) <= most else found[: most - 1] + "…"
