"""The intervals, held against scipy and statsmodels, and against what they promise: how often they err."""

from __future__ import annotations

import itertools
import math

import pytest

from airflow_provider_online_tasks.gate import intervals as ours
from airflow_provider_online_tasks.gate.verdict import FAILED, INCONCLUSIVE, PASSED, decide

stats = pytest.importorskip("scipy.stats")
proportion = pytest.importorskip("statsmodels.stats.proportion")
weightstats = pytest.importorskip("statsmodels.stats.weightstats")

CONFIDENCES = (0.8, 0.95, 0.99, 0.999)
SIZES = (20, 30, 50, 98, 100, 300, 500, 1_000, 3_000, 10_000)
SHARES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)


@pytest.mark.parametrize("confidence", CONFIDENCES)
@pytest.mark.parametrize(
    ("count", "total"), [(0, 20), (1, 20), (69, 98), (97, 100), (100, 100), (9990, 10_000)]
)
def test_the_intervals_of_a_share_are_scipys(count, total, confidence):
    wilson = proportion.proportion_confint(count, total, alpha=1 - confidence, method="wilson")
    exact = stats.binomtest(count, total).proportion_ci(confidence_level=confidence, method="exact")
    assert ours.wilson(count, total, confidence) == pytest.approx(wilson, abs=1e-12)
    assert ours.clopper_pearson(count, total, confidence) == pytest.approx((exact.low, exact.high), abs=1e-9)
    low, high = ours.share_interval(count, total, confidence)
    assert low == pytest.approx(min(wilson[0], exact.low), abs=1e-9)
    assert high == pytest.approx(max(wilson[1], exact.high), abs=1e-9)


@pytest.mark.parametrize("total", range(1, 60))
def test_rounding_takes_no_share_beyond_0_and_1(total):
    assert ours.wilson(total, total, 0.95).high <= 1
    assert ours.wilson(0, total, 0.95).low >= 0


@pytest.mark.parametrize("confidence", CONFIDENCES)
@pytest.mark.parametrize("degrees", [1, 2, 5.5, 19, 99, 1_234.5, 99_999])
def test_the_quantile_of_t_is_scipys(degrees, confidence):
    expected = stats.t.ppf((1 + confidence) / 2, degrees)
    assert ours.t_quantile(confidence, degrees) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_the_interval_of_a_difference_is_newcombes(confidence):
    """His method 10, worked out by hand from both intervals; statsmodels has it with Wilson's alone."""
    one, other = (95, 100), (270, 300)
    low, high = proportion.confint_proportions_2indep(
        *one, *other, method="newcomb", compare="diff", alpha=1 - confidence
    )
    found = ours.share_difference(one, other, confidence)
    assert found.low <= low + 1e-12
    assert found.high >= high - 1e-12
    assert found == pytest.approx((low, high), abs=0.02)


def test_the_intervals_of_means_are_scipys_and_statsmodels():
    one, other = [0.2, 0.5, 0.9, 0.4, 0.7, 0.6, 0.1], [0.8, 0.9, 1.0, 0.7, 0.95]

    def of(numbers):
        return ours.MeanOf(sum(numbers) / len(numbers), float(stats.describe(numbers).variance), len(numbers))

    expected = stats.ttest_1samp(one, 0).confidence_interval(0.95)
    assert ours.mean_interval(of(one), 0.95) == pytest.approx((expected.low, expected.high), rel=1e-9)
    compared = weightstats.CompareMeans(weightstats.DescrStatsW(one), weightstats.DescrStatsW(other))
    welch = compared.tconfint_diff(alpha=0.05, usevar="unequal")
    assert ours.mean_difference(of(one), of(other), 0.95) == pytest.approx(welch, rel=1e-9)


@pytest.mark.parametrize("share", [0.05, 0.25, 0.5, 0.95])
@pytest.mark.parametrize("total", [20, 100, 1_000, 10_000])
def test_a_quantile_lies_between_its_ranks_as_often_as_asked(share, total):
    low, high = ours.quantile_ranks(share, total, 0.95)
    below = stats.binom(total, share)
    # The quantile is below the low rank's value if fewer values than that rank are below the quantile.
    assert below.cdf(low - 1) <= 0.025 + 1e-9
    assert below.sf(high - 1) <= 0.025 + 1e-9
    # The next ranks inward would promise too much: the interval is as short as it can be.
    assert below.cdf(low) > 0.025
    assert below.sf(high - 2) > 0.025


def chances(total, share, bound, comparison, confidence):
    """How often a rule is held, broken and undecided: summed over all counts, by scipy's binomial."""
    edges = {}
    for verdict in (PASSED, FAILED):
        # The verdict changes once as the count grows, so the count at which it does is found by halving.
        low, high = 0, total + 1
        while low < high:
            count = (low + high) // 2
            found = count <= total and decide(
                comparison, ours.share_interval(count, total, confidence), bound
            )
            if (found == FAILED) if verdict == FAILED else (found != PASSED and count <= total):
                low = count + 1
            else:
                high = count
        edges[verdict] = low
    drawn = stats.binom(total, share)
    return {FAILED: drawn.cdf(edges[FAILED] - 1), PASSED: drawn.sf(edges[PASSED] - 1)}


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99, 0.9975, 0.999])
def test_false_alarms_and_false_passes_stay_at_what_is_asked_for(confidence):
    """At the bound itself a rule is kept and about to be broken: the worst case for both mistakes."""
    worst = 0.0
    for total, share in itertools.product(SIZES, SHARES):
        wrongly_broken = chances(total, share, share, ">=", confidence)[FAILED]
        # Just below the bound the rule is broken; to hold there is as frequent as at the bound.
        wrongly_held = chances(total, share, share + 1e-12, ">=", confidence)[PASSED]
        worst = max(worst, wrongly_broken, wrongly_held)
        assert wrongly_broken <= 1 - confidence, (total, share)
        assert wrongly_held <= 1 - confidence, (total, share)
    assert worst > (1 - confidence) / 4  # the promise is kept without giving the power away


def test_wilsons_interval_alone_would_alarm_too_often():
    """Why the exact interval widens it: at 0.999 and 100 evaluations it alarms in 9.5 % of samples."""
    total, share = 100, 0.999
    broken = [count for count in range(total + 1) if ours.wilson(count, total, 0.95).high < share]
    assert sum(stats.binom(total, share).pmf(broken)) == pytest.approx(0.0952, abs=1e-4)


@pytest.mark.parametrize(
    ("share", "bound"), [(0.99, 0.95), (0.93, 0.95), (0.7041, 0.65), (1.0, 0.95), (0.5, 0.9), (0.2, 0.21)]
)
def test_the_number_that_decides_decides_and_fewer_do_not(share, bound):
    total = ours.evaluations_to_decide_share(share, bound, 0.95)
    low, high = ours.share_interval(share * total, total, 0.95)
    assert low > bound or high < bound
    fewer = math.floor(total * 0.9) - 2
    if fewer > 1:
        low, high = ours.share_interval(share * fewer, fewer, 0.95)
        assert low <= bound <= high


def test_what_no_number_decides_is_said():
    assert ours.evaluations_to_decide_share(0.95, 0.95, 0.95) is None
    assert ours.evaluations_to_decide_share(0.99, 1.0, 0.95) is None
    assert ours.evaluations_to_decide_mean(ours.MeanOf(0.5, 0.1, 30), 0.5, 0.95) is None


def test_the_number_that_decides_a_mean_decides():
    total = ours.evaluations_to_decide_mean(ours.MeanOf(0.81, 0.1, 30), 0.8, 0.95)
    assert ours.mean_interval(ours.MeanOf(0.81, 0.1, total), 0.95).low > 0.8
    assert ours.mean_interval(ours.MeanOf(0.81, 0.1, total - 20), 0.95).low < 0.8


def drop_chances(total, share, earlier_total, earlier_share, max_drop, confidence=0.95):
    """How often a drop is found, summed over all pairs of counts that are not all but impossible."""
    now, before = stats.binom(total, share), stats.binom(earlier_total, earlier_share)

    def likely(drawn):
        return range(int(drawn.ppf(1e-7)), int(drawn.ppf(1 - 1e-7)) + 1)

    found = 0.0
    for count in likely(now):
        # The larger the earlier count, the larger the drop: again one edge.
        low, high = 0, earlier_total + 1
        while low < high:
            earlier = (low + high) // 2
            interval = ours.share_difference((earlier, earlier_total), (count, total), confidence)
            if interval.low > max_drop:
                high = earlier
            else:
                low = earlier + 1
        found += now.pmf(count) * before.sf(low - 1)
    return found


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95, 0.99])
@pytest.mark.parametrize(("total", "earlier_total"), [(20, 20), (50, 200), (100, 100), (500, 500)])
def test_an_unchanged_judge_raises_no_more_alarms_than_asked(share, total, earlier_total):
    for max_drop in (0.0, 0.02):
        assert drop_chances(total, share, earlier_total, share, max_drop) <= 0.05
    # The boundary itself: a drop of exactly what is allowed.
    assert drop_chances(total, share - 0.02, earlier_total, share, 0.02) <= 0.05


@pytest.mark.parametrize(("total", "least", "most"), [(100, 0.1, 0.45), (500, 0.8, 0.95), (1_000, 0.97, 1)])
def test_a_drop_of_five_points_is_found_the_more_often_the_more_is_evaluated(total, least, most):
    theory = theoretical_power(total, 0.95, 0.90)
    found = drop_chances(total, 0.90, total, 0.95, 0.0)
    assert least <= found <= most
    assert found == pytest.approx(theory, abs=0.08)


def theoretical_power(total, before, now):
    """The normal approximation of a test of two shares, as textbooks have it."""
    error = math.sqrt((before * (1 - before) + now * (1 - now)) / total)
    return stats.norm.cdf((before - now) / error - stats.norm.ppf(0.975))


@pytest.mark.parametrize("size", [20, 100, 1_000])
@pytest.mark.parametrize("kind", ["normal", "uniform", "beta"])
def test_means_raise_no_more_alarms_than_asked(kind, size):
    import numpy as np

    drawing = np.random.default_rng(7)
    drawn = {
        "normal": lambda shape: drawing.normal(0.8, 0.1, shape),
        "uniform": lambda shape: drawing.uniform(0.6, 1.0, shape),
        "beta": lambda shape: drawing.beta(8, 2, shape),
    }[kind]((4_000, size))
    means, variances = drawn.mean(axis=1), drawn.var(axis=1, ddof=1)
    verdicts = [
        decide(">=", ours.mean_interval(ours.MeanOf(float(m), float(v), size), 0.95), 0.8)
        for m, v in zip(means, variances, strict=True)
    ]
    for mistake in (PASSED, FAILED):
        assert verdicts.count(mistake) / len(verdicts) <= 0.05
    assert verdicts.count(INCONCLUSIVE) / len(verdicts) >= 0.93
