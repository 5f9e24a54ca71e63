"""The base of the objects in responses: pydantic checks a JSON object against a dataclass.

Dataclasses cost nothing when a DAG is parsed: pydantic prepares a reader when it reads the first response.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_online_tasks._text import shown

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError


class Model:
    """An object in a response. A subclass is a dataclass with the field types of ``fields``."""

    __slots__ = ()

    @classmethod
    def from_wire(cls, value: object, where: str = "") -> Self:
        """Read a JSON object. Fields that the class does not have are ignored.

        :param where: the field that holds it, for messages.
        :raises ValueError: a field is missing or has an undocumented value.
        """
        from pydantic import ValidationError

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
    from pydantic import TypeAdapter

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
