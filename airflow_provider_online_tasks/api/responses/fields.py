"""The kinds of fields that answers have: each has a type, and a limit of its length or range.

A reader raises ValueError with the rest of a sentence that begins with the field.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainValidator

from airflow_provider_online_tasks._numbers import finite
from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks._times import parse_time

LONGEST_ID = 512
LONGEST_WORD = 100
LONGEST_NAME = 1_000
LONGEST_REASON = 2_000
LONGEST_TEXT = 20_000
MOST = 2**63 - 1
"""The largest count that every encoding of Airflow can hold."""
_KEPT = "\u00a0\u200c\u200d"


def _is_not(wanted: str, value: object) -> ValueError:
    return ValueError(f"is {shown(value)}, not {wanted}")


def identifier(value: object) -> str:
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
        raise _is_not("an ID", value)
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


def _long_text(value: object) -> str:
    return text(value, LONGEST_TEXT)


def _exact(value: object) -> str:
    """Read a text that is sent back as it came, so that nothing is cut off or replaced."""
    if not isinstance(value, str):
        raise _is_not("text", value)
    if len(value) > LONGEST_TEXT:
        raise ValueError(f"has {len(value)} characters, more than {LONGEST_TEXT}")
    return value


def _word(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise _is_not("a word", value)
    return line(value, LONGEST_WORD)


def _code(value: object) -> str:
    return line(value, LONGEST_WORD)


def count(value: object) -> int:
    """Read a count; None is 0.

    :raises ValueError: it is no whole number from 0 on, or too large.
    """
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST:
        raise _is_not("a count", value)
    return value


def _number(value: object) -> float:
    number = finite(value)
    if number is None:
        raise _is_not("a number", value)
    return number


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise _is_not("true or false", value)
    return value


def _time(value: object) -> datetime:
    return parse_time(value, "")


def _time_text(value: object) -> str:
    _time(value)
    return line(value, LONGEST_WORD)


def _object(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _is_not("an object", value)
    return value


def _object_or_nothing(value: object) -> Mapping[str, Any]:
    return {} if value is None else _object(value)


def _list(value: object) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise _is_not("a list", value)
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


Id = Annotated[str, PlainValidator(identifier)]
Word = Annotated[str, PlainValidator(_word)]
"""A short word, such as a status."""
Code = Annotated[str, PlainValidator(_code)]
"""A short word of a kind that is not documented."""
Line = Annotated[str, PlainValidator(line)]
Name = Annotated[str, PlainValidator(text)]
LongText = Annotated[str, PlainValidator(_long_text)]
Exact = Annotated[str, PlainValidator(_exact)]
"""Text that is sent back as it came."""
Count = Annotated[int, PlainValidator(count)]
Number = Annotated[float, PlainValidator(_number)]
Flag = Annotated[bool, PlainValidator(_flag)]
Time = Annotated[datetime, PlainValidator(_time)]
"""A time with a zone."""
TimeText = Annotated[str, PlainValidator(_time_text)]
"""A time as it was written."""
Object = Annotated[Mapping[str, Any], PlainValidator(_object)]
"""An object of any content. The bounds of the whole answer bound it."""
ObjectOrNothing = Annotated[Mapping[str, Any], PlainValidator(_object_or_nothing)]
"""The same, where null is an empty object."""
ObjectToCompare = Annotated[
    Mapping[str, Any] | None, PlainValidator(lambda value: value if isinstance(value, Mapping) else None)
]
"""The same; None in place of anything else, which is as little the same."""
Blank = BeforeValidator(lambda value: None if value == "" else value)
"""Before a field that may be None: an empty text stands for None."""
Listed = BeforeValidator(_list)
"""Before a tuple: None stands for an empty list."""
