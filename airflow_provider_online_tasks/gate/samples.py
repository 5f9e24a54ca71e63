"""The samples that rules are checked against: a share, a mean or a quantile, with its confidence interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from airflow_provider_online_tasks.gate import intervals, rules
from airflow_provider_online_tasks.gate.summary import PERCENTILES, SCORES_KEPT, EvaluatorSummary

Range = tuple[float, float]
# Student's interval assumes a normally distributed mean. If 98 % of the scores are near 1 and the others
# near 0, it is wrong for 68 % of samples of 20 scores, for 13 % of 100, and for 5 % of 1,000.
MIN_SCORES_FOR_MEAN = 1_000


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
    score_range: Range | None,
    confidence: float | None,
) -> Sample:
    """Return the sample that a rule is checked against, with an interval if there is a confidence.

    ``labels`` are all labels and ``score_range`` the possible scores of the evaluator; None if unknown.
    """
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
    if not scores.count or _is_share(scores, score_range):
        return _share(scores.ones, scores.count, threshold, confidence, "")
    sample = Sample(measured=scores.mean, total=scores.count)
    if confidence is None:
        return sample
    if problem := _interval_problem(summary, score_range):
        return replace(sample, note=problem)
    needed = intervals.evaluations_for_mean(scores, threshold.bound, confidence, score_range)
    if score_range is None:
        interval = intervals.mean_interval(scores, confidence)
        needed = None if needed is None else max(MIN_SCORES_FOR_MEAN, needed)
    else:
        interval = intervals.bounded_mean_interval(scores, score_range, confidence)
    return replace(sample, interval=interval, evaluations_needed=needed)


def _is_share(scores: intervals.Mean, score_range: Range | None) -> bool:
    """Return whether the mean is the share of the ones."""
    return scores.is_binary and score_range in (None, (0, 1))


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


def _interval_problem(summary: EvaluatorSummary, score_range: Range | None) -> str | None:
    """Return why a mean has no interval; None if it has one."""
    scores, percentiles = summary.scores, summary.score_percentiles or ()
    if score_range is not None:
        low, high = score_range
        outermost = (scores.mean, *percentiles[:1], *percentiles[-1:])
        is_outside = min(outermost) < low - rules.TOLERANCE or max(outermost) > high + rules.TOLERANCE
        return f"some scores are not from {low:g} to {high:g} (see score_ranges)" if is_outside else None
    if scores.count < MIN_SCORES_FOR_MEAN:
        return f"the interval of a mean needs score_ranges, or {MIN_SCORES_FOR_MEAN:,} scores"
    if not scores.variance:
        return "all scores are equal, so their spread is unknown. Set score_ranges"
    return None


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
    score_range: Range | None,
    confidence: float,
) -> intervals.Interval | None:
    """Return the confidence interval of the drop between two windows; None if it is unknown."""
    earlier, current = (sample_of(threshold, summary, labels, score_range, None) for summary in (before, now))
    if earlier.count is not None and current.count is not None:
        shares = (earlier.count, earlier.total), (current.count, current.total)
        return intervals.share_difference(*shares, confidence)
    if _interval_problem(before, score_range) or _interval_problem(now, score_range):
        return None
    if score_range is not None:
        return intervals.bounded_mean_difference(before.scores, now.scores, score_range, confidence)
    return intervals.mean_difference(before.scores, now.scores, confidence)
