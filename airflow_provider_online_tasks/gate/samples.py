"""The samples that rules are checked against: a share, a mean or a quantile, with its confidence interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from airflow_provider_online_tasks.gate import intervals, rules
from airflow_provider_online_tasks.gate.summary import PERCENTILES, SCORES_KEPT, EvaluatorSummary

Range = tuple[float, float]
# Student's interval assumes a normally distributed mean. If 98 % of the scores are near 1 and the others
# near 0, it is wrong for 67 % of samples of 20 scores, for 13 % of 100, and for 5 % of 1,000.
MIN_SCORES_FOR_MEAN = 1_000
ONE_CLUSTER = "all evaluations are of one session or trace"


@dataclass(frozen=True, kw_only=True)
class Scale:
    """What an evaluator can say: all its labels and the range of its scores; None if unknown.

    ``counts_missing`` is whether missing evaluations count as failures.
    """

    labels: Sequence[str] | None = None
    score_range: Range | None = None
    counts_missing: bool = False


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The sample that a rule is checked against. ``count`` is the number of evaluations with a label.

    ``missing`` evaluations are part of ``total``, and of ``scores`` with the least favorable score.
    ``effective`` is the number of independent evaluations that give as much information.
    """

    measured: float | None
    total: int
    missing: int = 0
    count: int | None = None
    scores: intervals.Mean | None = None
    effective: float | None = None
    interval: intervals.Interval | None = None
    evaluations_needed: int | None = None
    note: str = ""


def sample_of(
    threshold: rules.Threshold, summary: EvaluatorSummary, scale: Scale, confidence: float | None
) -> Sample:
    """Return the sample that a rule is checked against, with an interval if there is a confidence."""
    if threshold.quantile is not None:
        return _quantile(threshold.quantile, summary, confidence)
    values = summary.labelled if threshold.is_label else summary.scores.count
    missing = summary.items - values if scale.counts_missing else 0
    if threshold.is_label:
        sample = _label_share(threshold, summary, scale, missing, confidence)
    else:
        sample = _mean(threshold, summary, scale, missing, confidence)
    if not missing:
        return sample
    notes = [sample.note, f"{missing} missing evaluations count against the rule"]
    return replace(sample, missing=missing, note="; ".join(filter(None, notes)))


def _label_share(
    threshold: rules.Threshold,
    summary: EvaluatorSummary,
    scale: Scale,
    missing: int,
    confidence: float | None,
) -> Sample:
    total, count, note = summary.labelled + missing, summary.label_counts.get(threshold.measure, 0), ""
    if not threshold.is_lower_bound:
        unknown = summary.unknown_labels(scale.labels)
        if unknown:  # each may be a misspelling of this label
            note = f"{unknown} evaluations have unknown labels and count against the rule"
        if against := unknown + missing:
            # Count them the way that is worse for the rule.
            distances = [abs(number / total - threshold.bound) for number in (count, count + against)]
            if threshold.comparison != "==" or distances[1] > distances[0]:
                count += against
    size = _effective_size(total, summary, threshold, confidence)
    sample = _share(count, total, size, threshold, confidence)
    return replace(sample, note=sample.note or note)


def _mean(
    threshold: rules.Threshold,
    summary: EvaluatorSummary,
    scale: Scale,
    missing: int,
    confidence: float | None,
) -> Sample:
    score_range = scale.score_range
    scores = _with_missing_scores(summary.scores, threshold, score_range, missing)
    size = _effective_size(scores.count, summary, threshold, confidence)
    effective = scores.of_size(size)
    if not scores.count or _is_share(scores, score_range):
        share = _share(scores.ones, scores.count, size, threshold, confidence)
        return replace(share, scores=effective)
    sample = Sample(measured=scores.mean, total=scores.count, scores=effective, effective=size)
    if confidence is None:
        return sample
    problem = None if size else ONE_CLUSTER
    if problem := problem or _interval_problem(effective, score_range):
        return replace(sample, note=problem)
    needed = intervals.evaluations_for_mean(scores, threshold.bound, confidence, score_range)
    if score_range is None:
        interval = intervals.mean_interval(effective, confidence)
        needed = None if needed is None else max(MIN_SCORES_FOR_MEAN, needed)
    else:
        interval = intervals.bounded_mean_interval(effective, score_range, confidence)
    needed = _in_clusters(needed, sample.total, size)
    return replace(sample, interval=interval, evaluations_needed=needed)


def _effective_size(
    total: int, summary: EvaluatorSummary, threshold: rules.Threshold, confidence: float | None
) -> float:
    if summary.clusters is None or confidence is None:
        return total
    effect = summary.design_effect(threshold.measure if threshold.is_label else None)
    return intervals.effective_size(total, effect, summary.clusters.count, confidence)


def _in_clusters(needed: int | None, total: int, size: float) -> int | None:
    """Return how many evaluations in clusters give as much information as this number of independent ones."""
    return None if needed is None else math.ceil(needed * total / size)


def _with_missing_scores(
    scores: intervals.Mean, threshold: rules.Threshold, score_range: Range | None, missing: int
) -> intervals.Mean:
    """Return the scores, and for each missing one the end of the range that is worse for the rule."""
    if not missing or score_range is None:
        return scores
    low, high = (replace(scores), replace(scores))
    for filled, end in zip((low, high), score_range, strict=True):
        filled.merge(intervals.Mean(count=missing, mean=end, ends=missing if end in (0, 1) else 0))
    if threshold.comparison == "==":
        return max(low, high, key=lambda each: abs(each.mean - threshold.bound))
    return low if threshold.is_lower_bound else high


def _is_share(scores: intervals.Mean, score_range: Range | None) -> bool:
    """Return whether the mean is the share of the ones."""
    return scores.is_binary and score_range in (None, (0, 1))


def _share(
    count: int, total: int, size: float, threshold: rules.Threshold, confidence: float | None
) -> Sample:
    if not total:
        return Sample(measured=None, total=0)
    share = count / total
    sample = Sample(measured=share, total=total, count=count)
    if confidence is None:
        return sample
    if not size:
        return replace(sample, effective=size, note=ONE_CLUSTER)
    needed = intervals.evaluations_for_share(share, threshold.bound, confidence)
    return replace(
        sample,
        effective=size,
        interval=intervals.share_interval(count if size == total else share * size, size, confidence),
        evaluations_needed=_in_clusters(needed, total, size),
    )


def _interval_problem(scores: intervals.Mean, score_range: Range | None) -> str | None:
    """Return why a mean has no interval; None if it has one."""
    if score_range is not None:
        low, high = score_range
        is_outside = scores.low < low - rules.TOLERANCE or scores.high > high + rules.TOLERANCE
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
    scale: Scale,
    confidence: float,
) -> intervals.Interval | None:
    """Return the confidence interval of the drop between two windows; None if it is unknown."""
    earlier, current = (sample_of(threshold, summary, scale, confidence) for summary in (before, now))
    if earlier.measured is None or current.measured is None:
        return None
    are_shares = earlier.count is not None and current.count is not None
    if are_shares or scale.score_range is not None:
        if earlier.interval is None or current.interval is None:
            return None
        return intervals.difference(earlier.measured, earlier.interval, current.measured, current.interval)
    one, other = earlier.scores, current.scores
    if one is None or _interval_problem(one, None):
        return None
    if other is None or _interval_problem(other, None):
        return None
    return intervals.mean_difference(one, other, confidence)
