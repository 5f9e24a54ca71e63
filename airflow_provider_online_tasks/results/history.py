"""Records for the Evals page: short copies of results and verdicts in XCom, without texts of spans.

The operators push these records under their own keys, and the page reads nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_online_tasks.gate.intervals import share_interval
from airflow_provider_online_tasks.inputs.arguments import finite

RESULTS_KEY = "eval_results"
VERDICT_KEY = "eval_verdict"
CONFIDENCE = 0.95
DIGITS = 5  # enough for a plot, and half the size of a response
MAX_EVALUATORS = 50
MAX_LABELS = 20
MAX_RULES = 100
TEXT_CHARACTERS = 200
OTHER_LABELS = "(other labels)"


def results_record(summary: Mapping[str, Any], *, spans_url: str | None = None) -> dict[str, Any]:
    """Return the record of a summary of ``EvalResultsOperator``."""
    return {
        "start": summary.get("data_start_time"),
        "end": summary.get("data_end_time"),
        **{key: summary.get(key) for key in ("run_id", "complete", "expected", "skipped", "errors")},
        "spans_url": spans_url,
        "evaluators": {
            name: _evaluator_record(figures) for name, figures in summary.get("evaluators", {}).items()
        },
    }


def _evaluator_record(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures, with the intervals of the most frequent labels, which are listed first."""
    counts = [(label, entry["count"]) for label, entry in figures.get("labels", {}).items()]
    others = sum(count for _, count in counts[MAX_LABELS:]) + figures.get("other_labels", 0)
    counts = counts[:MAX_LABELS] + ([(OTHER_LABELS, others)] if others else [])
    total = sum(count for _, count in counts)
    labels = {}
    for label, count in counts:
        low, high = (round(end, DIGITS) for end in share_interval(count, total, CONFIDENCE))
        labels[label] = {"count": count, "low": low, "high": high}
    mean, interval = figures.get("score_mean"), figures.get("score_interval") or (None, None)
    return {
        "evaluated": figures.get("evaluated", 0),
        "not_evaluated": figures.get("not_evaluated"),
        "labels": labels,
        "score": None if mean is None else {"mean": mean, "low": interval[0], "high": interval[1]},
        "evaluator_version": figures.get("evaluator_version"),
    }


def verdict_record(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of a verdict; by its run and window the page finds the results that were checked."""
    rules = list(verdict.get("rules", ()))[:MAX_RULES]
    return {
        **{key: verdict.get(key) for key in _VERDICT_FIELDS},
        "start": verdict.get("data_start_time"),
        "end": verdict.get("data_end_time"),
        "rules": [{key: rule.get(key) for key in _RULE_FIELDS} for rule in rules],
    }


# A DAG can push any value under any key, so what is read is validated and bounded.


def read_results(value: Any) -> dict[str, Any] | None:
    """Read a record of results; None if the value is not one. Unreadable fields are None."""
    record = _object(value)
    evaluators = record.get("evaluators")
    if not isinstance(evaluators, Mapping):
        return None
    return {
        **_read_fields(record, _RESULTS_FIELDS),
        "evaluators": {
            str(_text(str(name))): _read_evaluator(entry)
            for name, entry in list(evaluators.items())[:MAX_EVALUATORS]
            if isinstance(entry, Mapping)
        },
    }


def read_verdict(value: Any) -> dict[str, Any] | None:
    """Read a record of a verdict; None if the value is not one. Unreadable fields are None."""
    record = _object(value)
    rules = record.get("rules")
    if not isinstance(rules, list | tuple):
        return None
    return {
        **_read_fields(record, _VERDICT_FIELDS),
        "rules": [
            _read_fields(rule, _RULE_FIELDS) for rule in rules[:MAX_RULES] if isinstance(rule, Mapping)
        ],
    }


def _object(value: Any) -> Mapping[str, Any]:
    if isinstance(value, str):
        # Airflow stores JSON text. A reference to object storage is text too.
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, Mapping) else {}


def _read_fields(record: Mapping[str, Any], fields: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    return {key: read(record.get(key)) for key, read in fields.items()}


def _read_evaluator(entry: Mapping[str, Any]) -> dict[str, Any]:
    score, labels = (
        part if isinstance(part, Mapping) else {} for part in (entry.get("score"), entry.get("labels"))
    )
    shares: dict[str, dict[str, Any]] = {}
    for label, share in labels.items():
        if isinstance(share, Mapping) and len(shares) <= MAX_LABELS:
            shares[str(_text(str(label)))] = _read_fields(share, _SHARE_FIELDS)
    shares = {label: share for label, share in shares.items() if share["count"] is not None}
    total = sum(share["count"] for share in shares.values())
    for share in shares.values():
        share["share"] = round(share["count"] / total, DIGITS) if total else None
    score = _read_fields(score, _SCORE_FIELDS)
    return {
        "evaluated": _count(entry.get("evaluated")) or 0,
        "not_evaluated": _count(entry.get("not_evaluated")),
        "shares": shares if total else {},
        "score": score if score["mean"] is not None else None,
        "evaluator_version": _text(entry.get("evaluator_version")),
    }


def _text(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    text = value.encode("utf-8", "replace").decode()
    return text if len(text) <= TEXT_CHARACTERS else text[: TEXT_CHARACTERS - 1] + "…"


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _count(value: Any) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53
    return value if is_count else None


def _url(value: Any) -> str | None:
    """Return a web address; None for anything else, such as ``javascript:``."""
    is_url = isinstance(value, str) and value.startswith(("https://", "http://")) and len(value) <= 2_000
    return value if is_url else None


_RESULTS_FIELDS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("start", "end", "run_id"), _text),
    "complete": _flag,
    **dict.fromkeys(("expected", "skipped", "errors"), _count),
    "spans_url": _url,
}
_VERDICT_FIELDS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("run_id", "start", "end", "outcome", "responded_by"), _text),
    **dict.fromkeys(("passed", "approved"), _flag),
    "confidence": finite,
}
_RULE_FIELDS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("evaluator", "measure", "rule", "segment", "outcome", "note"), _text),
    **dict.fromkeys(("measured", "low", "high", "evaluations", "evaluations_needed"), finite),
}
_SHARE_FIELDS: Mapping[str, Callable[[Any], Any]] = {"count": _count, "low": finite, "high": finite}
_SCORE_FIELDS: Mapping[str, Callable[[Any], Any]] = dict.fromkeys(("mean", "low", "high"), finite)
