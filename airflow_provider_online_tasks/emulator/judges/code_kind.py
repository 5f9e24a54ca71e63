"""Code evaluators: Arize's managed checks, and Python of the user's own, which is looked at but never run."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.emulator.judges.code import is_built_in, run_code_evaluator
from airflow_provider_online_tasks.emulator.judges.evaluator import Evaluator, NotResolvedError, Trouble
from airflow_provider_online_tasks.emulator.judges.kind import Kind

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
        "parameters": parameters,
    }


def _check(_: Evaluator) -> None:
    """Whatever code it is, Arize finds out when it runs."""


def _trouble(evaluator: Evaluator) -> Trouble | None:
    if evaluator.code is not None:
        reason = _trouble_with_code(evaluator.code, evaluator.evaluation_class)
    elif not is_built_in(evaluator.code_name):
        reason = f"there is no managed evaluator {evaluator.code_name!r}, and no code is given"
    else:
        reason = None
    return Trouble("CANCELLED", f"Code evaluator {evaluator.name!r}: {reason}") if reason else None


def _trouble_with_code(code: str, class_name: str | None) -> str | None:
    """Return what keeps a code evaluator from being loaded: its syntax, its class, or evaluate()."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"the code cannot be parsed: {error}"
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    found = [node for node in classes if class_name in (None, node.name)]
    if not found:
        return f"the code defines no class {class_name or 'that evaluates'}"
    if not any(_base_name(base).endswith("CodeEvaluator") for base in found[0].bases):
        return f"the class {found[0].name} does not extend CodeEvaluator"
    methods = [
        node for node in found[0].body if isinstance(node, ast.FunctionDef) and node.name == "evaluate"
    ]
    if not methods:
        return f"the class {found[0].name} has no method evaluate()"
    arguments = methods[0].args
    names = {each.arg for each in (*arguments.args, *arguments.kwonlyargs)}
    if not names & {"self"} or ("dataset_row" not in names and arguments.kwarg is None):
        return "evaluate() has the wrong signature: it takes self and dataset_row, or keyword arguments"
    return None


def _base_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


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
