"""The types of the fields of request models."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, PlainValidator, Strict
from pydantic_core import to_jsonable_python

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks._times import parse_time, wire_time
from airflow_provider_online_tasks.inputs.base import WireInput, check_template_keys
from airflow_provider_online_tasks.inputs.values import as_fraction, check_id_text, check_text

MAX_INT = 2**31 - 1
Item = TypeVar("Item", bound=WireInput)


def _stripped(value: Any) -> Any:
    """A template renders to text, which may have spaces around it."""
    return value.strip() if isinstance(value, str) else value


def _not_bool(value: Any) -> Any:
    if isinstance(value, bool | bytes | bytearray):
        raise ValueError(f"must be a number, not {shown(value)}.")  # noqa: TRY004  as for every wrong value
    return value


def _unique(labels: Sequence[str]) -> Sequence[str]:
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise ValueError(f"names {shown(twice[0])} twice. List each label once.")
    return labels


def _json_object(value: Any) -> dict[str, Any]:
    """Copy a dict by way of JSON, so that what is accepted can be sent."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"must be a dict with text keys, not {shown(value)}.")
    try:
        text = json.dumps(dict(value), allow_nan=False, ensure_ascii=False)
        text.encode()
        copied: dict[str, Any] = to_jsonable_python(
            json.loads(text)
        )  # which rejects what is nested too deeply
    except (TypeError, ValueError, RecursionError):
        raise ValueError(f"holds a value that JSON cannot hold: {shown(value)}.") from None
    return copied


def _listed(value: Any) -> Any:
    """Take a single object as a list of one, as the API does."""
    return [value] if isinstance(value, Mapping | WireInput) else value


Text = Annotated[str, Strict(), AfterValidator(check_text)]
Id = Annotated[str, Strict(), AfterValidator(check_id_text)]
Filter = Text
Flag = Annotated[bool, BeforeValidator(_stripped)]
Place = Annotated[int, BeforeValidator(_not_bool), Field(ge=0, le=MAX_INT)]
Count = Annotated[int, BeforeValidator(_not_bool), Field(ge=1, le=MAX_INT)]
Number = Annotated[float, BeforeValidator(_not_bool)]
Temperature = Annotated[Number, Field(ge=0)]
SamplingRate = Annotated[Number, Field(gt=0, le=100), AfterValidator(as_fraction)]
Time = Annotated[datetime | str, PlainValidator(parse_time), PlainSerializer(wire_time)]
QueryId = Literal["A", "B", "C", "D", "E"]
if TYPE_CHECKING:  # for type checkers, a text is a sequence of texts too
    Texts = list[str] | tuple[str, ...]
    QueryIds = list[str] | tuple[str, ...]
else:
    Texts = Sequence[Text]
    QueryIds = Sequence[QueryId]
Labels = Annotated[Texts, Field(min_length=2), AfterValidator(_unique)]
Scores = Annotated[Mapping[str, Number], BeforeValidator(check_template_keys)]
TextByName = Annotated[Mapping[str, Text], BeforeValidator(check_template_keys)]
JsonObject = Annotated[Mapping[str, Any], PlainValidator(_json_object), BeforeValidator(check_template_keys)]
OneOrMore = Annotated[Sequence[Item], BeforeValidator(_listed), Field(min_length=1)]
"""A list of objects, or a single object."""
