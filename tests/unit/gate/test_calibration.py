"""Calibrated shares and agreement: reference values, an independent implementation, and error rates."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_online_tasks.gate.calibration import Calibration, Stratum
from airflow_provider_online_tasks.gate.summary import Clusters
from tests.support.random_examples import examples

optimize = pytest.importorskip("scipy.optimize")
stats = pytest.importorskip("scipy.stats")

GOOD, BAD = "correct", "incorrect"
# N, N1, m1, k1, m0, k0, confidence: share, low, high
SHARES = [
    ((2000, 1900, 38, 37, 12, 5, 0.95), (0.945833, 0.838657, 0.975070)),
    ((2000, 1900, 38, 38, 12, 0, 0.95), (0.950000, 0.861490, 0.966080)),
    ((2000, 1900, 150, 147, 50, 20, 0.95), (0.951000, 0.914379, 0.968604)),
    ((500, 490, 40, 40, 10, 6, 0.95), (0.992000, 0.905151, 0.998944)),
    ((10000, 9200, 375, 360, 125, 30, 0.95), (0.902400, 0.878263, 0.920219)),
    ((1000, 950, 50, 48, 0, 0, 0.95), (None, 0.818544, 0.995368)),
    ((1000, 950, 0, 0, 50, 15, 0.95), (None, 0.007840, 0.976487)),
    ((300, 300, 60, 59, 0, 0, 0.9), (None, 0.922569, 0.999146)),
    ((2000, 1000, 100, 80, 100, 20, 0.99), (0.500000, 0.422062, 0.577938)),
    ((800, 760, 90, 90, 10, 10, 0.95), (1.0, 0.958849, 1.0)),
]
AGREEMENT = [
    (SHARES[0][0], "agreement", (0.954167, 0.846871, 0.981904)),
    (SHARES[0][0], "specificity", (0.538462, 0.153617, 0.978822)),
    (SHARES[0][0], "kappa", (0.535865, 0.158379, 0.791997)),
    (SHARES[2][0], "specificity", (0.612245, 0.344132, 0.884684)),
    (SHARES[2][0], "kappa", (0.585547, 0.378902, 0.736892)),
    (SHARES[4][0], "agreement", (0.944000, 0.919923, 0.961045)),
    (SHARES[4][0], "specificity", (0.622951, 0.499674, 0.746609)),
    (SHARES[8][0], "kappa", (0.600000, 0.428560, 0.729527)),
]


def calibration(total, positive, m1, k1, m0, k0, confidence):
    strata = [
        Stratum(label=GOOD, evaluated=positive, human_labels={GOOD: k1, BAD: m1 - k1}),
        Stratum(label=BAD, evaluated=total - positive, human_labels={GOOD: k0, BAD: m0 - k0}),
    ]
    return Calibration([each for each in strata if each.evaluated], confidence)


def estimate(name, data):
    given = calibration(*data)
    return given.agreement if name == "agreement" else getattr(given, name)(GOOD)


def matches(found, expected):
    value, low, high = expected
    assert found.value == (None if value is None else pytest.approx(value, abs=1e-6))
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-6)


@pytest.mark.parametrize(("data", "expected"), SHARES)
def test_calibrated_share_equals_reference_value(data, expected):
    matches(calibration(*data).share(GOOD), expected)


@pytest.mark.parametrize(("data", "name", "expected"), AGREEMENT)
def test_agreement_with_people_equals_reference_value(data, name, expected):
    matches(estimate(name, data), expected)


def test_ac1_equals_reference_value():
    assert calibration(*SHARES[0][0]).ac1(GOOD) == pytest.approx(0.949145, abs=1e-6)
    assert calibration(*SHARES[9][0]).ac1(GOOD) == pytest.approx(0.947438, abs=1e-6)
    assert calibration(*SHARES[5][0]).ac1(GOOD) is None


def test_agreement_with_evaluator_that_is_always_right_by_people_has_no_specificity():
    given = calibration(*SHARES[9][0])
    assert given.kappa(GOOD).value == pytest.approx(0)
    value, low, high = given.specificity(GOOD)
    assert (value, high) == (None, 1.0)
    assert low == pytest.approx(0, abs=1e-9)


# -- an independent implementation, with scipy


def exact(count, total, confidence):
    found = stats.binomtest(count, total).proportion_ci(confidence, method="exact")
    return found.low, found.high


def mover(constant, factors, shares, intervals):
    center = constant + sum(factor * share for factor, share in zip(factors, shares, strict=True))
    ends = []
    for sign in (-1, 1):
        squares = 0.0
        for factor, share, (low, high) in zip(factors, shares, intervals, strict=True):
            squares += max(0.0, sign * factor * (high - share), sign * factor * (low - share)) ** 2
        ends.append(center + sign * math.sqrt(squares))
    return center, *ends


def independent(name, total, positive, m1, k1, m0, k0, confidence):
    w1, a, b = positive / total, k1 / m1, k0 / m0
    w0, of_a, of_b = 1 - w1, exact(k1, m1, confidence), exact(k0, m0, confidence)
    if name == "share":
        low_w, high_w = exact(positive, total, confidence)
        return mover((b - a) * w1, (w1, w0, a - b), (a, b, w1), (of_a, of_b, (low_w, high_w)))
    if name == "agreement":
        return mover(w0, (w1, -w0), (a, b), (of_a, of_b))

    def at(x):
        if name == "specificity":
            return (1 - x) * w0 - x * w1, (x * w1, -(1 - x) * w0)
        by_chance = (1 - x) * (w1 - w0)
        return x * w0 - x, (w1 - by_chance * w1, -w0 - by_chance * w0)

    def root(place):
        return optimize.brentq(lambda x: mover(*at(x), (a, b), (of_a, of_b))[place], -1, 1)

    return root(0), root(1), root(2)


CASES = [data for data, (value, *_) in SHARES if value is not None]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (name, data)
        for name in ("share", "agreement", "specificity", "kappa")
        for data in CASES
        if name != "specificity" or data[3] + data[5] < data[2] + data[4]
    ],
)
def test_estimate_equals_independent_implementation(name, data):
    value, low, high = independent(name, *data)
    lowest = -1.0 if name == "kappa" else 0.0
    matches(estimate(name, data), (value, max(low, lowest), min(high, 1.0)))


# -- several labels, and clusters


def three_labels(counts=((60, 2, 1), (3, 20, 2), (2, 1, 15))):
    names = ("good", "fair", "poor")
    return Calibration(
        [
            Stratum(label=name, evaluated=size, human_labels=dict(zip(names, row, strict=True)))
            for name, size, row in zip(names, (1000, 300, 100), counts, strict=True)
        ],
        0.95,
    )


def test_share_of_three_labels_weighs_each_stratum_by_its_evaluations():
    given = three_labels()
    expected = 1000 / 1400 * 60 / 63 + 300 / 1400 * 3 / 25 + 100 / 1400 * 2 / 18
    assert given.share("good").value == pytest.approx(expected)
    shares = [given.share(label).value for label in ("good", "fair", "poor")]
    assert sum(shares) == pytest.approx(1)
    both = given.share("good", also={"fair"})
    assert both.value == pytest.approx(shares[0] + shares[1])
    assert both.low < both.value < both.high


def test_sensitivity_of_one_label_is_specificity_of_the_only_other():
    given = calibration(*SHARES[2][0])
    assert given.sensitivity(BAD) == pytest.approx(given.specificity(GOOD), abs=1e-6)
    assert given.kappa(BAD) == pytest.approx(given.kappa(GOOD), abs=1e-6)


def test_human_labels_in_few_clusters_have_wider_intervals():
    data = SHARES[2][0]
    alone = calibration(*data)
    clusters = Clusters(count=30, labels={GOOD: 3.0}, size=5.0)
    in_clusters = Calibration(
        [Stratum(**{**vars(each), "clusters": clusters}) for each in alone.strata], 0.95, clusters
    )
    wide, narrow = in_clusters.share(GOOD), alone.share(GOOD)
    assert wide.value == pytest.approx(narrow.value)
    assert wide.low < narrow.low - 0.02
    one = Clusters(count=1, labels={}, size=5.0)
    unknown = Calibration([Stratum(**{**vars(each), "clusters": one}) for each in alone.strata], 0.95)
    assert unknown.share(GOOD) == (None, pytest.approx(0, abs=0.01), pytest.approx(1, abs=0.01))


def test_more_human_labels_cannot_exceed_the_evaluations():
    *_, last = calibration(*SHARES[3][0]).more_labels()
    assert [each.labelled for each in last.strata] == [490, 10]
    assert list(calibration(20, 10, 10, 9, 10, 1, 0.95).more_labels()) == []


@pytest.mark.parametrize("evaluated", range(20, 120))
def test_more_human_labels_end_in_spite_of_rounding(evaluated):
    *_, last = calibration(2 * evaluated, evaluated, 11, 4, 7, 3, 0.95).more_labels()
    assert last.labelled == 2 * evaluated


@st.composite
def calibrations(draw):
    names = ("a", "b", "c", "d")[: draw(st.integers(1, 4))]
    strata = []
    for name in names:
        counts = {label: draw(st.integers(0, 40)) for label in ("a", "b", "other")}
        clusters = Clusters(count=draw(st.integers(1, 50)), labels={"a": 1.5}, size=draw(st.floats(1, 20)))
        strata.append(
            Stratum(
                label=name,
                evaluated=sum(counts.values()) + draw(st.integers(0, 1000)),
                human_labels=counts,
                clusters=draw(st.sampled_from([None, clusters])),
            )
        )
    confidence = draw(st.sampled_from([0.5, 0.95, 0.999999]))
    return Calibration(strata, confidence, draw(st.sampled_from([None, strata[0].clusters])))


@pytest.mark.no_cover
@settings(max_examples=examples(300))
@given(calibrations())
def test_estimates_of_any_strata_are_within_their_limits(calibration):
    assert len(list(calibration.more_labels())) < 100
    for label in ("a", "d", "missing"):
        lowest = {"kappa": -1.0}
        estimates = {"share": calibration.share(label, {"other"}), "agreement": calibration.agreement}
        estimates |= {
            name: getattr(calibration, name)(label) for name in ("sensitivity", "specificity", "kappa")
        }
        for name, (value, low, high) in estimates.items():
            assert lowest.get(name, 0.0) <= low <= high <= 1.0, name
            assert value is None or low - 1e-6 <= value <= high + 1e-6, name
        assert calibration.ac1(label) is None or calibration.ac1(label) <= 1 + 1e-9


# -- error rates


def human_labels(chance, truths, count):
    drawn = chance.sample(truths, min(count, len(truths)))
    return {GOOD: sum(drawn), BAD: len(drawn) - sum(drawn)}


@pytest.mark.parametrize(
    ("share", "sensitivity", "specificity"), [(0.9, 0.98, 0.6), (0.95, 0.95, 0.9), (0.97, 0.999, 0.3)]
)
def test_true_share_outside_of_interval_is_rare_in_simulation(share, sensitivity, specificity):
    chance, repetitions = random.Random(7), 300
    too_low = too_high = 0
    for _ in range(repetitions):
        truths: dict[str, list[bool]] = {GOOD: [], BAD: []}
        for _ in range(1000):
            is_good = chance.random() < share
            is_accepted = chance.random() < (sensitivity if is_good else 1 - specificity)
            truths[GOOD if is_accepted else BAD].append(is_good)
        strata = [
            Stratum(label=label, evaluated=len(found), human_labels=human_labels(chance, found, count))
            for (label, found), count in zip(truths.items(), (75, 25), strict=True)
        ]
        estimate = Calibration(strata, 0.9).share(GOOD)
        too_low += estimate.high < share
        too_high += estimate.low > share
    # 5 % each are allowed; 27 of 300 or more have a probability of 0.3 % at that rate.
    allowed = stats.binom.ppf(0.997, repetitions, 0.05)
    assert too_low <= allowed
    assert too_high <= allowed
