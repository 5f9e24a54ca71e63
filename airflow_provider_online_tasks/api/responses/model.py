"""How an answer becomes an object: pydantic checks it against a dataclass, field by field.

The dataclasses cost nothing when a DAG is parsed: pydantic prepares a reader when an answer is first read.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Self, cast

from airflow_provider_online_tasks._text import shown

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError


class Model:
    """A part of an answer. A subclass is a dataclass whose fields are of the kinds in ``_fields``."""

    __slots__ = ()

    @classmethod
    def from_wire(cls, value: object, where: str = "") -> Self:
        """Read a JSON object. Fields that the class does not have are ignored.

        :param where: the field that holds it, for messages.
        :raises KeyError: a required field is missing.
        :raises ValueError: a field holds something else than documented.
        """
        try:
            found: Self = _reader(cls).validate_python(value)  # type: ignore[arg-type]  # a class can be hashed
        except ValueError as error:
            problem = _problem(error, where)
        else:
            return found
        try:
            raise problem
        finally:
            # Else the exception would hold this value, and itself, until the garbage collector finds them.
            del problem


@cache
def _reader(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _problem(error: ValueError, where: str) -> Exception:
    first = cast("ValidationError", error).errors(include_url=False)[0]
    place = _place(where, first["loc"])
    found: Any = first["input"]
    match first["type"]:
        case "missing":
            return KeyError(place)
        case "value_error":
            return ValueError(f"{place} {first['ctx']['error']}".strip())
        case "dataclass_type":
            return ValueError(f"{place or 'the answer'} is {shown(found)}, not an object")
        case _:
            return ValueError(f"{place} is {shown(found)}: {first['msg']}")


def _place(where: str, loc: tuple[int | str, ...]) -> str:
    parts = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return (where + parts).removeprefix(".")
