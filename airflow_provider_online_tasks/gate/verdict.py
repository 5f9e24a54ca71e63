"""The verdict of a gate: check a summary of results against all rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from airflow_provider_online_tasks._text import on_one_line
from airflow_provider_online_tasks.gate.checks import (
    FAILED,
    INCONCLUSIVE,
    PASSED,
    EvaluatorCheck,
    RuleResult,
    at_least,
)
from airflow_provider_online_tasks.gate.evaluator_versions import changed_in_hub
from airflow_provider_online_tasks.gate.rules import MIN_EVALUATED, EvaluatorRules, check_labels
from airflow_provider_online_tasks.gate.summary import EvaluatorSummary, list_summaries, read_evaluators
from airflow_provider_online_tasks.inputs.arguments import finite


def check_summary(
    rules: Sequence[EvaluatorRules],
    summary: Mapping[str, Any],
    *,
    baseline: Any = None,
    labels: Mapping[str, Sequence[str]] | None = None,
    max_error_rate: float = 1.0,
    confidence: float | None = None,
    across_evaluator_versions: bool = False,
    accept_unverified: bool = False,
) -> list[RuleResult]:
    """Check a summary of results against the rules, and return one result per rule.

    :param summary: the result of ``EvalResultsOperator``.
    :param baseline: the results of earlier windows, one or a list; None: the baseline within the summary.
    :param labels: evaluator name to all its labels, where they are known.
    :param max_error_rate: maximum share of the run's attempted items whose evaluation failed.
    :param confidence: confidence of the intervals, from 0.5 to below 1; None compares the measured values.
    :param across_evaluator_versions: whether ``max_drop`` compares results of different evaluator versions.
    :param accept_unverified: whether results pass if it is unknown whether they are complete.
    :raises InvalidInput: ``summary`` is not a summary of results, or a label may be misspelled.
    """
    evaluators = read_evaluators(summary, "summary")
    check_labels(rules, labels or {})
    earlier = _earlier_evaluators(summary, baseline)
    results = [_completeness(summary, accept_unverified=accept_unverified)]
    results += _error_rate(summary, max_error_rate)
    for one in rules:
        name = one.evaluator
        if name not in evaluators:
            known = ", ".join(map(repr, sorted(evaluators))) or "none"
            note = f"no evaluation of this evaluator; evaluators with results: {known}"
            results.append(at_least(name, MIN_EVALUATED, 0, one.min_evaluated, note=note))
            continue
        now = EvaluatorSummary.read(name, evaluators[name])
        before = [EvaluatorSummary.read(name, window[name]) for window in earlier if window.get(name)]
        check = EvaluatorCheck(rules=one, labels=(labels or {}).get(name), confidence=confidence)
        results += check.check_measures(now)
        results += check.check_drops(
            now,
            EvaluatorSummary.merge(before) if before else None,
            version_change=changed_in_hub(summary, name) if baseline is None else None,
            across_versions=across_evaluator_versions,
        )
        results += check.check_segments(now)
    return results


def verdict(results: Sequence[RuleResult], *, on_inconclusive: str = "fail") -> dict[str, Any]:
    """Return the results and the outcome of the gate as JSON values.

    :param on_inconclusive: ``pass`` lets inconclusive rules pass.
    """
    outcomes = {result.outcome for result in results}
    outcome = next(each for each in (FAILED, INCONCLUSIVE, PASSED) if each in outcomes)
    return {
        "passed": outcome == PASSED or (outcome == INCONCLUSIVE and on_inconclusive == "pass"),
        "outcome": outcome,
        "rules": [{**asdict(result), "passed": result.passed} for result in results],
    }


def _earlier_evaluators(summary: Mapping[str, Any], baseline: Any) -> list[Mapping[str, Any]]:
    """Return the evaluators of each earlier window, without the run itself and its own window."""
    summaries = list_summaries(summary.get("baseline") if baseline is None else baseline)
    return [read_evaluators(one, "baseline") for one in summaries if not _is_same_window(summary, one)]


def _is_same_window(summary: Mapping[str, Any], other: Any) -> bool:
    """Return whether two summaries are of one run, or of one task and window."""
    return isinstance(other, Mapping) and any(
        all(summary.get(key) is not None and summary.get(key) == other.get(key) for key in keys)
        for keys in (("run_id",), ("online_task_id", "data_start_time", "data_end_time"))
    )


def _completeness(summary: Mapping[str, Any], *, accept_unverified: bool) -> RuleResult:
    """Check that all evaluations were read: incomplete results never pass."""
    complete, note = summary.get("complete"), ""
    passed = complete is True
    if complete is False:
        note = str(summary.get("incomplete_reason") or "not all evaluations could be read")
    elif complete is not True:
        passed = accept_unverified
        note = str(summary.get("incomplete_reason") or "the number of evaluations is unknown")
        note += "" if passed else ". Set accept_unverified=True to accept such results"
    read, expected = finite(summary.get("read")), finite(summary.get("expected"))
    return RuleResult(
        evaluator="*",
        measure="complete",
        rule="all evaluations" if expected is None else f">= {expected:g}",
        measured=read,
        margin=None if read is None or expected is None else read - expected,
        outcome=PASSED if passed else FAILED,
        note=on_one_line(note),
    )


def _error_rate(summary: Mapping[str, Any], bound: float) -> Iterator[RuleResult]:
    """Check the share of items whose evaluation failed, if there are any."""
    errors, evaluated = finite(summary.get("errors")), finite(summary.get("expected"))
    if not errors:
        return
    rate = errors / (errors + (evaluated or 0))
    yield RuleResult(
        evaluator="*",
        measure="error_rate",
        rule=f"<= {bound:g}",
        measured=rate,
        margin=bound - rate,
        outcome=PASSED if rate <= bound else FAILED,
        note=f"the evaluation of {errors:g} items failed",
    )
