"""Code evaluators: Arize's managed checks, and Python code, which is checked but never run."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_online_tasks.emulator.evaluators.custom_code import code_error
from airflow_provider_online_tasks.emulator.evaluators.models import (
    Evaluation,
    EvaluationError,
    Evaluator,
    NoValueError,
    Rejection,
)
from airflow_provider_online_tasks.emulator.evaluators.texts import as_text, attributes_of, output_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from airflow_provider_online_tasks.emulator.spans.units import Unit

_LABELS: Final = ("fail", "pass")
_REGEX_SECONDS: Final = 0.5
_slow_patterns: set[str] = set()


class CodeKind:
    """Evaluators that run code."""

    name = "code"
    graphql_field = "codeEvaluators"
    task_type = "CODE_EVALUATION"
    hub_type = "CODE"
    config_field = "code_config"

    def from_graphql(self, fields: Mapping[str, Any], task_llm: Mapping[str, Any] | None) -> dict[str, Any]:
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

    def check(self, evaluator: Evaluator) -> None:
        """Accept any code: Arize checks it when a run starts."""

    def rejection(self, evaluator: Evaluator) -> Rejection | None:
        """Return whether code cannot be loaded, or a managed evaluator does not exist."""
        reason = None
        if evaluator.code is not None:
            reason = code_error(
                evaluator.code, evaluator.imports, evaluator.evaluation_class, evaluator.variables
            )
        elif _key(evaluator.code_name) not in _CHECKS:
            reason = f"there is no managed evaluator {evaluator.code_name!r}, and no code is given"
        return Rejection("CANCELLED", f"Code evaluator {evaluator.name!r}: {reason}") if reason else None

    def evaluate(
        self, evaluator: Evaluator, unit: Unit, queries: Mapping[str, Collection[str]]
    ) -> Evaluation:
        """Run a managed check."""
        parameters = dict(evaluator.parameters or {})
        attribute = parameters.get("span_attribute")
        if attribute is not None:
            path = (evaluator.column_mappings or {}).get(attribute, attribute)
            parameters["span_attribute"] = path
            if unit.text(path) is None:
                raise NoValueError(f"evaluator {evaluator.name!r}: {path!r} is not on the {unit.granularity}")
        if evaluator.code is not None:
            raise EvaluationError(f"The emulator does not run the code of evaluator {evaluator.name!r}")
        return run_check(evaluator.code_name, unit.as_span, parameters)


def run_check(name: str, span: Mapping[str, Any], parameters: Mapping[str, Any] | None = None) -> Evaluation:
    """
    Return the evaluation of a managed code evaluator.

    :param name: for example ``JSON_PARSEABLE`` or ``JSONParseable``: case and separators are ignored.
    :param span: the span to check.
    :param parameters: the parameters of the check, and ``span_attribute``: the attribute to read (default:
        the output).
    :raises EvaluationError: there is no such evaluator, or a parameter is missing or wrong.
    """
    check = _CHECKS.get(_key(name))
    if check is None:
        raise EvaluationError(f"There is no managed evaluator {name!r}")
    parameters = parameters or {}
    attribute = parameters.get("span_attribute")
    if attribute is None:
        text = output_text(span)
    else:
        text = as_text(attributes_of(span).get(str(attribute).removeprefix("attributes.")))
    passed, reason = check(text, parameters)
    return Evaluation(_LABELS[passed], float(passed), reason)


def _json_parseable(text: str, _: Mapping[str, Any]) -> tuple[bool, str]:
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        return False, f"The text is not JSON: {error}."
    return True, "The text is JSON."


def _matches_regex(text: str, parameters: Mapping[str, Any]) -> tuple[bool, str]:
    import regex  # type: ignore[import-untyped]

    pattern = _text_parameter(parameters, "pattern")
    slow = f"the pattern {pattern!r} takes longer than {_REGEX_SECONDS} s"
    if pattern in _slow_patterns:
        raise EvaluationError(slow)
    try:
        found = regex.search(pattern, text, timeout=_REGEX_SECONDS) is not None
    except TimeoutError:
        _slow_patterns.add(pattern)  # a run must not wait for each of its spans
        raise EvaluationError(slow) from None
    except (regex.error, RecursionError, OverflowError) as error:
        raise EvaluationError(f"the pattern {pattern!r} is not a regular expression: {error}") from None
    return found, f"The text {'matches' if found else 'does not match'} {pattern!r}."


def _contains_any_keyword(text: str, parameters: Mapping[str, Any]) -> tuple[bool, str]:
    found = [keyword for keyword in _keywords(parameters) if keyword in text]
    return bool(found), f"The text contains {found[0]!r}." if found else "The text contains no keyword."


def _contains_all_keywords(text: str, parameters: Mapping[str, Any]) -> tuple[bool, str]:
    missing = [keyword for keyword in _keywords(parameters) if keyword not in text]
    return not missing, f"{missing[0]!r} is missing." if missing else "The text contains all keywords."


def _exact_match(text: str, parameters: Mapping[str, Any]) -> tuple[bool, str]:
    same = text == _text_parameter(parameters, "expected")
    return same, f"The text {'equals' if same else 'differs from'} the expected text."


def _key(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


_CHECKS: Final[dict[str, Callable[[str, Mapping[str, Any]], tuple[bool, str]]]] = {
    "jsonparseable": _json_parseable,
    "matchesregex": _matches_regex,
    "containsanykeyword": _contains_any_keyword,
    "containsallkeywords": _contains_all_keywords,
    "exactmatch": _exact_match,
}


def _text_parameter(parameters: Mapping[str, Any], name: str) -> str:
    value = parameters.get(name)
    if not isinstance(value, str):
        raise EvaluationError(f"the parameter {name!r} must be a text, not {value!r}")
    return value


def _keywords(parameters: Mapping[str, Any]) -> list[str]:
    value = parameters.get("keywords")
    # Arize's UI sends a text with commas, the API a list.
    keywords = [item.strip() for item in value.split(",")] if isinstance(value, str) else value
    if not isinstance(keywords, list) or not keywords or not all(isinstance(item, str) for item in keywords):
        raise EvaluationError(f"the parameter 'keywords' must be a list of texts, not {value!r}")
    return keywords
