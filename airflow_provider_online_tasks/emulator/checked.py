"""The values of a dataclass, read and checked by its types, so that a mistake in typing is not a setting."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, get_type_hints

from pydantic import Field, TypeAdapter, ValidationError

from airflow_provider_online_tasks._text import shown

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
OneOrMore = Annotated[int, Field(ge=1)]


def check_types(values: Any) -> None:
    """Check each field of a dataclass against its type; nothing is converted.

    :raises ValueError: a value is of another type, or out of range.
    """
    for field in dataclasses.fields(values):
        value = getattr(values, field.name)
        try:
            _adapters(values.__class__)[field.name].validate_python(value, strict=True)
        except ValidationError as error:
            # What is kept out of a repr is a key.
            what = f"is {shown(value)}" if field.repr else "does not fit"
            problems = dict.fromkeys(one["msg"] for one in error.errors(include_url=False))
            raise ValueError(f"{field.name} {what}: {', or '.join(problems)}.") from None


def read_text(kind: type, name: str, text: str) -> Any:
    """Return what a text stands for as a field of a dataclass; what does not fit is left to the check."""
    adapter = _adapters(kind).get(name)
    if adapter is None:
        return text
    value: Any = text
    for value in _readings(text):
        with contextlib.suppress(ValidationError):
            return adapter.validate_python(value, strict=True)
    return value


def _readings(text: str) -> Iterator[Any]:
    words = {"none": None, "true": True, "false": False}
    if text.lower() in words:
        yield words[text.lower()]
    yield text
    for read in (float, int):
        with contextlib.suppress(ValueError):
            yield read(text)


@cache
def _adapters(kind: type) -> dict[str, TypeAdapter[Any]]:
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: TypeAdapter(hints[field.name]) for field in dataclasses.fields(kind)}
