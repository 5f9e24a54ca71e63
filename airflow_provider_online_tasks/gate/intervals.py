"""Confidence intervals for shares, means, quantiles and differences.

``docs/statistics.md`` names the methods and their sources.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

_TINY = 1e-300
MAX_NEEDED = 10_000_000


class Interval(NamedTuple):
    """A confidence interval; both ends are part of it."""

    low: float
    high: float


@dataclass
class Mean:
    """Mean and variance of a stream of numbers, by Welford's method. ``ends`` counts zeros and ones.

    ``low`` and ``high`` are the smallest and the largest number.
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    ends: int = 0
    low: float = math.inf
    high: float = -math.inf

    def add(self, number: float) -> None:
        """Add a number."""
        self.count += 1
        deviation = number - self.mean
        self.mean += deviation / self.count
        self.squares += deviation * (number - self.mean)
        self.low, self.high = min(self.low, number), max(self.high, number)
        if number in (0, 1):
            self.ends += 1

    def merge(self, other: Mean) -> None:
        """Add the numbers of another stream."""
        if not other.count:
            return
        if not self.count:
            vars(self).update(vars(other))
            return
        total = self.count + other.count
        deviation = other.mean - self.mean
        self.mean += deviation * other.count / total
        self.squares += other.squares + deviation * deviation * self.count * other.count / total
        self.ends += other.ends
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.count = total

    def of_size(self, size: float) -> Mean:
        """Return numbers with the same mean and variance, and at most so many of them."""
        count = min(self.count, max(1, math.floor(size)))
        if count == self.count:
            return self
        return replace(self, count=count, squares=(self.variance or 0.0) * (count - 1))

    @property
    def variance(self) -> float | None:
        """The sample variance; None for fewer than two numbers."""
        return max(0.0, self.squares) / (self.count - 1) if self.count > 1 else None

    @property
    def is_finite(self) -> bool:
        """Whether there are numbers, and their mean and variance are not too large."""
        return self.count > 0 and math.isfinite(self.mean) and math.isfinite(self.squares)

    @property
    def is_binary(self) -> bool:
        """Whether all numbers are 0 or 1, so that the mean is a share."""
        return 0 < self.count == self.ends

    @property
    def ones(self) -> int:
        """How many of the numbers are 1, if all are 0 or 1."""
        return round(self.mean * self.count)


def difference(one: float, of_one: Interval, other: float, of_other: Interval) -> Interval:
    """Return the interval of one value minus another, from the interval of each (MOVER)."""
    return Interval(
        one - other - math.hypot(one - of_one.low, of_other.high - other),
        one - other + math.hypot(of_one.high - one, other - of_other.low),
    )


def design_effect(clusters: Collection[tuple[float, int]], variance: float) -> float:
    """Return by how much clusters increase the variance of a mean, at least 1.

    :param clusters: sum and count of the values of each cluster; values of a cluster resemble each other.
    :param variance: variance of the values; 0 if all are equal, which may be so by chance.
    """
    total, count = sum(value for value, _ in clusters), sum(size for _, size in clusters)
    if variance <= 0:
        return max(1.0, sum(size * size for _, size in clusters) / count)
    mean, number = total / count, len(clusters)
    deviations = [value - mean * size for value, size in clusters]
    squares = sum(deviation * deviation for deviation in deviations)
    effect = number / (number - 1) * squares / (count * variance) if number > 1 else count
    return min(float(count), max(1.0, effect))


def effective_size(total: float, effect: float, clusters: int, confidence: float) -> float:
    """Return how many independent values give as much information as these in clusters (Korn, Graubard)."""
    if clusters < 2:
        return 0.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    return min(total, total / effect * (z / t_quantile(confidence, clusters - 1)) ** 2)


@lru_cache(maxsize=4096)
def share_interval(count: float, total: float, confidence: float) -> Interval:
    """Return Clopper and Pearson's exact interval for a share, whose error rate is at most nominal."""
    tail = (1 - confidence) / 2
    low = 0.0 if count <= 0 else beta_quantile(count, total - count + 1, tail)
    high = 1.0 if count >= total else beta_quantile(count + 1, total - count, 1 - tail)
    return Interval(low, high)


def mean_interval(sample: Mean, confidence: float) -> Interval:
    """Return Student's interval for a mean of at least two numbers."""
    half = t_quantile(confidence, sample.count - 1) * math.sqrt(_squared_error(sample))
    return Interval(sample.mean - half, sample.mean + half)


def mean_difference(one: Mean, other: Mean, confidence: float) -> Interval:
    """Return Welch's interval for one mean minus another."""
    first, second = _squared_error(one), _squared_error(other)
    error = first + second
    part = first / error
    degrees = 1 / (part * part / (one.count - 1) + (1 - part) * (1 - part) / (other.count - 1))
    half = t_quantile(confidence, degrees) * math.sqrt(error)
    return Interval(one.mean - other.mean - half, one.mean - other.mean + half)


def bounded_mean_interval(sample: Mean, bounds: tuple[float, float], confidence: float) -> Interval:
    """Return an interval for a mean of numbers within known bounds.

    Student's interval is too short for skewed numbers: rare numbers far from the mean may be missing in the
    sample. Each end therefore moves towards its bound by the largest share of numbers that may be missing.
    """
    low, high = bounds
    student = mean_interval(sample, confidence) if sample.count > 1 else Interval(sample.mean, sample.mean)
    left, right = max(low, student.low), min(high, student.high)
    missing = 1 - ((1 - confidence) / 2) ** (1 / sample.count)
    return Interval(left - missing * (left - low), right + missing * (high - right))


def _squared_error(sample: Mean) -> float:
    return (sample.variance or 0.0) / sample.count


def quantile_ranks(share: float, total: int, confidence: float) -> tuple[int, int]:
    """Return the ranks (from 1) of the ordered values between which a quantile lies.

    0 and ``total + 1`` mean that the sample is too small for that end.
    """
    tail = (1 - confidence) / 2
    return _rank_above(share, total, tail), total + 1 - _rank_above(1 - share, total, tail)


def _rank_above(share: float, total: int, tail: float) -> int:
    """Return the largest rank whose value is above the quantile with at most this probability."""
    # P(fewer than `rank` values are below the quantile) = P(X <= rank - 1)
    ranks = range(1, total + 1)
    return bisect_right(ranks, tail, key=lambda rank: 1 - beta_cdf(rank, total - rank + 1, share))


def evaluations_for_share(share: float, bound: float, confidence: float) -> int | None:
    """Return how many evaluations a rule on a share needs if the share stays; None if above 10 million."""
    tail = (1 - confidence) / 2

    def is_decided(total: int) -> bool:
        """Return whether the share's interval excludes the bound, without calculating its ends."""
        count = share * total
        is_above = count > 0 and beta_cdf(count, total - count + 1, bound) < tail
        return is_above or (count < total and beta_cdf(count + 1, total - count, bound) > 1 - tail)

    return fewest(is_decided) if 0 < bound < 1 else None


def evaluations_for_mean(
    sample: Mean, bound: float, confidence: float, bounds: tuple[float, float] | None = None
) -> int | None:
    """Return how many evaluations a rule on a mean needs if mean and variance stay; None as for shares."""

    def is_decided(count: int) -> bool:
        larger = Mean(count=count, mean=sample.mean, squares=(sample.variance or 0.0) * (count - 1))
        if bounds is None:
            low, high = mean_interval(larger, confidence)
        else:
            low, high = bounded_mean_interval(larger, bounds, confidence)
        return low > bound or high < bound

    return fewest(is_decided, least=2)


def fewest(is_enough: Callable[[int], bool], least: int = 1) -> int | None:
    """Return the smallest number that is enough, as all larger ones are; None if it is above 10 million."""
    total = least
    while not is_enough(total):
        if total == MAX_NEEDED:
            return None
        total = min(2 * total, MAX_NEEDED)
    return bisect_left(range(total), True, lo=max(least, total // 2), key=is_enough)


@lru_cache(maxsize=1024)
def t_quantile(confidence: float, degrees: float) -> float:
    """Return t such that Student's t with these degrees of freedom is within ±t with this confidence."""
    # P(|T| > t) equals the beta distribution function at degrees / (degrees + t²).
    x = beta_quantile(degrees / 2, 0.5, 1 - confidence)
    return math.sqrt(degrees * (1 - x) / x) if x > 0 else math.inf


def beta_quantile(a: float, b: float, probability: float) -> float:
    """Return the quantile of the beta distribution, by bisection."""
    low, step = 0.0, 0.5
    for _ in range(60):
        if beta_cdf(a, b, low + step) < probability:
            low += step
        step /= 2
    return low + step


def beta_cdf(a: float, b: float, x: float) -> float:
    """Return the distribution function of the beta distribution, by its continued fraction."""
    if not 0 < x < 1:
        return float(x >= 1)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    if x < (a + 1) / (a + b + 2):
        return front * _beta_fraction(a, b, x) / a
    return 1 - front * _beta_fraction(b, a, 1 - x) / b


def _beta_fraction(a: float, b: float, x: float) -> float:
    """Evaluate the continued fraction by Lentz's method."""
    c, d = 1.0, 1 / _nonzero(1 - (a + b) * x / (a + 1))
    value = d
    for term in range(1, 5_000):
        even = term * (b - term) * x / ((a + 2 * term - 1) * (a + 2 * term))
        odd = -(a + term) * (a + b + term) * x / ((a + 2 * term) * (a + 2 * term + 1))
        for factor in (even, odd):
            d = 1 / _nonzero(1 + factor * d)
            c = _nonzero(1 + factor / c)
            value *= c * d
        if abs(c * d - 1) < 1e-14:
            break
    return value


def _nonzero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
