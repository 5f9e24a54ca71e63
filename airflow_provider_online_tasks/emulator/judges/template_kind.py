"""Template evaluators: a judge model that fills in a prompt and chooses a label."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.emulator.errors import RefusedInputError
from airflow_provider_online_tasks.emulator.judges.evaluator import Evaluator, NotResolvedError, Trouble
from airflow_provider_online_tasks.emulator.judges.kind import Kind
from airflow_provider_online_tasks.emulator.judges.models import trouble_with_model
from airflow_provider_online_tasks.emulator.judges.span_text import fill, fill_template, variables
from airflow_provider_online_tasks.emulator.spans.subjects import CONVERSATION, LONGEST_VALUE

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from airflow_provider_online_tasks.emulator.judges.judge import Judge
    from airflow_provider_online_tasks.emulator.judges.verdict import Verdict
    from airflow_provider_online_tasks.emulator.spans.subjects import Subject


def _of_graphql(fields: Mapping[str, Any], task_llm: Mapping[str, Any] | None) -> dict[str, Any]:
    own = fields.get("llmConfig")
    llm = own if own is not None else task_llm
    if llm is None:
        raise RefusedInputError(
            f"Template evaluator {fields['name']!r} needs an llmConfig, its own or the task's"
        )
    choices = fields.get("classificationChoices")
    return {
        "template": fields["template"],
        "rails": fields.get("rails") or list(choices or {}),
        "choices": choices,
        "explain": fields["includeExplanations"],
        "llm": {
            "provider": llm.get("provider"),
            "integration_id": llm.get("integrationId"),
            "model": llm.get("modelName"),
        },
    }


def _of_hub(config: Mapping[str, Any]) -> dict[str, Any]:
    choices, llm = config.get("classification_choices"), config.get("llm_config") or {}
    return {
        "template": config["template"],
        "rails": list(choices or {}),
        "choices": choices,
        "explain": config.get("include_explanations", True),
        "llm": {"integration_id": llm.get("ai_integration_id"), "model": llm.get("model_name")},
    }


def _check(evaluator: Evaluator) -> None:
    if not evaluator.template or not evaluator.template.strip():
        raise RefusedInputError(f"The template of evaluator {evaluator.name!r} is empty")
    rails = evaluator.rails
    if rails and (len(rails) < 2 or len(set(rails)) != len(rails)):
        raise RefusedInputError(f"Evaluator {evaluator.name!r} needs at least two different rails")


def _trouble(evaluator: Evaluator) -> Trouble | None:
    if not evaluator.rails:
        return Trouble("FAILED", f"Evaluator {evaluator.name!r}: missing rails and classification choices")
    reason = trouble_with_model(evaluator.llm)
    return Trouble("CANCELLED", f"Evaluator {evaluator.name!r}: {reason}") if reason else None


def _verdict(
    judge: Judge,
    evaluator: Evaluator,
    subject: Subject,
    queries: Mapping[str, Collection[str]],
    *,
    lenient: bool,
) -> Verdict:
    template = evaluator.template or ""
    if lenient:
        span = subject.as_span
        prompt = fill_template(_with_columns(template, evaluator.column_mappings or {}), span)
    else:
        prompt = _prompt(template, evaluator, subject, queries)
    return judge.judge(
        template=template,
        prompt=prompt,
        rails=evaluator.rails,
        choices=evaluator.choices,
        explain=evaluator.explain,
        span=subject.as_span,
    )


def _prompt(
    template: str, evaluator: Evaluator, subject: Subject, queries: Mapping[str, Collection[str]]
) -> str:
    """Fill a template as Arize does: a variable without a value leaves nothing to judge."""
    values: dict[str, str] = {}
    columns = evaluator.column_mappings or {}
    mapped = {each["variable_name"]: each for each in evaluator.query_mappings or ()}
    left = LONGEST_VALUE
    for variable in variables(template):
        within: Collection[str] | None = None
        path = columns.get(variable, variable)
        if variable in mapped:
            path = mapped[variable]["attribute_path"]
            ids = mapped[variable]["query_ids"] or list(queries)
            within = {span_id for each in ids for span_id in queries.get(each, ())}
        elif variable not in columns and evaluator.evaluator_id is not None and variable != CONVERSATION:
            # A task says what the variables of an evaluator of the Eval Hub are; they name no columns.
            raise NotResolvedError(
                f"evaluator {evaluator.name!r}: the variable {{{variable}}} has no mapping"
            )
        value = subject.value(path, within)
        if value is None:
            raise NotResolvedError(
                f"evaluator {evaluator.name!r}: {path!r} is not on the {subject.granularity}"
                + (f" (the variable {{{variable}}})" if path != variable else "")
            )
        # A session's prompt is bounded as a whole, a trace's value by value.
        values[variable] = value[: left if subject.granularity == "session" else LONGEST_VALUE]
        left -= len(values[variable])
    return fill(template, values)


def _with_columns(template: str, columns: Mapping[str, str]) -> str:
    """Write the columns that variables are mapped to into a template, in place of the variables."""

    def column(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        return f"{{{columns[name]}}}" if name in columns else match[0]

    return re.sub(r"\{\{\s*([\w.]+)\s*\}\}|\{\s*([\w.]+)\s*\}", column, template)


KIND = Kind(
    name="template",
    graphql_field="templateEvaluators",
    task_type="TEMPLATE_EVALUATION",
    hub_type="TEMPLATE",
    config_field="template_config",
    of_graphql=_of_graphql,
    of_hub=_of_hub,
    check=_check,
    trouble=_trouble,
    verdict=_verdict,
)
