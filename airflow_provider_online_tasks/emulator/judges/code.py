"""Evaluators that need no judge: checks of a text, named as Arize's managed code evaluators are."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from airflow_provider_online_tasks.emulator.judges.regex import RegexSearcher
from airflow_provider_online_tasks.emulator.judges.span_text import as_text, attributes_of, output_text
from airflow_provider_online_tasks.emulator.judges.verdict import JudgeError, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CODE_RAILS: Final = ("fail", "pass")


class CodeEvaluator(NamedTuple):
    """A check: the text and its parameters in, whether it passed and why out."""

    name: str
    check: Callable[[str, Mapping[str, Any]], tuple[bool, str]]


def is_built_in(name: str) -> bool:
    """Whether there is a built-in code evaluator of this name; case and separators are ignored."""
    return _key(name) in _BY_NAME


def run_code_evaluator(
    name: str, span: Mapping[str, Any], parameters: Mapping[str, Any] | None = None
) -> Verdict:
    """
    Return the verdict of a built-in code evaluator.

    :param name: e.g. ``json_parseable``, ``JSONParseable`` or ``JSON_PARSEABLE``: case and separators are
        ignored.
    :param span: the span to check.
    :param parameters: the check's own, and ``span_attribute``: the attribute to read (default: the output).
    :raises JudgeError: for a name that is not built in (code of users is never run) or a parameter that is
        missing or wrong.
    """
    evaluator = _BY_NAME.get(_key(name))
    if evaluator is None:
        known = ", ".join(sorted(item.name for item in CODE_EVALUATORS))
        raise JudgeError(
            f"The emulator runs no code of users and has no code evaluator {name!r}; it has {known}"
        )
    parameters = parameters or {}
    passed, reason = evaluator.check(_subject(span, parameters), parameters)
    return Verdict(CODE_RAILS[passed], float(passed), reason)


def _json_parseable(text: str, _: Mapping[str, Any]) -> tuple[bool, str]:
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        return False, f"The text is not JSON: {error}."
    return True, "The text is JSON."


def _matches_regex(text: str, parameters: Mapping[str, Any]) -> tuple[bool, str]:
    pattern = _required_text("matches_regex", parameters, "pattern")
    try:
        found = _SEARCHER.search(pattern, text)
    except JudgeError as error:
        raise JudgeError(f"matches_regex: {error}") from None
    return found, f"The text {'matches' if found else 'does not match'} {pattern!r}."


def _contains_any_keyword(text: str, parameters: Mapping[str, Any]) -> tuple[bool, str]:
    keywords = _keywords("contains_any_keyword", parameters)
    found = [keyword for keyword in keywords if keyword in text]
    return bool(found), f"The text holds {found[0]!r}." if found else "The text holds none of the keywords."


def _contains_all_keywords(text: str, parameters: Mapping[str, Any]) -> tuple[bool, str]:
    missing = [keyword for keyword in _keywords("contains_all_keywords", parameters) if keyword not in text]
    return not missing, f"The text lacks {missing[0]!r}." if missing else "The text holds all keywords."


def _exact_match(text: str, parameters: Mapping[str, Any]) -> tuple[bool, str]:
    same = text == _required_text("exact_match", parameters, "expected")
    return same, f"The text {'is' if same else 'is not'} the expected one."


_SEARCHER: Final = RegexSearcher()
CODE_EVALUATORS: Final = (
    CodeEvaluator("json_parseable", _json_parseable),
    CodeEvaluator("matches_regex", _matches_regex),
    CodeEvaluator("contains_any_keyword", _contains_any_keyword),
    CodeEvaluator("contains_all_keywords", _contains_all_keywords),
    CodeEvaluator("exact_match", _exact_match),
)


def _key(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


_BY_NAME: Final = {_key(evaluator.name): evaluator for evaluator in CODE_EVALUATORS}


def _subject(span: Mapping[str, Any], parameters: Mapping[str, Any]) -> str:
    attribute = parameters.get("span_attribute")
    if attribute is None:
        return output_text(span)
    return as_text(attributes_of(span).get(str(attribute).removeprefix("attributes.")))


def _required_text(evaluator: str, parameters: Mapping[str, Any], name: str) -> str:
    value = parameters.get(name)
    if not isinstance(value, str):
        raise JudgeError(f"{evaluator} needs the parameter {name!r}, a text; got {value!r}")
    return value


def _keywords(evaluator: str, parameters: Mapping[str, Any]) -> list[str]:
    value = parameters.get("keywords")
    # the UI takes a comma-separated text, the API a list
    keywords = [item.strip() for item in value.split(",")] if isinstance(value, str) else value
    if not isinstance(keywords, list) or not keywords or not all(isinstance(item, str) for item in keywords):
        raise JudgeError(f"{evaluator} needs the parameter 'keywords', a list of texts; got {value!r}")
    return keywords
