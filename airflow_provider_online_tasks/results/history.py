"""What the Evals page knows of a window: a short record in XCom, beside an operator's full result.

The full summary holds examples, with texts of spans and of an LLM. The page needs numbers only, so the
operators push these short records under keys of their own, and the page reads nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_online_tasks._numbers import finite
from airflow_provider_online_tasks.gate.intervals import share_interval

CONFIDENCE = 0.95
DIGITS = 5  # enough for a picture, and half of the answer's length
RESULTS_KEY = "eval_results"
VERDICT_KEY = "eval_verdict"

MOST_EVALUATORS = 50
MOST_LABELS = 20
MOST_RULES = 100
TEXT_CHARACTERS = 200
OTHER_LABELS = "(other labels)"


def results_record(summary: Mapping[str, Any], *, spans_url: str | None = None) -> dict[str, Any]:
    """Return the record of what ``EvalResultsOperator`` returns.

    :param summary: the operator's result.
    :param spans_url: where the Arize UI shows the spans of the window.
    """
    return {
        "start": summary.get("data_start_time"),
        "end": summary.get("data_end_time"),
        "run_id": summary.get("run_id"),
        "complete": summary.get("complete"),
        "expected": summary.get("expected"),
        "skipped": summary.get("skipped"),
        "errors": summary.get("errors"),
        "spans_url": spans_url,
        "evaluators": {
            name: {
                "evaluated": found.get("evaluated", 0),
                "not_evaluated": found.get("not_evaluated"),
                "labels": _label_record(found),
                "score": _score(found),
                "evaluator_version": found.get("evaluator_version"),
            }
            for name, found in summary.get("evaluators", {}).items()
        },
    }


def _label_record(found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return how often each label was given, the most frequent by themselves, with its share's interval."""
    counts = [(label, one["count"]) for label, one in found.get("labels", {}).items()]
    counts.sort(key=lambda pair: -pair[1])
    other = sum(count for _, count in counts[MOST_LABELS:]) + found.get("other_labels", 0)
    shown = counts[:MOST_LABELS] + ([(OTHER_LABELS, other)] if other else [])
    total = sum(count for _, count in shown)
    record: dict[str, dict[str, Any]] = {}
    for label, count in shown:
        low, high = share_interval(count, total, CONFIDENCE)
        record[label] = {"count": count, "low": round(low, DIGITS), "high": round(high, DIGITS)}
    return record


def _score(found: Mapping[str, Any]) -> dict[str, Any] | None:
    if found.get("score_mean") is None:
        return None
    low, high = found.get("score_interval") or (None, None)
    return {"mean": found["score_mean"], "low": low, "high": high}


RULE_TEXTS = ("evaluator", "measure", "rule", "segment", "outcome", "note")
RULE_NUMBERS = ("measured", "low", "high", "evaluations", "evaluations_needed")


def verdict_record(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of what ``EvalGateOperator`` returns.

    It names the run and the window, so that the page finds the results that were held against the rules.
    """
    return {
        "run_id": verdict.get("run_id"),
        "start": verdict.get("data_start_time"),
        "end": verdict.get("data_end_time"),
        "passed": verdict.get("passed"),
        "outcome": verdict.get("outcome"),
        "confidence": verdict.get("confidence"),
        "approved": verdict.get("approved"),
        "responded_by": verdict.get("responded_by"),
        "rules": [
            {name: rule.get(name) for name in RULE_TEXTS + RULE_NUMBERS}
            for rule in list(verdict.get("rules", ()))[:MOST_RULES]
        ],
    }


# What is read back may be anything: a DAG can push any value under any key. ---------------------------


def read_results(value: Any) -> dict[str, Any] | None:
    """Read a record of results, bounded; None if it is not one."""
    found = _object(value)
    evaluators = found.get("evaluators") if found else None
    if found is None or not isinstance(evaluators, Mapping):
        return None
    return {
        "start": _text(found.get("start")),
        "end": _text(found.get("end")),
        "run_id": _text(found.get("run_id")),
        "complete": _flag(found.get("complete")),
        "expected": _count(found.get("expected")),
        "skipped": _count(found.get("skipped")),
        "errors": _count(found.get("errors")),
        "spans_url": _address(found.get("spans_url")),
        "evaluators": {
            str(_text(str(name))): _evaluator(one)
            for name, one in list(evaluators.items())[:MOST_EVALUATORS]
            if isinstance(one, Mapping)
        },
    }


def _evaluator(one: Mapping[str, Any]) -> dict[str, Any]:
    score = one.get("score")
    mean = finite(score.get("mean")) if isinstance(score, Mapping) else None
    return {
        "evaluated": _count(one.get("evaluated")) or 0,
        "not_evaluated": _count(one.get("not_evaluated")),
        "shares": _shares(one.get("labels")),
        "score": None
        if mean is None or not isinstance(score, Mapping)
        else {"mean": mean, "low": finite(score.get("low")), "high": finite(score.get("high"))},
        "evaluator_version": _text(one.get("evaluator_version")),
    }


def _shares(given: Any) -> dict[str, dict[str, Any]]:
    """Return the share of each label among those that got one, with its interval."""
    found: dict[str, tuple[int, Mapping[str, Any]]] = {}
    for label, one in given.items() if isinstance(given, Mapping) else ():
        if len(found) > MOST_LABELS:
            break
        count = _count(one.get("count")) if isinstance(one, Mapping) else None
        if count is not None:
            found[str(_text(str(label)))] = (count, one)
    total = sum(count for count, _ in found.values())
    return {
        label: {
            "count": count,
            "share": round(count / total, DIGITS),
            "low": finite(one.get("low")),
            "high": finite(one.get("high")),
        }
        for label, (count, one) in found.items()
        if total
    }


def read_verdict(value: Any) -> dict[str, Any] | None:
    """Read a record of a verdict, bounded; None if it is not one."""
    found = _object(value)
    rules = found.get("rules") if found else None
    if found is None or isinstance(rules, str) or not isinstance(rules, Sequence):
        return None
    return {
        **{name: _text(found.get(name)) for name in ("run_id", "start", "end", "outcome", "responded_by")},
        "passed": _flag(found.get("passed")),
        "approved": _flag(found.get("approved")),
        "confidence": finite(found.get("confidence")),
        "rules": [
            {
                **{name: _text(one.get(name)) for name in RULE_TEXTS},
                **{name: finite(one.get(name)) for name in RULE_NUMBERS},
            }
            for one in rules[:MOST_RULES]
            if isinstance(one, Mapping)
        ],
    }


def _object(value: Any) -> Mapping[str, Any] | None:
    if isinstance(value, str):
        # Airflow stores a value as JSON text; a reference to object storage is text too.
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, Mapping) else None


def _text(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    text = value.encode("utf-8", "replace").decode()
    return text if len(text) <= TEXT_CHARACTERS else text[: TEXT_CHARACTERS - 1] + "…"


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _address(value: Any) -> str | None:
    """Return a web address; None for anything else, such as ``javascript:``."""
    whole = isinstance(value, str) and value.startswith(("https://", "http://")) and len(value) <= 2_000
    return value if whole else None


def _count(value: Any) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53
    return value if whole else None
