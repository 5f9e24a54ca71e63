"""Ranges: the lowest and the highest value that an estimate allows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_ERRORS = 3.0
"""Standard errors on each side of a mean: texts are skewed, so two would be too few."""


class Range(NamedTuple):
    """The lowest and the highest value that an estimate allows."""

    low: float
    high: float

    def times(self, low: float, high: float | None = None) -> Range:
        """Return the product with a number, or with a range of at least 0."""
        return Range(self.low * low, self.high * (low if high is None else high))

    def plus(self, other: Range) -> Range:
        """Return the sum."""
        return Range(self.low + other.low, self.high + other.high)

    def rounded(self) -> Range:
        """Return whole numbers that contain the range."""
        return Range(math.floor(self.low + 1e-6), math.ceil(self.high - 1e-6))

    def __str__(self) -> str:
        low, high = (f"{end:,.4g}" if end < 100 else f"{end:,.0f}" for end in self)
        return low if low == high else f"{low} to {high}"


NONE = Range(0.0, 0.0)


def total(ranges: Iterable[Range | None]) -> Range | None:
    """Return the sum; None if one of them is unknown."""
    found: Range | None = NONE
    for each in ranges:
        found = None if found is None or each is None else found.plus(each)
    return found


def mean_range(values: Sequence[float], *, evaluated: float, population: float) -> Range:
    """Return the range of the mean of the evaluated items.

    :param values: the values of a random sample.
    :param evaluated: how many items of the population are evaluated, chosen at random.
    :param population: how many items there are.
    """
    count = len(values)
    mean = math.fsum(values) / count
    variance = math.fsum((value - mean) ** 2 for value in values) / max(1, count - 1)
    # Both the sample and the evaluated items differ from the population, unless they are all of it.
    spread = 1 / count + 1 / max(1.0, evaluated) - 2 / max(1.0, population, count)
    error = _ERRORS * math.sqrt(max(0.0, variance * spread))
    return Range(max(0.0, mean - error), mean + error)


def share_range(count: int, of: int, *, evaluated: float, population: float) -> Range:
    """Return the range of a share of the evaluated items; see :func:`mean_range`."""
    measured = mean_range([1.0] * count + [0.0] * (of - count), evaluated=evaluated, population=population)
    # A sample in which all are alike shows no variance. By the rule of three, 3 of n may differ.
    slack = 0.0 if of >= population else 3 / of
    low = min(measured.low, 1 - slack) if count == of else measured.low
    high = max(measured.high, slack) if count == 0 else measured.high
    return Range(max(0.0, low), min(1.0, high))
