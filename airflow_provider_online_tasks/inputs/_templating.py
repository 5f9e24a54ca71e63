"""Whether a value is known yet when the DAG is parsed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MARKS = ("{{", "{%", "{#")


def is_templated(value: Any) -> bool:
    """Return whether a value, or anything in it, is only known when the task runs: Jinja, or an XCom."""
    if isinstance(value, str):
        return any(mark in value for mark in _MARKS)
    if isinstance(value, Mapping):
        return any(is_templated(part) for pair in value.items() for part in pair)
    if isinstance(value, list | tuple | set | frozenset):
        return any(is_templated(part) for part in value)
    if hasattr(value, "iter_references"):  # XComArg and its kin
        return True
    fields = getattr(value, "__dataclass_fields__", None)
    return fields is not None and any(is_templated(getattr(value, name)) for name in fields)
