"""Evaluators: defined in a task (by a template or code), or in the Eval Hub.

Fields: https://arize.com/docs/ax/graphql-reference/mutations/evaluators-and-tasks and
https://arize.com/docs/api-reference/evaluators/create-evaluator
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, assert_never

from pydantic import Field, ValidationInfo, field_validator, model_validator

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks.inputs import base
from airflow_provider_online_tasks.inputs.arguments import Direction, Granularity
from airflow_provider_online_tasks.inputs.base import (
    Flag,
    Id,
    JsonObject,
    OneOrMore,
    OptionalText,
    Place,
    Text,
    WireInput,
)
from airflow_provider_online_tasks.inputs.templating import is_changed_by_jinja

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.responses import ArizeTemplate

HubType = Literal["TEMPLATE", "CODE"]
_ONLY_TEMPLATE = ("classification_choices", "direction", "llm_config")
_ONLY_CODE = ("imports", "variables", "query_filter")
_COLUMN = re.compile(r"[a-zA-Z0-9_\s\-&()]+")
_MAY_HAVE_BRACES = ("template", "code", "imports", "eval_class_code_block", "package_imports")


class Templated(WireInput, frozen=True):
    """Base of the inputs with a prompt or code, which Airflow must not render by mistake."""

    jinja: Flag = Field(default=False, exclude=True)

    @field_validator("*", mode="before")
    @classmethod
    def _is_not_rendered_by_mistake(cls, value: Any, info: ValidationInfo) -> Any:
        is_parsed = info.context is base.PARSING and not info.data.get("jinja")
        is_sent = info.field_name in _MAY_HAVE_BRACES and isinstance(value, str)
        if is_parsed and is_sent and is_changed_by_jinja(value):
            raise base.certain_problem(
                "has Jinja, which Airflow would render before Arize receives it. Write the variables of a "
                "template in single braces, such as {attributes.input.value}. Put other text between "
                "{% raw %} and {% endraw %}. To let Airflow render it, set jinja=True."
            )
        return value


class LlmConfig(WireInput, frozen=True):
    """The LLM of a task's template evaluators.

    :param model_name: name of the model, sent unchanged, such as ``GPT_4o``.
    :param provider: name of the provider, sent unchanged, such as ``openAI``.
    :param temperature: temperature of the generation, at least 0.
    :param integration_id: global ID of the LLM integration in Arize.
    :param invocation_parameters: parameters of the invocation, such as ``{"max_tokens": 100}``.
    :param provider_parameters: parameters of the provider.
    """

    model_name: OptionalText = None
    provider: OptionalText = None
    temperature: Annotated[base.Number, Field(ge=0)] | None = None
    integration_id: Id | None = None
    invocation_parameters: JsonObject | None = None
    provider_parameters: JsonObject | None = None

    @model_validator(mode="after")
    def _names_a_model(self) -> Self:
        if self.model_name is None and self.integration_id is None:
            raise ValueError("needs model_name or integration_id.")
        return self


class EvaluatorLlmConfig(WireInput, frozen=True):
    """The LLM of one template evaluator, in the newer generation of the API.

    :param integration_id: global ID of the LLM integration in Arize.
    :param model_name: name of the model, sent unchanged, such as ``gpt-4o``.
    :param invocation_parameters: parameters of the invocation, such as ``{"temperature": 0}``. Default: none.
    :param provider_parameters: parameters of the provider. Default: none.
    """

    integration_id: Id
    model_name: Text
    invocation_parameters: JsonObject = Field(default_factory=dict)
    provider_parameters: JsonObject = Field(default_factory=dict)


class TemplateEvaluator(Templated, frozen=True):
    """An LLM that evaluates a span with a prompt and returns one of the allowed labels.

    :param name: column name of the evaluation.
    :param template: the prompt, with variables such as ``{attributes.input.value}``.
    :param rails: the allowed labels, at least two.
    :param position: position of the evaluator in the task, at least 0. Default: its place in the list,
        counted from 1.
    :param include_explanations: whether the LLM explains its label. Default False.
    :param use_function_calling_if_available: whether Arize uses function calling to get the label.
        Default False.
    :param query_filter: spans to evaluate, in addition to the task's filter.
    :param classification_choices: score of each label, such as ``{"correct": 1, "incorrect": 0}``.
    :param direction: whether a high score is good: ``maximize``, ``minimize`` or ``none``.
    :param data_granularity_type: what to evaluate: ``span``, ``trace`` or ``session``.
    :param llm_config: the LLM of this evaluator, as :class:`EvaluatorLlmConfig` or a dict, in the newer
        generation of the API.
    :param jinja: whether Airflow renders Jinja in ``template``. If False, a literal template that Jinja
        would change is an error, unless it is only a value of Airflow such as ``{{ var.value.prompt }}``.
        Default False.
    """

    name: Text
    template: Text
    rails: base.Labels
    position: Place | None = None
    include_explanations: Flag = False
    use_function_calling_if_available: Flag = False
    query_filter: OptionalText = None
    classification_choices: base.Scores | None = None
    direction: Direction | None = None
    data_granularity_type: Granularity | None = None
    llm_config: EvaluatorLlmConfig | None = None

    @model_validator(mode="after")
    def _scores_its_labels(self) -> Self:
        if unknown := sorted(set(self.classification_choices or ()) - set(self.rails)):
            raise ValueError(
                f"classification_choices has a score for {shown(unknown[0])}, which is not in rails "
                f"{shown(list(self.rails))}."
            )
        return self


class CodeEvaluator(Templated, frozen=True):
    """A check by code that is defined in the task.

    :param name: column name of the evaluation.
    :param position: position of the evaluator in the task, at least 0. Default: its place in the list,
        counted from 1, after the template evaluators.
    :param eval_class_code_block: the code of the evaluator's class.
    :param evaluation_class: name of the class.
    :param evaluation_input_params: arguments of the class.
    :param package_imports: the imports that the code needs.
    :param query_filter: spans to evaluate, in addition to the task's filter.
    :param span_attributes: names of the span attributes that the code receives.
    :param data_granularity_type: what to evaluate: ``span``, ``trace`` or ``session``.
    :param jinja: whether Airflow renders Jinja in ``eval_class_code_block`` and ``package_imports``, as for a
        :class:`TemplateEvaluator`. Default False.
    """

    name: Text
    position: Place | None = None
    eval_class_code_block: OptionalText = None
    evaluation_class: OptionalText = None
    evaluation_input_params: JsonObject | None = None
    package_imports: OptionalText = None
    query_filter: OptionalText = None
    span_attributes: base.Texts | None = None
    data_granularity_type: Granularity | None = None


class QueryMapping(WireInput, frozen=True):
    """The value of a template's variable, for an evaluator of traces or sessions.

    :param variable_name: name of the variable.
    :param query_ids: IDs of the task's ``query_filters`` that select the spans, ``A`` to ``E``; an empty list
        for any of them.
    :param attribute_path: attribute of those spans, such as ``attributes.input.value``.
    """

    variable_name: Text
    query_ids: base.QueryIds
    attribute_path: Text


class NamedFilter(WireInput, frozen=True):
    """One of a task's named query filters.

    :param id: a letter from ``A`` to ``E``.
    :param filter: the spans, such as ``attributes.openinference.span.kind = 'AGENT'``.
    """

    id: base.QueryId
    filter: Text


class QueryFilters(WireInput, frozen=True):
    """The query filters of a task whose evaluators evaluate traces or sessions.

    :param filters: one to five filters with different IDs.
    :param expression: which of them must match, such as ``A AND B``. Required for two or more filters.
    """

    filters: OneOrMore[NamedFilter]
    expression: OptionalText = None

    @model_validator(mode="after")
    def _combines_its_filters(self) -> Self:
        ids = [each.id for each in self.filters]
        if twice := base.first_twice(ids):
            raise ValueError(f"has two filters with the id {twice!r}. Use different IDs.")
        if len(ids) > 1 and self.expression is None:
            raise ValueError("needs an expression for two or more filters, such as 'A AND B'.")
        return self


class HubEvaluator(WireInput, frozen=True):
    """An evaluator of the Eval Hub, by its ID.

    :param evaluator_id: global ID of the evaluator.
    :param position: position of the evaluator in the task, at least 0. Default: its place in the list,
        counted from 0.
    :param column_mappings: attribute of a span for each variable of the template, such as
        ``{"input": "attributes.input.value"}``.
    :param evaluator_version_id: global ID of the version to use. Default: always the newest.
    :param query_filter: spans to evaluate, in addition to the task's filter.
    :param query_mappings: value of each variable of the template, for an evaluator of traces or sessions. It
        excludes ``column_mappings`` and ``query_filter``.

    In a patch, a field that is left out keeps its value; None removes it.
    """

    keeps_none: ClassVar[bool] = True

    evaluator_id: Id
    position: Place | None = None
    column_mappings: base.TextByName | None = None
    evaluator_version_id: Id | None = None
    query_filter: OptionalText = None
    query_mappings: OneOrMore[QueryMapping] | None = None

    @property
    def needs_rest(self) -> bool:
        """Whether it has a field that only REST documents."""
        only_rest = (self.column_mappings, self.evaluator_version_id, self.query_filter, self.query_mappings)
        return any(field is not None for field in only_rest)

    @property
    def excluded_fields(self) -> tuple[str, ...]:
        """Names of the fields that the fields of this evaluator exclude."""
        if self.query_mappings is not None:
            return ("column_mappings", "query_filter")
        return ("query_mappings",) if self.is_for_spans else ()

    @property
    def is_for_spans(self) -> bool:
        """Whether it has a field that is only for evaluators of spans."""
        return self.column_mappings is not None or self.query_filter is not None

    @model_validator(mode="after")
    def _is_for_spans_or_for_more(self) -> Self:
        if self.query_mappings is not None and self.is_for_spans:
            raise ValueError(
                "has query_mappings, which are for traces and sessions, and column_mappings or query_filter, "
                "which are for spans. Set only one kind."
            )
        return self


class EvaluatorInput(Templated, frozen=True):
    """An evaluator of the Eval Hub. :class:`EvaluatorOperator` takes the same arguments.

    :param name: name of the evaluator, unique in its space; at most 255 characters.
    :param template: the prompt with variables in single braces, or the name of one of Arize's own templates.
    :param classification_choices: score of each label, such as ``{"correct": 1, "incorrect": 0}``.
    :param llm_config: the LLM judge.
    :param direction: whether a high score is good.
    :param include_explanations: whether the LLM explains its label. Default False.
    :param use_function_calling: whether Arize uses function calling to get the label. Default False.
    :param code: Python source of the evaluator's class, instead of ``template``.
    :param imports: the imports that the code needs.
    :param variables: the parameters of ``evaluate()``, which a task maps to attributes.
    :param query_filter: spans that the code evaluates.
    :param data_granularity: what to evaluate: ``span``, ``trace`` or ``session``.
    :param column_name: column name of the evaluation. Default: ``name``.
    :param description: description of the evaluator, sent when it is created.
    :param space_id: global ID of the space. Default: the connection's, or that of its project.
    :param jinja: whether Airflow renders Jinja in ``template``, ``code`` and ``imports``. Default False.
    """

    name: Annotated[Text, Field(max_length=255)]
    template: OptionalText = None
    classification_choices: base.Scores | None = None
    llm_config: EvaluatorLlmConfig | None = None
    direction: Direction | None = None
    include_explanations: Flag = False
    use_function_calling: Flag = False
    code: OptionalText = None
    imports: OptionalText = None
    variables: base.Texts | None = None
    query_filter: OptionalText = None
    data_granularity: Granularity | None = None
    column_name: OptionalText = None
    description: OptionalText = None
    space_id: Id | None = None

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if (self.template is None) == (self.code is None):
            raise ValueError("Set either template or code.")
        others = _ONLY_CODE if self.code is None else _ONLY_TEMPLATE
        if unused := [name for name in others if getattr(self, name) is not None]:
            raise ValueError(f"{unused[0]} needs {'code' if self.code is None else 'template'}.")
        if self.code is not None and not self.variables:
            raise ValueError("Set variables to the parameters of evaluate().")
        if self.template is not None and self.llm_config is None:
            raise ValueError("Set llm_config to the LLM judge.")
        if "{" in (self.template or "") and not self.classification_choices:
            raise ValueError("Set classification_choices to the labels and their scores.")
        if not _COLUMN.fullmatch(self.column):
            raise ValueError(
                f"{shown(self.column)} cannot be a column name. Set column_name, with letters, digits, "
                f"spaces and any of _-&()."
            )
        return self

    @property
    def column(self) -> str:
        """The column name of the evaluation."""
        return self.column_name or self.name

    @property
    def arize_template(self) -> str | None:
        """The name of one of Arize's templates: a template without a variable cannot be a prompt."""
        return self.template if self.template is not None and "{" not in self.template else None

    @property
    def type(self) -> HubType:
        """The type of the evaluator."""
        return "TEMPLATE" if self.code is None else "CODE"

    def content(self, arize_template: ArizeTemplate | None = None) -> dict[str, Any]:
        """Return the content of a version of the evaluator, in the REST API's form.

        :param arize_template: Arize's template with the name in ``template``.
        """
        written, kind = self.to_rest(), self.type
        config: dict[str, Any] = {"name": self.column}
        choices = written.get("classification_choices")
        direction, granularity = written.get("direction"), written.get("data_granularity")
        if arize_template is not None:
            choices = choices or dict(arize_template.classification_choices)
            direction = direction or arize_template.direction
            granularity = granularity or arize_template.data_granularity
        if granularity is not None:
            config["data_granularity"] = granularity.upper()
        match kind:
            case "TEMPLATE":
                llm = written["llm_config"]
                llm["ai_integration_id"] = llm.pop("integration_id")
                return {
                    "template_config": {
                        **config,
                        "template": arize_template.template if arize_template else self.template,
                        "include_explanations": self.include_explanations,
                        "use_function_calling": self.use_function_calling,
                        "classification_choices": choices,
                        "direction": (direction or "maximize").upper(),
                        "llm_config": llm,
                    }
                }
            case "CODE":
                given = {name: written[name] for name in ("code", *_ONLY_CODE) if name in written}
                return {"code_config": {"type": "CUSTOM", **config, **given}}
            case _:
                assert_never(kind)
