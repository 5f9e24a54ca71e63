"""The kinds of values that inputs hold: what a type checker sees, and how a value given by a person is read.

A reader raises :class:`Refusal`, which says what the value must be. The model that holds the field says which
field it is.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import PlainValidator

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks._times import parse_time
from airflow_provider_online_tasks.exceptions import InvalidInput

MAX_INT = 2**31 - 1
MAX_DEPTH = 20


class Refusal(ValueError):
    """Why a value is refused: a sentence whose subject is the field's place.

    :param message: the rest of the sentence.
    :param at: where in the field, such as ``[0]``.
    """

    def __init__(self, message: str, *, at: str = "") -> None:
        super().__init__(message)
        self.at = at


def read_text(value: Any) -> str:
    """Read a text that is not empty."""
    if not isinstance(value, str):
        raise Refusal(f"must be text, not {shown(value)}.")
    if not value.strip():
        raise Refusal("is empty: give some text.")
    return _sendable(value)


def read_name(value: Any, where: str) -> str:
    """Read a name.

    :param where: what the name is called, for messages.
    :raises InvalidInput: it is not text, or empty.
    """
    try:
        return read_text(value)
    except Refusal as refusal:
        raise InvalidInput(f"{where} {refusal}") from None


def read_names(value: Any, where: str, *, such_as: str) -> tuple[str, ...]:
    """Read a list of names; it may be empty.

    :param where: what the list is called, for messages.
    :param such_as: a list as it is to be written.
    :raises InvalidInput: it is no list, or holds something else.
    """
    if isinstance(value, Collection) and not isinstance(value, str | bytes | Mapping):
        names = tuple(value)
        if all(isinstance(one, str) and one.strip() for one in names):
            return names
    raise InvalidInput(f"{where} must be a list of names, such as {such_as}, not {shown(value)}.")


def _sendable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Refusal(f"holds half a character, which cannot be sent: {shown(text)}.") from None
    return text


def read_id(value: Any, where: str) -> str:
    """Read an ID of Arize.

    :param where: what the ID is called, for messages.
    :raises InvalidInput: it is not text, it is empty, or it is the word that a missing XCom renders to.
    """
    try:
        return _read_id(value)
    except Refusal as refusal:
        raise InvalidInput(f"{where} {refusal}") from None


def _read_id(value: Any) -> str:
    if not isinstance(value, str):
        raise Refusal(f"must be text, not {shown(value)}.")
    text = value.strip()
    if text.lower() in ("", "none", "null", "undefined"):
        raise Refusal(
            f"is {value!r}: the XCom or variable it comes from holds nothing. "
            f"Check the upstream task's ID and that it ran."
        )
    if any(character.isspace() for character in text):
        raise Refusal(
            f"is {shown(text)}, which looks like a name. An ID of Arize is a global ID, such as "
            f"'T25saW5lVGFzazo0NTpxUndY': Arize's API, its ax command line and the page's address show it. "
            f"Some operators take a name too: online_task for a task, project for a project."
        )
    if not text.strip("."):  # would climb the path of an address
        raise Refusal(f"is {shown(value)}, which is not an ID. Give the global ID that Arize shows.")
    return _sendable(text)


def _filter(value: Any) -> str:
    if not isinstance(value, str):
        raise Refusal(f"must be text, not {shown(value)}.")
    if not value.strip():
        raise Refusal("is empty. Leave it out (or give None to clear it in a patch) for all spans.")
    return _sendable(value)


def read_flag(value: Any) -> bool:
    """Read true or false, as such or as the text that a template renders to."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    raise Refusal(f"must be true or false, not {shown(value)}.")


def rendered_number(value: Any) -> float | None:
    """Return a number, or a text that says one, as a float; None for anything else."""
    if isinstance(value, bool | bytes | bytearray):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _number(value: Any) -> float:
    number = rendered_number(value)
    if number is None:
        raise Refusal(f"must be a number, not {shown(value)}.")
    return number


def _temperature(value: Any) -> float:
    number = rendered_number(value)
    if number is None or number < 0:
        raise Refusal(f"must be a number, 0 or more, not {shown(value)}.")
    return number


def _whole(value: Any, lowest: int) -> int:
    number = rendered_number(value)
    if number is None or number != int(number) or not lowest <= number <= MAX_INT:
        raise Refusal(f"must be a whole number from {lowest} on, not {shown(value)}.")
    return int(number)


def _place(value: Any) -> int:
    return _whole(value, 0)


def _count(value: Any) -> int:
    return _whole(value, 1)


def read_sampling_rate(value: Any, where: str = "sampling_rate") -> float:
    """Read a sampling rate as a fraction of the matching spans.

    A value in (0, 1] is a fraction, one in (1, 100] a percentage: today's documentation gives a
    fraction, the older page a percentage, and 1 and 100 mean every span in both.

    :raises InvalidInput: zero, negative, not a number, or above 100.
    """
    try:
        return _rate(value)
    except Refusal as refusal:
        raise InvalidInput(f"{where} {refusal}") from None


def _rate(value: Any) -> float:
    number = rendered_number(value)
    if number is None or not 0 < number <= 100:
        raise Refusal(
            f"must be above 0 and at most 100, not {shown(value)}: 0.25 and 25 both mean 25 %, "
            f"1 and 100 both mean every span."
        )
    return number if number <= 1 else number / 100


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise Refusal(f"must be a list, not {shown(value)}.")
    return tuple(_within(read_text, item, f"[{position}]") for position, item in enumerate(value))


def _query_ids(value: Any) -> tuple[str, ...]:
    ids = _texts(value)
    if strange := sorted(set(ids) - set("ABCDE")):
        raise Refusal(f"names {shown(strange[0])}; the IDs of query filters are A to E.")
    return ids


def _query_id(value: Any) -> str:
    if value not in tuple("ABCDE"):
        raise Refusal(f"must be one of A to E, not {shown(value)}.")
    return str(value)


def _labels(value: Any) -> tuple[str, ...]:
    labels = _texts(value)
    if len(labels) < 2:
        raise Refusal(f"needs at least two labels to choose from, got {shown(list(labels))}.")
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise Refusal(f"names {shown(twice[0])} twice; each label once.")
    return labels


def _within(read: Any, value: Any, at: str) -> Any:
    try:
        return read(value)
    except Refusal as refusal:
        raise Refusal(str(refusal), at=at + refusal.at) from None


def _text_keys(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise Refusal(f"must be a dict with text keys, not {shown(value)}.")
    return {_sendable(key): part for key, part in value.items()}


def _scores(value: Any) -> dict[str, float]:
    return {label: _within(_number, score, f"[{shown(label)}]") for label, score in _text_keys(value).items()}


def _text_values(value: Any) -> dict[str, str]:
    return {key: _within(read_text, part, f"[{shown(key)}]") for key, part in _text_keys(value).items()}


def _json_object(value: Any) -> dict[str, Any]:
    return {key: _within(_json, part, f"[{shown(key)}]") for key, part in _text_keys(value).items()}


def _json(value: Any, depth: int = 0) -> Any:
    if value is None or (isinstance(value, int) and value.bit_length() < 64):
        return value
    if isinstance(value, str):
        return _sendable(value)
    if isinstance(value, float) and math.isfinite(value):
        return value
    if depth < MAX_DEPTH:
        if isinstance(value, list | tuple):
            return [_json(part, depth + 1) for part in value]
        if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
            return {_sendable(key): _json(part, depth + 1) for key, part in value.items()}
    raise Refusal(f"holds {shown(value)}, which cannot be written as JSON.")


def read_time(value: Any, where: str) -> datetime:
    """Read a time.

    :param where: what the time is called, for messages.
    :raises InvalidInput: it is not a time.
    """
    try:
        return parse_time(value, where)
    except ValueError as error:
        raise InvalidInput(str(error)) from None


def _time(value: Any) -> datetime:
    try:
        return parse_time(value, "")
    except ValueError as error:
        raise Refusal(str(error).strip()) from None


Text = Annotated[str, PlainValidator(read_text)]
Id = Annotated[str, PlainValidator(_read_id)]
Filter = Annotated[str, PlainValidator(_filter)]
Flag = Annotated[bool, PlainValidator(read_flag)]
Place = Annotated[int, PlainValidator(_place)]
Count = Annotated[int, PlainValidator(_count)]
Temperature = Annotated[float, PlainValidator(_temperature)]
SamplingRate = Annotated[float, PlainValidator(_rate)]
Time = Annotated[datetime | str, PlainValidator(_time)]
# Not Sequence[str], which a text is too.
Texts = Annotated[list[str] | tuple[str, ...], PlainValidator(_texts)]
QueryId = Annotated[str, PlainValidator(_query_id)]
QueryIds = Annotated[list[str] | tuple[str, ...], PlainValidator(_query_ids)]
Labels = Annotated[list[str] | tuple[str, ...], PlainValidator(_labels)]
Scores = Annotated[Mapping[str, float], PlainValidator(_scores)]
TextByName = Annotated[Mapping[str, str], PlainValidator(_text_values)]
JsonObject = Annotated[Mapping[str, Any], PlainValidator(_json_object)]
