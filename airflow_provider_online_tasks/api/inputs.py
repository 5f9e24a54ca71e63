"""What the mutations take: validated, frozen, and written exactly as documented.

Every class can be given as a dict with snake_case or the API's camelCase keys. A field that is
:data:`UNSET` is not sent; in a patch ``None`` is sent as null and clears the field.

Fields: https://arize.com/docs/ax/graphql-reference/mutations/evaluators-and-tasks and
https://arize.com/docs/ax/graphql-reference/apis/online-tasks-api
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, TypeVar

from airflow_provider_online_tasks.api.templating import is_templated
from airflow_provider_online_tasks.api.times import parse_time, wire_time
from airflow_provider_online_tasks.api.unset import UNSET, Unset
from airflow_provider_online_tasks.exceptions import InvalidInput

MAX_WINDOW = timedelta(days=30)
CLOCK_TOLERANCE = timedelta(minutes=1)
MAX_INT = 2**31 - 1
FRACTION, PERCENT = "fraction", "percent"

DIRECTIONS = ("maximize", "minimize", "none")
GRANULARITIES = ("span", "trace", "session")
INLINE_EVALUATORS = ("template_evaluators", "code_evaluators")

_Input = TypeVar("_Input", bound="WireInput")
Reader = Callable[[Any, str], Any]


def wire_name(name: str) -> str:
    """Return the API's camelCase spelling of a field."""
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


def _input(read: Reader, *, clearable: bool = False) -> Any:
    return field(default=UNSET, metadata={"read": read, "clearable": clearable})


class WireInput:
    """A frozen dataclass whose fields know how to read and check themselves."""

    required: ClassVar[tuple[str, ...]] = ()
    patch: ClassVar[bool] = False

    def __post_init__(self) -> None:
        where = type(self).__name__
        for spec in _fields(type(self)):
            value = getattr(self, spec.name)
            if value is None and not (self.patch and spec.metadata["clearable"]):
                if self.patch:
                    raise InvalidInput(
                        f"{where}.{spec.name} cannot be cleared: leave it out to keep it as it is, "
                        f"or give the new value."
                    )
                value = UNSET
            if value is not UNSET and value is not None:
                value = spec.metadata["read"](value, f"{where}.{spec.name}")
            object.__setattr__(self, spec.name, value)
        missing = [name for name in self.required if getattr(self, name) is UNSET]
        if missing:
            raise InvalidInput(f"{where} needs {', '.join(missing)}.")
        self.check()

    def check(self) -> None:
        """Check what concerns several fields at once."""

    @classmethod
    def read(cls: type[_Input], value: Any, where: str = "") -> _Input:
        """Read a dict, or pass an instance through.

        :raises InvalidInput: an unknown key, a missing field, or a value that the API would refuse.
        """
        if isinstance(value, cls):
            return value
        return cls(**cls._keys(value, where or cls.__name__))

    @classmethod
    def check_literals(cls, value: Any, where: str = "", *, partial: bool = False) -> None:
        """Check what can be checked before templates are rendered: the literal values, one by one.

        Without any template in it, the whole value is checked, unless ``partial`` says that fields are
        still to come.
        """
        if not partial and not is_templated(value):
            cls.read(value, where)
            return
        if not isinstance(value, Mapping):
            return
        known = {spec.name: spec for spec in _fields(cls)}
        for name, part in cls._keys(value, where or cls.__name__).items():
            if part is None or part is UNSET or is_templated(part):
                continue
            known[name].metadata["read"](part, f"{cls.__name__}.{name}")

    @classmethod
    def _keys(cls, value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise InvalidInput(f"{where} must be a dict or {cls.__name__}, not {_shown(value)}.")
        names = [spec.name for spec in _fields(cls)]
        by_key = {wire_name(name): name for name in names} | {name: name for name in names}
        found: dict[str, Any] = {}
        for key, part in value.items():
            if key not in by_key:
                raise InvalidInput(f"{where} has no field {key!r}.{_nearest(str(key), by_key)}")
            if by_key[key] in found:
                raise InvalidInput(f"{where} has {by_key[key]} twice, as {key!r} too.")
            found[by_key[key]] = part
        return found

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON object that the API documents."""
        return {
            wire_name(spec.name): _wire(value)
            for spec in _fields(type(self))
            if (value := getattr(self, spec.name)) is not UNSET
        }


def _fields(cls: type) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(cls)


def _wire(value: Any) -> Any:
    if isinstance(value, WireInput):
        return value.to_wire()
    if isinstance(value, datetime):
        return wire_time(value)
    if isinstance(value, Mapping):
        return {key: _wire(part) for key, part in value.items()}
    if isinstance(value, tuple):
        return [_wire(part) for part in value]
    return value


def _nearest(key: str, known: Mapping[str, str]) -> str:
    import difflib

    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(sorted(set(known.values())))}."


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise InvalidInput(f"{where} must be text, not {_shown(value)}.")
    if not value.strip():
        raise InvalidInput(f"{where} is empty.")
    return value


def read_id(value: Any, where: str) -> str:
    """Read an ID of Arize.

    :raises InvalidInput: it is no text, empty, or the word that a missing XCom renders to.
    """
    text = _text(value, where)
    if text.strip().lower() in ("none", "null", "undefined"):
        raise InvalidInput(
            f"{where} rendered to {text!r}: the XCom or variable it comes from holds nothing. "
            f"Check the upstream task's ID and that it ran."
        )
    return text.strip()


def _filter(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise InvalidInput(f"{where} must be text, not {_shown(value)}.")
    if not value.strip():
        raise InvalidInput(
            f"{where} is empty. Leave it out (or give None to clear it in a patch) for all spans."
        )
    return value


def _bool(value: Any, where: str) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    raise InvalidInput(f"{where} must be true or false, not {_shown(value)}.")


def _number(value: Any, where: str) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise InvalidInput(f"{where} must be a number, not {_shown(value)}.")
    return number


def _integer(lowest: int) -> Reader:
    def read(value: Any, where: str) -> int:
        number = _number(value, where)
        if number != int(number) or not lowest <= number <= MAX_INT:
            raise InvalidInput(f"{where} must be a whole number from {lowest} on, not {_shown(value)}.")
        return int(number)

    return read


def _one_of(words: Sequence[str]) -> Reader:
    def read(value: Any, where: str) -> str:
        if value not in words:
            raise InvalidInput(f"{where} must be one of {', '.join(words)}, not {_shown(value)}.")
        return str(value)

    return read


def _json_object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise InvalidInput(f"{where} must be a dict with text keys, not {_shown(value)}.")
    return dict(value)


def _items(value: Any, where: str) -> Iterator[tuple[Any, str]]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise InvalidInput(f"{where} must be a list, not {_shown(value)}.")
    return ((item, f"{where}[{position}]") for position, item in enumerate(value))


def _rails(value: Any, where: str) -> tuple[str, ...]:
    rails = tuple(_text(item, place) for item, place in _items(value, where))
    if len(rails) < 2:
        raise InvalidInput(f"{where} needs at least two labels to choose from, got {list(rails)}.")
    twice = sorted({rail for rail in rails if rails.count(rail) > 1})
    if twice:
        raise InvalidInput(f"{where} names {', '.join(map(repr, twice))} twice; each label once.")
    return rails


def _choices(value: Any, where: str) -> dict[str, float]:
    return {
        label: _number(score, f"{where}[{label!r}]") for label, score in _json_object(value, where).items()
    }


def _nested(cls: Callable[[], type[WireInput]]) -> Reader:
    def read(value: Any, where: str) -> Any:
        return cls().read(value, where)

    return read


def _list_of(cls: Callable[[], type[WireInput]]) -> Reader:
    """Read a list, or a single object in place of a list of one, as the API does."""

    def read(value: Any, where: str) -> tuple[Any, ...]:
        if isinstance(value, Mapping | WireInput):
            value = [value]
        found = tuple(cls().read(item, place) for item, place in _items(value, where))
        if not found:
            raise InvalidInput(f"{where} is empty: give at least one evaluator, or leave it out.")
        return found

    return read


def read_sampling_rate(value: Any, where: str = "sampling_rate") -> float:
    """Read a sampling rate as a fraction of the matching spans.

    A value in (0, 1] is a fraction, one in (1, 100] a percentage: today's documentation gives a
    fraction, the older page a percentage, and 1 and 100 mean every span in both.

    :raises InvalidInput: zero, negative, not a number, or above 100.
    """
    number = _number(value, where)
    if not 0 < number <= 100:
        raise InvalidInput(
            f"{where} must be above 0 and at most 100, not {_shown(value)}: 0.25 and 25 both mean 25 %, "
            f"1 and 100 both mean every span."
        )
    return number if number <= 1 else number / 100


def describe_sampling_rate(fraction: float) -> str:
    """Say in words what a sampling rate means, so that nobody has to guess its unit."""
    return f"sampling {float(f'{fraction * 100:.6g}'):g} % of matching spans"


@dataclass(frozen=True, kw_only=True)
class LlmConfig(WireInput):
    """The LLM that judges, in both generations of the API.

    :param model_name: the model, passed through as it is: ``GPT_4o`` for a task's ``llm_config``,
        ``gpt-4o`` for a template evaluator's own.
    :param provider: the provider, passed through as it is (a task's ``llm_config`` only).
    :param temperature: temperature of the generation, 0 or more (a task's ``llm_config`` only).
    :param integration_id: global ID of the LLM integration in Arize.
    :param invocation_parameters: parameters of the invocation, such as ``{"temperature": 0}``.
    :param provider_parameters: parameters of the provider.
    """

    model_name: Any = _input(_text)
    provider: Any = _input(_text)
    temperature: Any = _input(_number)
    integration_id: Any = _input(read_id)
    invocation_parameters: Any = _input(_json_object)
    provider_parameters: Any = _input(_json_object)

    def check(self) -> None:
        """Check that a model or an integration is named, and the temperature."""
        if self.model_name is UNSET and self.integration_id is UNSET:
            raise InvalidInput("LlmConfig needs model_name or integration_id.")
        if self.temperature is not UNSET and self.temperature < 0:
            raise InvalidInput(f"LlmConfig.temperature must be 0 or more, not {self.temperature}.")


@dataclass(frozen=True, kw_only=True)
class TemplateEvaluator(WireInput):
    """An LLM that judges a span by a template and answers with one of the allowed labels.

    :param name: column name of the evaluation.
    :param template: the prompt, with variables such as ``{attributes.input.value}``.
    :param rails: the allowed labels, at least two.
    :param position: place of the evaluator in the task, 0 or more. Default: its place in the list,
        counted from 1.
    :param include_explanations: whether the LLM explains its label. Default False.
    :param use_function_calling_if_available: whether the label is asked for by function calling.
        Default False.
    :param query_filter: spans this evaluator is for, in addition to the task's filter.
    :param classification_choices: label to score, such as ``{"correct": 1, "incorrect": 0}``.
    :param direction: whether a high score is good: ``maximize``, ``minimize`` or ``none``.
    :param data_granularity_type: what is judged: ``span``, ``trace`` or ``session``.
    :param llm_config: the LLM of this evaluator, in the newer generation of the API.
    """

    required: ClassVar[tuple[str, ...]] = ("name", "template", "rails")

    name: Any = _input(_text)
    template: Any = _input(_text)
    rails: Any = _input(_rails)
    position: Any = _input(_integer(0))
    include_explanations: Any = _input(_bool)
    use_function_calling_if_available: Any = _input(_bool)
    query_filter: Any = _input(_filter)
    classification_choices: Any = _input(_choices)
    direction: Any = _input(_one_of(DIRECTIONS))
    data_granularity_type: Any = _input(_one_of(GRANULARITIES))
    llm_config: Any = _input(_nested(lambda: LlmConfig))

    def check(self) -> None:
        """Check that scores are given to known labels."""
        if self.classification_choices is not UNSET:
            strange = sorted(set(self.classification_choices) - set(self.rails))
            if strange:
                raise InvalidInput(
                    f"TemplateEvaluator {self.name!r}: classification_choices scores {strange}, "
                    f"which rails {list(self.rails)} does not have."
                )

    def at(self, position: int) -> TemplateEvaluator:
        """Return the evaluator with the fields that the API requires filled in."""
        defaults = {
            "position": position,
            "include_explanations": False,
            "use_function_calling_if_available": False,
        }
        missing = {name: value for name, value in defaults.items() if getattr(self, name) is UNSET}
        return dataclasses.replace(self, **missing) if missing else self


@dataclass(frozen=True, kw_only=True)
class HubEvaluator(WireInput):
    """An evaluator of the Eval Hub, by its ID.

    :param evaluator_id: global ID of the evaluator.
    :param position: place of the evaluator in the task, 0 or more. Default: its place in the list,
        counted from 0.
    """

    required: ClassVar[tuple[str, ...]] = ("evaluator_id",)

    evaluator_id: Any = _input(read_id)
    position: Any = _input(_integer(0))


def _code_evaluators(value: Any, where: str) -> tuple[dict[str, Any], ...]:
    """Read code evaluators, passed through as they are: their fields are named in no documentation."""
    if isinstance(value, Mapping):
        value = [value]
    found = tuple(_json_object(item, place) for item, place in _items(value, where))
    if not found or not all(found):
        raise InvalidInput(f"{where} is empty: give at least one evaluator, or leave it out.")
    return found


def _numbered(evaluators: tuple[TemplateEvaluator, ...]) -> tuple[TemplateEvaluator, ...]:
    return tuple(evaluator.at(place) for place, evaluator in enumerate(evaluators, start=1))


@dataclass(frozen=True, kw_only=True)
class _EvalTaskFields(WireInput):
    name: Any = _input(_text)
    sampling_rate: Any = _input(read_sampling_rate)
    query_filter: Any = _input(_filter, clearable=True)
    run_continuously: Any = _input(_bool)
    template_evaluators: Any = _input(_list_of(lambda: TemplateEvaluator))
    code_evaluators: Any = _input(_code_evaluators)
    llm_config: Any = _input(_nested(lambda: LlmConfig))

    def check(self) -> None:
        """Check the evaluators against each other, and number them."""
        if self.template_evaluators is not UNSET:
            numbered = _numbered(self.template_evaluators)
            names = [evaluator.name for evaluator in numbered]
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise InvalidInput(
                    f"template_evaluators has the name {twice[0]!r} twice; its labels would mix."
                )
            object.__setattr__(self, "template_evaluators", numbered)

    def to_wire(self, sampling_rate_unit: str = FRACTION) -> dict[str, Any]:
        """Return the JSON object that the API documents.

        :param sampling_rate_unit: ``fraction``, or ``percent`` for older servers.
        """
        wire = super().to_wire()
        if sampling_rate_unit == PERCENT and self.sampling_rate is not UNSET:
            wire["samplingRate"] = float(f"{self.sampling_rate * 100:.12g}")
        return wire


@dataclass(frozen=True, kw_only=True)
class EvalTaskInput(_EvalTaskFields):
    """What createEvalTask takes.

    :param name: name of the task.
    :param model_id: global ID of the project (its type reads ``Model``).
    :param sampling_rate: fraction (0, 1] or percentage (1, 100] of the matching spans. Default: all.
    :param query_filter: which spans, such as ``attributes.openinference.span.kind = 'AGENT'``. Default: all.
    :param run_continuously: whether new spans are evaluated as they arrive. Default False.
    :param template_evaluators: evaluators written in the task, one or several.
    :param code_evaluators: code evaluators written in the task.
    :param evaluators: evaluators of the Eval Hub. Excludes the inline ones.
    :param llm_config: the LLM of the template evaluators.
    """

    required: ClassVar[tuple[str, ...]] = ("name", "model_id")

    model_id: Any = _input(read_id)
    evaluators: Any = _input(_list_of(lambda: HubEvaluator))

    def check(self) -> None:
        """Check that the task has evaluators, and fill in what the API's examples always send."""
        super().check()
        inline = [name for name in INLINE_EVALUATORS if getattr(self, name) is not UNSET]
        if inline and self.evaluators is not UNSET:
            raise InvalidInput(
                f"Give either {' and '.join(inline)} (written in the task) or evaluators (Eval Hub IDs), "
                f"not both."
            )
        if not inline and self.evaluators is UNSET:
            raise InvalidInput(
                "EvalTaskInput has no evaluators: give template_evaluators, code_evaluators or evaluators."
            )
        if self.evaluators is not UNSET:
            hub = (
                dataclasses.replace(one, position=place) if one.position is UNSET else one
                for place, one in enumerate(self.evaluators)
            )
            object.__setattr__(self, "evaluators", tuple(hub))
        for name, default in (("sampling_rate", 1.0), ("run_continuously", False)):
            if getattr(self, name) is UNSET:
                object.__setattr__(self, name, default)


@dataclass(frozen=True, kw_only=True)
class EvalTaskPatch(_EvalTaskFields):
    """What patchEvalTask takes: the task, and any of its fields. What is left out stays as it is.

    :param online_task_id: global ID of the task.

    The other fields are those of :class:`EvalTaskInput` without ``model_id`` and ``evaluators`` (Eval Hub
    evaluators are changed by another mutation, whose input is not documented); ``query_filter=None``
    clears the filter.
    """

    required: ClassVar[tuple[str, ...]] = ("online_task_id",)
    patch: ClassVar[bool] = True

    online_task_id: Any = _input(read_id)

    def check(self) -> None:
        """Check that something changes."""
        super().check()
        if set(self.to_wire()) == {wire_name("online_task_id")}:
            raise InvalidInput("Nothing to change: give at least one field besides online_task_id.")


@dataclass(frozen=True, kw_only=True)
class DataWindow:
    """The spans a run is for: those that started in [start, end).

    :param start: begin of the window.
    :param end: end of the window.
    """

    start: datetime
    end: datetime

    @classmethod
    def read(cls, start: Any, end: Any, *, now: datetime | None = None) -> DataWindow:
        """Read a window and check it.

        :param now: what is taken for the present. Default: the clock.
        :raises InvalidInput: no time, reversed, empty, or in the future.
        """
        try:
            window = cls(start=parse_time(start, "data_start_time"), end=parse_time(end, "data_end_time"))
        except ValueError as error:
            raise InvalidInput(str(error)) from None
        if window.start == window.end:
            raise InvalidInput(f"The window is empty: it starts and ends at {wire_time(window.start)}.")
        if window.start > window.end:
            raise InvalidInput(
                f"The window is reversed: data_start_time {wire_time(window.start)} is after "
                f"data_end_time {wire_time(window.end)}."
            )
        present = now or datetime.now(UTC)
        if window.end > present + CLOCK_TOLERANCE:
            raise InvalidInput(
                f"The window ends in the future, at {wire_time(window.end)} (now is {wire_time(present)}): "
                f"its spans are not there yet. Wait until it is over."
            )
        return window

    @property
    def is_long(self) -> bool:
        """Whether it is longer than the 30 days that today's API documents as its limit."""
        return self.end - self.start > MAX_WINDOW

    def __str__(self) -> str:
        return f"{wire_time(self.start)} to {wire_time(self.end)}"


def _time(value: Any, where: str) -> datetime:
    try:
        return parse_time(value, where.rsplit(".", 1)[-1])
    except ValueError as error:
        raise InvalidInput(str(error)) from None


def split_window(start: Any, end: Any, *, days: float = MAX_WINDOW.days) -> list[dict[str, str]]:
    """Cut a long window into pieces that the API accepts, for dynamic task mapping.

    ``RunOnlineTaskOperator.partial(…).expand_kwargs(split_window(start, end))``

    :param start: begin of the whole window.
    :param end: end of the whole window.
    :param days: longest piece, in days; above 0 and at most 30.
    :return: ``data_start_time`` and ``data_end_time`` of each piece, oldest first, without gap or overlap.
    :raises InvalidInput: no window, or a piece that is too long or none.
    """
    window = DataWindow.read(start, end)
    length = _number(days, "days")
    step = timedelta(days=length) if 0 < length <= MAX_WINDOW.days else timedelta(0)
    if step < timedelta(seconds=1):
        raise InvalidInput(f"days must be above 0 and at most {MAX_WINDOW.days}, not {_shown(days)}.")
    pieces, at = [], window.start
    while at < window.end:
        until = min(at + step, window.end)
        pieces.append({"data_start_time": wire_time(at), "data_end_time": wire_time(until)})
        at = until
    return pieces


@dataclass(frozen=True, kw_only=True)
class RunInput(WireInput):
    """What runOnlineTask takes.

    :param online_task_id: global ID of the task.
    :param data_start_time: begin of the window.
    :param data_end_time: end of the window.
    :param max_spans: most spans to evaluate, 1 or more. Default: the API's, 10,000.
    :param override_evaluations: whether spans that are labelled already are judged again. Default False.
    """

    required: ClassVar[tuple[str, ...]] = ("online_task_id", "data_start_time", "data_end_time")

    online_task_id: Any = _input(read_id)
    data_start_time: Any = _input(_time)
    data_end_time: Any = _input(_time)
    max_spans: Any = _input(_integer(1))
    override_evaluations: Any = _input(_bool)

    @property
    def window(self) -> DataWindow:
        """The window, checked."""
        return DataWindow.read(self.data_start_time, self.data_end_time)

    def check(self) -> None:
        """Check the window."""
        DataWindow.read(self.data_start_time, self.data_end_time)


__all__ = [
    "UNSET",
    "DataWindow",
    "EvalTaskInput",
    "EvalTaskPatch",
    "HubEvaluator",
    "LlmConfig",
    "RunInput",
    "TemplateEvaluator",
    "Unset",
    "WireInput",
    "describe_sampling_rate",
    "read_id",
    "read_sampling_rate",
    "split_window",
    "wire_name",
]
