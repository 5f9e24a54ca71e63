"""The samples that rules are checked against: a share, a mean or a quantile, with its confidence interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from airflow_provider_online_tasks.gate import intervals, rules
from airflow_provider_online_tasks.gate.summary import PERCENTILES, SCORES_KEPT, EvaluatorSummary

# Student's interval assumes that the mean is normally distributed.
MIN_SCORES_FOR_MEAN = 20


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The sample that a rule is checked against. ``count`` is the number of evaluations with a label."""

    measured: float | None
    total: int
    count: int | None = None
    interval: intervals.Interval | None = None
    evaluations_needed: int | None = None
    note: str = ""


def sample_of(
    threshold: rules.Threshold,
    summary: EvaluatorSummary,
    labels: Sequence[str] | None,
    confidence: float | None,
) -> Sample:
    """Return the sample that a rule is checked against, with an interval if there is a confidence."""
    if threshold.quantile is not None:
        return _quantile(threshold.quantile, summary, confidence)
    scores = summary.scores
    if threshold.is_label:
        total, count, note = summary.labelled, summary.label_counts.get(threshold.measure, 0), ""
        unknown = summary.unknown_labels(labels)
        if unknown and not threshold.is_lower_bound:
            # An unknown label may be a misspelling of this one. Count it the way that is worse for the rule.
            distances = [abs(number / total - threshold.bound) for number in (count, count + unknown)]
            if threshold.comparison != "==" or distances[1] > distances[0]:
                count += unknown
            note = f"{unknown} evaluations have unknown labels and count against the rule"
        return _share(count, total, threshold, confidence, note)
    if not scores.count or scores.is_binary:
        return _share(scores.ones, scores.count, threshold, confidence, "")
    sample = Sample(measured=scores.mean, total=scores.count)
    if confidence is None:
        return sample
    if problem := _interval_problem(scores):
        return replace(sample, note=problem)
    needed = intervals.evaluations_for_mean(scores, threshold.bound, confidence)
    return replace(
        sample,
        interval=intervals.mean_interval(scores, confidence),
        evaluations_needed=None if needed is None else max(MIN_SCORES_FOR_MEAN, needed),
    )


def _share(count: int, total: int, threshold: rules.Threshold, confidence: float | None, note: str) -> Sample:
    if not total:
        return Sample(measured=None, total=0)
    sample = Sample(measured=count / total, total=total, count=count, note=note)
    if confidence is None:
        return sample
    return replace(
        sample,
        interval=intervals.share_interval(count, total, confidence),
        evaluations_needed=intervals.evaluations_for_share(count / total, threshold.bound, confidence),
    )


def _interval_problem(scores: intervals.Mean) -> str | None:
    """Return why a mean has no interval; None if it has one."""
    if scores.count < MIN_SCORES_FOR_MEAN:
        return f"the interval of a mean needs {MIN_SCORES_FOR_MEAN} scores"
    return None if scores.variance else "all scores are equal, so their spread is unknown"


def _quantile(percent: int, summary: EvaluatorSummary, confidence: float | None) -> Sample:
    total, percentiles = summary.scores.count, summary.score_percentiles
    if percentiles is None:
        return Sample(measured=None, total=total)
    sample = Sample(measured=percentiles[percent], total=total)
    if confidence is None:
        return sample
    kept = min(total, SCORES_KEPT)
    low_rank, high_rank = intervals.quantile_ranks(percent / 100, kept, confidence)
    # The summary has percentiles, not all scores: take the next percentile on the far side of each rank.
    ranks = [round(each / 100 * (kept - 1)) + 1 for each in range(PERCENTILES)]
    below = [value for value, rank in zip(percentiles, ranks, strict=True) if rank <= low_rank]
    above = [value for value, rank in zip(percentiles, ranks, strict=True) if rank >= high_rank]
    interval = intervals.Interval(below[-1] if below else -math.inf, above[0] if above else math.inf)
    return replace(sample, interval=interval)


def drop_interval(
    threshold: rules.Threshold,
    before: EvaluatorSummary,
    now: EvaluatorSummary,
    *,
    labels: Sequence[str] | None,
    confidence: float,
) -> intervals.Interval | None:
    """Return the confidence interval of the drop between two windows; None if it is unknown."""
    earlier, current = (sample_of(threshold, summary, labels, None) for summary in (before, now))
    if earlier.count is not None and current.count is not None:
        shares = (earlier.count, earlier.total), (current.count, current.total)
        return intervals.share_difference(*shares, confidence)
    if _interval_problem(before.scores) or _interval_problem(now.scores):
        return None
    return intervals.mean_difference(before.scores, now.scores, confidence)
