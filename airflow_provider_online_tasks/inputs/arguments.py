"""Arguments of operators, sensors and triggers that say how they work, and not what Arize is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeVar

from airflow_provider_online_tasks._airflow import conf
from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.inputs.templating import is_leaf_template, is_templated
from airflow_provider_online_tasks.inputs.values import read_id, read_name

Word = TypeVar("Word", bound=str)


def read_deferrable(value: Any) -> bool:
    """Return whether to wait in the triggerer; None stands for ``[operators] default_deferrable``.

    :raises InvalidInput: it is neither True nor False nor None.
    """
    if value is None:
        return bool(conf.getboolean("operators", "default_deferrable", fallback=False))
    return switch(value, "deferrable")


def switch(value: Any, name: str) -> bool:
    """Return True or False, of an argument that is not templated: any text would count as True.

    :raises InvalidInput: it is neither.
    """
    if not isinstance(value, bool):
        raise InvalidInput(f"{name} must be True or False, not {shown(value)}.{_no_template(value)}")
    return value


def choice(value: Any, name: str, choices: Sequence[Word]) -> Word:
    """Return one of some words, of an argument that is not templated.

    :raises InvalidInput: it is none of them.
    """
    for word in choices:
        if value == word:
            return word
    raise InvalidInput(
        f"{name} must be one of {', '.join(choices)}, not {shown(value)}.{_no_template(value)}"
    )


def whole_number(value: Any, name: str) -> int:
    """Return a whole number from 1 on, of an argument that is not templated.

    :raises InvalidInput: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidInput(
            f"{name} must be a whole number from 1 on, not {shown(value)}.{_no_template(value)}"
        )
    return value


def positive_seconds(value: Any, name: str) -> float:
    """Return a number of seconds, of an argument that is not templated.

    :raises InvalidInput: it is not above 0.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise InvalidInput(f"{name} must be seconds above 0, not {shown(value)}.{_no_template(value)}")
    return float(value)


def check_literal(value: Any, name: str) -> None:
    """Check that a value is known when the DAG is parsed.

    :raises InvalidInput: it is a template.
    """
    if is_leaf_template(value):
        raise InvalidInput(f"{name} must be known when the DAG is parsed.{_no_template(value)}")


def check_name(value: Any, name: str) -> None:
    """Check that a literal is text with something in it.

    :raises InvalidInput: it is not.
    """
    if not is_templated(value):
        read_name(value, name)


def check_id(value: Any, name: str) -> None:
    """Check that a literal can be an ID of Arize.

    :raises InvalidInput: it cannot.
    """
    if not is_templated(value):
        read_id(value, name)


def _no_template(value: Any) -> str:
    return " Airflow does not render this argument." if is_leaf_template(value) else ""
