"""What the Evals page knows of a window: a short record in XCom, beside an operator's full result.

The full summary holds examples, with texts of spans and of an LLM. The page needs numbers only, so the
operators push these short records under keys of their own, and the page reads nothing else.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_online_tasks.results._intervals import wilson

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
                "without": found.get("without"),
                "labels": {label: one["count"] for label, one in found.get("labels", {}).items()},
                "score": _score(found),
                "judge": found.get("judge"),
            }
            for name, found in summary.get("evaluators", {}).items()
        },
    }


def _score(found: Mapping[str, Any]) -> dict[str, Any] | None:
    if found.get("score_mean") is None:
        return None
    low, high = found.get("score_interval") or (None, None)
    return {"mean": found["score_mean"], "low": low, "high": high}


def verdict_record(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of what ``EvalGateOperator`` returns."""
    rules = [
        {name: rule.get(name) for name in ("evaluator", "measure", "rule", "measured", "outcome", "note")}
        for rule in verdict.get("rules", ())
    ]
    return {"passed": verdict.get("passed"), "rules": rules}


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
        "complete": found.get("complete") if isinstance(found.get("complete"), bool) else None,
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
    given = one.get("labels")
    counts = [
        (str(_text(str(label))), count)
        for label, value in (given.items() if isinstance(given, Mapping) else ())
        if (count := _count(value)) is not None
    ]
    counts.sort(key=lambda pair: -pair[1])
    labels: dict[str, int] = {}
    for place, (label, count) in enumerate(counts):
        shown = label if place < MOST_LABELS else OTHER_LABELS
        labels[shown] = labels.get(shown, 0) + count
    score = one.get("score")
    mean = _number(score.get("mean")) if isinstance(score, Mapping) else None
    return {
        "evaluated": _count(one.get("evaluated")) or 0,
        "without": _count(one.get("without")),
        "shares": _shares(labels),
        "score": None
        if mean is None or not isinstance(score, Mapping)
        else {"mean": mean, "low": _number(score.get("low")), "high": _number(score.get("high"))},
        "judge": _text(one.get("judge")),
    }


def _shares(labels: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """Return the share of each label among those that got one, with its interval."""
    total = sum(labels.values())
    shares: dict[str, dict[str, Any]] = {}
    for label, count in labels.items():
        low, high = wilson(count, total, CONFIDENCE)
        shares[label] = {
            "count": count,
            "share": round(count / total, DIGITS),
            "low": round(low, DIGITS),
            "high": round(high, DIGITS),
        }
    return shares if total else {}


def read_verdict(value: Any) -> dict[str, Any] | None:
    """Read a record of a verdict, bounded; None if it is not one."""
    found = _object(value)
    rules = found.get("rules") if found else None
    if found is None or isinstance(rules, str) or not isinstance(rules, Sequence):
        return None
    return {
        "passed": found.get("passed") if isinstance(found.get("passed"), bool) else None,
        "rules": [
            {
                "evaluator": _text(one.get("evaluator")),
                "measure": _text(one.get("measure")),
                "rule": _text(one.get("rule")),
                "measured": _number(one.get("measured")),
                "outcome": _text(one.get("outcome")),
                "note": _text(one.get("note")),
            }
            for one in rules[:MOST_RULES]
            if isinstance(one, Mapping)
        ],
    }


def _object(value: Any) -> Mapping[str, Any] | None:
    if isinstance(
        value, str
    ):  # Airflow stores a value as JSON text; a reference to object storage is text too
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


def _address(value: Any) -> str | None:
    """Return a web address; None for anything else, such as ``javascript:``."""
    whole = isinstance(value, str) and value.startswith(("https://", "http://")) and len(value) <= 2_000
    return value if whole else None


def _count(value: Any) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53
    return value if whole else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
