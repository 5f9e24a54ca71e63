"""Arguments of operators, sensors and triggers, checked without pydantic when a DAG is parsed."""

from __future__ import annotations

import base64
import enum
import inspect
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from difflib import get_close_matches
from functools import cache, wraps
from typing import Any, Final, Literal, ParamSpec, TypeVar

from airflow_provider_online_tasks._airflow import conf
from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks._times import parse_time
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.inputs.templating import is_leaf_template, is_templated

Direction = Literal["maximize", "minimize", "none"]
Granularity = Literal["span", "trace", "session"]
Scope = Literal["window", "run"]
MAXIMIZE: Final = "maximize"
MINIMIZE: Final = "minimize"

Word = TypeVar("Word", bound=str)
Value = TypeVar("Value")
P = ParamSpec("P")

# A global ID is base64 of "Type:number:suffix". Per type: the argument that takes it, and its name in the UI.
_ID_TYPES: Final = {
    "OnlineTask": ("online_task_id", "a task"),
    "TaskRun": ("run_id", "a run"),
    "Model": ("model_id", "a project"),
    "Space": ("space_id", "a space"),
    "AccountOrganization": ("organization_id", "an organization"),
    "Evaluator": ("evaluator_id", "an evaluator"),
    "EvaluatorVersion": ("evaluator_version_id", "an evaluator version"),
    "LlmIntegration": ("integration_id", "an LLM integration"),
}
_ID_NAMES: Final = dict(_ID_TYPES.values())
_GLOBAL_ID: Final = re.compile(r"([A-Za-z]+):\d+:\w+")
PLACEHOLDER: Final = re.compile(r"(?i)your[_-].+|<.+>")


class Unset(enum.Enum):
    """The type of :data:`UNSET`. An enum, so that copies and pickles are the same object."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"

    __str__ = __repr__

    def __bool__(self) -> Literal[False]:
        return False


UNSET: Final = Unset.UNSET
"""Marks an argument that was left out, where ``None`` has another meaning."""


def check_keywords(operator: type, keywords: Iterable[str]) -> None:
    """Suggest the right name for a mistyped argument. Airflow itself rejects it without a suggestion."""
    _check_names(operator.__name__, keywords, _known_arguments(operator))


def suggests_names(function: Callable[P, Value]) -> Callable[P, Value]:
    """Make a function suggest the right name for a mistyped argument, as Python 3.13 does."""
    known = frozenset(inspect.signature(function).parameters)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> Value:
        _check_names(function.__qualname__.removesuffix(".__init__"), kwargs, known)
        return function(*args, **kwargs)

    return call


def _check_names(owner: str, keywords: Iterable[str], known: frozenset[str]) -> None:
    for keyword in keywords:
        if keyword not in known and (near := get_close_matches(keyword, known, n=1, cutoff=0.75)):
            raise TypeError(f"{owner} has no argument {keyword!r}. Did you mean {near[0]!r}?")


@cache
def _known_arguments(operator: type) -> frozenset[str]:
    own = [vars(cls)["__init__"] for cls in operator.__mro__ if "__init__" in vars(cls)]
    return frozenset(name for init in own for name in inspect.signature(init).parameters)


def argument_names(init: Callable[..., None], *, besides: Collection[str] = ()) -> tuple[str, ...]:
    """Return the names of the keyword-only arguments of a constructor, in their order."""
    parameters = inspect.signature(init).parameters.values()
    names = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]
    return tuple(name for name in names if name not in besides)


# Arguments that Airflow does not render. They are wrong when they are templates.


def read_deferrable(value: Any) -> bool:
    """Return whether to wait in the triggerer; None means ``[operators] default_deferrable``."""
    if value is None:
        return bool(conf.getboolean("operators", "default_deferrable", fallback=False))
    return switch(value, "deferrable")


def switch(value: Any, name: str) -> bool:
    """Return a boolean. A text is rejected, because any text would be true."""
    if not isinstance(value, bool):
        raise _invalid(name, "True or False", value)
    return value


def choice(value: Any, name: str, choices: Sequence[Word]) -> Word:
    """Return one of some words."""
    for word in choices:
        if value == word:
            return word
    raise _invalid(name, f"one of {', '.join(choices)}", value)


def whole_number(value: Any, name: str) -> int:
    """Return a positive integer."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise _invalid(name, "a positive integer", value)
    return value


def positive_seconds(value: Any, name: str) -> float:
    """Return a positive number of seconds, or a timedelta as seconds."""
    seconds = finite(value.total_seconds() if isinstance(value, timedelta) else value)
    if seconds is None or seconds <= 0:
        raise _invalid(name, "a timedelta or a positive number of seconds", value)
    return seconds


def check_literal(value: Any, name: str) -> None:
    """Reject a template."""
    if is_leaf_template(value):
        raise _invalid(name, "a literal", value)


def _invalid(name: str, wanted: str, value: Any) -> InvalidInput:
    hint = " Airflow does not render templates in this argument." if is_leaf_template(value) else ""
    return InvalidInput(f"{name} must be {wanted}, not {shown(value)}.{hint}")


# Arguments that Airflow renders: a literal is checked when the DAG is parsed, and all are read when the task
# runs.


def check_name(value: Any, name: str) -> None:
    """Check that a literal is text and not blank."""
    if not is_templated(value):
        read_name(value, name)


def check_id(value: Any, name: str) -> None:
    """Check that a literal can be an ID of Arize."""
    if not is_templated(value):
        read_id(value, name)


def read_name(value: Any, name: str) -> str:
    """Return a text that is not blank."""
    return _read(check_text, value, name)


def read_optional_name(value: Any, name: str) -> str | None:
    """Return a text that is not blank; None if it was left out, or is a template of an empty parameter."""
    return None if value is None or is_empty(value) else read_name(value, name)


def is_empty(value: Any) -> bool:
    """Return whether a value is what the template of an empty parameter renders to."""
    return isinstance(value, str) and value.strip() in ("", "None")


def read_id(value: Any, name: str) -> str:
    """Return an ID of Arize without spaces around it."""
    if value is None:
        raise InvalidInput(
            f"{name} is empty: the task that it comes from returned none. A task that starts a run returns "
            f'no ID if the window had no data and on_nothing_evaluated is "succeed".'
        )
    return _read(lambda text: check_id_text(text, name), value, name)


def read_time(value: Any, name: str) -> datetime:
    """Return a time at UTC."""
    return _read(parse_time, value, name)


def _read(check: Callable[[Any], Value], value: Any, name: str) -> Value:
    try:
        return check(value)
    except ValueError as error:
        raise InvalidInput(f"{name} {error}") from None


def read_count(value: Any, name: str) -> int:
    """Return a positive integer, also from a text."""
    number = rendered_number(value)
    if number is None or number < 1 or number != int(number):
        raise InvalidInput(f"{name} must be a positive integer, not {shown(value)}.")
    return int(number)


def read_names(value: Any, name: str, *, such_as: str) -> tuple[str, ...]:
    """Return a list of names, which may be empty; ``such_as`` is an example for the message."""
    if isinstance(value, Collection) and not isinstance(value, str | bytes | Mapping):
        names = tuple(value)
        if all(isinstance(each, str) and each.strip() for each in names):
            return names
    raise InvalidInput(f"{name} must be a list of names, such as {such_as}, not {shown(value)}.")


def check_text(value: Any) -> str:
    """Return a text that is not blank, or raise ``ValueError``."""
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {shown(value)}.")  # noqa: TRY004  as for every wrong value
    if not value.strip():
        raise ValueError("is empty.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"holds half a character, which cannot be sent: {shown(value)}.") from None
    return value


def check_id_text(value: Any, name: str | None) -> str:
    """Return an ID without spaces around it, or raise ``ValueError``.

    A name, an empty XCom, a placeholder, and the ID of an object of another type are not valid.

    :param name: the argument, such as ``online_task_id``.
    """
    text = value.strip() if isinstance(value, str) else value
    if isinstance(text, str) and text.lower() in ("", "none", "null", "undefined"):
        raise ValueError(
            f"is {value!r}: its XCom or variable is empty. Check the upstream task's ID and that it ran."
        )
    check_text(text)
    if PLACEHOLDER.fullmatch(text):
        raise ValueError(
            f"is the placeholder {shown(text)}. Replace it with the global ID that Arize's UI shows in the "
            f"address, or read it from the connection or a variable."
        )
    if any(character.isspace() for character in text):
        raise ValueError(
            f"is {shown(text)}, which looks like a name. Use the global ID that Arize's UI shows in the "
            f"address, such as 'T25saW5lVGFzazo0NTpxUndY'. To use a name, set online_task (for a task) or "
            f"project (for a project), if the operator has it."
        )
    if not text.strip("."):  # would climb the path of an address
        raise ValueError(f"is {shown(value)}, which is not an ID. Use the global ID that Arize shows.")
    other, found = _ID_TYPES.get(_id_type(text), (name, ""))
    if other != name and name in _ID_NAMES:
        raise ValueError(f"is {shown(text)}, the ID of {found} ({other}). Use the ID of {_ID_NAMES[name]}.")
    return str(text)


def _id_type(value: str) -> str:
    """Return the type in a global ID; an empty text if it has none."""
    try:
        match = _GLOBAL_ID.fullmatch(base64.b64decode(value, validate=True).decode())
    except ValueError:
        return ""
    return match[1] if match else ""


def rendered_number(value: Any) -> float | None:
    """Return a number, or a text that says one, as a finite float; None for everything else."""
    if isinstance(value, bool | bytes | bytearray):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def finite(value: object) -> float | None:
    """Return a finite number; None for everything else, booleans and text included."""
    return rendered_number(value) if isinstance(value, int | float) else None


def describe_sampling_rate(fraction: float) -> str:
    """Return what a sampling rate means in words, because its unit is not obvious."""
    return f"sampling {float(f'{fraction * 100:.6g}'):g} % of matching spans"
