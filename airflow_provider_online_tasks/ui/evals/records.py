"""The records of the Evals page: a DAG can push any value, so each is validated and bounded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks._text import on_one_line
from airflow_provider_online_tasks._times import parse_time, wire_time
from airflow_provider_online_tasks.inputs.arguments import finite
from airflow_provider_online_tasks.results.history import (
    DIGITS,
    MAX_COMPARED,
    MAX_LABELS,
    MAX_RULES,
    RESULTS_KEY,
    RUN_KEY,
    VERDICT_KEY,
)

if TYPE_CHECKING:
    from datetime import datetime

MAX_EVALUATORS = 1_000
TEXT_CHARACTERS = 200
EMPTY = "(empty)"
VERSION_FIELDS = ("evaluator_version", "version_id")
ESTIMATED = ("input_tokens", "output_tokens", "cost")
OVERVIEW_WINDOWS = 12  # DAG runs of each task that the overview reads, and the length of its trend


@dataclass(frozen=True, kw_only=True)
class Record:
    """A record that an operator pushed.

    :param key: the kind of record.
    :param at: when the DAG run was due.
    :param is_manual: whether the DAG run was triggered manually.
    :param value: the record as stored.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    key: str
    at: datetime
    is_manual: bool
    value: Any


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """The newest finished DAG run; one that was triggered manually only if there is no other.

    :param tasks: the worst state of each task. A mapped task has several.
    :param eval_tasks: the operators of the tasks that read results or check a gate.
    """

    run_id: str
    at: datetime
    tasks: dict[str, str] = field(default_factory=dict)
    eval_tasks: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DagState:
    """What Airflow knows about the runs of a DAG.

    :param due: when a scheduled DAG run was due that does not exist. None if none is missing.
    """

    newest: FinishedRun | None = None
    due: datetime | None = None
    is_paused: bool = False


def read(records: Iterable[Record]) -> list[Record]:
    """Return the records with their values read, without unreadable ones."""
    readers = {RESULTS_KEY: read_results, VERDICT_KEY: read_verdict, RUN_KEY: read_run}
    values = ((record, readers[record.key](record.value)) for record in records)
    return [replace(record, value=value) for record, value in values if value is not None]


def read_results(value: Any) -> dict[str, Any] | None:
    """Read a record of results; None if the value is not one. Unreadable fields are None."""
    record = _object(value)
    evaluators = record.get("evaluators")
    if not isinstance(evaluators, Mapping):
        return None
    return {
        **_read_fields(record, _RESULTS_FIELDS),
        "omitted": max(0, len(evaluators) - MAX_EVALUATORS),
        "evaluators": {
            _name(str(name)): _read_evaluator(entry)
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


def read_run(value: Any) -> dict[str, Any] | None:
    """Read the summary of a run; None if the value is not one, or the run's evaluations are unknown."""
    record = _object(value)
    budget = _mapping(record.get("budget"))
    found = _read_fields(record, _RUN_FIELDS)
    if found["run_id"] is None or found["evaluations"] is None:
        return None
    estimates = {
        name: _read_fields(_mapping(record.get(f"estimated_{name}")), _RANGE_FIELDS) for name in ESTIMATED
    }
    has_budget = _count(budget.get("max_evaluations")) is not None
    return {**found, **estimates, "budget": _read_fields(budget, _BUDGET_FIELDS) if has_budget else None}


def _object(value: Any) -> Mapping[str, Any]:
    if isinstance(value, str):
        # Airflow stores JSON text. A reference to object storage is text too.
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return _mapping(value)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _read_fields(record: Mapping[str, Any], fields: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    return {key: read(record.get(key)) for key, read in fields.items()}


def _read_evaluator(entry: Mapping[str, Any]) -> dict[str, Any]:
    score, labels = _mapping(entry.get("score")), _mapping(entry.get("labels"))
    shares: dict[str, dict[str, Any]] = {}
    for label, entry_of_label in list(labels.items())[: MAX_LABELS + 1]:
        share = _read_fields(_mapping(entry_of_label), _SHARE_FIELDS)
        if share["count"] is None:
            continue
        name = _name(str(label))
        if name in shares:  # two labels that differ only in characters that aren't shown
            share = {"count": share["count"] + shares[name]["count"], "low": None, "high": None}
        shares[name] = share
    total = sum(share["count"] for share in shares.values())
    for share in shares.values():
        share["share"] = round(share["count"] / total, DIGITS) if total else None
    score = _read_fields(score, _SCORE_FIELDS)
    return {
        "evaluated": _count(entry.get("evaluated")) or 0,
        "not_evaluated": _count(entry.get("not_evaluated")),
        # PostgreSQL stores JSON objects in another order.
        "shares": dict(sorted(shares.items(), key=lambda item: -item[1]["count"])) if total else {},
        "score": score if score["mean"] is not None else None,
        **{key: _text(entry.get(key)) for key in VERSION_FIELDS},
        "human_labels": _read_human_labels(entry.get("human_labels")),
    }


def _read_human_labels(value: Any) -> dict[str, Any] | None:
    """Read what people say about an evaluator; None if they say nothing."""
    entry = _mapping(value)
    if not _count(entry.get("labelled")):
        return None
    shares = list(_mapping(entry.get("shares")).items())[:MAX_LABELS]
    table = list(_mapping(entry.get("table")).items())[: MAX_COMPARED + 1]
    return {
        **_read_fields(entry, _HUMAN_FIELDS),
        "agreement": _read_fields(_mapping(entry.get("agreement")), _ESTIMATE_FIELDS),
        "shares": {
            _name(str(label)): _read_fields(_mapping(share), _ESTIMATE_FIELDS) for label, share in shares
        },
        "table": [
            {
                "label": _name(str(label)),
                "human_labels": [
                    [_name(str(human_label)), _count(count) or 0]
                    for human_label, count in list(_mapping(row).items())[: MAX_COMPARED + 1]
                ],
            }
            for label, row in table
        ],
    }


def _text(value: Any) -> str | None:
    """Return a text on one line, without invisible characters; None for other values."""
    if not isinstance(value, str):
        return None
    text = on_one_line(value.encode("utf-8", "replace").decode())
    return text if len(text) <= TEXT_CHARACTERS else text[: TEXT_CHARACTERS - 1] + "…"


def _name(value: str) -> str:
    """Return the name of a label, an evaluator or a segment; an empty one has a name, too."""
    return _text(value) or EMPTY


def _optional_name(value: Any) -> str | None:
    return _name(value) if isinstance(value, str) else None


def _moment(value: Any) -> str | None:
    """Return a time as ISO 8601; None for anything else."""
    try:
        return wire_time(parse_time(value))
    except ValueError:
        return None


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _count(value: Any) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53
    return value if is_count else None


def _url(value: Any) -> str | None:
    """Return a web address; None for anything else, such as ``javascript:``."""
    is_text = isinstance(value, str) and value.isascii() and len(value) <= 2_000
    return value if is_text and value.startswith(("https://", "http://")) else None


_RESULTS_FIELDS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("start", "end"), _moment),
    "run_id": _text,
    "complete": _flag,
    **dict.fromkeys(("expected", "skipped", "errors"), _count),
    "spans_url": _url,
}
_VERDICT_FIELDS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("start", "end"), _moment),
    **dict.fromkeys(("run_id", "outcome", "responded_by"), _text),
    **dict.fromkeys(("passed", "approved"), _flag),
    **dict.fromkeys(("confidence", "false_alarms_per_year"), finite),
}
_RULE_FIELDS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("evaluator", "measure", "segment"), _optional_name),
    **dict.fromkeys(("rule", "outcome", "note"), _text),
    **dict.fromkeys(("measured", "low", "high", "evaluations", "evaluations_needed"), finite),
    **dict.fromkeys(("evidence", "evidence_needed"), finite),
    **dict.fromkeys(("evidence_since", "failing_since"), _moment),
}
_SHARE_FIELDS: Mapping[str, Callable[[Any], Any]] = {"count": _count, "low": finite, "high": finite}
_SCORE_FIELDS: Mapping[str, Callable[[Any], Any]] = dict.fromkeys(("mean", "low", "high"), finite)
_HUMAN_FIELDS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("annotation", "sample_problem"), _text),
    "labelled": _count,
    "is_random": _flag,
}
_ESTIMATE_FIELDS: Mapping[str, Callable[[Any], Any]] = dict.fromkeys(("value", "low", "high"), finite)
_RANGE_FIELDS: Mapping[str, Callable[[Any], Any]] = {"low": finite, "high": finite}
_RUN_FIELDS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("run_id", "online_task_id"), _text),
    "evaluations": _count,
    "capped": _flag,
}
_BUDGET_FIELDS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("max_evaluations", "finished", "in_flight"), _count),
    **dict.fromkeys(("per", "scope", "project_id"), _text),
    "since": _moment,
}
