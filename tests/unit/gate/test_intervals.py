"""Tests for the confidence intervals: against scipy and statsmodels, and for their error rates."""

from __future__ import annotations

import itertools
import math
import statistics

import pytest

from airflow_provider_online_tasks.gate import intervals as ours
from airflow_provider_online_tasks.gate.checks import FAILED, INCONCLUSIVE, PASSED, decide
from airflow_provider_online_tasks.gate.intervals import Mean

stats = pytest.importorskip("scipy.stats")
weightstats = pytest.importorskip("statsmodels.stats.weightstats")

CONFIDENCES = (0.8, 0.95, 0.99, 0.999)
SIZES = (20, 30, 50, 98, 100, 300, 500, 1_000, 3_000, 10_000)
SHARES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)


def mean_of(numbers):
    mean = Mean()
    for number in numbers:
        mean.add(number)
    return mean


def sample(mean, variance, count):
    return Mean(count=count, mean=mean, squares=variance * (count - 1))


def exact(count, total, confidence):
    """Clopper and Pearson's interval by scipy."""
    found = stats.binomtest(count, total).proportion_ci(confidence_level=confidence, method="exact")
    return found.low, found.high


def share_difference(one, other, confidence):
    """The interval of a difference of shares (count and total), as a gate combines it."""
    of_one, of_other = (ours.share_interval(*each, confidence) for each in (one, other))
    return ours.difference(one[0] / one[1], of_one, other[0] / other[1], of_other)


def bounded_mean_difference(one, other, bounds, confidence):
    of_one, of_other = (ours.bounded_mean_interval(each, bounds, confidence) for each in (one, other))
    return ours.difference(one.mean, of_one, other.mean, of_other)


# -- mean


def test_mean_of_numbers_equals_statistics_module():
    numbers = [place * 7919 % 1000 / 1000 for place in range(50)]
    mean = mean_of(numbers)
    assert mean.mean == pytest.approx(statistics.fmean(numbers), rel=1e-12)
    assert mean.variance == pytest.approx(statistics.variance(numbers), rel=1e-12)


@pytest.mark.parametrize("sizes", [(20, 30), (30, 20), (0, 50), (50, 0), (1, 49)])
def test_mean_merge_equals_mean_of_all_numbers(sizes):
    numbers = [place * 7919 % 1000 / 1000 for place in range(50)]
    mean = mean_of(numbers[: sizes[0]])
    mean.merge(mean_of(numbers[sizes[0] :]))
    assert mean.count == 50
    assert mean.mean == pytest.approx(statistics.fmean(numbers), rel=1e-12)
    assert mean.variance == pytest.approx(statistics.variance(numbers), rel=1e-12)


def test_mean_merge_of_numbers_that_are_too_large_has_infinite_variance():
    mean = mean_of([1e160])
    mean.merge(mean_of([-1e160]))
    assert (mean.count, mean.mean, mean.variance) == (2, 0, math.inf)


def test_mean_merge_into_nothing_is_the_other():
    mean = mean_of([])
    mean.merge(mean_of([1e200] * 3))
    assert (mean.count, mean.mean, mean.variance) == (3, 1e200, 0)


def test_mean_merge_leaves_other_unchanged():
    one, other = mean_of([1, 2]), mean_of([3])
    one.merge(other)
    assert (other.count, other.mean, one.count) == (1, 3, 3)


@pytest.mark.parametrize(
    ("numbers", "is_binary"), [([], False), ([0, 1], True), ([0, 1, 2], False), ([0, 0.5, 1], False)]
)
def test_mean_is_binary_only_for_zeros_and_ones(numbers, is_binary):
    assert mean_of(numbers).is_binary is is_binary


def test_mean_variance_needs_two_numbers_and_is_not_negative():
    assert mean_of([0.5]).variance is None
    assert Mean(count=2, mean=0.5, squares=-1e-18).variance == 0.0


# -- intervals


@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_share_interval_equals_scipys_exact_interval(confidence):
    for count, total in [(0, 20), (1, 20), (69, 98), (97, 100), (100, 100), (9990, 10_000)]:
        interval = ours.share_interval(count, total, confidence)
        assert interval == pytest.approx(exact(count, total, confidence), abs=1e-9)


def test_share_interval_of_all_or_none_stays_within_0_and_1():
    for total in range(1, 60):
        assert ours.share_interval(total, total, 0.95).high == 1
        assert ours.share_interval(0, total, 0.95).low == 0


@pytest.mark.parametrize("confidence", CONFIDENCES)
@pytest.mark.parametrize("degrees", [1, 2, 5.5, 19, 99, 1_234.5, 99_999])
def test_t_quantile_equals_scipy(degrees, confidence):
    expected = stats.t.ppf((1 + confidence) / 2, degrees)
    assert ours.t_quantile(confidence, degrees) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_share_difference_combines_exact_intervals_as_newcombe_does(confidence):
    (low_1, high_1), (low_2, high_2) = exact(95, 100, confidence), exact(270, 300, confidence)
    expected = (
        0.05 - math.sqrt((0.95 - low_1) ** 2 + (high_2 - 0.9) ** 2),
        0.05 + math.sqrt((high_1 - 0.95) ** 2 + (0.9 - low_2) ** 2),
    )
    assert share_difference((95, 100), (270, 300), confidence) == pytest.approx(expected, abs=1e-8)


def test_share_difference_the_other_way_round_is_the_mirror_image():
    one, other = (95, 100), (270, 300)
    low, high = share_difference(one, other, 0.95)
    assert share_difference(other, one, 0.95) == pytest.approx((-high, -low))


def test_mean_intervals_equal_scipy_and_statsmodels():
    one, other = [0.2, 0.5, 0.9, 0.4, 0.7, 0.6, 0.1], [0.8, 0.9, 1.0, 0.7, 0.95]
    expected = stats.ttest_1samp(one, 0).confidence_interval(0.95)
    assert ours.mean_interval(mean_of(one), 0.95) == pytest.approx((expected.low, expected.high), rel=1e-9)
    compared = weightstats.CompareMeans(weightstats.DescrStatsW(one), weightstats.DescrStatsW(other))
    welch = compared.tconfint_diff(alpha=0.05, usevar="unequal")
    assert ours.mean_difference(mean_of(one), mean_of(other), 0.95) == pytest.approx(welch, rel=1e-9)


def bounded(numbers, low, high, confidence):
    """The interval of a bounded mean, written down once more from its formula, by scipy."""
    mean, tail = statistics.fmean(numbers), (1 - confidence) / 2
    spread = statistics.stdev(numbers) if len(numbers) > 1 else 0.0
    half = stats.t.ppf(1 - tail, max(1, len(numbers) - 1)) * spread / math.sqrt(len(numbers))
    left, right, ratio = max(low, mean - half), min(high, mean + half), 1 - tail ** (1 / len(numbers))
    return left - ratio * (left - low), right + ratio * (high - right)


@pytest.mark.parametrize("confidence", CONFIDENCES)
@pytest.mark.parametrize(
    ("numbers", "low", "high"),
    [
        ([0.2, 0.5, 0.9, 0.4, 0.7, 0.6, 0.1], 0, 1),
        ([5] * 20, 1, 5),
        ([5] * 19 + [1], 1, 5),
        ([0.5], 0, 1),
        ([-1, 1, 0.5] * 40, -2, 3),
    ],
)
def test_bounded_mean_interval_equals_its_formula(numbers, low, high, confidence):
    found = ours.bounded_mean_interval(mean_of(numbers), (low, high), confidence)
    assert found == pytest.approx(bounded(numbers, low, high, confidence), rel=1e-8)
    assert low <= found.low <= found.high <= high


def test_bounded_mean_difference_combines_the_intervals_of_both_means():
    one, other = [5] * 40 + [1] * 2, [5] * 30 + [2] * 8
    first, second = statistics.fmean(one), statistics.fmean(other)
    (low_1, high_1), (low_2, high_2) = bounded(one, 1, 5, 0.95), bounded(other, 1, 5, 0.95)
    expected = (
        first - second - math.hypot(first - low_1, high_2 - second),
        first - second + math.hypot(high_1 - first, second - low_2),
    )
    found = bounded_mean_difference(mean_of(one), mean_of(other), (1, 5), 0.95)
    assert found == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("share", [0.05, 0.25, 0.5, 0.95])
@pytest.mark.parametrize("total", [20, 100, 1_000, 10_000])
def test_quantile_ranks_are_the_tightest_with_nominal_error(share, total):
    low, high = ours.quantile_ranks(share, total, 0.95)
    below = stats.binom(total, share)
    # The quantile is below the value of the low rank if fewer values than that rank are below it.
    assert below.cdf(low - 1) <= 0.025 + 1e-9
    assert below.sf(high - 1) <= 0.025 + 1e-9
    # The next ranks inward would exceed the nominal error.
    assert below.cdf(low) > 0.025
    assert below.sf(high - 2) > 0.025


# -- error rates


def chances(total, share, bound, comparison, confidence):
    """Return how often a rule fails and passes: summed over all counts, by scipy's binomial."""
    edges = {}
    for outcome in (PASSED, FAILED):
        # The outcome changes once as the count grows: find that count by bisection.
        low, high = 0, total + 1
        while low < high:
            count = (low + high) // 2
            found = count <= total and decide(
                comparison, ours.share_interval(count, total, confidence), bound
            )
            if (found == FAILED) if outcome == FAILED else (found != PASSED and count <= total):
                low = count + 1
            else:
                high = count
        edges[outcome] = low
    drawn = stats.binom(total, share)
    return {FAILED: drawn.cdf(edges[FAILED] - 1), PASSED: drawn.sf(edges[PASSED] - 1)}


@pytest.mark.no_cover
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99, 0.9975, 0.999])
def test_share_rule_false_failures_and_false_passes_are_at_most_nominal(confidence):
    """At the bound itself, a rule is satisfied and about to be violated: the worst case for both errors."""
    largest = 0.0
    for total, share in itertools.product(SIZES, SHARES):
        false_failures = chances(total, share, share, ">=", confidence)[FAILED]
        # Just below the bound the rule is violated, and passes as often as at the bound.
        false_passes = chances(total, share, share + 1e-12, ">=", confidence)[PASSED]
        largest = max(largest, false_failures, false_passes)
        # Each error has one tail of the interval.
        assert false_failures <= (1 - confidence) / 2 + 1e-9, (total, share)
        assert false_passes <= (1 - confidence) / 2 + 1e-9, (total, share)
    assert largest > (1 - confidence) / 4  # not more conservative than needed


def drop_chances(total, share, earlier_total, earlier_share, max_drop, confidence=0.95):
    """Return how often a drop is found, summed over all pairs of counts that are not almost impossible."""
    now, before = stats.binom(total, share), stats.binom(earlier_total, earlier_share)
    found = 0.0
    for count in range(int(now.ppf(1e-7)), int(now.ppf(1 - 1e-7)) + 1):
        # The larger the earlier count, the larger the drop: find the edge by bisection.
        low, high = 0, earlier_total + 1
        while low < high:
            earlier = (low + high) // 2
            interval = share_difference((earlier, earlier_total), (count, total), confidence)
            if interval.low > max_drop:
                high = earlier
            else:
                low = earlier + 1
        found += now.pmf(count) * before.sf(low - 1)
    return found


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95, 0.99])
@pytest.mark.parametrize(("total", "earlier_total"), [(20, 20), (50, 200), (100, 100), (500, 500)])
def test_drop_of_unchanged_share_is_found_at_most_at_nominal_rate(share, total, earlier_total):
    for max_drop in (0.0, 0.02):
        assert drop_chances(total, share, earlier_total, share, max_drop) <= 0.05
    # A drop of exactly the accepted size.
    assert drop_chances(total, share - 0.02, earlier_total, share, 0.02) <= 0.05


@pytest.mark.parametrize(("total", "least", "most"), [(100, 0.1, 0.45), (500, 0.8, 0.95), (1_000, 0.97, 1)])
def test_drop_of_five_points_is_found_with_the_power_of_theory(total, least, most):
    found = drop_chances(total, 0.90, total, 0.95, 0.0)
    assert least <= found <= most
    error = math.sqrt((0.95 * 0.05 + 0.90 * 0.10) / total)
    theory = stats.norm.cdf(0.05 / error - stats.norm.ppf(0.975))
    assert found == pytest.approx(theory, abs=0.08)


@pytest.mark.parametrize("size", [20, 100, 1_000])
@pytest.mark.parametrize("kind", ["normal", "uniform", "beta"])
def test_mean_rule_errors_at_most_at_nominal_rate(kind, size):
    import numpy as np

    drawing = np.random.default_rng(7)
    drawn = {
        "normal": lambda shape: drawing.normal(0.8, 0.1, shape),
        "uniform": lambda shape: drawing.uniform(0.6, 1.0, shape),
        "beta": lambda shape: drawing.beta(8, 2, shape),
    }[kind]((4_000, size))
    outcomes = [
        decide(">=", ours.mean_interval(sample(float(mean), float(variance), size), 0.95), 0.8)
        for mean, variance in zip(drawn.mean(axis=1), drawn.var(axis=1, ddof=1), strict=True)
    ]
    for error in (PASSED, FAILED):
        assert outcomes.count(error) / len(outcomes) <= 0.05
    assert outcomes.count(INCONCLUSIVE) / len(outcomes) >= 0.93


def clustered(*groups):
    """Clusters as (label count, size), from (how many, label count, size)."""
    return [(float(count), size) for number, count, size in groups for _ in range(number)]


def share_in_clusters(clusters, confidence):
    count, total = sum(count for count, _ in clusters), sum(size for _, size in clusters)
    share = count / total
    effect = ours.design_effect(clusters, share * (1 - share))
    size = ours.effective_size(total, effect, len(clusters), confidence)
    return effect, ours.share_interval(share * size, size, confidence)


@pytest.mark.parametrize(
    ("groups", "effect", "expected"),
    [
        ([(10, 9, 10), (20, 10, 10)], 1.0, (0.938041, 0.984502)),
        ([(27, 10, 10), (3, 0, 10)], 10.344828, (0.721025, 0.981598)),
        ([(40, 5, 5)], 5.0, (0.906450, 1.0)),
        ([(80, 1, 1), (18, 20, 20), (2, 5, 20)], None, (0.792171, 0.992311)),
    ],
)
def test_share_in_clusters_equals_the_reference_values(groups, effect, expected):
    found, interval = share_in_clusters(clustered(*groups), 0.95)
    assert interval == pytest.approx(expected, abs=1e-6)
    if effect is not None:
        assert found == pytest.approx(effect, abs=1e-6)


@pytest.mark.parametrize("groups", [[(27, 10, 10), (3, 0, 10)], [(80, 1, 1), (18, 20, 20), (2, 5, 20)]])
@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_share_in_clusters_equals_the_formula_by_scipy(groups, confidence):
    import numpy as np

    clusters = clustered(*groups)
    counts, sizes = np.array(clusters).T
    total, number = sizes.sum(), len(sizes)
    share = counts.sum() / total
    variance = number / (number - 1) * ((counts - share * sizes) ** 2).sum() / total**2
    effect = max(1.0, variance * total / (share * (1 - share)))
    tail = (1 - confidence) / 2
    ratio = (stats.norm.ppf(1 - tail) / stats.t.ppf(1 - tail, number - 1)) ** 2
    size = min(total, total / effect * ratio)
    expected = (
        stats.beta.ppf(tail, share * size, size - share * size + 1),
        stats.beta.ppf(1 - tail, share * size + 1, size - share * size),
    )
    assert share_in_clusters(clusters, confidence)[1] == pytest.approx(expected, abs=1e-8)


def test_one_cluster_says_nothing():
    assert ours.effective_size(100, ours.design_effect([(50.0, 100)], 0.25), 1, 0.95) == 0


@pytest.mark.slow
@pytest.mark.no_cover
@pytest.mark.parametrize(("icc", "most"), [(0.0, 0.045), (0.1, 0.05), (0.2, 0.055), (0.5, 0.065)])
def test_share_rule_in_clusters_errs_at_most_at_nominal_rate(icc, most):
    """100 sessions of 1 to 20 spans whose shares vary. Independent spans would err in 24 % at 0.5."""
    import numpy as np

    drawing, share, repetitions = np.random.default_rng(11), 0.9, 1_500
    outcomes = []
    for _ in range(repetitions):
        sizes = drawing.integers(1, 21, 100)
        of_session = np.full(100, share)
        if icc:
            of_session = drawing.beta(share * (1 / icc - 1), (1 - share) * (1 / icc - 1), 100)
        counts = drawing.binomial(sizes, of_session)
        clusters = list(zip(counts.tolist(), sizes.tolist(), strict=True))
        outcomes.append(decide(">=", share_in_clusters(clusters, 0.95)[1], share))
    for error in (PASSED, FAILED):
        # The reference measured 5.1 % for the worst of them; three standard errors of 1,500 draws are added.
        assert outcomes.count(error) / repetitions <= most


def scores_drawn(kind, shape):
    """Draw scores within 0 and 1 whose distribution is skewed, and return their true mean too."""
    import numpy as np

    drawing = np.random.default_rng(sum(map(ord, kind)) + shape[1])
    if kind.startswith("ones"):  # such as "ones 98": 98 % near 1, the others near 0
        share = int(kind.split()[1]) / 100
        ones = drawing.random(shape) < share
        return ones * 0.98 + drawing.random(shape) * 0.02, share * 0.98 + 0.01
    if kind == "fives":  # 95 % fives on a scale from 1 to 5
        values, chances = [0, 0.25, 0.5, 0.75, 1], [0.01, 0.01, 0.01, 0.02, 0.95]
        return drawing.choice(values, p=chances, size=shape), float(np.dot(values, chances))
    a, b = {"beta high": (20, 0.4), "beta": (8, 2), "uniform": (1, 1)}[kind]
    return drawing.beta(a, b, shape), a / (a + b)


@pytest.mark.parametrize("size", [20, 50, 100, 200, 1_000])
@pytest.mark.parametrize("kind", ["ones 98", "ones 99", "ones 5", "fives", "beta high", "beta", "uniform"])
def test_bounded_mean_rule_errors_at_most_at_nominal_rate(kind, size):
    drawn, mean = scores_drawn(kind, (2_000, size))
    means, variances = drawn.mean(axis=1), drawn.var(axis=1, ddof=1)
    outcomes = [
        decide(">=", ours.bounded_mean_interval(sample(float(m), float(v), size), (0, 1), 0.95), mean)
        for m, v in zip(means, variances, strict=True)
    ]
    for error in (PASSED, FAILED):
        # 2.5 %, and three standard errors of 2,000 draws
        assert outcomes.count(error) / len(outcomes) <= 0.0355


@pytest.mark.parametrize("size", [20, 100, 1_000])
@pytest.mark.parametrize("kind", ["ones 98", "fives", "beta"])
def test_bounded_mean_drop_is_found_at_most_at_nominal_rate(kind, size):
    (before, _), (now, _) = scores_drawn(kind, (2_000, size)), scores_drawn(kind, (2_000, size + 1))
    samples = [
        [sample(float(row.mean()), float(row.var(ddof=1)), len(row)) for row in drawn]
        for drawn in (before, now)
    ]
    found = [
        bounded_mean_difference(one, other, (0, 1), 0.95).low > 0 for one, other in zip(*samples, strict=True)
    ]
    assert sum(found) / len(found) <= 0.0355


# -- evaluations needed


@pytest.mark.parametrize(("mean", "bound"), [(0.9, 0.8), (0.97, 0.95), (0.81, 0.8), (0.9, 0.95)])
def test_evaluations_for_bounded_mean_decide_the_rule_and_fewer_do_not(mean, bound):
    total = ours.evaluations_for_mean(sample(mean, 0.01, 30), bound, 0.95, (0, 1))
    for count, is_decided in ((total, True), (math.floor(total * 0.9) - 2, False)):
        found = ours.bounded_mean_interval(sample(mean, 0.01, count), (0, 1), 0.95)
        assert (found.low > bound or found.high < bound) is is_decided


@pytest.mark.parametrize(
    ("share", "bound"), [(0.99, 0.95), (0.93, 0.95), (0.7041, 0.65), (1.0, 0.95), (0.5, 0.9), (0.2, 0.21)]
)
def test_evaluations_for_share_decide_the_rule_and_fewer_do_not(share, bound):
    total = ours.evaluations_for_share(share, bound, 0.95)
    low, high = ours.share_interval(share * total, total, 0.95)
    assert low > bound or high < bound
    fewer = math.floor(total * 0.9) - 2
    if fewer > 1:
        low, high = ours.share_interval(share * fewer, fewer, 0.95)
        assert low <= bound <= high


def test_evaluations_needed_at_the_bound_are_unlimited():
    assert ours.evaluations_for_share(0.95, 0.95, 0.95) is None
    assert ours.evaluations_for_share(0.99, 1.0, 0.95) is None
    assert ours.evaluations_for_mean(sample(0.5, 0.1, 30), 0.5, 0.95) is None


@pytest.mark.parametrize("bounds", [(1, 5), None])
@pytest.mark.parametrize("distance", [1e-15, 1e-9, 1e-5])
def test_evaluations_needed_almost_at_the_bound_are_unlimited(distance, bounds):
    assert ours.evaluations_for_mean(sample(4 + distance, 0.8, 300), 4, 0.95, bounds) is None
    assert ours.evaluations_for_mean(sample(4 - distance, 0.8, 300), 4, 0.95, bounds) is None
    assert ours.evaluations_for_share(0.7 + distance, 0.7, 0.95) is None
    assert ours.evaluations_for_share(1 - 0.7 - distance, 0.3, 0.95) is None
    assert ours.evaluations_for_share(0.0, 1e-200, 0.95) is None


@pytest.mark.parametrize(("mean", "sign"), [(0.81, 1), (0.79, -1)])
def test_evaluations_for_mean_decide_the_rule_and_fewer_do_not(mean, sign):
    total = ours.evaluations_for_mean(sample(mean, 0.1, 30), 0.8, 0.95)
    for count, is_decided in ((total, True), (total - 20, False)):
        low, high = ours.mean_interval(sample(mean, 0.1, count), 0.95)
        assert (low > 0.8 if sign > 0 else high < 0.8) is is_decided
