"""Code evaluators: Arize's managed checks, and Python code, which is checked but never run."""

from __future__ import annotations

import ast
import json
import re
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_online_tasks.emulator.evaluators import models
from airflow_provider_online_tasks.emulator.evaluators.judge import output_text, text_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from airflow_provider_online_tasks.emulator.spans.values import Unit

_MODULE: Final = "arize.experimental.datasets.experiments.evaluators.base"
_BASE: Final = "CodeEvaluator"
_ENTIRE_ROW: Final = "dataset_row"
_MANAGED: Final = frozenset(
    {"jsonparseable", "matchesregex", "containsanykeyword", "containsallkeywords", "exactmatch"}
)
_REGEX_SECONDS: Final = 0.5
_slow_patterns: set[str] = set()


class CodeKind:
    """Evaluators that run code."""

    name = "code"
    graphql_field = "codeEvaluators"
    task_type = "CODE_EVALUATION"
    hub_type = "CODE"
    config_field = "code_config"

    def from_graphql(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of an inline evaluator."""
        parameters = dict(fields.get("evaluationInputParams") or {})
        if fields.get("spanAttributes"):
            parameters.setdefault("span_attribute", fields["spanAttributes"][0])
        return {
            "evaluation_class": fields.get("evaluationClass"),
            "code": fields.get("evalClassCodeBlock"),
            "imports": fields.get("packageImports"),
            "parameters": parameters,
        }

    def from_hub(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of a definition."""
        parameters = {each["name"]: each["default_value"] for each in config.get("static_params") or ()}
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

    def check(self, evaluator: models.Evaluator, task_llm: Mapping[str, Any] | None) -> None:
        """Accept any code: Arize checks it when a run starts."""

    def rejection(self, evaluator: models.Evaluator) -> models.Rejection | None:
        """Return whether code cannot be loaded, or a managed evaluator does not exist."""
        reason = None
        if evaluator.code is not None:
            reason = code_error(
                evaluator.code, evaluator.imports, evaluator.evaluation_class, evaluator.variables
            )
        elif _key(evaluator.code_name) not in _MANAGED:
            reason = f"there is no managed evaluator {evaluator.code_name!r}, and no code is given"
        return models.Rejection("cancel", f"Code evaluator {evaluator.name!r}: {reason}") if reason else None

    def evaluate(
        self, evaluator: models.Evaluator, unit: Unit, queries: Mapping[str, Collection[str]]
    ) -> models.Evaluation:
        """Run a managed check."""
        parameters = dict(evaluator.parameters or {})
        if parameters.get("span_attribute") is not None:
            attribute = _text_parameter(parameters, "span_attribute")
            path = (evaluator.column_mappings or {}).get(attribute, attribute)
            parameters["span_attribute"] = path
            if unit.text(path) is None:
                raise models.NoValueError(
                    f"evaluator {evaluator.name!r}: {path!r} is not on the {unit.granularity}"
                )
        if evaluator.code is not None:
            raise models.EvaluationError(
                f"The emulator checks the code of evaluator {evaluator.name!r} but never runs it"
            )
        return run_check(evaluator.code_name, unit.as_span, parameters)


def run_check(
    name: str, span: Mapping[str, Any], parameters: Mapping[str, Any] | None = None
) -> models.Evaluation:
    """Return the evaluation of a managed code evaluator; the case and separators of its name are ignored."""
    parameters = parameters or {}
    attribute = parameters.get("span_attribute")
    if attribute is None:
        text = output_text(span)
    else:
        text = text_of(span, str(attribute).removeprefix("attributes."))
    match _key(name):
        case "jsonparseable":
            try:
                json.loads(text)
                passed, reason = True, "The text is JSON."
            except (ValueError, RecursionError) as error:
                passed, reason = False, f"The text is not JSON: {error}."
        case "matchesregex":
            pattern = _text_parameter(parameters, "pattern")
            passed = _matches(pattern, text)
            reason = f"The text {'matches' if passed else 'does not match'} {pattern!r}."
        case "containsanykeyword":
            found = [keyword for keyword in _keywords(parameters) if keyword in text]
            passed = bool(found)
            reason = f"The text contains {found[0]!r}." if found else "The text contains no keyword."
        case "containsallkeywords":
            missing = [keyword for keyword in _keywords(parameters) if keyword not in text]
            passed = not missing
            reason = f"{missing[0]!r} is missing." if missing else "The text contains all keywords."
        case "exactmatch":
            passed = text == _text_parameter(parameters, "expected")
            reason = f"The text {'equals' if passed else 'differs from'} the expected text."
        case _:
            raise models.EvaluationError(f"There is no managed evaluator {name!r}")
    return models.Evaluation("pass" if passed else "fail", float(passed), reason)


def _key(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def _matches(pattern: str, text: str) -> bool:
    import regex  # type: ignore[import-untyped]

    slow = f"the pattern {pattern!r} takes longer than {_REGEX_SECONDS} s"
    if pattern in _slow_patterns:
        raise models.EvaluationError(slow)
    try:
        return regex.search(pattern, text, timeout=_REGEX_SECONDS) is not None
    except TimeoutError:
        _slow_patterns.add(pattern)  # a run must not wait for each of its spans
        raise models.EvaluationError(slow) from None
    except (regex.error, RecursionError, OverflowError) as error:
        raise models.EvaluationError(
            f"the pattern {pattern!r} is not a regular expression: {error}"
        ) from None


def _text_parameter(parameters: Mapping[str, Any], name: str) -> str:
    value = parameters.get(name)
    if not isinstance(value, str):
        raise models.EvaluationError(f"the parameter {name!r} must be a text, not {value!r}")
    return value


def _keywords(parameters: Mapping[str, Any]) -> list[str]:
    value = parameters.get("keywords")
    # Arize's UI sends a text with commas, the API a list.
    keywords = [item.strip() for item in value.split(",")] if isinstance(value, str) else value
    if not isinstance(keywords, list) or not keywords or not all(isinstance(item, str) for item in keywords):
        raise models.EvaluationError(f"the parameter 'keywords' must be a list of texts, not {value!r}")
    return keywords


def code_error(
    code: str, imports: str | None, class_name: str | None, variables: Sequence[str]
) -> str | None:
    """Return why Arize cannot load or call a code evaluator, or None. The code never runs."""
    try:
        tree, imported = ast.parse(code), ast.parse(imports or "")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"the code cannot be parsed: {error}"
    if any(isinstance(node, ast.Import | ast.ImportFrom) for node in tree.body):
        return "the code contains an import; put all imports into the imports field"
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    found = next((node for node in classes if class_name in (None, node.name)), None)
    if found is None:
        return f"the code defines no class {class_name or 'that evaluates'}"
    if not any(_BASE in (getattr(base, "attr", None), getattr(base, "id", None)) for base in found.bases):
        return f"the class {found.name} does not extend {_BASE}"
    if not any(
        isinstance(node, ast.ImportFrom)
        and node.module == _MODULE
        and {_BASE, "*"} & {name.name for name in node.names}
        for node in imported.body
    ):
        return f"the imports lack {_BASE} from {_MODULE}, the only module that has it at Arize"
    methods = [node for node in found.body if isinstance(node, ast.FunctionDef) and node.name == "evaluate"]
    if not methods:
        return f"the class {found.name} has no method evaluate()"
    arguments = methods[0].args
    positional = [each.arg for each in (*arguments.posonlyargs, *arguments.args)]
    names = {*positional[1:], *(each.arg for each in arguments.kwonlyargs)}
    if positional[:1] != ["self"] or not names:
        return "evaluate() has the wrong signature: it must take self and each of its variables by name"
    unnamed = [name for name in variables if name not in names]
    if unnamed and _ENTIRE_ROW not in names:
        return f"evaluate() has the wrong signature: it does not name the variable {unnamed[0]!r}"
    return None
