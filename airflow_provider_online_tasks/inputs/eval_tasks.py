"""What creates and changes an eval task.

Fields: https://arize.com/docs/ax/graphql-reference/mutations/evaluators-and-tasks and
https://arize.com/docs/ax/graphql-reference/apis/online-tasks-api
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal, Self

from pydantic import ValidationInfo, field_validator

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.inputs.base import OneOrMore, Patch, WireInput, across_fields
from airflow_provider_online_tasks.inputs.evaluators import (
    CodeEvaluator,
    HubEvaluator,
    LlmConfig,
    NamedFilter,
    QueryFilters,
    QueryMapping,
    TemplateEvaluator,
)
from airflow_provider_online_tasks.inputs.unset import UNSET
from airflow_provider_online_tasks.inputs.values import Filter, Flag, Id, Refusal, SamplingRate, Text

FRACTION: Final = "fraction"
PERCENT: Final = "percent"
SamplingRateUnit = Literal["fraction", "percent"]
INLINE_EVALUATORS = ("template_evaluators", "code_evaluators")

Evaluator = TemplateEvaluator | CodeEvaluator | HubEvaluator


def describe_sampling_rate(fraction: float) -> str:
    """Return what a sampling rate means, in words: its unit is not obvious."""
    return f"sampling {float(f'{fraction * 100:.6g}'):g} % of matching spans"


def _placed(evaluators: Any, first: int) -> Any:
    """Number the evaluators of a field. Those that are only known when the task runs stay as they are."""
    if not isinstance(evaluators, tuple):
        return evaluators
    return tuple(
        one.model_copy(update={"position": place})
        if isinstance(one, Evaluator) and one.position is None
        else one
        for place, one in enumerate(evaluators, start=first)
    )


def _known(evaluators: Any) -> list[Any]:
    """Return the evaluators of a field, without those that are only known when the task runs."""
    return [one for one in evaluators if isinstance(one, Evaluator)] if isinstance(evaluators, tuple) else []


def _names_each_once(evaluators: Any) -> None:
    ids = [one.evaluator_id for one in _known(evaluators) if isinstance(one.evaluator_id, str)]
    if twice := sorted({one for one in ids if ids.count(one) > 1}):
        raise Refusal(f"names {shown(twice[0])} twice; each evaluator once.", at=".evaluators")


def _check_shapes(query_filter: object, query_filters: object, evaluators: object) -> None:
    """Refuse what is for spans beside what is for traces and sessions: Arize takes one of them in a task."""
    hub = _known(evaluators)
    of_more = [one for one in hub if one.query_mappings is not None]
    of_spans = [one for one in hub if one.column_mappings is not None or one.query_filter is not None]
    if of_more and of_spans:
        raise Refusal(
            "has evaluators with query_mappings, of traces or sessions, and evaluators with column_mappings "
            "or query_filter, of spans: give each kind a task of its own.",
            at=".evaluators",
        )
    if of_more and isinstance(query_filter, str):
        raise Refusal("has query_filter, which is for spans, and query_mappings: give query_filters.")
    if of_spans and isinstance(query_filters, QueryFilters):
        raise Refusal("has query_filters, which are for traces and sessions: give query_filter.")
    declared = _declared(query_filters)
    if declared is None:
        return
    for mapping in (mapping for one in of_more for mapping in _read_mappings(one)):
        if unknown := sorted(set(mapping.query_ids) - declared):
            raise Refusal(f"maps a variable to the query {unknown[0]}, which query_filters does not declare.")


def _declared(query_filters: object) -> set[str] | None:
    """Return the IDs of a task's query filters; None where they are only known later."""
    if query_filters is None:
        return set()
    filters: object = query_filters.filters if isinstance(query_filters, QueryFilters) else None
    if not isinstance(filters, tuple):
        return None
    ids = [each.id for each in filters if isinstance(each, NamedFilter)]
    return set(ids) if len(ids) == len(filters) and all(isinstance(each, str) for each in ids) else None


def _read_mappings(evaluator: HubEvaluator) -> list[QueryMapping]:
    """Return the query mappings of an evaluator, without those that are only known when the task runs."""
    mappings: object = evaluator.query_mappings
    found = mappings if isinstance(mappings, tuple) else ()
    return [each for each in found if isinstance(each, QueryMapping) and isinstance(each.query_ids, tuple)]


class _EvalTask(WireInput, frozen=True):
    """What a new task and a patch have in common."""

    def to_wire(self, sampling_rate_unit: str = FRACTION) -> dict[str, Any]:
        """Return the JSON object that the API documents.

        :param sampling_rate_unit: ``fraction``, or ``percent`` for older servers.
        """
        wire = super().to_wire()
        if sampling_rate_unit == PERCENT and "samplingRate" in wire:
            wire["samplingRate"] = float(f"{wire['samplingRate'] * 100:.12g}")
        return wire

    # The fields are those of the classes below, where their types differ.
    @field_validator("template_evaluators", mode="after", check_fields=False)
    @classmethod
    def _number_templates(cls, value: Any) -> Any:
        return _placed(value, 1)

    @field_validator("code_evaluators", mode="after", check_fields=False)
    @classmethod
    def _number_codes(cls, value: Any, info: ValidationInfo) -> Any:
        templates = info.data.get("template_evaluators")
        before = len(templates) if isinstance(templates, tuple) else 0
        return _placed(value, before + 1)

    @field_validator("evaluators", mode="after", check_fields=False)
    @classmethod
    def _number_hub_evaluators(cls, value: Any) -> Any:
        return _placed(value, 0)

    @across_fields
    def _evaluators_have_names_of_their_own(self) -> Self:
        inline = [one.name for field in INLINE_EVALUATORS for one in _known(getattr(self, field))]
        twice = sorted({name for name in inline if isinstance(name, str) and inline.count(name) > 1})
        if twice:
            raise Refusal(
                f"has two evaluators named {shown(twice[0])}, whose labels would mix: give each its own name."
            )
        return self


class EvalTaskInput(_EvalTask, frozen=True):
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
    :param query_filters: several filters with names, for Eval Hub evaluators of traces or sessions, in place
        of ``query_filter``.
    """

    rest_only: ClassVar[frozenset[str]] = frozenset({"query_filters"})

    name: Text
    model_id: Id
    sampling_rate: SamplingRate = 1.0
    query_filter: Filter | None = None
    run_continuously: Flag = False
    template_evaluators: OneOrMore[TemplateEvaluator] | None = None
    code_evaluators: OneOrMore[CodeEvaluator] | None = None
    evaluators: OneOrMore[HubEvaluator] | None = None
    llm_config: LlmConfig | None = None
    query_filters: QueryFilters | None = None

    @property
    def needs_rest(self) -> bool:
        """Whether the task has what GraphQL does not document: it is created and changed over REST."""
        return self.query_filters is not None or any(one.needs_rest for one in self.evaluators or ())

    @across_fields
    def _has_evaluators_of_one_kind(self) -> Self:
        inline = [name for name in INLINE_EVALUATORS if getattr(self, name) is not None]
        if not inline and self.evaluators is None:
            raise Refusal("has no evaluators: give template_evaluators, code_evaluators or evaluators.")
        literal = [name for name in inline if isinstance(getattr(self, name), tuple)]
        if literal and isinstance(self.evaluators, tuple):
            raise InvalidInput(
                f"Give either {' and '.join(literal)} (written in the task) or evaluators (Eval Hub IDs), "
                f"not both."
            )
        if self.query_filters is not None and self.query_filter is not None:
            raise Refusal("has query_filter and query_filters: give one or the other.")
        if isinstance(self.query_filters, QueryFilters) and self.evaluators is None:
            raise Refusal("has query_filters, which are for evaluators of the Eval Hub only.")
        if isinstance(self.evaluators, tuple):
            hub = _known(self.evaluators)
            if self.llm_config is not None and any(one.needs_rest for one in hub):
                raise Refusal("has an llm_config, which an evaluator of the Eval Hub brings itself.")
        _names_each_once(self.evaluators)
        _check_shapes(self.query_filter, self.query_filters, self.evaluators)
        return self


class EvalTaskPatch(_EvalTask, frozen=True):
    """What patchEvalTask takes: the task, and any of its fields. What is left out stays as it is.

    Eval Hub evaluators and ``query_filters`` are changed over REST: GraphQL does not document them.

    :param online_task_id: global ID of the task.
    :param name: new name of the task.
    :param sampling_rate: fraction (0, 1] or percentage (1, 100] of the matching spans.
    :param query_filter: which spans; None clears the filter.
    :param run_continuously: whether new spans are evaluated as they arrive: pauses and resumes the task.
    :param template_evaluators: evaluators written in the task, in place of the present ones.
    :param code_evaluators: code evaluators written in the task, in place of the present ones.
    :param llm_config: the LLM of the template evaluators.
    :param evaluators: evaluators of the Eval Hub in place of the present ones. One that is given by its ID
        alone keeps the mappings, the version and the filter that it has in the task.
    :param query_filters: several filters with names, for evaluators of traces or sessions; None clears them.
    """

    patch: ClassVar[bool] = True
    rest_only: ClassVar[frozenset[str]] = frozenset({"evaluators", "query_filters"})

    online_task_id: Id
    name: Patch[Text] = UNSET
    sampling_rate: Patch[SamplingRate] = UNSET
    query_filter: Patch[Filter | None] = UNSET
    run_continuously: Patch[Flag] = UNSET
    template_evaluators: Patch[OneOrMore[TemplateEvaluator]] = UNSET
    code_evaluators: Patch[OneOrMore[CodeEvaluator]] = UNSET
    llm_config: Patch[LlmConfig] = UNSET
    evaluators: Patch[OneOrMore[HubEvaluator]] = UNSET
    query_filters: Patch[QueryFilters | None] = UNSET

    @property
    def needs_rest(self) -> bool:
        """Whether the patch has what GraphQL does not document: all of it is sent over REST."""
        return any(getattr(self, name) is not UNSET for name in self.rest_only)

    @across_fields
    def _is_of_one_kind(self) -> Self:
        inline = [name for name in (*INLINE_EVALUATORS, "llm_config") if getattr(self, name) is not UNSET]
        hub = [name for name in ("evaluators", "query_filters") if getattr(self, name) is not UNSET]
        if inline and hub:
            raise Refusal(
                f"has {' and '.join(inline)}, of evaluators written in the task, and {' and '.join(hub)}, of "
                f"the Eval Hub: give one or the other."
            )
        query_filter: object = self.query_filter  # which may only be known when the task runs
        if isinstance(query_filter, str) and isinstance(self.query_filters, QueryFilters):
            raise Refusal("has query_filter and query_filters: give one or the other.")
        _names_each_once(self.evaluators)
        _check_shapes(query_filter, self.query_filters, self.evaluators)
        return self

    @across_fields
    def _changes_something(self) -> Self:
        if all(getattr(self, name) is UNSET for name in type(self).model_fields if name != "online_task_id"):
            raise InvalidInput("Nothing to change: give at least one field besides online_task_id.")
        return self
