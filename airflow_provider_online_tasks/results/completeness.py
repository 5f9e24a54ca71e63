"""Check that all evaluations of a run were read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_online_tasks.api.responses import RunStatus, TaskRun

if TYPE_CHECKING:
    from airflow_provider_online_tasks.results.summary import Results


@dataclass(frozen=True, kw_only=True)
class Completeness:
    """Whether all evaluations of a run were read; ``complete`` is None if unknown.

    :param expected: how many items the run says it evaluated; None without a run.
    :param read: how many items have evaluations of the run, for the evaluator with the fewest.
    """

    complete: bool | None
    expected: int | None
    read: int
    incomplete_reason: str | None


def check_completeness(
    results: Results, run: TaskRun | None, *, evaluators: int, have_filters: bool
) -> Completeness:
    """Compare the number of evaluations read with the run's own count.

    A run counts items (spans by default), and each of its evaluators evaluates every item, unless it has its
    own filter. The number of evaluators is 0 if unknown.
    """
    counts = [one.counts.evaluated for one in results.by_evaluator.values()]
    read = min(counts) if counts and len(counts) >= evaluators else 0
    complete: bool | None = None
    reason: str | None = None
    expected = run.counts.successes if run else None
    if run is None or expected is None:
        reason = "without a run, the number of evaluations is unknown"
    elif not results.is_by_run and any(counts) and max(counts) >= expected:
        reason = "the evaluations have no run ID, so some may be from an earlier run"
    elif read < expected and have_filters and results.items_of_run >= expected:
        reason = "evaluators with their own filters evaluate an unknown number of items"
    elif read < expected:
        complete = False
        reason = (
            f"{read} of {expected} evaluated items could be read. Arize indexes evaluations late, or some "
        )
        reason += "were deleted"
    elif run.status is not RunStatus.COMPLETED:
        reason = f"the run ended {run.status.value}, so it did not evaluate everything"
    elif not evaluators:
        reason = "the task's evaluators are unknown, so one may be missing. Set evaluators"
    elif read > expected + run.counts.errors:  # other evaluators may have evaluated items with errors
        reason = f"{read} items have evaluations of the run, which counts {expected}. Check granularity"
    elif not results.duplicates.is_ordered:
        reason = "the spans were not listed in order of time, so some may be counted twice"
    elif not results.is_unambiguous:
        reason = "some items have two different evaluations by one evaluator of the run"
    else:
        complete = True
    return Completeness(complete=complete, expected=expected, read=read, incomplete_reason=reason)
