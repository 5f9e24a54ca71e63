"""The base of the request models: spellings of keys, templates, error messages and the JSON form."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.inputs.templating import is_templated, key_problem
from airflow_provider_online_tasks.inputs.unset import UNSET

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

MAX_PROBLEMS = 3
MAX_MESSAGE = 500
# The validation context of a DAG that is parsed: templates are not rendered yet.
PARSING = {"parsing": True}
UNKNOWN_KEY, TEMPLATE_PROBLEM = "unknown_key", "template_problem"
# Rendering templates cannot solve these.
_CERTAIN = frozenset({"missing", "extra_forbidden", UNKNOWN_KEY, TEMPLATE_PROBLEM})


class WireInput(BaseModel, frozen=True):
    """An object that the API takes.

    Create it with keyword arguments, or :meth:`read` a dict with snake_case or camelCase keys.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        loc_by_alias=False,
        extra="forbid",
        allow_inf_nan=False,
        defer_build=True,
    )

    keeps_none: ClassVar[bool] = False
    """Whether None is a value of its own (clear the field), and not the same as a field left out."""

    if not TYPE_CHECKING:  # type checkers use the signature that pydantic describes

        def __init__(self, /, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                raise _invalid_input(error.errors(include_url=False), type(self).__name__) from None

        # Without this mark, pydantic would create nested models with __init__ and lose the context.
        __init__.__pydantic_base_init__ = True

    @classmethod
    def read(cls, value: Any) -> Self:
        """Validate a dict, or return an instance as it is.

        :raises InvalidInput: an unknown key, a missing field, or a value that the API would reject.
        """
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            raise _invalid_input(error.errors(include_url=False), cls.__name__) from None

    @classmethod
    def check_literals(cls, value: Any, *, later: Collection[str] = ()) -> None:
        """Validate what is known when the DAG is parsed.

        Each literal is checked. Rules across fields are checked if all of the fields are literal.

        :param later: required fields that are found when the task runs.
        :raises InvalidInput: as :meth:`read`.
        """
        try:
            cls.model_validate(value, context=PARSING)
        except ValidationError as error:
            problems = [
                problem
                for problem in error.errors(include_url=False)
                if (problem["type"] in _CERTAIN or not is_templated(problem["input"]))
                and not (problem["type"] == "missing" and problem["loc"] in {(name,) for name in later})
            ]
            if problems:
                raise _invalid_input(problems, cls.__name__) from None

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON object that the GraphQL API documents."""
        return self._dump(by_alias=True)

    def to_rest(self) -> dict[str, Any]:
        """Return the JSON object that the REST API documents."""
        return self._dump(by_alias=False)

    def _dump(self, *, by_alias: bool) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=by_alias, exclude_none=True)

    @model_validator(mode="before")
    @classmethod
    def _read_keys(cls, value: Any) -> Any:
        """Name an unknown key with the nearest known one, and drop what counts as left out."""
        if not isinstance(value, Mapping):
            return value
        known = [spelling for name in cls.model_fields for spelling in (name, to_camel(name))]
        for key in value:
            if key not in known:
                from difflib import get_close_matches

                near = get_close_matches(str(key)[:80], known, n=1, cutoff=0.5)
                hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(cls.model_fields)}."
                raise PydanticCustomError(
                    UNKNOWN_KEY, "{problem}", {"problem": f"has no field {shown(key)}. {hint}"}
                )
        return {
            key: part
            for key, part in value.items()
            if part is not UNSET and (part is not None or cls.keeps_none)
        }


def check_template_keys(value: Any, info: ValidationInfo) -> Any:
    """Reject a dict that has a template as a key when the DAG is parsed: Airflow renders values only."""
    if info.context is PARSING and isinstance(value, Mapping) and (problem := key_problem(value)):
        raise PydanticCustomError(TEMPLATE_PROBLEM, "{problem}", {"problem": problem})
    return value


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


def _invalid_input(problems: list[ErrorDetails], subject: str) -> InvalidInput:
    message = " ".join(_sentence(problem, subject) for problem in problems[:MAX_PROBLEMS])
    if len(problems) > MAX_PROBLEMS:
        message += f" Further problems: {len(problems) - MAX_PROBLEMS}."
    return InvalidInput(message if len(message) <= MAX_MESSAGE else message[:MAX_MESSAGE] + "…")


def _sentence(problem: ErrorDetails, subject: str) -> str:
    """Say what is wrong with a field. A value is shown at bounded length only."""
    place, value, context = _place(problem["loc"]) or subject, problem["input"], problem.get("ctx", {})
    match problem["type"]:
        case "missing":
            return f"{place} is required."
        case "extra_forbidden":
            return f"{place} is set twice, in both spellings."
        case "value_error" | "unknown_key" | "template_problem":
            text = str(context.get("error") or context.get("problem"))
            if text[0].islower():
                return f"{place} {text}"
            return f"{place}: {text}" if problem["loc"] else text
        case _ if value is None:
            return f"{place} must not be None."
        case "sequence_str":
            return f"{place} must be a list (got {shown(value)})."
        case _:
            rule = re.sub(r"^\w+ should", "must", problem["msg"])
            return f"{place} {rule} (got {shown(value)})."


def _place(parts: Iterable[int | str]) -> str:
    names = (f".{part}" if str(part).isidentifier() else f"[{shown(part)}]" for part in parts)
    return "".join(names).removeprefix(".")
