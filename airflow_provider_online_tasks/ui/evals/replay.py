"""Apply rules to the results that a DAG has left: ``airflow online-tasks replay-gate``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.gate.checks import RuleResult, check_summary
from airflow_provider_online_tasks.gate.recurring import RecurringCheck, Window
from airflow_provider_online_tasks.gate.rules import (
    EvaluatorRules,
    check_bounds,
    check_labels,
    read_labels,
    read_rules,
)
from airflow_provider_online_tasks.operators.gate import MAX_ERROR_RATE, check_false_alarms
from airflow_provider_online_tasks.results.counts import OTHER_LABELS
from airflow_provider_online_tasks.results.history import MAX_LABELS, RESULTS_KEY
from airflow_provider_online_tasks.ui.evals import reads, records


def replay_gate(
    history: Iterable[Mapping[str, Any]],
    rules: Mapping[str, Any],
    *,
    labels: Mapping[str, Sequence[str]] | None = None,
    false_alarms_per_year: float = 1,
) -> Iterator[tuple[str, list[RuleResult]]]:
    """Yield the start of each window, in order, and the results that a gate with these rules has there.

    The records have the counts of labels, but no scores of a known range, segments and clusters: only rules
    on labels are replayed, with independent evaluations. As in a gate, windows with too many errors are left
    out of the history.

    :param history: records of ``EvalResultsOperator``; of several of a window, the last one counts.
    """
    check_false_alarms(false_alarms_per_year)
    parsed, known_labels = _label_rules(read_rules(rules)), read_labels(labels)
    check_bounds(parsed, None)
    check_labels(parsed, known_labels)
    by_window = {(record["start"], record["end"]): record for record in history}
    earlier: list[Window | None] = []
    for (start, _), record in sorted(by_window.items()):
        _check_labels_kept(parsed, record)
        summary = _summary(record)
        check = RecurringCheck(
            rules=parsed, summary=summary, score_ranges={}, false_alarms_per_year=false_alarms_per_year
        )
        results = check_summary(
            parsed,
            summary,
            labels=known_labels,
            max_error_rate=MAX_ERROR_RATE,
            confidence=check.budget.confidence,
            accept_unverified=True,
        )
        checked = check.check(results, earlier)
        earlier.append(Window.read(checked.record))
        yield start, checked.results


def _label_rules(rules: Iterable[EvaluatorRules]) -> list[EvaluatorRules]:
    """Return the rules on labels."""
    found = [
        replace(each, thresholds=labels, each_segment=None, calibrated=None)
        for each in rules
        if (labels := tuple(rule for rule in each.thresholds if rule.is_label))
    ]
    if not found:
        raise InvalidInput("No rule compares a label, and only such rules can be replayed.")
    return found


def _check_labels_kept(rules: Iterable[EvaluatorRules], record: Mapping[str, Any]) -> None:
    """Raise InvalidInput if a record lacks the count of a label, or of unknown labels if they matter."""
    for each in rules:
        shares = record["evaluators"].get(each.evaluator, {}).get("shares", {})
        for rule in each.thresholds:
            if OTHER_LABELS in shares and (rule.measure not in shares or not rule.is_lower_bound):
                raise InvalidInput(
                    f"The rule {each.evaluator}.{rule.measure} {rule.text} cannot be replayed: the window "
                    f"from {record['start']} has more labels than the {MAX_LABELS} that Airflow keeps."
                )


def _summary(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of the summary of a record that rules on labels need."""
    evaluators = {}
    for name, entry in record["evaluators"].items():
        counts = {label: share["count"] for label, share in entry["shares"].items()}
        other = counts.pop(OTHER_LABELS, 0)
        evaluators[name] = {
            "evaluated": max(entry["evaluated"], sum(counts.values()) + other),
            "labels": {label: {"count": count} for label, count in counts.items()},
            "other_labels": other,
            "scored": 0,
            "invalid_scores": 0,
            "not_evaluated": entry["not_evaluated"],
            "version_id": entry["version_id"],
        }
    return {
        "data_start_time": record["start"],
        "data_end_time": record["end"],
        **{key: record[key] for key in ("complete", "expected", "errors")},
        "evaluators": evaluators,
    }


def run_replay(
    dag_id: str,
    task_id: str,
    rules: Mapping[str, Any],
    *,
    labels: Mapping[str, Sequence[str]] | None = None,
    false_alarms_per_year: float = 1,
    map_index: int | None = None,
) -> Iterator[str]:
    """Yield a line per window in which a rule begins or ceases to fail, and how many windows there are.

    :param map_index: only the results of this index of a mapped task. Default: all.
    """
    from airflow.utils.session import create_session

    always = reads.Span(since=datetime.min.replace(tzinfo=UTC), until=datetime.max.replace(tzinfo=UTC))
    with create_session() as session:
        found = reads.history(session, dag_id=dag_id, span=always)
    history = [
        each
        for each in records.read(found.records)
        if (each.task_id, each.key) == (task_id, RESULTS_KEY) and map_index in (None, each.map_index)
    ]
    _check_windows(history)
    failing: set[tuple[str, str]] = set()
    values = [each.value for each in history]
    replayed = list(replay_gate(values, rules, labels=labels, false_alarms_per_year=false_alarms_per_year))
    for start, results in replayed:
        for result in results:
            if result.passed == ((result.evaluator, result.measure) in failing):
                state = "passes" if result.passed else f"{result.outcome} ({result.note})"
                name = f"{result.evaluator} {result.measure} {result.rule}"
                yield f"{start}  {name}  {result.measured_text}  {state}"
        failing = {(result.evaluator, result.measure) for result in results if not result.passed}
    yield f"{len(replayed)} windows of {dag_id}.{task_id}"
    if found.is_cut:
        yield f"Only the newest {len(found.records):,} records of the DAG were read, no older windows"


def _check_windows(history: Iterable[records.Record]) -> None:
    """Raise InvalidInput if a mapped task has results of one window at several indexes."""
    indexes: dict[tuple[str, str, str], int] = {}
    for each in history:
        window = each.run_id, each.value["start"], each.value["end"]
        other = indexes.setdefault(window, each.map_index)
        if other != each.map_index:
            raise InvalidInput(
                f"{each.task_id} is mapped, and its results {other} and {each.map_index} in DAG run "
                f"{each.run_id} are of one window. Set --map-index to the one to replay."
            )
