"""Check that all evaluations of a run were read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_online_tasks.api.responses import RunStatus

if TYPE_CHECKING:
    from airflow_provider_online_tasks.results.summary import Results


@dataclass(frozen=True, kw_only=True)
class Completeness:
    """Whether all evaluations of a run were read.

    :param complete: whether they were; None if unknown.
    :param expected: how many items the run says it evaluated; None without a run.
    :param read: how many items have evaluations of the run, for the evaluator with the fewest.
    :param incomplete_reason: why ``complete`` is not True.
    """

    complete: bool | None
    expected: int | None
    read: int
    incomplete_reason: str | None


def check_completeness(
    results: Results,
    *,
    expected: int | None,
    evaluators: int,
    have_filters: bool,
    errors: int = 0,
    status: RunStatus = RunStatus.COMPLETED,
) -> Completeness:
    """Compare the number of evaluations read with the run's own count.

    A run counts items (spans by default), and each of its evaluators evaluates every item.

    :param expected: the run's ``num_successes``; None without a run.
    :param evaluators: how many evaluators the run has; 0 if unknown.
    :param have_filters: whether evaluators have their own filters, so that they evaluate fewer items.
    :param errors: the run's ``num_errors``. Other evaluators may have evaluated these items.
    :param status: the run's status.
    """
    counts = [one.counts.evaluated for one in results.by_evaluator.values()]
    read = min(counts) if counts and len(counts) >= evaluators else 0

    def state(complete: bool | None, reason: str | None) -> Completeness:
        return Completeness(complete=complete, expected=expected, read=read, incomplete_reason=reason)

    if expected is None:
        return state(None, "without a run, the number of evaluations is unknown")
    too_few = f"{read} of {expected} evaluated items could be read. Arize indexes evaluations late, or some "
    too_few += "were deleted"
    if not results.is_by_run and any(counts):
        if max(counts) < expected:
            return state(False, too_few)
        return state(None, "the evaluations have no run ID, so some may be from an earlier run")
    if read < expected:
        if have_filters and results.items_of_run >= expected:
            return state(None, "evaluators with their own filters evaluate an unknown number of items")
        return state(False, too_few)
    if status is not RunStatus.COMPLETED:
        return state(None, f"the run ended {status.value}, so it did not evaluate everything")
    if not evaluators:
        return state(None, "the task's evaluators are unknown, so one may be missing. Set evaluators")
    if read > expected + errors:
        reason = f"{read} items have evaluations of the run, which counts {expected}. Check granularity"
        return state(None, reason)
    doubt = _counting_problem(results)
    return state(None if doubt else True, doubt)


def _counting_problem(results: Results) -> str | None:
    """Return why the number of evaluations read may be wrong; None if it is right."""
    if not results.is_ordered:
        return "the spans were not listed in order of time, so some may be counted twice"
    if not results.is_unambiguous:
        return "some items have two different evaluations by one evaluator of the run"
    return None
