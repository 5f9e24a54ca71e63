"""Templates: values that are known only when the task runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks._text import shown

if TYPE_CHECKING:
    import jinja2

_MARKS = ("{{", "{%", "{#")


def is_templated(value: Any) -> bool:
    """Return whether a value is, or contains, a Jinja template or the output of a task."""
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
    """Return whether a value is itself a template, and not a container of one."""
    if isinstance(value, str):
        return any(mark in value for mark in _MARKS)
    return is_renderer(value) or hasattr(value, "iter_references")  # XComArg and its subclasses


def is_renderer(value: Any) -> bool:
    """Return whether a value is a function that Airflow calls to render an argument."""
    return callable(value) and not isinstance(value, type)


def text_without_jinja(text: str, environment: jinja2.Environment) -> str | None:
    """Return a text without the marks of ``{% raw %}``; None if it has other Jinja."""
    from jinja2 import TemplateSyntaxError

    try:
        tokens = [(kind, part) for _, kind, part in environment.lex(text)]
    except TemplateSyntaxError:
        return None
    kinds = {kind for kind, _ in tokens}
    if kinds <= {"data"}:
        return text
    is_raw = kinds <= {"raw_begin", "raw_end", "data"}
    return "".join(part for kind, part in tokens if kind == "data") if is_raw else None


def key_problem(mapping: Mapping[Any, Any]) -> str | None:
    """Return why a dict with a template as a key is wrong; None if it has none."""
    if keys := [key for key in mapping if is_leaf_template(key)]:
        return (
            f"has the key {shown(keys[0])}. Airflow renders the values of a dict, not its keys. Create the "
            f"dict in a task and pass its output."
        )
    return None


# A template that is only a value of Airflow, such as ``{{ var.value.prompt }}``.
_AIRFLOW_VALUE = re.compile(
    r"\{\{-?\s*(?:var|conn|params|ti|task_instance|dag_run|macros)\s*[.\[](?:(?!\}\}).)*\}\}", re.DOTALL
)


def is_changed_by_jinja(text: str) -> bool:
    """Return whether Jinja would change a text by mistake, outside of ``{% raw %}``."""
    if not is_leaf_template(text) or _AIRFLOW_VALUE.fullmatch(text.strip()):
        return False
    from jinja2 import Environment

    return text_without_jinja(text, Environment(autoescape=True)) is None
