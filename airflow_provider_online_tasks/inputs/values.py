"""Values that a user passes, checked without pydantic: names, IDs, times, numbers and choices."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any, Final, Literal

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks._times import parse_time
from airflow_provider_online_tasks.exceptions import InvalidInput

MAXIMIZE: Final = "maximize"
MINIMIZE: Final = "minimize"
Direction = Literal["maximize", "minimize", "none"]
Granularity = Literal["span", "trace", "session"]


def check_text(value: Any) -> str:
    """Return a text that is not blank.

    :raises ValueError: it is something else.
    """
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {shown(value)}.")  # noqa: TRY004  as for every wrong value
    if not value.strip():
        raise ValueError("is empty.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"holds half a character, which cannot be sent: {shown(value)}.") from None
    return value


def check_id_text(value: Any) -> str:
    """Return an ID of Arize without spaces around it.

    :raises ValueError: it is not text, blank, the word that a missing XCom renders to, or a name.
    """
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {shown(value)}.")  # noqa: TRY004  as for every wrong value
    text = value.strip()
    if text.lower() in ("", "none", "null", "undefined"):
        raise ValueError(
            f"is {value!r}: its XCom or variable is empty. Check the upstream task's ID and that it ran."
        )
    if any(character.isspace() for character in text):
        raise ValueError(
            f"is {shown(text)}, which looks like a name. Use the global ID that Arize's UI shows in the "
            f"address, such as 'T25saW5lVGFzazo0NTpxUndY'. To use a name, set online_task (for a task) or "
            f"project (for a project), if the operator has it."
        )
    if not text.strip("."):  # would climb the path of an address
        raise ValueError(f"is {shown(value)}, which is not an ID. Use the global ID that Arize shows.")
    return check_text(text)


def read_name(value: Any, where: str) -> str:
    """Return a name.

    :param where: the argument, for messages.
    :raises InvalidInput: it is not text, or blank.
    """
    return _read(check_text, value, where)


def read_id(value: Any, where: str) -> str:
    """Return an ID of Arize.

    :param where: the argument, for messages.
    :raises InvalidInput: it is not text, blank, the word that a missing XCom renders to, or a name.
    """
    return _read(check_id_text, value, where)


def _read(check: Callable[[Any], str], value: Any, where: str) -> str:
    try:
        return check(value)
    except ValueError as error:
        raise InvalidInput(f"{where} {error}") from None


def read_names(value: Any, where: str, *, such_as: str) -> tuple[str, ...]:
    """Return a list of names, which may be empty.

    :param where: the argument, for messages.
    :param such_as: an example of a list.
    :raises InvalidInput: it is not a list, or holds something else.
    """
    if isinstance(value, Collection) and not isinstance(value, str | bytes | Mapping):
        names = tuple(value)
        if all(isinstance(name, str) and name.strip() for name in names):
            return names
    raise InvalidInput(f"{where} must be a list of names, such as {such_as}, not {shown(value)}.")


def read_time(value: Any, where: str) -> datetime:
    """Return a time.

    :param where: the argument, for messages.
    :raises InvalidInput: it is not a time.
    """
    try:
        return parse_time(value)
    except ValueError as error:
        raise InvalidInput(f"{where} {error}") from None


def rendered_number(value: Any) -> float | None:
    """Return a number, or a text that says one, as a float; None for anything else."""
    if isinstance(value, bool | bytes | bytearray):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def as_fraction(rate: float) -> float:
    """Return a sampling rate as a fraction of the matching spans.

    A value in (0, 1] is a fraction, one in (1, 100] a percentage: Arize's documentation has both, and 1 and
    100 mean every span in both.
    """
    return rate if rate <= 1 else rate / 100


def describe_sampling_rate(fraction: float) -> str:
    """Return what a sampling rate means in words, because its unit is not obvious."""
    return f"sampling {float(f'{fraction * 100:.6g}'):g} % of matching spans"
