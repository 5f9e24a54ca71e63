"""Read the records of the Evals page: a DAG can push any value, so each is validated and bounded."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_online_tasks.inputs.arguments import finite
from airflow_provider_online_tasks.results.history import DIGITS, MAX_LABELS, MAX_RULES

MAX_EVALUATORS = 50
TEXT_CHARACTERS = 200


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
