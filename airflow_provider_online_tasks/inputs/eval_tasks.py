"""The inputs of createEvalTask and patchEvalTask.

Fields: https://arize.com/docs/ax/graphql-reference/mutations/evaluators-and-tasks and
https://arize.com/docs/ax/graphql-reference/apis/online-tasks-api
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic.alias_generators import to_camel

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks.inputs import base
from airflow_provider_online_tasks.inputs.base import (
    Flag,
    Id,
    OneOrMore,
    OptionalText,
    SamplingRate,
    Text,
    WireInput,
)
from airflow_provider_online_tasks.inputs.evaluators import (
    CodeEvaluator,
    HubEvaluator,
    LlmConfig,
    QueryFilters,
    TemplateEvaluator,
)


class _EvalTask(WireInput, frozen=True):
    """What a new task and a patch share. The types of the fields differ, so each class has its own."""

    if TYPE_CHECKING:
        query_filter: Any
        template_evaluators: Any
        code_evaluators: Any
        evaluators: Any
        query_filters: Any

    @field_validator("template_evaluators", "code_evaluators", "evaluators", mode="after", check_fields=False)
    @classmethod
    def _number(cls, evaluators: Any, info: ValidationInfo) -> Any:
        """Give each evaluator a position: its own, or its place in the list."""
        if evaluators is None:
            return None
        first = 0 if info.field_name == "evaluators" else 1
        if info.field_name == "code_evaluators":
            first += len(info.data.get("template_evaluators") or ())
        return [
            evaluator.model_copy(update={"position": place}) if evaluator.position is None else evaluator
            for place, evaluator in enumerate(evaluators, start=first)
        ]

    @model_validator(mode="after")
    def _has_no_evaluator_twice(self) -> Self:
        inline: list[Any] = [*(self.template_evaluators or ()), *(self.code_evaluators or ())]
        if twice := base.first_twice([evaluator.name for evaluator in inline]):
            raise ValueError(f"Two evaluators are named {shown(twice)}. Use different names.")
        if twice := base.first_twice([evaluator.evaluator_id for evaluator in self.evaluators or ()]):
            raise ValueError(f"evaluators has {shown(twice)} twice. List each evaluator once.")
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """Reject what Arize rejects, with a better message, and what it would mix up."""
        inline = self.template_evaluators or self.code_evaluators
        hub: Sequence[HubEvaluator] = self.evaluators or ()
        filters: QueryFilters | None = self.query_filters
        if self.query_filter is not None and filters is not None:
            raise ValueError("Set only one of query_filter and query_filters.")
        if inline and hub:
            raise ValueError(
                "Set either evaluators (Eval Hub IDs) or template_evaluators and code_evaluators (defined in "
                "the task), not both."
            )
        if inline and filters is not None:
            raise ValueError("query_filters needs evaluators of the Eval Hub. Use query_filter.")
        for_more = [evaluator for evaluator in hub if evaluator.query_mappings is not None]
        for_spans = [evaluator for evaluator in hub if evaluator.is_for_spans]
        if for_more and for_spans:
            raise ValueError(
                "evaluators has some with query_mappings, which are for traces or sessions, and some with "
                "column_mappings or query_filter, which are for spans. Create two tasks."
            )
        if for_more and self.query_filter is not None:
            raise ValueError("query_filter is for spans. With query_mappings, use query_filters.")
        if for_spans and filters is not None:
            raise ValueError("query_filters is for traces and sessions. For spans, use query_filter.")
        if self.keeps_none and "query_filters" not in self.model_fields_set:
            return self  # a patch that leaves the task's filters unchanged
        declared = {each.id for each in filters.filters} if filters else set()
        for mapping in (each for evaluator in for_more for each in evaluator.query_mappings or ()):
            if unknown := sorted(set(mapping.query_ids) - declared):
                raise ValueError(
                    f"query_mappings maps {shown(mapping.variable_name)} to query {unknown[0]}, which "
                    f"query_filters does not have."
                )
        return self


class EvalTaskInput(_EvalTask, frozen=True):
    """The input of createEvalTask.

    :param name: name of the task.
    :param model_id: global ID of the project (its type reads ``Model``).
    :param sampling_rate: fraction (0, 1] or percentage (1, 100] of the matching spans. Default: all.
    :param query_filter: which spans, such as ``attributes.openinference.span.kind = 'AGENT'``. Default: all.
    :param run_continuously: whether to evaluate new spans as they arrive. Default False.
    :param template_evaluators: template evaluators defined in the task, one or several.
    :param code_evaluators: code evaluators defined in the task, one or several.
    :param evaluators: evaluators of the Eval Hub. Excludes the two above.
    :param llm_config: the LLM of the template evaluators.
    :param query_filters: named filters for Eval Hub evaluators of traces or sessions, instead of
        ``query_filter``.
    """

    name: Text
    model_id: Id
    sampling_rate: SamplingRate = 1.0
    query_filter: OptionalText = None
    run_continuously: Flag = False
    template_evaluators: OneOrMore[TemplateEvaluator] | None = None
    code_evaluators: OneOrMore[CodeEvaluator] | None = None
    evaluators: OneOrMore[HubEvaluator] | None = None
    llm_config: LlmConfig | None = Field(default=None, validate_default=True)
    query_filters: QueryFilters | None = None

    @field_validator("llm_config")
    @classmethod
    def _has_an_llm(cls, llm: LlmConfig | None, info: ValidationInfo) -> LlmConfig | None:
        evaluators: Sequence[TemplateEvaluator] = info.data.get("template_evaluators") or ()
        if llm is None and any(evaluator.llm_config is None for evaluator in evaluators):
            raise base.certain_problem(
                "is required with template_evaluators, such as "
                "llm_config={'model_name': 'GPT_4o', 'provider': 'openAI'}."
            )
        return llm

    @property
    def needs_rest(self) -> bool:
        """Whether it has a field that GraphQL does not document, so that all is sent over REST."""
        return self.query_filters is not None or any(each.needs_rest for each in self.evaluators or ())

    @model_validator(mode="after")
    def _has_evaluators(self) -> Self:
        if not (self.template_evaluators or self.code_evaluators or self.evaluators):
            raise ValueError("Set template_evaluators, code_evaluators or evaluators.")
        if self.llm_config is not None and self.evaluators and self.needs_rest:
            raise ValueError("llm_config is for template_evaluators. Eval Hub evaluators have one.")
        return self


_UNCHANGED: Final[Any] = None


class EvalTaskPatch(_EvalTask, frozen=True):
    """The input of patchEvalTask: the task and the fields to change. Other fields stay unchanged.

    Eval Hub evaluators and ``query_filters`` are changed over REST: GraphQL does not document them.

    :param online_task_id: global ID of the task.
    :param name: new name of the task.
    :param sampling_rate: fraction (0, 1] or percentage (1, 100] of the matching spans.
    :param query_filter: which spans; None clears the filter.
    :param run_continuously: whether to evaluate new spans as they arrive: False pauses, True resumes.
    :param template_evaluators: template evaluators that replace the present ones.
    :param code_evaluators: code evaluators that replace the present ones.
    :param llm_config: the LLM of the template evaluators.
    :param evaluators: evaluators of the Eval Hub that replace the present ones. An evaluator keeps the
        mappings, the version and the filter that it has in the task, except those that are given.
    :param query_filters: named filters for evaluators of traces or sessions; None clears them.
    """

    keeps_none: ClassVar[bool] = True

    online_task_id: Id
    name: Text = _UNCHANGED
    sampling_rate: SamplingRate = _UNCHANGED
    query_filter: OptionalText = _UNCHANGED
    run_continuously: Flag = _UNCHANGED
    template_evaluators: OneOrMore[TemplateEvaluator] = _UNCHANGED
    code_evaluators: OneOrMore[CodeEvaluator] = _UNCHANGED
    llm_config: LlmConfig = _UNCHANGED
    evaluators: OneOrMore[HubEvaluator] = _UNCHANGED
    query_filters: QueryFilters | None = _UNCHANGED

    @property
    def changes(self) -> list[str]:
        """Names of the fields to change."""
        given = self.model_fields_set - {"online_task_id"}
        return [name for name in type(self).model_fields if name in given]

    @property
    def needs_rest(self) -> bool:
        """Whether it has a field that GraphQL does not document, so that all is sent over REST."""
        return not self.model_fields_set.isdisjoint({"evaluators", "query_filters"})

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        inline = {"template_evaluators", "code_evaluators", "llm_config"}
        if self.needs_rest and not self.model_fields_set.isdisjoint(inline):
            raise ValueError(
                "Set either evaluators and query_filters (Eval Hub), or template_evaluators, code_evaluators "
                "and llm_config (defined in the task)."
            )
        if not self.changes:
            raise ValueError("There is nothing to change. Set at least one field besides online_task_id.")
        return self

    def _dump(self, *, by_alias: bool) -> dict[str, Any]:
        cleared = [name for name in self.changes if getattr(self, name) is None]
        return super()._dump(by_alias=by_alias) | {
            to_camel(name) if by_alias else name: None for name in cleared
        }
