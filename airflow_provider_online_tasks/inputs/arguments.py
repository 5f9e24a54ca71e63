"""Arguments of operators, sensors and triggers that configure the task itself, not the request to Arize."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import timedelta
from difflib import get_close_matches
from functools import cache
from typing import Any, TypeVar

from airflow_provider_online_tasks._airflow import conf
from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.inputs.templating import is_leaf_template, is_templated
from airflow_provider_online_tasks.inputs.values import read_id, read_name

Word = TypeVar("Word", bound=str)


def check_keywords(operator: type, keywords: Iterable[str]) -> None:
    """Suggest the right name for a mistyped argument. Airflow itself rejects it without a suggestion.

    :param operator: the class of the operator or sensor.
    :param keywords: the arguments that its own ``__init__`` does not have.
    :raises TypeError: an argument is unknown and similar to a known one.
    """
    for keyword in keywords:
        known = _known_arguments(operator)
        if keyword not in known and (near := get_close_matches(keyword, known, n=1, cutoff=0.75)):
            raise TypeError(f"{operator.__name__} has no argument {keyword!r}. Did you mean {near[0]!r}?")


@cache
def _known_arguments(operator: type) -> frozenset[str]:
    signatures = (
        inspect.signature(vars(cls)["__init__"]) for cls in operator.__mro__ if "__init__" in vars(cls)
    )
    return frozenset(name for signature in signatures for name in signature.parameters)


def argument_names(init: Callable[..., None], *, besides: Collection[str] = ()) -> tuple[str, ...]:
    """Return the names of the keyword-only arguments of a constructor, in their order."""
    names = (
        name for name, each in inspect.signature(init).parameters.items() if each.kind is each.KEYWORD_ONLY
    )
    return tuple(name for name in names if name not in besides)


def read_deferrable(value: Any) -> bool:
    """Return whether to wait in the triggerer; None means ``[operators] default_deferrable``.

    :raises InvalidInput: it is something else than True, False or None.
    """
    if value is None:
        return bool(conf.getboolean("operators", "default_deferrable", fallback=False))
    return switch(value, "deferrable")


def switch(value: Any, name: str) -> bool:
    """Return a boolean of an argument that is not templated: any text would be true.

    :raises InvalidInput: it is something else.
    """
    if not isinstance(value, bool):
        raise _invalid(name, "True or False", value)
    return value


def choice(value: Any, name: str, choices: Sequence[Word]) -> Word:
    """Return one of some words, of an argument that is not templated.

    :raises InvalidInput: it is something else.
    """
    for word in choices:
        if value == word:
            return word
    raise _invalid(name, f"one of {', '.join(choices)}", value)


def whole_number(value: Any, name: str) -> int:
    """Return a positive integer, of an argument that is not templated.

    :raises InvalidInput: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise _invalid(name, "a positive integer", value)
    return value


def positive_seconds(value: Any, name: str) -> float:
    """Return a positive number of seconds, of an argument that is not templated.

    :raises InvalidInput: it is something else.
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < float("inf"):
        raise _invalid(name, "a positive number of seconds", value)
    return float(seconds)


def check_literal(value: Any, name: str) -> None:
    """Check that a value is not a template.

    :raises InvalidInput: it is a template.
    """
    if is_leaf_template(value):
        raise _invalid(name, "a literal", value)


def check_name(value: Any, name: str) -> None:
    """Check that a literal is text and not blank.

    :raises InvalidInput: it is something else.
    """
    if not is_templated(value):
        read_name(value, name)


def check_id(value: Any, name: str) -> None:
    """Check that a literal can be an ID of Arize.

    :raises InvalidInput: it cannot.
    """
    if not is_templated(value):
        read_id(value, name)


def _invalid(name: str, wanted: str, value: Any) -> InvalidInput:
    hint = " Airflow does not render templates in this argument." if is_leaf_template(value) else ""
    return InvalidInput(f"{name} must be {wanted}, not {shown(value)}.{hint}")
