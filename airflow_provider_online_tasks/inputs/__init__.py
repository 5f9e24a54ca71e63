"""What the mutations take: validated, frozen, and written exactly as documented.

Every class can be given as a dict with snake_case or the API's camelCase keys. A field that is
:data:`UNSET` is not sent; in a patch ``None`` is sent as null and clears the field.

Fields: https://arize.com/docs/ax/graphql-reference/mutations/evaluators-and-tasks and
https://arize.com/docs/ax/graphql-reference/apis/online-tasks-api
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, TypeVar, dataclass_transform

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks._times import parse_time, wire_time
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.inputs._templating import is_templated
from airflow_provider_online_tasks.inputs._unset import UNSET, Unset

MAX_WINDOW = timedelta(days=30)
CLOCK_TOLERANCE = timedelta(minutes=1)
MAX_INT = 2**31 - 1
MAX_DEPTH = 20
FRACTION, PERCENT = "fraction", "percent"

MAXIMIZE, MINIMIZE = "maximize", "minimize"
DIRECTIONS = (MAXIMIZE, MINIMIZE, "none")
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


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(_input,))
class WireInput:
    """A frozen dataclass whose fields know how to read and check themselves.

    Its methods are written here once: what ``dataclass`` generates for each class anew takes most of the time
    that importing this module takes, and every parsing of a DAG imports it.
    """

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]
    required: ClassVar[tuple[str, ...]] = ()
    patch: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        dataclass(init=False, repr=False, eq=False, kw_only=True)(cls)

    def __init__(self, **given: Any) -> None:
        unknown = [name for name in given if name not in self.__dataclass_fields__]
        if unknown:
            raise TypeError(f"{type(self).__name__}() got an unexpected keyword argument {unknown[0]!r}")
        known: dict[str, Any] = {}
        for spec in _fields(type(self)):
            value = self._field(spec, given.get(spec.name, UNSET), type(self).__name__)
            object.__setattr__(self, spec.name, value)
            if value is not UNSET:
                known[spec.name] = value
        self.check_known(known, templated=())
        self.complete()

    def __setattr__(self, name: str, value: Any) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")

    def __repr__(self) -> str:
        return f"{type(self).__qualname__}({', '.join(f'{k}={v!r}' for k, v in vars(self).items())})"

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other) if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(vars(self).values()))

    @classmethod
    def check_known(cls, known: Mapping[str, Any], *, templated: Collection[str]) -> None:
        """Check what concerns several fields at once.

        :param known: the fields that are given, read.
        :param templated: the fields whose value is only known when the task runs.
        """
        missing = [name for name in cls.required if name not in known and name not in templated]
        if missing:
            raise InvalidInput(f"{cls.__name__} needs {', '.join(missing)}: not given, or nothing.")

    def complete(self) -> None:
        """Fill in what the API wants and was not given."""

    @classmethod
    def _field(cls, spec: dataclasses.Field[Any], value: Any, where: str) -> Any:
        if value is None:
            if not cls.patch or spec.name in cls.required:
                return UNSET
            if not spec.metadata["clearable"]:
                raise InvalidInput(
                    f"{where}.{spec.name} cannot be cleared: leave it out to keep it as it is, "
                    f"or give the new value."
                )
            return None
        return UNSET if value is UNSET else spec.metadata["read"](value, f"{where}.{spec.name}")

    @classmethod
    def read(cls: type[_Input], value: Any, where: str = "") -> _Input:
        """Read a dict, or pass an instance through.

        :param where: what the value is part of, for messages.
        :raises InvalidInput: an unknown key, a missing field, or a value that the API would refuse.
        """
        if isinstance(value, cls):
            return value
        given = cls._keys(value, where or cls.__name__)
        try:
            return cls(**given)
        except InvalidInput as error:
            if not where:
                raise
            raise InvalidInput(f"{where}: {error}") from None

    @classmethod
    def check_literals(cls, value: Any, where: str = "", *, partial: bool = False) -> None:
        """Check what is known before templates are rendered: each literal value, however deep it is.

        :param partial: whether required fields that are not given are still to come.
        :raises InvalidInput: as :meth:`read`.
        """
        if isinstance(value, cls) or (is_templated(value) and not isinstance(value, Mapping)):
            return
        specs = {spec.name: spec for spec in _fields(cls)}
        known: dict[str, Any] = {}
        templated: list[str] = []
        for name, part in cls._keys(value, where or cls.__name__).items():
            if is_templated(part):
                templated.append(name)
                reader = specs[name].metadata["read"]
                if isinstance(reader, _Nested):
                    reader.check_literals(part, f"{where or cls.__name__}.{name}")
            elif (found := cls._field(specs[name], part, where or cls.__name__)) is not UNSET:
                known[name] = found
        later = [*templated, *cls.required] if partial else templated
        cls.check_known(known, templated=later)

    @classmethod
    def _keys(cls, value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise InvalidInput(f"{where} must be a dict or {cls.__name__}, not {shown(value)}.")
        names = [spec.name for spec in _fields(cls)]
        by_key = {wire_name(name): name for name in names} | {name: name for name in names}
        found: dict[str, Any] = {}
        for key, part in value.items():
            if key not in by_key:
                raise InvalidInput(f"{where} has no field {shown(key)}.{_nearest(str(key)[:80], by_key)}")
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


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise InvalidInput(f"{where} must be text, not {shown(value)}.")
    if not value.strip():
        raise InvalidInput(f"{where} is empty: give some text.")
    return _sendable(value, where)


def _sendable(text: str, where: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"{where} holds half a character, which cannot be sent: {shown(text)}.") from None
    return text


def read_id(value: Any, where: str) -> str:
    """Read an ID of Arize.

    :raises InvalidInput: it is no text, empty, or the word that a missing XCom renders to.
    """
    if not isinstance(value, str):
        raise InvalidInput(f"{where} must be text, not {shown(value)}.")
    text = value.strip()
    if text.lower() in ("", "none", "null", "undefined"):
        raise InvalidInput(
            f"{where} is {value!r}: the XCom or variable it comes from holds nothing. "
            f"Check the upstream task's ID and that it ran."
        )
    if not text.strip("."):  # would climb the path of an address
        raise InvalidInput(f"{where} is {value!r}, which is no ID. Give the global ID that Arize shows.")
    return _sendable(text, where)


def _filter(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise InvalidInput(f"{where} must be text, not {shown(value)}.")
    if not value.strip():
        raise InvalidInput(
            f"{where} is empty. Leave it out (or give None to clear it in a patch) for all spans."
        )
    return _sendable(value, where)


def _bool(value: Any, where: str) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    raise InvalidInput(f"{where} must be true or false, not {shown(value)}.")


def _finite(value: Any) -> float | None:
    if isinstance(value, bool | bytes | bytearray):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _number(value: Any, where: str) -> float:
    number = _finite(value)
    if number is None:
        raise InvalidInput(f"{where} must be a number, not {shown(value)}.")
    return number


def _integer(lowest: int) -> Reader:
    def read(value: Any, where: str) -> int:
        number = _finite(value)
        if number is None or number != int(number) or not lowest <= number <= MAX_INT:
            raise InvalidInput(f"{where} must be a whole number from {lowest} on, not {shown(value)}.")
        return int(number)

    return read


def _one_of(words: Sequence[str]) -> Reader:
    def read(value: Any, where: str) -> str:
        if value not in words:
            raise InvalidInput(f"{where} must be one of {', '.join(words)}, not {shown(value)}.")
        return str(value)

    return read


def _json_object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise InvalidInput(f"{where} must be a dict with text keys, not {shown(value)}.")
    return {_sendable(key, where): _json(part, f"{where}[{shown(key)}]") for key, part in value.items()}


def _json(value: Any, where: str, depth: int = 0) -> Any:
    if value is None or (isinstance(value, int) and value.bit_length() < 64):
        return value
    if isinstance(value, str):
        return _sendable(value, where)
    if isinstance(value, float) and math.isfinite(value):
        return value
    if depth < MAX_DEPTH:
        if isinstance(value, list | tuple):
            return [_json(part, where, depth + 1) for part in value]
        if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
            return {_sendable(key, where): _json(part, where, depth + 1) for key, part in value.items()}
    raise InvalidInput(f"{where} holds {shown(value)}, which cannot be written as JSON.")


def _items(value: Any, where: str) -> Iterator[tuple[Any, str]]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise InvalidInput(f"{where} must be a list, not {shown(value)}.")
    return ((item, f"{where}[{position}]") for position, item in enumerate(value))


def _texts(value: Any, where: str) -> tuple[str, ...]:
    return tuple(_text(item, place) for item, place in _items(value, where))


def _rails(value: Any, where: str) -> tuple[str, ...]:
    rails = _texts(value, where)
    if len(rails) < 2:
        raise InvalidInput(f"{where} needs at least two labels to choose from, got {shown(list(rails))}.")
    twice = sorted({rail for rail in rails if rails.count(rail) > 1})
    if twice:
        raise InvalidInput(f"{where} names {shown(twice[0])} twice; each label once.")
    return rails


def _choices(value: Any, where: str) -> dict[str, float]:
    return {
        label: _number(score, f"{where}[{label!r}]") for label, score in _json_object(value, where).items()
    }


class _Nested:
    """Reads an input within an input."""

    def __init__(self, cls: Callable[[], type[WireInput]]) -> None:
        self.cls = cls

    def __call__(self, value: Any, where: str) -> Any:
        return self.cls().read(value, where)

    def check_literals(self, value: Any, where: str) -> None:
        self.cls().check_literals(value, where)


class _ListOf(_Nested):
    """Reads a list, or a single object in place of a list of one, as the API does."""

    def __call__(self, value: Any, where: str) -> tuple[Any, ...]:
        if isinstance(value, Mapping | WireInput):
            value = [value]
        found = tuple(self.cls().read(item, place) for item, place in _items(value, where))
        if not found:
            raise InvalidInput(f"{where} is empty: give at least one evaluator, or leave it out.")
        return found

    def check_literals(self, value: Any, where: str) -> None:
        if isinstance(value, list | tuple):
            for item, place in _items(value, where):
                self.cls().check_literals(item, place)
        else:
            self.cls().check_literals(value, where)


def read_sampling_rate(value: Any, where: str = "sampling_rate") -> float:
    """Read a sampling rate as a fraction of the matching spans.

    A value in (0, 1] is a fraction, one in (1, 100] a percentage: today's documentation gives a
    fraction, the older page a percentage, and 1 and 100 mean every span in both.

    :raises InvalidInput: zero, negative, not a number, or above 100.
    """
    number = _finite(value)
    if number is None or not 0 < number <= 100:
        raise InvalidInput(
            f"{where} must be above 0 and at most 100, not {shown(value)}: 0.25 and 25 both mean 25 %, "
            f"1 and 100 both mean every span."
        )
    return number if number <= 1 else number / 100


def describe_sampling_rate(fraction: float) -> str:
    """Say in words what a sampling rate means, so that nobody has to guess its unit."""
    return f"sampling {float(f'{fraction * 100:.6g}'):g} % of matching spans"


def _temperature(value: Any, where: str) -> float:
    number = _finite(value)
    if number is None or number < 0:
        raise InvalidInput(f"{where} must be a number, 0 or more, not {shown(value)}.")
    return number


class LlmConfig(WireInput):
    """The LLM of a task's template evaluators.

    :param model_name: the model, passed through as it is, such as ``GPT_4o``.
    :param provider: the provider, passed through as it is, such as ``openAI``.
    :param temperature: temperature of the generation, 0 or more.
    :param integration_id: global ID of the LLM integration in Arize.
    :param invocation_parameters: parameters of the invocation, such as ``{"max_tokens": 100}``.
    :param provider_parameters: parameters of the provider.
    """

    model_name: Any = _input(_text)
    provider: Any = _input(_text)
    temperature: Any = _input(_temperature)
    integration_id: Any = _input(read_id)
    invocation_parameters: Any = _input(_json_object)
    provider_parameters: Any = _input(_json_object)

    @classmethod
    def check_known(cls, known: Mapping[str, Any], *, templated: Collection[str]) -> None:
        """Check that a model or an integration is named."""
        if not {"model_name", "integration_id"} & {*known, *templated}:
            raise InvalidInput("LlmConfig needs model_name or integration_id.")


class EvaluatorLlmConfig(WireInput):
    """The LLM of one template evaluator, in the newer generation of the API.

    :param integration_id: global ID of the LLM integration in Arize.
    :param model_name: the model, passed through as it is, such as ``gpt-4o``.
    :param invocation_parameters: parameters of the invocation, such as ``{"temperature": 0}``. Default: none.
    :param provider_parameters: parameters of the provider. Default: none.
    """

    required: ClassVar[tuple[str, ...]] = ("integration_id", "model_name")

    integration_id: Any = _input(read_id)
    model_name: Any = _input(_text)
    invocation_parameters: Any = _input(_json_object)
    provider_parameters: Any = _input(_json_object)

    def complete(self) -> None:
        """Fill in the parameters, which the API requires."""
        for name in ("invocation_parameters", "provider_parameters"):
            if getattr(self, name) is UNSET:
                object.__setattr__(self, name, {})


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
    :param llm_config: the LLM of this evaluator, as :class:`EvaluatorLlmConfig` or a dict, in the newer
        generation of the API.
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
    llm_config: Any = _input(_Nested(lambda: EvaluatorLlmConfig))

    @classmethod
    def check_known(cls, known: Mapping[str, Any], *, templated: Collection[str]) -> None:
        """Check that scores are given to known labels."""
        super().check_known(known, templated=templated)
        if "classification_choices" in known and "rails" in known:
            strange = sorted(set(known["classification_choices"]) - set(known["rails"]))
            if strange:
                raise InvalidInput(
                    f"TemplateEvaluator.classification_choices scores {shown(strange)}, which rails "
                    f"{shown(list(known['rails']))} does not have."
                )

    def complete(self) -> None:
        """Fill in the switches, which the API requires."""
        for name in ("include_explanations", "use_function_calling_if_available"):
            if getattr(self, name) is UNSET:
                object.__setattr__(self, name, False)


class HubEvaluator(WireInput):
    """An evaluator of the Eval Hub, by its ID.

    :param evaluator_id: global ID of the evaluator.
    :param position: place of the evaluator in the task, 0 or more. Default: its place in the list,
        counted from 0.
    """

    required: ClassVar[tuple[str, ...]] = ("evaluator_id",)

    evaluator_id: Any = _input(read_id)
    position: Any = _input(_integer(0))


class CodeEvaluator(WireInput):
    """A check by code, written in the task.

    :param name: column name of the evaluation.
    :param position: place of the evaluator in the task, 0 or more. Default: its place in the list, counted
        from 1, after the template evaluators.
    :param eval_class_code_block: the code of the evaluator's class.
    :param evaluation_class: name of the class.
    :param evaluation_input_params: what the class is made with.
    :param package_imports: the imports that the code needs.
    :param query_filter: spans this evaluator is for, in addition to the task's filter.
    :param span_attributes: names of the span attributes that the code is given.
    :param data_granularity_type: what is judged: ``span``, ``trace`` or ``session``.
    """

    required: ClassVar[tuple[str, ...]] = ("name",)

    name: Any = _input(_text)
    position: Any = _input(_integer(0))
    eval_class_code_block: Any = _input(_text)
    evaluation_class: Any = _input(_text)
    evaluation_input_params: Any = _input(_json_object)
    package_imports: Any = _input(_text)
    query_filter: Any = _input(_filter)
    span_attributes: Any = _input(_texts)
    data_granularity_type: Any = _input(_one_of(GRANULARITIES))


_Placed = TypeVar("_Placed", CodeEvaluator, HubEvaluator, TemplateEvaluator)


def _placed(evaluators: tuple[_Placed, ...], first: int) -> tuple[_Placed, ...]:
    return tuple(
        dataclasses.replace(one, position=place) if one.position is UNSET else one
        for place, one in enumerate(evaluators, start=first)
    )


class _EvalTaskFields(WireInput):
    """What a new task and a patch have in common."""

    name: Any = _input(_text)
    sampling_rate: Any = _input(read_sampling_rate)
    query_filter: Any = _input(_filter, clearable=True)
    run_continuously: Any = _input(_bool)
    template_evaluators: Any = _input(_ListOf(lambda: TemplateEvaluator))
    code_evaluators: Any = _input(_ListOf(lambda: CodeEvaluator))
    llm_config: Any = _input(_Nested(lambda: LlmConfig))

    @classmethod
    def check_known(cls, known: Mapping[str, Any], *, templated: Collection[str]) -> None:
        """Check the evaluators against each other."""
        super().check_known(known, templated=templated)
        inline = [one.name for field_name in INLINE_EVALUATORS for one in known.get(field_name, ())]
        twice = sorted({name for name in inline if inline.count(name) > 1})
        if twice:
            raise InvalidInput(
                f"{cls.__name__} has two evaluators named {shown(twice[0])}, whose labels would mix: "
                f"give each a name of its own."
            )

    def complete(self) -> None:
        """Number the evaluators."""
        templates = () if self.template_evaluators is UNSET else _placed(self.template_evaluators, 1)
        if templates:
            object.__setattr__(self, "template_evaluators", templates)
        if self.code_evaluators is not UNSET:
            codes = _placed(self.code_evaluators, len(templates) + 1)
            object.__setattr__(self, "code_evaluators", codes)

    def to_wire(self, sampling_rate_unit: str = FRACTION) -> dict[str, Any]:
        """Return the JSON object that the API documents.

        :param sampling_rate_unit: ``fraction``, or ``percent`` for older servers.
        """
        wire = super().to_wire()
        if sampling_rate_unit == PERCENT and self.sampling_rate is not UNSET:
            wire["samplingRate"] = float(f"{self.sampling_rate * 100:.12g}")
        return wire


class EvalTaskInput(_EvalTaskFields):
    """What createEvalTask takes.

    :param name: name of the task.
    :param model_id: global ID of the project (its type reads ``Model``).
    :param sampling_rate: fraction (0, 1] or percentage (1, 100] of the matching spans. Default: all.
    :param query_filter: which spans, such as ``attributes.openinference.span.kind = 'AGENT'``. Default: all.
    :param run_continuously: whether new spans are evaluated as they arrive. Default False.
    :param template_evaluators: evaluators written in the task, one or several.
    :param code_evaluators: code evaluators written in the task, one or several.
    :param evaluators: evaluators of the Eval Hub. Excludes the inline ones.
    :param llm_config: the LLM of the template evaluators.
    """

    required: ClassVar[tuple[str, ...]] = ("name", "model_id")

    model_id: Any = _input(read_id)
    evaluators: Any = _input(_ListOf(lambda: HubEvaluator))

    @classmethod
    def check_known(cls, known: Mapping[str, Any], *, templated: Collection[str]) -> None:
        """Check that the task has evaluators, of one kind."""
        super().check_known(known, templated=templated)
        inline = [name for name in INLINE_EVALUATORS if name in known]
        if inline and "evaluators" in known:
            raise InvalidInput(
                f"Give either {' and '.join(inline)} (written in the task) or evaluators (Eval Hub IDs), "
                f"not both."
            )
        if not {*INLINE_EVALUATORS, "evaluators"} & {*known, *templated}:
            raise InvalidInput(
                f"{cls.__name__} has no evaluators: give template_evaluators, code_evaluators or evaluators."
            )

    def complete(self) -> None:
        """Number the evaluators, and fill in what the API's examples always send."""
        super().complete()
        if self.evaluators is not UNSET:
            object.__setattr__(self, "evaluators", _placed(self.evaluators, 0))
        for name, default in (("sampling_rate", 1.0), ("run_continuously", False)):
            if getattr(self, name) is UNSET:
                object.__setattr__(self, name, default)


class EvalTaskPatch(_EvalTaskFields):
    """What patchEvalTask takes: the task, and any of its fields. What is left out stays as it is.

    Eval Hub evaluators are changed by another mutation, whose input is not documented.

    :param online_task_id: global ID of the task.
    :param name: new name of the task.
    :param sampling_rate: fraction (0, 1] or percentage (1, 100] of the matching spans.
    :param query_filter: which spans; None clears the filter.
    :param run_continuously: whether new spans are evaluated as they arrive: pauses and resumes the task.
    :param template_evaluators: evaluators written in the task, in place of the present ones.
    :param code_evaluators: code evaluators written in the task, in place of the present ones.
    :param llm_config: the LLM of the template evaluators.
    """

    required: ClassVar[tuple[str, ...]] = ("online_task_id",)
    patch: ClassVar[bool] = True

    online_task_id: Any = _input(read_id)

    @classmethod
    def check_known(cls, known: Mapping[str, Any], *, templated: Collection[str]) -> None:
        """Check that something changes."""
        super().check_known(known, templated=templated)
        if {*known, *templated} == {"online_task_id"}:
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
    def of(cls, start: Any, end: Any) -> DataWindow:
        """Read a window.

        :raises InvalidInput: no time, reversed, or empty.
        """
        window = cls(start=_time(start, "data_start_time"), end=_time(end, "data_end_time"))
        if window.start == window.end:
            raise InvalidInput(f"The window is empty: it starts and ends at {wire_time(window.start)}.")
        if window.start > window.end:
            raise InvalidInput(
                f"The window is reversed: data_start_time {wire_time(window.start)} is after "
                f"data_end_time {wire_time(window.end)}."
            )
        return window

    @classmethod
    def read(cls, start: Any, end: Any, *, now: datetime | None = None) -> DataWindow:
        """Read a window that is over.

        :param now: what is taken for the present. Default: the clock.
        :raises InvalidInput: no time, reversed, empty, or in the future.
        """
        window = cls.of(start, end)
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
        raise InvalidInput(f"days must be above 0 and at most {MAX_WINDOW.days}, not {shown(days)}.")
    pieces, at = [], window.start
    while at < window.end:
        until = min(at + step, window.end)
        pieces.append({"data_start_time": wire_time(at), "data_end_time": wire_time(until)})
        at = until
    return pieces


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

    @classmethod
    def check_known(cls, known: Mapping[str, Any], *, templated: Collection[str]) -> None:
        """Check the window."""
        super().check_known(known, templated=templated)
        if "data_start_time" in known and "data_end_time" in known:
            DataWindow.of(known["data_start_time"], known["data_end_time"])

    def complete(self) -> None:
        """Check that the window is over. When a DAG is parsed, that is still to come."""
        DataWindow.read(self.data_start_time, self.data_end_time)


__all__ = [
    "UNSET",
    "CodeEvaluator",
    "DataWindow",
    "EvalTaskInput",
    "EvalTaskPatch",
    "EvaluatorLlmConfig",
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
