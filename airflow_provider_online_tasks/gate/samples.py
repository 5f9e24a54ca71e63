"""The samples that rules are checked against: a share, a mean or a quantile, with its uncertainty."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_provider_online_tasks.gate.intervals import (
    Interval,
    MeanOf,
    evaluations_to_decide_mean,
    evaluations_to_decide_share,
    mean_difference,
    mean_interval,
    quantile_ranks,
    share_difference,
    share_interval,
)
from airflow_provider_online_tasks.results.counts import SCORES_KEPT

if TYPE_CHECKING:
    from airflow_provider_online_tasks.gate.evidence import Evidence
    from airflow_provider_online_tasks.gate.rules import Threshold

# From this many scores on their mean is taken for normally distributed.
FEWEST_FOR_T = 20
_CLOSE = 1e-9


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The sample that a rule is checked against.

    :param measured: the figure.
    :param total: how many evaluations it rests on.
    :param count: how many of them have the label, where it is a share.
    :param interval: of the figure, where a confidence is given and there is one.
    :param evaluations_needed: how many evaluations would decide the rule.
    :param note: what a person should know.
    """

    measured: float | None
    total: int
    count: float | None = None
    interval: Interval | None = None
    evaluations_needed: int | None = None
    note: str = ""


def sample_of(
    threshold: Threshold, found: Evidence, known: Sequence[str] | None, confidence: float | None
) -> Sample:
    """Return the sample that a rule is checked against.

    :param known: all labels of the evaluator, where they are known.
    :param confidence: of the interval; None for none.
    """
    if threshold.is_label:
        return _share(threshold, found, known, confidence)
    if threshold.quantile is not None:
        return _quantile(threshold.quantile, found, confidence)
    return _mean(threshold, found, confidence)


def _share(
    threshold: Threshold, found: Evidence, known: Sequence[str] | None, confidence: float | None
) -> Sample:
    total, count, note = found.labelled, found.labels.get(threshold.measure, 0), ""
    if not total:
        return Sample(measured=None, total=0)
    if not threshold.is_lower_bound and (extra := unknown_labels(found, known)):
        # What may be the label under another spelling counts as the label where fewer are better. Where a
        # number is demanded, it counts as whatever lies further away from that.
        away = [abs(one / total - threshold.bound) for one in (count, count + extra)]
        if threshold.comparison != "==" or away[1] > away[0]:
            count += extra
        note = f"{extra} evaluations carry labels that are not known and count against the rule"
    share = count / total
    if confidence is None:
        return Sample(measured=share, total=total, count=count, note=note)
    return Sample(
        measured=share,
        total=total,
        count=count,
        interval=share_interval(count, total, confidence),
        evaluations_needed=evaluations_to_decide_share(share, threshold.bound, confidence),
        note=note,
    )


def unknown_labels(found: Evidence, known: Sequence[str] | None) -> int:
    """Return how many evaluations carry a label that the evaluator does not have, as far as is known."""
    return found.other_labels + sum(
        number for label, number in found.labels.items() if known is not None and label not in known
    )


def _mean(threshold: Threshold, found: Evidence, confidence: float | None) -> Sample:
    plain, bound = Sample(measured=found.mean, total=found.scores.count), threshold.bound
    if found.mean is None or confidence is None:
        return plain
    if found.is_binary:
        count = round(found.mean * plain.total)
        return replace(
            plain,
            interval=share_interval(count, plain.total, confidence),
            evaluations_needed=evaluations_to_decide_share(found.mean, bound, confidence),
        )
    mean = _mean_of(found)
    if isinstance(mean, str):
        return replace(plain, note=mean)
    needed = evaluations_to_decide_mean(mean, bound, confidence)
    return replace(
        plain,
        interval=mean_interval(mean, confidence),
        evaluations_needed=None if needed is None else max(FEWEST_FOR_T, needed),
    )


def _mean_of(found: Evidence) -> MeanOf | str:
    """Return the mean with its uncertainty, or why that is not known."""
    if found.scores.count < FEWEST_FOR_T:
        return f"an interval for a mean needs {FEWEST_FOR_T} scores"
    if found.mean is None or not found.variance:
        return "all scores are the same, which says nothing of how they vary"
    return MeanOf(found.mean, found.variance, found.scores.count)


def _quantile(percent: int, found: Evidence, confidence: float | None) -> Sample:
    total = found.scores.count
    if found.percentiles is None:
        return Sample(measured=None, total=total)
    measured = found.percentiles[percent]
    if confidence is None:
        return Sample(measured=measured, total=total)
    kept = min(total, SCORES_KEPT)
    low_rank, high_rank = quantile_ranks(percent / 100, kept, confidence)
    places = [round(each / 100 * (kept - 1)) + 1 for each in range(101)]
    # The percentile next to the rank, on the far side: the ordered scores themselves are not kept.
    below = [each for each in range(101) if places[each] <= low_rank]
    above = [each for each in range(101) if places[each] >= high_rank]
    interval = Interval(
        found.percentiles[below[-1]] if below else -math.inf,
        found.percentiles[above[0]] if above else math.inf,
    )
    return Sample(measured=measured, total=total, interval=interval)


def difference(
    threshold: Threshold, *, before: Evidence, now: Evidence, known: Sequence[str] | None, confidence: float
) -> Interval | None:
    """Return the interval of the drop from one window to another; None where it is not known."""
    earlier, current = (sample_of(threshold, found, known, None) for found in (before, now))
    if earlier.count is not None and current.count is not None:
        return share_difference((earlier.count, earlier.total), (current.count, current.total), confidence)
    if before.is_binary and now.is_binary:
        counts = [
            (round(found.scores.mean * found.scores.count), found.scores.count) for found in (before, now)
        ]
        return share_difference(counts[0], counts[1], confidence)
    was, is_now = _mean_of(before), _mean_of(now)
    if isinstance(was, str) or isinstance(is_now, str):
        return None
    return mean_difference(was, is_now, confidence)


def evaluations_for_drop(total: int, measured: float, interval: Interval, bound: float) -> int | None:
    """Return about how many evaluations decide, since an interval shrinks with the root of their number."""
    if math.isclose(measured, bound, abs_tol=_CLOSE):
        return None
    side = interval.high - measured if measured < bound else measured - interval.low
    return math.ceil(total * (side / (bound - measured)) ** 2)
