"""Decide over many windows whether a share is below its bound, with few false alarms per year.

``docs/recurring.md`` explains what users buy, and ``docs/statistics.md`` names the methods and their sources.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import NormalDist, fmean, stdev

from airflow_provider_online_tasks.gate.intervals import t_quantile

# How strongly each of the detector's parts reacts to a share below the bound.
_BETS = (0.1, 0.25, 0.5, 0.9)
DAYS_PER_YEAR = 365
# An incident ends when the shares of this many windows after the alarm satisfy the rule on average.
RECOVERY_WINDOWS = 3
# The standard deviation of shares between windows, until this many windows say what it is.
WINDOWS_FOR_DEVIATION, ASSUMED_DEVIATION = 14, 0.02


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The false alarms of a gate: half of them for single windows, half for the detector.

    :param false_alarms_per_year: the maximum expected number for all rules together, if the true shares are
        at their bounds.
    :param windows_per_year: how many windows the gate checks per year.
    :param rules: how many rules the gate has.
    """

    false_alarms_per_year: float
    windows_per_year: int
    rules: int

    @property
    def threshold(self) -> float:
        """The evidence at which the detector raises an alarm."""
        return 2 * self.windows_per_year * self.rules / self.false_alarms_per_year

    @property
    def confidence(self) -> float:
        """The confidence of the interval by which a single window fails."""
        return 1 - 2 / self.threshold


def windows_per_year(length: timedelta) -> int:
    """Return how many windows of a length there are per year; at least one per day, as they may overlap."""
    return DAYS_PER_YEAR * max(1, round(timedelta(days=1) / length))


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the detector says after the last window.

    :param value: the evidence that the share is below the bound, to compare with the threshold.
    :param start: the window from which it accumulates: the first one, or the one after the last alarm.
    :param failing_since: the window from which the share is probably below the bound; None without incident.
    :param alarms: the windows in which the detector raised an alarm.
    :param recoveries: the windows in which an incident ended.
    """

    value: float
    start: int
    failing_since: int | None
    alarms: tuple[int, ...]
    recoveries: tuple[int, ...]


def detect(shares: Sequence[float], bound: float, threshold: float) -> Evidence:
    """Run the Shiryaev-Roberts e-detector that bets on the shares of windows, for the rule ``>= bound``.

    It assumes nothing about the evaluations of a window. If the expected share is at least the bound, it
    raises at most ``len(shares) / threshold`` alarms on average. It restarts after each alarm.

    :param bound: at least 0 and below 1.
    """
    parts, value, start = [0.0] * len(_BETS), 0.0, 0
    failing_since: int | None = None
    alarms, recoveries = [], []
    for number, share in enumerate(shares):
        parts = [(part + 1) * _factor(bet, share, bound) for part, bet in zip(parts, _BETS, strict=True)]
        value = fmean(parts)
        if value >= threshold:
            if failing_since is None:
                failing_since = _likely_start(shares[start : number + 1], bound) + start
            alarms.append(number)
            parts, start = [0.0] * len(_BETS), number + 1
        elif failing_since is not None:
            latest = shares[max(start, number + 1 - RECOVERY_WINDOWS) : number + 1]
            if fmean(latest) >= bound:
                failing_since = None
                recoveries.append(number)
    return Evidence(
        value=value,
        start=start,
        failing_since=failing_since,
        alarms=tuple(alarms),
        recoveries=tuple(recoveries),
    )


def _factor(bet: float, share: float, bound: float) -> float:
    """Return by how much a bet grows: more than 1 for a share below the bound, at most 1 on average."""
    return 1 + bet / (1 - bound) * (bound - share)


def _likely_start(shares: Sequence[float], bound: float) -> int:
    """Return from which window on the shares speak most against the bound."""
    evidence = [1.0] * len(_BETS)
    best, likely = 0.0, 0
    for number in range(len(shares) - 1, -1, -1):
        evidence = [
            value * _factor(bet, shares[number], bound) for value, bet in zip(evidence, _BETS, strict=True)
        ]
        if (value := fmean(evidence)) > best:
            best, likely = value, number
    return likely


def is_beyond_variation(
    share: float, bound: float, evaluations: float, earlier: Sequence[float], confidence: float
) -> bool:
    """Return whether a share is below the bound by more than the variation between windows explains.

    An interval of the window alone knows only the chance within it. It would fail on 60 days per year if the
    true share varies by two points between days. Shares are compared on the arcsine scale, on which their
    variance depends little on their size.

    :param bound: above 0 and below 1.
    :param earlier: the shares of earlier windows. From 14 on, their standard deviation is used.
    """
    if len(earlier) < WINDOWS_FOR_DEVIATION:
        deviation = math.sqrt(bound * (1 - bound) / evaluations + ASSUMED_DEVIATION**2)
        deviation /= 2 * math.sqrt(bound * (1 - bound))
        quantile = NormalDist().inv_cdf((1 + confidence) / 2)
    else:
        deviation = stdev(map(_arcsine, earlier)) * math.sqrt(1 + 1 / len(earlier))
        quantile = t_quantile(confidence, len(earlier) - 1)
    return _arcsine(bound) - _arcsine(share) > quantile * deviation


def _arcsine(share: float) -> float:
    return math.asin(math.sqrt(share))
