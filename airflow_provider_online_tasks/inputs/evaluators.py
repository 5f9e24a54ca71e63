"""Evaluators: written in the task, as a template or as code, or of the Eval Hub by ID.

Fields: https://arize.com/docs/ax/graphql-reference/mutations/evaluators-and-tasks
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal, Self

from pydantic import Field

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks.inputs.base import OneOrMore, WireInput, across_fields
from airflow_provider_online_tasks.inputs.templating import is_airflow_value, is_changed_by_jinja
from airflow_provider_online_tasks.inputs.values import (
    Filter,
    Flag,
    Id,
    JsonObject,
    Labels,
    Place,
    QueryId,
    QueryIds,
    Refusal,
    Scores,
    Temperature,
    Text,
    TextByName,
    Texts,
)

MAXIMIZE: Final = "maximize"
MINIMIZE: Final = "minimize"
Direction = Literal["maximize", "minimize", "none"]
Granularity = Literal["span", "trace", "session"]


def refuse_jinja(template: Any, *, jinja: Any, name: str = "template") -> None:
    """Refuse an evaluator's template that Airflow would change before Arize sees it.

    :param template: the template as it is in the DAG.
    :param jinja: whether its author wants that.
    :param name: the field that it is.
    """
    if not isinstance(template, str) or is_airflow_value(template) or str(jinja).strip().lower() == "true":
        return
    if is_changed_by_jinja(template):
        raise Refusal(
            "holds Jinja, which Airflow would render before Arize sees it. Write variables in single braces, "
            "such as {attributes.input.value}, or put what is for Arize between {% raw %} and {% endraw %}. "
            f"If Airflow is to render it, say jinja=True beside the {name}.",
            at=f".{name}",
        )


class LlmConfig(WireInput, frozen=True):
    """The LLM of a task's template evaluators.

    :param model_name: the model, passed through as it is, such as ``GPT_4o``.
    :param provider: the provider, passed through as it is, such as ``openAI``.
    :param temperature: temperature of the generation, 0 or more.
    :param integration_id: global ID of the LLM integration in Arize.
    :param invocation_parameters: parameters of the invocation, such as ``{"max_tokens": 100}``.
    :param provider_parameters: parameters of the provider.
    """

    model_name: Text | None = None
    provider: Text | None = None
    temperature: Temperature | None = None
    integration_id: Id | None = None
    invocation_parameters: JsonObject | None = None
    provider_parameters: JsonObject | None = None

    @across_fields
    def _names_a_model(self) -> Self:
        if self.model_name is None and self.integration_id is None:
            raise Refusal("needs model_name or integration_id.")
        return self


class EvaluatorLlmConfig(WireInput, frozen=True):
    """The LLM of one template evaluator, in the newer generation of the API.

    :param integration_id: global ID of the LLM integration in Arize.
    :param model_name: the model, passed through as it is, such as ``gpt-4o``.
    :param invocation_parameters: parameters of the invocation, such as ``{"temperature": 0}``. Default: none.
    :param provider_parameters: parameters of the provider. Default: none.
    """

    integration_id: Id
    model_name: Text
    invocation_parameters: JsonObject = Field(default_factory=dict)
    provider_parameters: JsonObject = Field(default_factory=dict)


class TemplateEvaluator(WireInput, frozen=True):
    """An LLM that judges a span by a template and answers with one of the allowed labels.

    :param name: column name of the evaluation.
    :param template: the prompt, with variables such as ``{attributes.input.value}``.
    :param rails: the allowed labels, at least two.
    :param position: place of the evaluator in the task, 0 or more. Default: its place in the list,
        counted from 1.
    :param include_explanations: whether the LLM explains its label. Default False.
    :param use_function_calling_if_available: whether Arize asks for the label by function calling.
        Default False.
    :param query_filter: spans this evaluator is for, in addition to the task's filter.
    :param classification_choices: label to score, such as ``{"correct": 1, "incorrect": 0}``.
    :param direction: whether a high score is good: ``maximize``, ``minimize`` or ``none``.
    :param data_granularity_type: what is judged: ``span``, ``trace`` or ``session``.
    :param llm_config: the LLM of this evaluator, as :class:`EvaluatorLlmConfig` or a dict, in the newer
        generation of the API.
    :param jinja: whether Airflow renders Jinja in ``template``. Without it a literal template that Jinja
        would change is an error, unless it is nothing but one value of Airflow's. Default False.
    """

    not_sent: ClassVar[frozenset[str]] = frozenset({"jinja"})

    name: Text
    template: Text
    rails: Labels
    position: Place | None = None
    include_explanations: Flag = False
    use_function_calling_if_available: Flag = False
    query_filter: Filter | None = None
    classification_choices: Scores | None = None
    direction: Direction | None = None
    data_granularity_type: Granularity | None = None
    llm_config: EvaluatorLlmConfig | None = None
    jinja: Flag = False

    @classmethod
    def _check_templates(cls, given: Mapping[str, Any]) -> None:
        refuse_jinja(given.get("template"), jinja=given.get("jinja", False))

    @across_fields
    def _scores_its_labels(self) -> Self:
        rails, scores = self.rails, self.classification_choices
        if isinstance(rails, tuple) and isinstance(scores, dict):  # neither is only known later
            strange = sorted(set(scores) - set(rails))
            if strange:
                raise Refusal(
                    f"scores {shown(strange)}, which rails {shown(list(rails))} does not have.",
                    at=".classification_choices",
                )
        return self


class CodeEvaluator(WireInput, frozen=True):
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

    name: Text
    position: Place | None = None
    eval_class_code_block: Text | None = None
    evaluation_class: Text | None = None
    evaluation_input_params: JsonObject | None = None
    package_imports: Text | None = None
    query_filter: Filter | None = None
    span_attributes: Texts | None = None
    data_granularity_type: Granularity | None = None


class QueryMapping(WireInput, frozen=True):
    """What a variable of a template is, for an evaluator of traces or sessions.

    :param variable_name: the variable.
    :param query_ids: IDs of the task's ``query_filters`` that give the spans, ``A`` to ``E``; an empty list
        for any of them.
    :param attribute_path: attribute of those spans, such as ``attributes.input.value``.
    """

    variable_name: Text
    query_ids: QueryIds
    attribute_path: Text


class NamedFilter(WireInput, frozen=True):
    """One of a task's several query filters.

    :param id: a letter from ``A`` to ``E``.
    :param filter: which spans, such as ``attributes.openinference.span.kind = 'AGENT'``.
    """

    id: QueryId
    filter: Filter


class QueryFilters(WireInput, frozen=True):
    """The query filters of a task whose evaluators judge traces or sessions.

    :param filters: the filters, one to five, each with an ID of its own.
    :param expression: which of them have to match, such as ``A AND B``. Required for two or more.
    """

    filters: OneOrMore[NamedFilter]
    expression: Text | None = None

    @across_fields
    def _says_how_several_combine(self) -> Self:
        if not isinstance(self.filters, tuple):  # only known when the task runs
            return self
        ids = [one.id for one in self.filters if isinstance(one, NamedFilter)]
        if twice := sorted({name for name in ids if ids.count(name) > 1}):
            raise Refusal(f"names {shown(twice[0])} twice; each ID once.", at=".filters")
        if len(self.filters) > 1 and self.expression is None:
            raise Refusal("needs an expression, such as 'A AND B', for two or more filters.")
        return self


class HubEvaluator(WireInput, frozen=True):
    """An evaluator of the Eval Hub, by its ID.

    :param evaluator_id: global ID of the evaluator.
    :param position: place of the evaluator in the task, 0 or more. Default: its place in the list,
        counted from 0.
    :param column_mappings: which attribute of a span each variable of the template is, such as
        ``{"input": "attributes.input.value"}``.
    :param evaluator_version_id: global ID of the version to judge by. Default: always the newest.
    :param query_filter: spans this evaluator is for, in addition to the task's filter.
    :param query_mappings: what each variable of the template is, for an evaluator of traces or sessions. It
        excludes ``column_mappings`` and ``query_filter``.
    """

    rest_only: ClassVar[frozenset[str]] = frozenset(
        {"column_mappings", "evaluator_version_id", "query_filter", "query_mappings"}
    )

    evaluator_id: Id
    position: Place | None = None
    column_mappings: TextByName | None = None
    evaluator_version_id: Id | None = None
    query_filter: Filter | None = None
    query_mappings: OneOrMore[QueryMapping] | None = None

    @property
    def needs_rest(self) -> bool:
        """Whether it has what GraphQL does not document."""
        return any(name in self.rest_only for name in self.given())

    @across_fields
    def _is_of_spans_or_of_more(self) -> Self:
        of_spans = [name for name in ("column_mappings", "query_filter") if getattr(self, name) is not None]
        if self.query_mappings is not None and of_spans:
            raise Refusal(
                f"has query_mappings, for traces and sessions, and {' and '.join(of_spans)}, for spans: "
                f"give one or the other."
            )
        return self
