"""An evaluator of the Eval Hub as a DAG says it.

Fields: https://arize.com/docs/api-reference/evaluators/create-evaluator
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, assert_never

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks.inputs.base import WireInput, across_fields
from airflow_provider_online_tasks.inputs.evaluators import (
    Direction,
    EvaluatorLlmConfig,
    Granularity,
    refuse_jinja,
)
from airflow_provider_online_tasks.inputs.values import (
    Filter,
    Flag,
    Id,
    Refusal,
    Scores,
    Text,
    Texts,
)

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.responses.evaluators import ArizeTemplate

LONGEST_NAME = 255
_COLUMN = re.compile(r"[a-zA-Z0-9_\s\-&()]+")
_BY_TEMPLATE = ("classification_choices", "direction", "llm_config")
_BY_CODE = ("imports", "variables", "query_filter")

HubType = Literal["TEMPLATE", "CODE"]


class EvaluatorInput(WireInput, frozen=True):
    """An evaluator of the Eval Hub: what :class:`EvaluatorOperator` takes, in the same words.

    :param name: name of the evaluator, unique in its space; at most 255 characters.
    :param template: the prompt with variables in single braces, or the name of one of Arize's own templates.
    :param classification_choices: label to score, such as ``{"correct": 1, "incorrect": 0}``.
    :param llm_config: the LLM that judges.
    :param direction: whether a high score is good.
    :param include_explanations: whether the LLM explains its label. Default False.
    :param use_function_calling: whether Arize asks for the label by function calling. Default False.
    :param code: Python source of the evaluator's class, in place of ``template``.
    :param imports: the imports that the code needs.
    :param variables: the parameters of ``evaluate()``, which a task maps to attributes.
    :param query_filter: spans the code is for.
    :param data_granularity: what is judged.
    :param column_name: column name of the evaluation. Default: ``name``.
    :param description: what it is for; sent when the evaluator is created.
    :param space_id: global ID of the space. Default: the connection's, or that of its project.
    :param jinja: whether Airflow renders Jinja in ``template`` and ``code``. Default False.
    """

    not_sent: ClassVar[frozenset[str]] = frozenset({"jinja"})

    name: Text
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
    jinja: Flag = False

    @classmethod
    def _check_templates(cls, given: Mapping[str, Any]) -> None:
        for name in ("template", "code"):
            refuse_jinja(given.get(name), jinja=given.get("jinja", False), name=name)

    @across_fields
    def _judges_by_one_thing(self) -> Self:
        if (self.template is None) == (self.code is None):
            raise Refusal("needs either template or code.")
        others = _BY_CODE if self.code is None else _BY_TEMPLATE
        strange = [name for name in others if getattr(self, name) is not None]
        if strange:
            kind = "code" if self.code is None else "template"
            raise Refusal(f"has {', '.join(strange)}, which only an evaluator with {kind} has.")
        if self.code is not None and not self.variables:
            raise Refusal("needs variables: the parameters of its evaluate().")
        if self.template is not None and self.llm_config is None:
            raise Refusal("needs llm_config: the LLM that judges.")
        template: object = self.template  # which may only be known when the task runs
        if isinstance(template, str) and "{" in template and not self.classification_choices:
            raise Refusal("needs classification_choices: the labels, each with its score.")
        return self

    @across_fields
    def _has_a_name_that_arize_takes(self) -> Self:
        name: object = self.name
        if isinstance(name, str) and len(name) > LONGEST_NAME:
            raise Refusal(f"has {len(name)} characters; Arize takes {LONGEST_NAME}.", at=".name")
        place = "name" if self.column_name is None else "column_name"
        column: object = getattr(self, place)
        if isinstance(column, str) and not _COLUMN.fullmatch(column):
            raise Refusal(
                f"is {shown(column)}, which cannot be a column: it takes letters, digits, spaces and any of "
                f"_-&(). Give a column_name.",
                at=f".{place}",
            )
        return self

    @property
    def arize_template(self) -> str | None:
        """The name of one of Arize's templates: a template without a variable cannot be a prompt."""
        return self.template if self.template is not None and "{" not in self.template else None

    @property
    def type(self) -> HubType:
        """The type of evaluator that this is."""
        return "TEMPLATE" if self.code is None else "CODE"

    def content(self, arize_template: ArizeTemplate | None = None) -> dict[str, Any]:
        """Return what a version of the evaluator holds, as REST takes it.

        :param arize_template: Arize's template of the name that ``template`` gives.
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
        llm: Mapping[str, Any] = written["llm_config"]
        config = {
            "name": self.column_name or self.name,
            "template": arize.template if arize else self.template,
            "include_explanations": self.include_explanations,
            "use_function_calling": self.use_function_calling,
            "classification_choices": written.get("classification_choices")
            or (dict(arize.classification_choices) if arize else None),
            "direction": (self.direction or (arize.direction if arize else None) or "maximize").upper(),
            "llm_config": {_LLM_NAMES.get(name, name): value for name, value in llm.items()},
        }
        granularity = self.data_granularity or (arize.data_granularity if arize else None)
        return config if granularity is None else {**config, "data_granularity": granularity.upper()}

    def _code_config(self) -> dict[str, Any]:
        written = self.to_rest()
        config = {"type": "CUSTOM", "name": self.column_name or self.name}
        config |= {name: written[name] for name in ("code", *_BY_CODE) if name in written}
        return (
            config
            if self.data_granularity is None
            else {**config, "data_granularity": self.data_granularity.upper()}
        )


_LLM_NAMES = {"integration_id": "ai_integration_id"}
