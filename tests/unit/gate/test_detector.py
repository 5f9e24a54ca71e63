"""The detector of shares below their bounds over many windows: reference values, false alarms and delays."""

from __future__ import annotations

from datetime import timedelta
from statistics import fmean

import pytest

from airflow_provider_online_tasks.gate.detector import (
    Budget,
    detect,
    is_beyond_variation,
    windows_per_year,
)
from airflow_provider_online_tasks.gate.intervals import share_interval

stats = pytest.importorskip("scipy.stats")

NEVER = 1e9
MIXED = [930 / 1000, 465 / 500, 279 / 300, 186 / 200] * 3
MIXED_LATER = [15.720202, 20.59904, 26.813449, 34.791522, 45.10702, 58.530284]


@pytest.mark.parametrize(
    ("shares", "bound", "values"),
    [
        ([0.95] * 5, 0.95, [1, 2, 3, 4, 5]),
        (
            [0.95] * 2 + [0.9] * 7,
            0.95,
            [1, 2, 4.3125, 7.911875, 13.734219, 23.475236, 40.237939, 69.746508, 122.627776],
        ),
        (
            MIXED,
            0.95,
            [1.175, 2.5703, 4.24513, 6.277275, 8.769292, 11.856888, *MIXED_LATER],
        ),
        ([0.96, 0.7, 0.955, 0.7], 0.95, [0.9125, 6.004375, 6.617428, 27.751395]),
        ([1, 0, 0, 0, 0], 0.9, [0.5625, 6.889375, 45.389844, 324.644855, 2560.989321]),
    ],
)
def test_detector_values_match_reference(shares: list[float], bound: float, values: list[float]) -> None:
    measured = [detect(shares[:count], bound, NEVER).value for count in range(1, len(shares) + 1)]
    assert measured == pytest.approx(values, abs=1e-6)


def test_alarm_restarts_detector_and_names_start() -> None:
    evidence = detect([0.95] * 5 + [0.9] * 7, 0.95, 100)
    assert evidence.alarms == (10,)
    assert evidence.failing_since == 5
    assert evidence.start == 11
    assert evidence.value == pytest.approx(detect([0.9], 0.95, NEVER).value)


def test_persistent_cause_is_one_incident_until_recovery() -> None:
    evidence = detect([0.96] * 20 + [0.9] * 40 + [0.96] * 5, 0.95, 365)
    assert len(evidence.alarms) > 2
    assert evidence.recoveries == (62,)
    assert evidence.failing_since is None
    assert detect([0.96] * 20 + [0.9] * 40, 0.95, 365).failing_since == 20


def test_incident_ends_with_first_good_window_after_alarm() -> None:
    alarm = detect([0.9] * 20, 0.95, 100).alarms[0]
    assert detect([0.9] * (alarm + 1), 0.95, 100).failing_since is not None
    assert detect([0.9] * (alarm + 1) + [0.951], 0.95, 100).recoveries == (alarm + 1,)


def test_no_windows_are_no_evidence() -> None:
    evidence = detect([], 0.95, 730)
    assert (evidence.value, evidence.alarms, evidence.failing_since) == (0, (), None)


def test_budget_is_shared_by_rules_and_by_window_and_detector() -> None:
    budget = Budget(false_alarms_per_year=1, windows_per_year=365, rules=3)
    assert budget.threshold == 730 * 3
    assert budget.confidence == pytest.approx(1 - 2 / (730 * 3))
    assert Budget(false_alarms_per_year=2, windows_per_year=365, rules=3).threshold == 365 * 3


@pytest.mark.parametrize(
    ("length", "number"),
    [
        (timedelta(days=1), 365),
        (timedelta(hours=23), 365),
        (timedelta(days=1) - timedelta(milliseconds=1), 365),
        (timedelta(hours=1), 8760),
        (timedelta(days=7), 365),
    ],
)
def test_windows_per_year_follow_length(length: timedelta, number: int) -> None:
    assert windows_per_year(length) == number


def test_floor_catches_catastrophe_in_first_window() -> None:
    confidence = Budget(false_alarms_per_year=1, windows_per_year=365, rules=1).confidence
    assert is_beyond_variation(0.7, 0.95, 1000, [], confidence)
    assert is_beyond_variation(0.7, 0.95, 1000, [0.95, 0.96, 0.93] * 10, confidence)
    assert not is_beyond_variation(0.92, 0.95, 1000, [0.95, 0.97, 0.93] * 10, confidence)


BOUND, EVALUATIONS = 0.95, 1_000


def daily_shares(seed: int, years: int, effect: float, drop: float = 0.0) -> list[list[float]]:
    """Return the shares measured in years of days whose true shares vary around a mean."""
    mean, size = BOUND - drop, (years, 365)
    true = stats.norm.rvs(mean, effect, size=size, random_state=seed).clip(0, 1) if effect else mean
    counts = stats.binom.rvs(EVALUATIONS, true, size=size, random_state=seed + 1)
    shares: list[list[float]] = (counts / EVALUATIONS).tolist()
    return shares


def floor_alarms(shares: list[float], confidence: float) -> list[int]:
    """Return the windows that fail on their own."""
    return [
        day
        for day, share in enumerate(shares)
        if share_interval(round(share * EVALUATIONS), EVALUATIONS, confidence).high < BOUND
        and is_beyond_variation(share, BOUND, EVALUATIONS, shares[:day], confidence)
    ]


@pytest.mark.parametrize("effect", [0, 0.01, 0.02])
@pytest.mark.parametrize("rules", [1, 3, 10])
def test_false_alarms_per_year_stay_within_budget(rules: int, effect: float) -> None:
    budget = Budget(false_alarms_per_year=1, windows_per_year=365, rules=rules)
    years = 180 // rules  # of the gate
    alarms = [0, 0]
    for shares in daily_shares(rules, years * rules, effect):
        alarms[0] += len(detect(shares, BOUND, budget.threshold).alarms)
        alarms[1] += len(floor_alarms(shares, budget.confidence))
    assert max(alarms) <= 0.5 * years


@pytest.mark.parametrize(
    ("drop", "effect", "days"),
    [(0.01, 0, 17), (0.02, 0, 9), (0.05, 0, 5), (0.01, 0.02, 28), (0.02, 0.02, 14), (0.05, 0.02, 6)],
)
def test_mean_delay_of_detector_matches_reference(drop: float, effect: float, days: float) -> None:
    delays = []
    before = daily_shares(1, 150, effect)
    for good, bad in zip(before, daily_shares(2, 150, effect, drop), strict=True):
        alarms = detect(good[:60] + bad[:120], BOUND, 365).alarms
        delays.append(min(alarm for alarm in alarms if alarm >= 60) - 59)
    assert fmean(delays) == pytest.approx(days, rel=0.2)


@pytest.mark.parametrize(
    ("drop", "effect", "days"),
    [
        (0.01, 0, 17),
        (0.02, 0, 5),
        (0.05, 0, 1),
        (0.01, 0.02, 33),
        (0.02, 0.02, 17),
        (0.05, 0.02, 7),
        (0.25, 0, 1),
        (0.25, 0.02, 1),
    ],
)
def test_mean_delay_with_one_false_alarm_per_year(drop: float, effect: float, days: float) -> None:
    budget = Budget(false_alarms_per_year=1, windows_per_year=365, rules=1)
    delays = []
    before = daily_shares(1, 150, effect)
    for good, bad in zip(before, daily_shares(2, 150, effect, drop), strict=True):
        shares = good[:60] + bad[:200]
        alarms = [
            *detect(shares, BOUND, budget.threshold).alarms,
            *floor_alarms(shares[:90], budget.confidence),
        ]
        delays.append(min(alarm for alarm in alarms if alarm >= 60) - 59)
    assert fmean(delays) == pytest.approx(days, rel=0.2)
