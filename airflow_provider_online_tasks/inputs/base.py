"""What the inputs have in common: two spellings of each key, absent fields, templates, and the wire form."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, wraps
from operator import methodcaller
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Concatenate,
    ParamSpec,
    Self,
    TypeVar,
    Union,
    get_args,
)

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.inputs.templating import is_leaf_template, is_templated, key_problem
from airflow_provider_online_tasks.inputs.unset import UNSET, Unset
from airflow_provider_online_tasks.inputs.values import Refusal

MAX_PROBLEMS = 3
MAX_MESSAGE = 500


class _Later(enum.Enum):
    """Stands for a value that is only known when the task runs."""

    LATER = "later"


LATER = _Later.LATER


@dataclass(frozen=True)
class _Literals:
    """The validation context when only what is known before templates are rendered is checked.

    :param partial: the input whose required fields are still to come where they are not given.
    """

    partial: type[WireInput] | None


def wire_name(name: str) -> str:
    """Return the API's camelCase spelling of a field."""
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


class WireInput(BaseModel, frozen=True):
    """An object that the API takes: frozen, checked when it is made, and written exactly as documented.

    Make it with keyword arguments, or :meth:`read` a dict with snake_case or the API's camelCase keys.
    """

    model_config = ConfigDict(extra="forbid", defer_build=True)

    patch: ClassVar[bool] = False
    rest_only: ClassVar[frozenset[str]] = frozenset()
    """Fields that only REST documents."""
    not_sent: ClassVar[frozenset[str]] = frozenset()
    """Fields that are about the provider and not for Arize."""

    if not TYPE_CHECKING:  # each class has the __init__ that its fields stand for

        def __init__(self, /, **given: Any) -> None:
            try:
                super().__init__(**given)
            except ValidationError as error:
                raise _refused(type(self).__name__, error) from None

        # Without this mark pydantic makes nested inputs through __init__, which drops the context.
        __init__.__pydantic_base_init__ = True

    @classmethod
    def read(cls, value: Any, where: str = "") -> Self:
        """Read a dict, or pass an instance through.

        :param where: what the value is part of, for messages.
        :raises InvalidInput: an unknown key, a missing field, or a value that the API would refuse.
        """
        return cls._validate(value, where, None)

    @classmethod
    def check_literals(cls, value: Any, where: str = "", *, partial: bool = False) -> None:
        """Check what is known before templates are rendered: each literal value, however deep it is.

        :param partial: whether required fields that are not given are still to come.
        :raises InvalidInput: as :meth:`read`.
        """
        cls._validate(value, where, _Literals(partial=cls if partial else None))

    @classmethod
    def _validate(cls, value: Any, where: str, context: _Literals | None) -> Self:
        try:
            return cls.model_validate(value, context=context)
        except ValidationError as error:
            raise _refused(where or cls.__name__, error) from None

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON object that the GraphQL API documents."""
        left_out = self.rest_only | self.not_sent
        return {
            wire_name(name): to_json(value, methodcaller("to_wire"))
            for name, value in self.given().items()
            if name not in left_out
        }

    def to_rest(self) -> dict[str, Any]:
        """Return the JSON object that the REST API documents."""
        return {
            name: to_json(value, methodcaller("to_rest"))
            for name, value in self.given().items()
            if name not in self.not_sent
        }

    def given(self) -> dict[str, Any]:
        """Return the fields that are sent: those that were given, and those with a default of their own."""
        fields = ((name, getattr(self, name)) for name in type(self).model_fields)
        return {
            name: value
            for name, value in fields
            if value is not UNSET and value is not LATER and (value is not None or self.patch)
        }

    @model_validator(mode="wrap")
    @classmethod
    def _read_keys(cls, value: Any, read: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        if isinstance(value, cls):
            return value
        context = info.context
        if context is not None and is_leaf_template(value):
            return LATER  # type: ignore[return-value]  # of no use to anyone but a check of literals
        if not isinstance(value, Mapping):
            raise Refusal(f"must be a dict or {cls.__name__}, not {shown(value)}.")
        given = cls._known_keys(value)
        missing = [name for name in _required(cls) if name not in given]
        if missing and context is not None and context.partial is cls:
            given |= dict.fromkeys(missing, LATER)
        elif missing:
            raise Refusal(f"needs {', '.join(missing)}: not given, or None.")
        if context is not None:
            cls._check_templates(given)
        return read(given)

    @classmethod
    def _check_templates(cls, given: Mapping[str, Any]) -> None:
        """Check what is given before templates are rendered."""

    @classmethod
    def _known_keys(cls, value: Mapping[Any, Any]) -> dict[str, Any]:
        """Return what is given by the names of the fields. What is left out is not in it."""
        names = _names(cls)
        found: dict[str, Any] = {}
        for key, part in value.items():
            name = names.get(key) if isinstance(key, str) else None
            if name is None:
                raise Refusal(f"has no field {shown(key)}.{_nearest(str(key)[:80], names)}")
            if name in found:
                raise Refusal(f"has {name} twice, as {key!r} too.")
            found[name] = part
        for name in [name for name, part in found.items() if part is UNSET or part is None]:
            if found[name] is None and cls.patch and name not in _required(cls):
                if type(None) in get_args(cls.model_fields[name].annotation):
                    continue
                raise Refusal(
                    "cannot be cleared: leave it out to keep it as it is, or give the new value.",
                    at=f".{name}",
                )
            del found[name]
        return found

    @field_validator("*", mode="wrap")
    @classmethod
    def _read_later(cls, value: Any, read: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        if info.context is not None and isinstance(value, Mapping) and (problem := key_problem(value)):
            raise Refusal(problem)
        if info.context is not None and (value is LATER or is_templated(value)):
            name = info.field_name
            if value is LATER or is_leaf_template(value) or name is None or nested(cls, name) is None:
                return LATER
        return read(value)


Input = TypeVar("Input", bound=WireInput)
Value = TypeVar("Value")
Info = ParamSpec("Info")


def across_fields(check: Callable[Concatenate[Input, Info], Input]) -> Any:
    """Mark a check of several fields together. An input that is itself only known later is not checked."""

    @wraps(check)
    def checked(self: Input, *args: Info.args, **kwargs: Info.kwargs) -> Input:
        read: object = self
        return self if read is LATER else check(self, *args, **kwargs)

    return model_validator(mode="after")(checked)


class _OneOrMore:
    """Reads a list, or a single object in place of a list of one, as the API does."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        (item,) = get_args(source)
        return handler.generate_schema(Annotated[tuple[item, ...], BeforeValidator(_listed)])  # type: ignore[valid-type]


def _listed(value: Any) -> Any:
    if isinstance(value, Mapping | WireInput):
        return (value,)
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise Refusal(f"must be a list, not {shown(value)}.")
    if not value:
        raise Refusal("is empty: give at least one, or leave it out.")
    return tuple(value)


class _Patch:
    """Reads the value of a patch's field. One that is left out is dropped before."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        return handler.generate_schema(Union[*(kind for kind in get_args(source) if kind is not Unset)])


OneOrMore = Annotated[Sequence[Input], _OneOrMore()]
Patch = Annotated[Value | Unset, _Patch()]


@cache
def _names(cls: type[WireInput]) -> dict[str, str]:
    """Return the field that each spelling names."""
    return {spelling: name for name in cls.model_fields for spelling in (wire_name(name), name)}


@cache
def _required(cls: type[WireInput]) -> tuple[str, ...]:
    return tuple(name for name, field in cls.model_fields.items() if field.is_required())


@cache
def nested(cls: type[WireInput], name: str) -> type[WireInput] | None:
    """Return the input that a field holds, or holds a list of."""
    return _find_input(cls.model_fields[name].annotation)


def _find_input(annotation: Any) -> type[WireInput] | None:
    if isinstance(annotation, type) and issubclass(annotation, WireInput):
        return annotation
    return next((found for part in get_args(annotation) if (found := _find_input(part))), None)


def plain(value: Any) -> Any:
    """Return typed inputs as the dicts and lists that Airflow can render and show."""
    if isinstance(value, WireInput):
        return {name: plain(part) for name, part in value.given().items()}
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value


def to_json(value: Any, write: Callable[[Any], dict[str, Any]]) -> Any:
    """Return a field's value as JSON.

    :param write: how an input within it is written.
    """
    if isinstance(value, WireInput):
        return write(value)
    if isinstance(value, datetime):
        return wire_time(value)
    if isinstance(value, Mapping):
        return {key: to_json(part, write) for key, part in value.items()}
    if isinstance(value, tuple):
        return [to_json(part, write) for part in value]
    return value


def _nearest(key: str, names: Mapping[str, str]) -> str:
    import difflib

    near = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(sorted(set(names.values())))}."


def _refused(where: str, error: ValidationError) -> InvalidInput:
    """Say what is wrong in the provider's words. A value is in the message at bounded length only."""
    problems = [_sentence(where, one) for one in error.errors(include_url=False)]
    message = " ".join(problems[:MAX_PROBLEMS])
    if len(problems) > MAX_PROBLEMS:
        message += f" There are {len(problems) - MAX_PROBLEMS} more problems."
    return InvalidInput(message if len(message) <= MAX_MESSAGE else message[:MAX_MESSAGE] + "…")


def _sentence(where: str, error: Mapping[str, Any]) -> str:
    place = where + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"])
    context = error.get("ctx", {})
    match error["type"]:
        case "value_error":
            cause = context["error"]
            return f"{place}{cause.at} {cause}" if isinstance(cause, Refusal) else str(cause)
        case "literal_error":
            return f"{place} must be one of {context['expected']}, not {shown(error['input'])}."
        case _:
            return f"{place} is {shown(error['input'])}: {error['msg']}."
