"""Whether a value is known yet when the DAG is parsed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_MARKS = ("{{", "{%", "{#")


def is_templated(value: Any) -> bool:
    """Return whether a value, or anything in it, is only known when the task runs: Jinja, or an XCom."""
    if is_leaf_template(value):
        return True
    if isinstance(value, Mapping):
        return any(is_templated(part) for pair in value.items() for part in pair)
    if isinstance(value, list | tuple | set | frozenset):
        return any(is_templated(part) for part in value)
    kind = type(value)
    fields: Iterable[str] = getattr(kind, "__dataclass_fields__", getattr(kind, "__pydantic_fields__", ()))
    return any(is_templated(getattr(value, name)) for name in fields)


def is_leaf_template(value: Any) -> bool:
    """Return whether a value is itself a template, and not a container that may hold one."""
    if isinstance(value, str):
        return any(mark in value for mark in _MARKS)
    return hasattr(value, "iter_references")  # XComArg and its kin
