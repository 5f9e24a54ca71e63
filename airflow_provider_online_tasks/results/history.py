"""Records for the Evals page, which operators push to XCom under their own keys, without texts of spans."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from airflow_provider_online_tasks.gate.checks import FAILED, INCONCLUSIVE, PASSED, RuleResult
from airflow_provider_online_tasks.gate.intervals import share_interval
from airflow_provider_online_tasks.results.counts import CONFIDENCE, OTHER_LABELS, effective_count

RESULTS_KEY = "eval_results"
VERDICT_KEY = "eval_verdict"
RUN_KEY = "run"  # the summary of the run itself
DIGITS = 5  # enough for a plot, and half the size of a response
MAX_LABELS = 20
MAX_COMPARED = 10  # labels on each side of the comparison with people; the others are counted together
MAX_RULES = 1_000
_VERDICT_KEYS = (
    "run_id",
    "outcome",
    "passed",
    "approved",
    "responded_by",
    "confidence",
    "false_alarms_per_year",
)
_OUTCOMES = (FAILED, INCONCLUSIVE, PASSED)
_RULE_KEYS = [
    each.name
    for each in fields(RuleResult)
    if each.name not in ("margin", "effective_evaluations", "on_inconclusive", "has_problem")
]


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


def version_times(record: Any, version_ids: Mapping[str, str], start: str) -> dict[str, str]:
    """Return the window since which each evaluator has its version, if an earlier record says so."""
    earlier = record.get("evaluators") if isinstance(record, Mapping) else None
    times = {}
    for name, version_id in version_ids.items():
        before = earlier.get(name) if isinstance(earlier, Mapping) else None
        if isinstance(before, Mapping) and isinstance(before.get("version_id"), str):
            since = before.get("version_since") if before["version_id"] == version_id else start
            if isinstance(since, str):
                times[name] = since
    return times


def _evaluator_record(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures, with the intervals of the most frequent labels, which are listed first."""
    counts = [(label, entry["count"]) for label, entry in figures.get("labels", {}).items()]
    others = sum(count for _, count in counts[MAX_LABELS:]) + figures.get("other_labels", 0)
    counts = counts[:MAX_LABELS] + ([(OTHER_LABELS, others)] if others else [])
    total = sum(count for _, count in counts)
    labels = {}
    for label, count in counts:
        size = effective_count(total, figures.get("clusters"), label)
        ends = share_interval(count / total * size, size, CONFIDENCE) if size else (0.0, 1.0)
        low, high = (round(end, DIGITS) for end in ends)
        labels[label] = {"count": count, "low": low, "high": high}
    mean, interval = figures.get("score_mean"), figures.get("score_interval") or (None, None)
    of_people = figures.get("human_labels")
    return {
        "evaluated": figures.get("evaluated", 0),
        "not_evaluated": figures.get("not_evaluated"),
        "labels": labels,
        "score": None if mean is None else {"mean": mean, "low": interval[0], "high": interval[1]},
        "human_labels": _human_labels_record(of_people) if of_people else None,
        **{key: figures.get(key) for key in ("evaluator_version", "version_id", "version_since")},
    }


def _human_labels_record(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return what people say: the shares of labels by them, and their labels by the evaluator's label."""
    strata = {label: stratum["labels"] for label, stratum in found["strata"].items()}
    total = Counter[str]()
    for labels in strata.values():
        total.update(labels)
    frequent = {label for label, _ in total.most_common(MAX_COMPARED)}
    table = defaultdict[str, Counter[str]](Counter)
    for place, (label, labels) in enumerate(strata.items()):
        row = table[label if place < MAX_COMPARED else OTHER_LABELS]
        for human_label, count in labels.items():
            row[human_label if human_label in frequent else OTHER_LABELS] += count
    return {
        **{key: found.get(key) for key in ("annotation", "labelled", "sample_problem")},
        "is_random": bool(found.get("sample")) and found.get("sample_problem") is None,
        "agreement": _estimate(found["agreement"]),
        "shares": {label: _estimate(each["share"]) for label, each in found["labels"].items()},
        "table": {label: dict(row) for label, row in table.items()},
    }


def _estimate(estimate: Mapping[str, float | None] | None) -> dict[str, float | None] | None:
    rounded = {
        key: None if value is None else round(value, DIGITS) for key, value in (estimate or {}).items()
    }
    return rounded or None


def verdict_record(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of a verdict; by its run and window the page finds the results that were checked."""
    # Failed rules first: the limit must not omit one.
    rules = sorted(verdict.get("rules", ()), key=lambda rule: _OUTCOMES.index(rule["outcome"]))[:MAX_RULES]
    return {
        **{key: verdict.get(key) for key in _VERDICT_KEYS},
        "start": verdict.get("data_start_time"),
        "end": verdict.get("data_end_time"),
        "rules": [{key: rule.get(key) for key in _RULE_KEYS} for rule in rules],
    }
