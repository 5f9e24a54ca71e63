"""Decide over many windows whether a share is below its bound, with few false alarms per year.

``docs/recurring.md`` explains what users buy, and ``docs/statistics.md`` names the methods and their sources.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from statistics import NormalDist, fmean

from airflow_provider_online_tasks.gate.intervals import Mean, share_interval, t_quantile

# How strongly each of the detector's parts reacts to a share below the bound.
_BETS = (0.1, 0.25, 0.5, 0.9)
_NO_EVIDENCE = [0.0] * len(_BETS)
DAYS_PER_YEAR = 365
# An incident ends when most of the latest windows after the alarm, of which these are considered, are good.
RECOVERY_WINDOWS = 3
# The standard deviation of shares between windows, until this many windows say what it is.
WINDOWS_COMPARED = 28  # for a drop
WINDOWS_FOR_DEVIATION, ASSUMED_DEVIATION = 14, 0.02
SMALLEST_DISTANCE = 1e-6  # of a bound to 1, at which a share has no variance


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
class Incident:
    """A time in which a rule fails.

    :param since: the window from which the share is probably below the bound.
    :param alarm: the window that showed it.
    :param end: the window that ended it; None if it lasts.
    """

    since: int
    alarm: int
    end: int | None = None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What windows say about a rule, up to the last one.

    :param value: the evidence that the share is below the bound, to compare with the threshold.
    :param start: the window from which it accumulates: the first one, or one after an alarm or an incident.
    """

    value: float
    start: int
    incidents: tuple[Incident, ...]

    @property
    def failing_since(self) -> int | None:
        """The start of the incident that lasts; None without one."""
        return next((each.since for each in self.incidents if each.end is None), None)


def detect(windows: Sequence[tuple[float, float]], bound: float, budget: Budget) -> Evidence:
    """Find the incidents of the rule ``>= bound``: the detector's alarms, and windows that fail on their own.

    The detector is the Shiryaev-Roberts e-detector that bets on the shares of windows. It assumes nothing
    about the evaluations of a window: if the expected share is at least the bound, it raises at most
    ``len(windows) / threshold`` alarms on average. It restarts after an alarm and after an incident.

    :param windows: the share and the number of independent evaluations of each window.
    :param bound: above 0 and below 1.
    """
    shares = [share for share, _ in windows]
    incidents: list[Incident] = []
    ordinary = Mean()
    parts, value, start, is_alarm = _NO_EVIDENCE, 0.0, 0, False
    for number, (share, evaluations) in enumerate(windows):
        if is_alarm:
            parts, start = _NO_EVIDENCE, number
        parts = [(part + 1) * _factor(bet, share, bound) for part, bet in zip(parts, _BETS, strict=True)]
        value = fmean(parts)
        is_alarm = value >= budget.threshold
        if incidents and incidents[-1].end is None:
            if not is_alarm and _has_recovered(shares[incidents[-1].alarm + 1 : number + 1], bound):
                incidents[-1] = replace(incidents[-1], end=number)
                parts, value, start = _NO_EVIDENCE, 0.0, number
        elif is_alarm:
            since = start + _likely_start(shares[start : number + 1], bound)
            incidents.append(Incident(since=since, alarm=number))
        elif _fails_alone(share, evaluations, bound, ordinary, budget.confidence):
            incidents.append(Incident(since=number, alarm=number))
        else:
            ordinary.add(_arcsine(share))
    return Evidence(value=value, start=start, incidents=tuple(incidents))


def find_drops(
    windows: Sequence[tuple[float, float]], max_drop: float, confidence: float
) -> tuple[list[float], list[bool]]:
    """Return the shares that the last window is compared with, and which windows have dropped.

    A window has dropped if its share is below the mean of the latest 28 windows by more than allowed, and by
    more than the variation between them explains. These are compared without those that have dropped, until
    fewer than 14 are left: then the lower level is the usual one.

    :param windows: the share and the number of independent evaluations of each window.
    """
    dropped: list[bool] = []
    compared: list[float] = []
    for number, window in enumerate(windows):
        latest = range(max(0, number - WINDOWS_COMPARED), number)
        compared = [windows[each][0] for each in latest if not dropped[each]]
        if len(compared) < WINDOWS_FOR_DEVIATION:
            compared = [windows[each][0] for each in latest]
        dropped.append(_has_dropped(window, compared, max_drop, confidence))
    return compared, dropped


def _has_dropped(
    window: tuple[float, float], earlier: Sequence[float], max_drop: float, confidence: float
) -> bool:
    if len(earlier) < WINDOWS_FOR_DEVIATION:
        return False
    bound, ordinary = fmean(earlier) - max_drop, Mean()
    for share in earlier:
        ordinary.add(_arcsine(share))
    bound = min(bound, 1 - SMALLEST_DISTANCE)
    return bound > 0 and _fails_alone(*window, bound, ordinary, confidence)


def _factor(bet: float, share: float, bound: float) -> float:
    """Return by how much a bet grows: more than 1 for a share below the bound, at most 1 on average."""
    return 1 + bet / (1 - bound) * (bound - share)


def _has_recovered(shares: Sequence[float], bound: float) -> bool:
    """Return whether most of the latest windows after an alarm satisfy the rule."""
    latest = shares[-RECOVERY_WINDOWS:]
    return sum(share >= bound for share in latest) > len(latest) / 2


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


def _fails_alone(share: float, evaluations: float, bound: float, ordinary: Mean, confidence: float) -> bool:
    """Return whether a window shows on its own that the share is below the bound.

    Its interval alone is not enough, because it knows only the chance within the window: if the true share
    varies by two points between days, it fails on 53 days per year. So the variation between ordinary
    windows must not explain the share either. Shares are compared on the arcsine scale, on which their
    variance hardly depends on the share.

    :param ordinary: the shares of the windows before, without those of incidents.
    """
    if share_interval(share * evaluations, evaluations, confidence).high >= bound:
        return False
    if ordinary.count < WINDOWS_FOR_DEVIATION or not ordinary.variance:
        variance = bound * (1 - bound)
        assumed = min(ASSUMED_DEVIATION, 1 - bound)  # shares near 1 cannot vary as much
        deviation = math.sqrt((variance / evaluations + assumed**2) / variance) / 2
        quantile = NormalDist().inv_cdf((1 + confidence) / 2)
    else:
        deviation = math.sqrt(ordinary.variance * (1 + 1 / ordinary.count))
        quantile = t_quantile(confidence, ordinary.count - 1)
    return _arcsine(bound) - _arcsine(share) > quantile * deviation


def _arcsine(share: float) -> float:
    return math.asin(math.sqrt(share))
