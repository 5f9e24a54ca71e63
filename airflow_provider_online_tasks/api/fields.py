"""The base class and the field types of responses. Each type has a limit of its length or range."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    Strict,
    TypeAdapter,
    ValidationError,
)

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks._times import parse_time

LONGEST_ID = 512
LONGEST_WORD = 100
LONGEST_NAME = 1_000
LONGEST_REASON = 2_000
LONGEST_TEXT = 20_000
HIDDEN = "***"
"""What a response has instead of the API key."""
MOST = 2**63 - 1
"""The largest count that every encoding of Airflow can hold."""
_KEPT = "\u00a0\u200c\u200d"


def identifier(value: object) -> str:
    """Return an ID, printable text or an integer as text, or raise ValueError."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MOST:
        return str(value)
    if (
        not isinstance(value, str)
        or not 0 < len(value) <= LONGEST_ID
        or value in (".", "..")
        or HIDDEN in value
        or not value.isprintable()
        or value.isspace()
    ):
        raise ValueError(f"is {shown(value)}, not an ID")
    return value


def line(value: object, most: int = LONGEST_REASON) -> str:
    """Return a text as one line without control characters, cut to a length."""
    text = _text(value, most)
    if not text.isprintable():
        text = " ".join("".join(sign if _is_kept(sign) else " " for sign in text).split())
    return _cut(text, most)


def name(value: object, most: int = LONGEST_NAME) -> str:
    """Return a text that may be compared, such as a name: printable characters stay unchanged.

    Line breaks and tabs stay too. Characters that cannot be encoded, or control a terminal, become
    ``\\ufffd``.
    """
    text = _text(value, most)
    if not text.isprintable():
        text = "".join(sign if _is_kept(sign) or sign in "\n\t" else "\ufffd" for sign in text)
    return _cut(text, most)


def _text(value: object, most: int) -> str:
    try:
        return str(value)[: most + 1]
    except (ValueError, RecursionError):
        return shown(value)


def _is_kept(sign: str) -> bool:
    return sign.isprintable() or sign in _KEPT


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _word(value: str) -> str:
    return line(value, LONGEST_WORD)


def _time_text(value: object) -> str:
    parse_time(value)
    return line(value, LONGEST_WORD)


def _time_or_nothing(value: object) -> datetime | None:
    try:
        return parse_time(value)
    except ValueError:
        return None


Id = Annotated[str, PlainValidator(identifier)]
Word = Annotated[str, Strict(), Field(min_length=1), AfterValidator(_word)]
"""A short word, such as a status."""
Code = Annotated[str, PlainValidator(_word)]
"""A short word of an undocumented type."""
Line = Annotated[str, PlainValidator(line)]
Name = Annotated[str, PlainValidator(name)]
LongText = Annotated[str, PlainValidator(lambda value: name(value, LONGEST_TEXT))]
Exact = Annotated[str, Strict(), Field(max_length=LONGEST_TEXT)]
"""Text that is sent back unchanged."""
Count = Annotated[
    int, Strict(), Field(ge=0, le=MOST), BeforeValidator(lambda value: 0 if value is None else value)
]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Flag = Annotated[bool, Strict()]
Time = Annotated[datetime, PlainValidator(parse_time)]
"""A time with a time zone."""
TimeOrNothing = Annotated[datetime | None, PlainValidator(_time_or_nothing)]
"""The same; None instead of anything unreadable."""
TimeText = Annotated[str, PlainValidator(_time_text)]
"""A time as it was written."""
Object = dict[str, Any]
"""An object with any content. The limits of the response apply."""
ObjectOrNothing = Annotated[Mapping[str, Any], BeforeValidator(lambda value: {} if value is None else value)]
"""The same; null is an empty object."""
ObjectToCompare = Annotated[
    Mapping[str, Any] | None, PlainValidator(lambda value: value if isinstance(value, Mapping) else None)
]
"""The same; None instead of anything else, which is different too."""
Blank = BeforeValidator(lambda value: None if value == "" else value)
"""Before a field that may be None: an empty text means None."""
Listed = BeforeValidator(lambda value: [] if value is None else value)
"""Before a tuple: null is an empty list."""


class Model:
    """An object in a response. A subclass is a dataclass, because its definition takes pydantic less time."""

    __slots__ = ()

    @classmethod
    def from_wire(cls, value: object, where: str = "") -> Self:
        """Read a JSON object, or raise ValueError; `where` is the field that holds it, for messages."""
        try:
            result: Self = _reader(cls).validate_python(value)  # type: ignore[arg-type]  # a class can be hashed
        except ValidationError as error:
            problem = _problem(error, where)
        else:
            return result
        # Raised outside of the except block: pydantic's error would keep the entire response alive.
        raise ValueError(problem)


@cache
def _reader(model: Any) -> TypeAdapter[Any]:
    return TypeAdapter(model)


def _problem(error: ValidationError, where: str) -> str:
    first = error.errors(include_url=False)[0]
    parts = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
    place = (where + parts).removeprefix(".") or "the response"
    match first["type"]:
        case "missing":
            return f"{place} is missing"
        case "value_error":
            return f"{place} {first['ctx']['error']}"
        case _:
            return f"{place} is {shown(first['input'])}: {first['msg']}"
