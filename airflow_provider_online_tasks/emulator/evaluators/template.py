"""Template evaluators: the offline judge labels what has a value for each variable of the template."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.emulator.errors import InvalidError
from airflow_provider_online_tasks.emulator.evaluators import models
from airflow_provider_online_tasks.emulator.evaluators.judge import judge
from airflow_provider_online_tasks.emulator.integrations import missing_model
from airflow_provider_online_tasks.emulator.spans.values import CONVERSATION

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from airflow_provider_online_tasks.emulator.spans.values import Unit

# {{name}} or {name}; a name contains no quote, so that JSON in a template is not a variable
_VARIABLE = re.compile(r"\{\{ *([A-Za-z_][\w.\-]*) *\}\}|\{ *([A-Za-z_][\w.\-]*) *\}")


class TemplateKind:
    """Evaluators with a prompt template."""

    name = "template"
    graphql_field = "templateEvaluators"
    task_type = "TEMPLATE_EVALUATION"
    hub_type = "TEMPLATE"
    config_field = "template_config"

    def from_graphql(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of an inline evaluator."""
        choices = fields.get("classificationChoices")
        return {
            "template": fields["template"],
            "rails": fields.get("rails") or list(choices or {}),
            "choices": choices,
            "explain": fields["includeExplanations"],
            "llm": fields.get("llmConfig"),
        }

    def from_hub(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of a definition."""
        choices, llm = config.get("classification_choices"), config.get("llm_config") or {}
        return {
            "template": config["template"],
            "rails": list(choices or {}),
            "choices": choices,
            "explain": config.get("include_explanations", True),
            "llm": {"integrationId": llm.get("ai_integration_id"), "modelName": llm.get("model_name")},
        }

    def check(self, evaluator: models.Evaluator, task_llm: Mapping[str, Any] | None) -> None:
        """Reject an empty template, a missing LLM, and rails that are no choice."""
        if evaluator.llm is None and task_llm is None:
            raise InvalidError(f"Template evaluator {evaluator.name!r} needs its own llmConfig or the task's")
        if not evaluator.template or not evaluator.template.strip():
            raise InvalidError(f"The template of evaluator {evaluator.name!r} is empty")
        if any(type(score) not in {int, float} for score in (evaluator.choices or {}).values()):
            raise InvalidError(f"The scores of the choices of evaluator {evaluator.name!r} must be numbers")
        rails = evaluator.rails
        if rails and (len(rails) < 2 or len(set(rails)) != len(rails)):
            raise InvalidError(f"Evaluator {evaluator.name!r} needs at least two different rails")

    def rejection(self, evaluator: models.Evaluator) -> models.Rejection | None:
        """Return whether rails are missing, or the model does not exist."""
        if not evaluator.rails:
            reason = "missing rails and classification choices"
            return models.Rejection("fail", f"Evaluator {evaluator.name!r}: {reason}")
        missing = missing_model(evaluator.llm or {})
        return models.Rejection("cancel", f"Evaluator {evaluator.name!r}: {missing}") if missing else None

    def evaluate(
        self, evaluator: models.Evaluator, unit: Unit, queries: Mapping[str, Collection[str]]
    ) -> models.Evaluation:
        """Evaluate the unit with the offline judge, unless a variable of the template has no value."""
        prompt(evaluator, unit, queries)  # raises if a value is missing
        result = judge(evaluator.template or "", evaluator.rails, evaluator.choices, unit.as_span)
        return result if evaluator.explain else result._replace(explanation=None)


def usage(evaluations: Iterable[tuple[models.Evaluator, models.Evaluation]], *context: Any) -> Counter[str]:
    """Return what calls of a language model would have used, at four characters per token."""
    used: Counter[str] = Counter()
    for evaluator, evaluation in evaluations:
        if evaluator.kind == TemplateKind.name:
            text, response = prompt(evaluator, *context), f"{evaluation.label}{evaluation.explanation}"
            used.update(calls=1, input_tokens=len(text) // 4, output_tokens=len(response) // 4)
    return used


def prompt(evaluator: models.Evaluator, unit: Unit, queries: Mapping[str, Collection[str]]) -> str:
    """Return the template with its values; reject a unit without one of them, as Arize does."""
    columns = evaluator.column_mappings or {}
    mappings = {each["variable_name"]: each for each in evaluator.query_mappings or ()}

    def value(match: re.Match[str]) -> str:
        variable = match[1] or match[2]
        within: Collection[str] | None = None
        path = columns.get(variable, variable)
        if variable in mappings:
            path = mappings[variable]["attribute_path"]
            ids = mappings[variable]["query_ids"] or list(queries)
            within = {span_id for each in ids for span_id in queries.get(each, ())}
        elif variable not in columns and evaluator.evaluator_id is not None and variable != CONVERSATION:
            # The variables of an Eval Hub evaluator are not columns: the task maps them.
            raise models.NoValueError(
                f"evaluator {evaluator.name!r}: the variable {{{variable}}} has no mapping"
            )
        text = unit.text(path, within)
        if text is None:
            of_variable = f" (the variable {{{variable}}})" if path != variable else ""
            where = f"{path!r} is not on the {unit.granularity}{of_variable}"
            raise models.NoValueError(f"evaluator {evaluator.name!r}: {where}")
        return text

    return _VARIABLE.sub(value, evaluator.template or "")
