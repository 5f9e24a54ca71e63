"""Code evaluators: Arize's managed checks, and Python of the user's own, which is looked at but never run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.emulator.judges.code import is_built_in, run_code_evaluator
from airflow_provider_online_tasks.emulator.judges.evaluator import Evaluator, NotResolvedError, Trouble
from airflow_provider_online_tasks.emulator.judges.kind import Kind
from airflow_provider_online_tasks.emulator.judges.user_code import trouble_with_code

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from airflow_provider_online_tasks.emulator.judges.judge import Judge
    from airflow_provider_online_tasks.emulator.judges.verdict import Verdict
    from airflow_provider_online_tasks.emulator.spans.subjects import Subject


def _of_graphql(fields: Mapping[str, Any], _: Mapping[str, Any] | None) -> dict[str, Any]:
    parameters = dict(fields.get("evaluationInputParams") or {})
    if fields.get("spanAttributes"):
        parameters.setdefault("span_attribute", fields["spanAttributes"][0])
    return {
        "evaluation_class": fields.get("evaluationClass"),
        "code": fields.get("evalClassCodeBlock"),
        "imports": fields.get("packageImports"),
        "parameters": parameters,
    }


def _of_hub(config: Mapping[str, Any]) -> dict[str, Any]:
    parameters = {
        each["name"]: each.get("default_value", each.get("value"))
        for each in config.get("static_params") or ()
    }
    if config.get("variables"):
        parameters.setdefault("span_attribute", config["variables"][0])
    return {
        "evaluation_class": config.get("managed_evaluator"),
        "code": config.get("code"),
        "imports": config.get("imports"),
        "variables": list(config.get("variables") or ()),
        "definition_filter": config.get("query_filter"),
        "parameters": parameters,
    }


def _check(_: Evaluator) -> None:
    """Whatever code it is, Arize finds out when it runs."""


def _trouble(evaluator: Evaluator) -> Trouble | None:
    if evaluator.code is not None:
        reason = trouble_with_code(
            evaluator.code, evaluator.imports, evaluator.evaluation_class, evaluator.variables
        )
    elif not is_built_in(evaluator.code_name):
        reason = f"there is no managed evaluator {evaluator.code_name!r}, and no code is given"
    else:
        reason = None
    return Trouble("CANCELLED", f"Code evaluator {evaluator.name!r}: {reason}") if reason else None


def _verdict(
    judge: Judge,  # noqa: ARG001 -- code needs no judge
    evaluator: Evaluator,
    subject: Subject,
    queries: Mapping[str, Collection[str]],  # noqa: ARG001 -- code reads attributes
    *,
    lenient: bool,
) -> Verdict:
    parameters = dict(evaluator.parameters or {})
    attribute = parameters.get("span_attribute")
    if attribute is not None and not lenient:
        path = (evaluator.column_mappings or {}).get(attribute, attribute)
        parameters["span_attribute"] = path
        if subject.value(path) is None:
            raise NotResolvedError(
                f"evaluator {evaluator.name!r}: {path!r} is not on the {subject.granularity}"
            )
    name = evaluator.code_name if evaluator.code is None else f"{evaluator.name} (code of the user's own)"
    return run_code_evaluator(name, subject.as_span, parameters)


KIND = Kind(
    name="code",
    graphql_field="codeEvaluators",
    task_type="CODE_EVALUATION",
    hub_type="CODE",
    config_field="code_config",
    of_graphql=_of_graphql,
    of_hub=_of_hub,
    check=_check,
    trouble=_trouble,
    verdict=_verdict,
)
