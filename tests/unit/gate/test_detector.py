"""The detector of shares below their bounds over many windows: reference values, false alarms and delays."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from statistics import fmean

import pytest

from airflow_provider_online_tasks.gate.detector import (
    Budget,
    Evidence,
    Incident,
    detect,
    find_drops,
    windows_per_year,
)

stats = pytest.importorskip("scipy.stats")

NEVER = 1e9
DAILY = Budget(false_alarms_per_year=1, windows_per_year=365, rules=1)
MIXED = [930 / 1000, 465 / 500, 279 / 300, 186 / 200] * 3
MIXED_LATER = [15.720202, 20.59904, 26.813449, 34.791522, 45.10702, 58.530284]


def evidence(shares: list[float], bound: float, threshold: float) -> Evidence:
    """Return the detector's evidence. Windows of one evaluation never fail on their own."""
    budget = Budget(false_alarms_per_year=730 / threshold, windows_per_year=365, rules=1)
    return detect([(share, 1) for share in shares], bound, budget)


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
    measured = [evidence(shares[:count], bound, NEVER).value for count in range(1, len(shares) + 1)]
    assert measured == pytest.approx(values, abs=1e-6)


def test_detector_alarm_starts_incident_and_restarts_detector() -> None:
    found = evidence([0.95] * 5 + [0.9] * 7, 0.95, 100)
    assert found.incidents == (Incident(since=5, alarm=10),)
    assert found.failing_since == 5
    assert found.start == 11
    assert found.value == pytest.approx(evidence([0.9], 0.95, NEVER).value)


def test_evidence_at_alarm_is_that_of_alarm() -> None:
    found = evidence([0.95] * 5 + [0.9] * 6, 0.95, 100)
    assert found.value >= 100
    assert found.start == 0


def test_lasting_cause_is_one_incident_until_recovery() -> None:
    shares = [0.96] * 20 + [0.9] * 40 + [0.96] * 5
    [incident] = evidence(shares, 0.95, 365).incidents
    assert (incident.since, incident.end) == (20, 61)
    assert evidence(shares[:60], 0.95, 365).failing_since == 20


def test_incident_ends_with_first_good_window_after_alarm() -> None:
    [incident] = evidence([0.9] * 15, 0.95, 100).incidents
    bad = [0.9] * (incident.alarm + 1)
    assert evidence(bad, 0.95, 100).failing_since == 0
    assert evidence([*bad, 0.951], 0.95, 100).incidents == (replace(incident, end=len(bad)),)
    assert evidence([*bad, 0.951, 0.93], 0.95, 100).start == len(bad)


def test_window_that_fails_alone_is_an_incident() -> None:
    windows = [(0.955, 1_000.0)] * 20 + [(0.7, 1_000.0), (0.955, 1_000.0)]
    assert detect(windows, 0.95, DAILY).incidents == (Incident(since=20, alarm=20, end=21),)
    assert detect([(0.7, 1_000)], 0.95, DAILY).failing_since == 0


def test_window_within_earlier_variation_does_not_fail_alone() -> None:
    varied = [(share, 1_000.0) for share in (0.95, 0.97, 0.93) * 10]
    assert detect([*varied, (0.91, 1_000)], 0.95, DAILY).incidents == ()
    steady = [(share, 1_000.0) for share in (0.95, 0.955, 0.945) * 10]
    assert detect([*steady, (0.91, 1_000)], 0.95, DAILY).failing_since == 30


def test_no_windows_are_no_evidence() -> None:
    found = detect([], 0.95, DAILY)
    assert (found.value, found.incidents, found.failing_since) == (0, (), None)


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


BOUND, EVALUATIONS = 0.95, 1_000


def daily_windows(seed: int, years: int, mean: float, effect: float) -> list[list[tuple[float, float]]]:
    """Return the windows of years of days whose true shares vary around a mean."""
    size = (years, 365)
    true = stats.norm.rvs(mean, effect, size=size, random_state=seed).clip(0, 1) if effect else mean
    counts = stats.binom.rvs(EVALUATIONS, true, size=size, random_state=seed + 1)
    return [[(share, EVALUATIONS) for share in year] for year in (counts / EVALUATIONS).tolist()]


def mean_delay(
    budget: Budget, *, before: float = BOUND, now: float, effect: float, evaluations: float = EVALUATIONS
) -> float:
    """Return how many days a gate needs on average to find that a share changed on day 60."""
    delays = []
    years = daily_windows(1, 120, before, effect), daily_windows(2, 120, now, effect)
    for good, bad in zip(*years, strict=True):
        windows = [(share, evaluations) for share, _ in good[:60] + bad[:250]]
        incidents = detect(windows, BOUND, budget).incidents
        [alarm] = [each.alarm for each in incidents if each.end is None or each.end >= 60][:1]
        if alarm >= 60:
            delays.append(alarm - 59)
    return fmean(delays)


@pytest.mark.no_cover
@pytest.mark.parametrize("effect", [0, 0.01, 0.02])
@pytest.mark.parametrize("rules", [1, 3, 10])
def test_false_alarms_per_year_stay_within_budget(rules: int, effect: float) -> None:
    budget = Budget(false_alarms_per_year=1, windows_per_year=365, rules=rules)
    years = 180 // rules  # of the gate
    windows = daily_windows(rules, years * rules, BOUND, effect)
    assert sum(len(detect(year, BOUND, budget).incidents) for year in windows) <= years


@pytest.mark.no_cover
@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "effect", "alarms", "days"),
    [(12, 0, 7, 1.4), (12, 0.02, 6, 7), (4, 0, 2, 2.4), (4, 0.02, 2, 11), (1, 0, 0.4, 5), (1, 0.02, 0.3, 16)],
)
def test_larger_budget_finds_a_drop_earlier(number: int, effect: float, alarms: float, days: float) -> None:
    budget = Budget(false_alarms_per_year=number, windows_per_year=365, rules=1)
    years = daily_windows(5, 60, BOUND, effect)
    found = sum(len(detect(year, BOUND, budget).incidents) for year in years) / len(years)
    assert found == pytest.approx(alarms, abs=0.5)
    assert mean_delay(budget, now=0.93, effect=effect) == pytest.approx(days, rel=0.2)


@pytest.mark.no_cover
@pytest.mark.parametrize(("mean", "most"), [(0.95, 4.0), (0.96, 1.0)])
def test_false_alarms_if_bad_days_come_together(mean: float, most: float) -> None:
    correlation, effect, years = 0.8, 0.02, 30
    draws = stats.norm.rvs(0, effect * (1 - correlation**2) ** 0.5, size=(years, 365), random_state=1)
    incidents, deviation = 0, 0.0
    for number, year in enumerate(draws):
        true = []
        for draw in year:
            deviation = correlation * deviation + draw
            true.append(min(1.0, mean + deviation))
        counts = stats.binom.rvs(EVALUATIONS, true, random_state=number)
        windows = [(count / EVALUATIONS, EVALUATIONS) for count in counts.tolist()]
        incidents += len(detect(windows, BOUND, DAILY).incidents)
    assert incidents <= most * years


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("drop", "effect", "days"),
    [(0.01, 0, 17), (0.02, 0, 9), (0.05, 0, 5), (0.01, 0.02, 28), (0.02, 0.02, 14), (0.05, 0.02, 6)],
)
def test_mean_delay_of_detector_matches_reference(drop: float, effect: float, days: float) -> None:
    budget = Budget(false_alarms_per_year=2, windows_per_year=365, rules=1)
    delay = mean_delay(budget, now=BOUND - drop, effect=effect, evaluations=1)
    assert delay == pytest.approx(days, rel=0.2)


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("before", "now", "effect", "days"),
    [
        (0.95, 0.94, 0, 18),
        (0.95, 0.93, 0, 5),
        (0.95, 0.90, 0, 1),
        (0.95, 0.94, 0.02, 35),
        (0.95, 0.93, 0.02, 16),
        (0.95, 0.90, 0.02, 7),
        (0.95, 0.70, 0.02, 1),
        (0.97, 0.94, 0, 34),
        (0.97, 0.93, 0, 13),
        (0.97, 0.90, 0, 1),
        (0.97, 0.94, 0.02, 47),
        (0.97, 0.93, 0.02, 23),
        (0.97, 0.90, 0.02, 11),
        (0.97, 0.70, 0.02, 1),
    ],
)
def test_mean_delay_with_one_false_alarm_per_year(
    before: float, now: float, effect: float, days: float
) -> None:
    delay = mean_delay(DAILY, before=before, now=now, effect=effect)
    assert delay == pytest.approx(days, rel=0.2)


@pytest.mark.no_cover
@pytest.mark.parametrize("effect", [0, 0.01, 0.02])
@pytest.mark.parametrize("rules", [1, 10])
def test_false_alarms_of_drops_stay_within_budget(rules: int, effect: float) -> None:
    budget = Budget(false_alarms_per_year=1, windows_per_year=365, rules=rules)
    years, alarms = 100 // rules, 0
    for year in daily_windows(rules, years * rules, BOUND, effect):
        alarms += sum(find_drops(year, 0, budget.confidence)[1])
    assert alarms <= years


def test_drop_beyond_variation_is_found() -> None:
    def has_dropped(earlier: list[float], share: float, max_drop: float) -> bool:
        windows = [(each, 1_000) for each in [*earlier, share]]
        return find_drops(windows, max_drop, DAILY.confidence)[1][-1]

    varied, steady = [0.95, 0.97, 0.93] * 6, [0.95, 0.955, 0.945] * 6
    assert has_dropped(varied, 0.80, 0.02)
    assert not has_dropped(varied, 0.90, 0.02)
    assert has_dropped(steady, 0.90, 0.02)
    assert not has_dropped(steady, 0.90, 0.1)
    assert not has_dropped(steady[:13], 0.80, 0.02)


@pytest.mark.parametrize("max_drop", [0, 0.001, 0.1])
def test_drop_from_equal_shares_is_found(max_drop: float) -> None:
    steady = [(1.0, 1_000.0)] * 28
    assert find_drops([*steady, (0.5, 1_000)], max_drop, DAILY.confidence)[1][-1]
    assert not find_drops([*steady, (0.999, 1_000)], max_drop, DAILY.confidence)[1][-1]


@pytest.mark.parametrize(("bound", "share"), [(0.999, 0.5), (0.995, 0.8), (0.99, 0.9), (0.9999, 0.97)])
@pytest.mark.parametrize("earlier", [0, 28])
def test_window_far_below_bound_near_one_fails_alone(bound: float, share: float, earlier: int) -> None:
    windows = [(1.0, 1_000.0)] * earlier + [(share, 1_000)]
    assert detect(windows, bound, DAILY).failing_since == earlier


@pytest.mark.no_cover
@pytest.mark.parametrize("bound", [0.99, 0.999])
def test_false_alarms_near_one_stay_within_budget(bound: float) -> None:
    windows = daily_windows(1, 100, bound, 0)
    assert sum(len(detect(year, bound, DAILY).incidents) for year in windows) <= 100
    assert sum(sum(find_drops(year, 0, DAILY.confidence)[1]) for year in windows) <= 100


def test_lasting_drop_is_usual_level_after_some_windows() -> None:
    windows = [(share, 1_000) for share in [0.95, 0.955, 0.945] * 10 + [0.90, 0.905, 0.895] * 10]
    assert find_drops(windows, 0.01, DAILY.confidence)[1] == [False] * 30 + [True] * 15 + [False] * 15
