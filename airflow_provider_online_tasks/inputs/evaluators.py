"""Evaluators: written in the task, as a template or as code, or of the Eval Hub by ID.

Fields: https://arize.com/docs/ax/graphql-reference/mutations/evaluators-and-tasks
"""

from __future__ import annotations

from typing import Final, Literal, Self

from pydantic import Field, model_validator

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks.inputs._base import WireInput
from airflow_provider_online_tasks.inputs._values import (
    Filter,
    Flag,
    Id,
    JsonObject,
    Labels,
    Place,
    Refusal,
    Scores,
    Temperature,
    Text,
    Texts,
)

MAXIMIZE: Final = "maximize"
MINIMIZE: Final = "minimize"
Direction = Literal["maximize", "minimize", "none"]
Granularity = Literal["span", "trace", "session"]


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

    @model_validator(mode="after")
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
    """

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

    @model_validator(mode="after")
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


class HubEvaluator(WireInput, frozen=True):
    """An evaluator of the Eval Hub, by its ID.

    :param evaluator_id: global ID of the evaluator.
    :param position: place of the evaluator in the task, 0 or more. Default: its place in the list,
        counted from 0.
    """

    evaluator_id: Id
    position: Place | None = None


__all__ = [
    "MAXIMIZE",
    "MINIMIZE",
    "CodeEvaluator",
    "Direction",
    "EvaluatorLlmConfig",
    "Granularity",
    "HubEvaluator",
    "LlmConfig",
    "TemplateEvaluator",
]
