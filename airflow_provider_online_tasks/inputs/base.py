"""The base of the request models and the types of their fields."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeVar

import pydantic
from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails, PydanticCustomError, to_jsonable_python

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks._times import parse_time, wire_time
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.inputs.arguments import UNSET, check_id_text, check_text, is_empty
from airflow_provider_online_tasks.inputs.templating import is_templated, key_problem

MAX_PROBLEMS = 3
MAX_MESSAGE = 500
MAX_INT = 2**31 - 1
# The validation context of a DAG that is parsed: templates are not rendered yet.
PARSING = {"parsing": True}
# The validation context of a task that runs: a template of an empty parameter renders to "" or "None".
RENDERED = {"rendered": True}
# The type of a problem that rendering templates cannot solve, as pydantic's "missing" and "extra_forbidden".
CERTAIN = "certain"


class WireInput(pydantic.BaseModel, frozen=True):
    """An object that the API takes.

    Create it with keyword arguments, or :meth:`read` a dict with snake_case or camelCase keys.
    """

    model_config = pydantic.ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        loc_by_alias=False,
        extra="forbid",
        allow_inf_nan=False,
        defer_build=True,
    )

    keeps_none: ClassVar[bool] = False
    """Whether None is a separate value (clear the field), and not the same as a field left out."""

    if not TYPE_CHECKING:  # type checkers use the signature that pydantic describes

        def __init__(self, /, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                raise self._invalid_input(error.errors(include_url=False)) from None

        # Without this mark, pydantic would create nested models with __init__ and lose the context.
        __init__.__pydantic_base_init__ = True

    @classmethod
    def read(cls, value: Any, *, context: dict[str, bool] | None = None) -> Self:
        """Validate a dict, or return an instance as it is.

        :param context: :data:`RENDERED` for the arguments of a task that runs.
        :raises InvalidInput: an unknown key, a missing field, or a value that the API would reject.
        """
        try:
            return cls.model_validate(value, context=context)
        except ValidationError as error:
            raise cls._invalid_input(error.errors(include_url=False)) from None

    @classmethod
    def check_literals(cls, value: Any, *, later: Collection[str] = ()) -> None:
        """Validate each literal when the DAG is parsed, and rules across fields if all of them are literal.

        :param later: required fields that are found when the task runs.
        :raises InvalidInput: as :meth:`read`.
        """
        try:
            cls.model_validate(value, context=PARSING)
        except ValidationError as error:
            problems = [
                problem
                for problem in error.errors(include_url=False)
                if problem["type"] in (CERTAIN, "missing", "extra_forbidden")
                or not is_templated(problem["input"])
                if problem["type"] != "missing" or problem["loc"] not in {(name,) for name in later}
            ]
            if problems:
                raise cls._invalid_input(problems) from None

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON object that the GraphQL API documents."""
        return self._dump(by_alias=True)

    def to_rest(self) -> dict[str, Any]:
        """Return the JSON object that the REST API documents."""
        return self._dump(by_alias=False)

    def _dump(self, *, by_alias: bool) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=by_alias, exclude_none=True)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _read_keys(cls, value: Any) -> Any:
        """Name an unknown key with the nearest known one, and drop what counts as left out."""
        if not isinstance(value, Mapping):
            return value
        known = [spelling for name in cls.model_fields for spelling in (name, to_camel(name))]
        if unknown := [key for key in value if key not in known]:
            key = str(unknown[0])[:80]
            spelled = known[1::2] if key != key.lower() else known[::2]
            near = get_close_matches(key, spelled, n=1, cutoff=0.5)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(cls.model_fields)}."
            raise certain_problem(f"has no field {shown(unknown[0])}. {hint}")
        given = {key: part for key, part in value.items() if part is not UNSET}
        return {key: part for key, part in given.items() if part is not None or cls.keeps_none}

    @classmethod
    def _invalid_input(cls, problems: list[ErrorDetails]) -> InvalidInput:
        message = " ".join(_sentence(problem, cls) for problem in problems[:MAX_PROBLEMS])
        if len(problems) > MAX_PROBLEMS:
            message += f" Further problems: {len(problems) - MAX_PROBLEMS}."
        return InvalidInput(message if len(message) <= MAX_MESSAGE else message[:MAX_MESSAGE] + "…")


def certain_problem(text: str) -> PydanticCustomError:
    """Return an error that is reported when the DAG is parsed, even if the value contains a template."""
    return PydanticCustomError(CERTAIN, "{problem}", {"problem": text})


def plain(value: Any) -> Any:
    """Return request models as the dicts and lists that Airflow can render and show."""
    if isinstance(value, WireInput):
        given = [name for name in type(value).model_fields if name in value.model_fields_set]
        return {name: plain(getattr(value, name)) for name in given}
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value


def _sentence(problem: ErrorDetails, model: type[WireInput]) -> str:
    """Say what is wrong with a field. A value is shown at bounded length only."""
    parts = (f".{part}" if str(part).isidentifier() else f"[{shown(part)}]" for part in problem["loc"])
    place = "".join(parts).removeprefix(".") or model.__name__
    value, context = problem["input"], problem.get("ctx", {})
    match problem["type"]:
        case "missing":
            return f"{place} is required."
        case "extra_forbidden":
            return f"{place} is set twice, in both spellings."
        case "value_error" | "certain":
            text = str(context.get("error") or context.get("problem"))
            names_field = text.split(maxsplit=1)[0] in _field_names(WireInput)
            if not problem["loc"] and (names_field or not text[0].islower()):
                return text
            return f"{place}{'.' if names_field else ' ' if text[0].islower() else ': '}{text}"
        case _ if value is None:
            return f"{place} must not be None."
        case "sequence_str":
            return f"{place} must be a list (got {shown(value)})."
        case _:
            rule = re.sub(r"^\w+ should", "must", problem["msg"]).replace(" after validation", "")
            return f"{place} {rule} (got {shown(value)})."


def _field_names(model: type[WireInput]) -> set[str]:
    """Return the names of the fields of an input and of all inputs that extend it."""
    return set(model.model_fields).union(*map(_field_names, model.__subclasses__()))


# The types of fields, and what they need.


def _stripped(value: Any) -> Any:
    """Strip a text: a template may render to a text with spaces around it."""
    return value.strip() if isinstance(value, str) else value


def _left_out_if_empty(value: Any, info: pydantic.ValidationInfo) -> Any:
    return None if info.context is RENDERED and is_empty(value) else value


def _not_bool(value: Any) -> Any:
    if isinstance(value, bool | bytes | bytearray):
        raise ValueError(f"must be a number, not {shown(value)}.")  # noqa: TRY004  as for every wrong value
    return value


def first_twice(names: Sequence[str]) -> str | None:
    """Return the first name in alphabetical order that a list has twice."""
    return min((name for name in names if names.count(name) > 1), default=None)


def _unique(labels: Sequence[str]) -> Sequence[str]:
    if twice := first_twice(labels):
        raise ValueError(f"names {shown(twice)} twice. List each label once.")
    return labels


def _listed(value: Any) -> Any:
    """Return a single object as a list, as the API does."""
    return [value] if isinstance(value, Mapping | WireInput) else value


def _json_object(value: Any) -> dict[str, Any]:
    """Copy a dict by way of JSON, so that what is accepted can be sent."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"must be a dict with text keys, not {shown(value)}.")
    try:
        text = json.dumps(dict(value), allow_nan=False, ensure_ascii=False)
        text.encode()
        # to_jsonable_python rejects a value that is nested too deeply to be sent.
        copied: dict[str, Any] = to_jsonable_python(json.loads(text))
    except (TypeError, ValueError, RecursionError):
        raise ValueError(f"holds a value that JSON cannot hold: {shown(value)}.") from None
    return copied


def _has_no_template_keys(value: Any, info: pydantic.ValidationInfo) -> Any:
    """Reject a dict that has a template as a key when the DAG is parsed: Airflow renders values only."""
    if info.context is PARSING and isinstance(value, Mapping) and (problem := key_problem(value)):
        raise certain_problem(problem)
    return value


Item = TypeVar("Item", bound=WireInput)
Text = Annotated[str, pydantic.Strict(), AfterValidator(check_text)]
OptionalText = Annotated[Text | None, BeforeValidator(_left_out_if_empty)]
Id = Annotated[
    str, pydantic.Strict(), AfterValidator(lambda value, info: check_id_text(value, info.field_name))
]
Flag = Annotated[bool, BeforeValidator(_stripped)]
Place = Annotated[int, BeforeValidator(_not_bool), Field(ge=0, le=MAX_INT)]
Count = Annotated[int, BeforeValidator(_not_bool), Field(ge=1, le=MAX_INT)]
Number = Annotated[float, BeforeValidator(_not_bool)]
# Arize documents fractions (0, 1] and percentages (1, 100].
SamplingRate = Annotated[
    Number, Field(gt=0, le=100), AfterValidator(lambda rate: rate if rate <= 1 else rate / 100)
]
Time = Annotated[datetime | str, PlainValidator(parse_time), pydantic.PlainSerializer(wire_time)]
QueryId = Literal["A", "B", "C", "D", "E"]
if TYPE_CHECKING:  # for type checkers, a text is a sequence of texts too
    Texts = list[str] | tuple[str, ...]
    QueryIds = Texts
else:
    Texts = Sequence[Text]
    QueryIds = Sequence[QueryId]
Labels = Annotated[Texts, Field(min_length=2), AfterValidator(_unique)]
Scores = Annotated[Mapping[str, Number], BeforeValidator(_has_no_template_keys)]
TextByName = Annotated[Mapping[str, Text], BeforeValidator(_has_no_template_keys)]
JsonObject = Annotated[
    Mapping[str, Any], PlainValidator(_json_object), BeforeValidator(_has_no_template_keys)
]
OneOrMore = Annotated[Sequence[Item], BeforeValidator(_listed), Field(min_length=1)]
"""A list of objects, or a single object."""
