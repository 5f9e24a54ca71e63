"""Apply rules to the results that a DAG has left: ``airflow online-tasks replay-gate``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.gate.checks import RuleResult, check_summary
from airflow_provider_online_tasks.gate.recurring import RecurringCheck
from airflow_provider_online_tasks.gate.rules import EvaluatorRules, read_labels, read_rules
from airflow_provider_online_tasks.results.counts import OTHER_LABELS
from airflow_provider_online_tasks.results.history import RESULTS_KEY
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
    on labels are replayed, with independent evaluations.

    :param history: records of ``EvalResultsOperator``; of several of a window, the last one counts.
    """
    parsed, known_labels = _label_rules(read_rules(rules)), read_labels(labels)
    by_window = {(record["start"], record["end"]): record for record in history}
    earlier: list[str] = []
    for (start, _), record in sorted(by_window.items()):
        summary = _summary(record)
        check = RecurringCheck(
            rules=parsed, summary=summary, score_ranges={}, false_alarms_per_year=false_alarms_per_year
        )
        results = check_summary(
            parsed, summary, labels=known_labels, confidence=check.budget.confidence, accept_unverified=True
        )
        checked = check.check(results, earlier)
        earlier.append(checked.record)
        yield start, checked.results


def _label_rules(rules: Iterable[EvaluatorRules]) -> list[EvaluatorRules]:
    """Return the rules on labels."""
    found = [
        replace(each, thresholds=labels, min_coverage=None, each_segment=None, calibrated=None)
        for each in rules
        if (labels := tuple(rule for rule in each.thresholds if rule.is_label))
    ]
    if not found:
        raise InvalidInput("No rule compares a label, and only such rules can be replayed.")
    return found


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
        "complete": record["complete"],
        "evaluators": evaluators,
    }


def run_replay(
    dag_id: str,
    task_id: str,
    rules: Mapping[str, Any],
    *,
    labels: Mapping[str, Sequence[str]] | None = None,
    false_alarms_per_year: float = 1,
) -> Iterator[str]:
    """Yield a line per window in which a rule begins or ceases to fail, and how many windows there are."""
    from airflow.utils.session import create_session

    always = reads.Span(since=datetime.min.replace(tzinfo=UTC), until=datetime.max.replace(tzinfo=UTC))
    with create_session() as session:
        found = reads.history(session, dag_id=dag_id, span=always).records
    history = [
        each.value for each in records.read(found) if (each.task_id, each.key) == (task_id, RESULTS_KEY)
    ]
    failing: set[tuple[str, str, str]] = set()
    replayed = list(replay_gate(history, rules, labels=labels, false_alarms_per_year=false_alarms_per_year))
    for start, results in replayed:
        for result in results:
            name = result.evaluator, result.measure, result.rule
            if result.passed == (name in failing):
                state = "passes" if result.passed else f"{result.outcome} ({result.note})"
                yield f"{start}  {' '.join(name)}  {result.measured_text}  {state}"
            (failing.discard if result.passed else failing.add)(name)
    yield f"{len(replayed)} windows of {dag_id}.{task_id}"
