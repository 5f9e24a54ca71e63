"""An evaluator of the Eval Hub as a DAG defines it.

Fields: https://arize.com/docs/api-reference/evaluators/create-evaluator
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, assert_never

from pydantic import Field, model_validator

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks.inputs.evaluators import EvaluatorLlmConfig, Templated
from airflow_provider_online_tasks.inputs.fields import Filter, Flag, Id, Scores, Text, Texts
from airflow_provider_online_tasks.inputs.values import Direction, Granularity

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.responses import ArizeTemplate

_COLUMN = re.compile(r"[a-zA-Z0-9_\s\-&()]+")
_ONLY_TEMPLATE = ("classification_choices", "direction", "llm_config")
_ONLY_CODE = ("imports", "variables", "query_filter")

HubType = Literal["TEMPLATE", "CODE"]


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
    :param jinja: whether Airflow renders Jinja in ``template`` and ``code``. Default False.
    """

    name: Annotated[Text, Field(max_length=255)]
    template: Text | None = None
    classification_choices: Scores | None = None
    llm_config: EvaluatorLlmConfig | None = None
    direction: Direction | None = None
    include_explanations: Flag = False
    use_function_calling: Flag = False
    code: Text | None = None
    imports: Text | None = None
    variables: Texts | None = None
    query_filter: Filter | None = None
    data_granularity: Granularity | None = None
    column_name: Text | None = None
    description: Text | None = None
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
        kind = self.type
        match kind:
            case "TEMPLATE":
                return {"template_config": self._template_config(arize_template)}
            case "CODE":
                return {"code_config": self._code_config()}
            case _:
                assert_never(kind)

    def _template_config(self, arize: ArizeTemplate | None) -> dict[str, Any]:
        written = self.to_rest()
        llm = dict(written["llm_config"])
        llm["ai_integration_id"] = llm.pop("integration_id")
        config = {
            "name": self.column,
            "template": arize.template if arize else self.template,
            "include_explanations": self.include_explanations,
            "use_function_calling": self.use_function_calling,
            "classification_choices": written.get("classification_choices")
            or (dict(arize.classification_choices) if arize else None),
            "direction": (self.direction or (arize.direction if arize else None) or "maximize").upper(),
            "llm_config": llm,
        }
        granularity = self.data_granularity or (arize.data_granularity if arize else None)
        return config if granularity is None else {**config, "data_granularity": granularity.upper()}

    def _code_config(self) -> dict[str, Any]:
        written = self.to_rest()
        config = {"type": "CUSTOM", "name": self.column}
        config |= {name: written[name] for name in ("code", *_ONLY_CODE) if name in written}
        if self.data_granularity is not None:
            config["data_granularity"] = self.data_granularity.upper()
        return config
