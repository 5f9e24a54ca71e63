"""The true share of a label, and the agreement of an evaluator with people, from human labels of a sample.

The strata are the labels of the evaluator: people labelled a random sample of each. The intervals of the
strata are combined by MOVER; ``docs/statistics.md`` has the formulas and their sources.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_online_tasks.gate.intervals import Interval, effective_size, share_interval

if TYPE_CHECKING:
    from airflow_provider_online_tasks.gate.summary import Clusters, EvaluatorSummary

_STEPS = 50
_ROUNDING = 1e-12
_GROWTH = 1.2


class Estimate(NamedTuple):
    """An estimate with its interval; the value is None if it is unknown, such as without human labels."""

    value: float | None
    low: float
    high: float


class _Share(NamedTuple):
    """A share with its interval; None without human labels."""

    share: float | None
    interval: Interval

    def ends(self, *, is_low: bool) -> tuple[float, float]:
        """Return the share and the end of its interval; without human labels, that end for both."""
        end = self.interval.low if is_low else self.interval.high
        return end if self.share is None else self.share, end


@dataclass(frozen=True, kw_only=True)
class Stratum:
    """The evaluations with one label, and how often people gave each label to some of them."""

    label: str = ""
    evaluated: int = 0
    human_labels: Mapping[str, float] = field(default_factory=dict)
    clusters: Clusters | None = None

    @property
    def labelled(self) -> float:
        """How many of the evaluations have a human label."""
        return sum(self.human_labels.values())

    def with_labels(self, factor: float) -> Stratum:
        """Return the stratum with its human labels multiplied by a factor, at most one per evaluation."""
        scale = min(factor, self.evaluated / (self.labelled or 1))
        return replace(self, human_labels={label: n * scale for label, n in self.human_labels.items()})

    def share_of(self, labels: Collection[str], confidence: float) -> _Share:
        """Return the share of some labels among the human labels."""
        total = self.labelled
        size = _effective(total, self.clusters, labels, confidence)
        if not size:
            return _Share(None, Interval(0.0, 1.0))
        count = sum(self.human_labels.get(label, 0) for label in labels)
        in_size = count if size == total else count / total * size
        return _Share(count / total, share_interval(in_size, size, confidence))


@dataclass(frozen=True)
class Calibration:
    """Estimates from the strata of an evaluator. ``clusters`` are those of its evaluations."""

    strata: Sequence[Stratum]
    confidence: float
    clusters: Clusters | None = None

    def share(self, label: str, also: Collection[str] = ()) -> Estimate:
        """Return the share of all evaluations to which people would give a label, or one of some others."""
        strata = self._label_first(label)
        shares = [stratum.share_of({label, *also}, self.confidence) for stratum in strata]
        terms = [(self._weight(stratum), share) for stratum, share in zip(strata, shares, strict=True)]
        low, high = (
            _limit(0.0, terms, self._errors_of_weights(strata, shares, is_low=is_low), is_low=is_low)
            for is_low in (True, False)
        )
        return Estimate(_value(0.0, terms), max(0.0, low), min(1.0, high))

    @property
    def agreement(self) -> Estimate:
        """The share of all evaluations to which people would give the same label."""
        terms = [
            (self._weight(stratum), stratum.share_of({stratum.label}, self.confidence))
            for stratum in self.strata
        ]
        low, high = (_limit(0.0, terms, is_low=is_low) for is_low in (True, False))
        return Estimate(_value(0.0, terms), max(0.0, low), min(1.0, high))

    def specificity(self, label: str) -> Estimate:
        """Return the evaluator's share of other labels among the answers with other labels from people."""
        weight = self._weight(self._label_first(label)[0])
        return self._solve(label, lambda x: ((1 - x) * (1 - weight) - x * weight, x, x - 1))

    def sensitivity(self, label: str) -> Estimate:
        """Return the evaluator's share of a label among the answers with this label from people."""
        return self._solve(label, lambda x: (0.0, 1 - x, -x))

    def kappa(self, label: str) -> Estimate:
        """Return Cohen's kappa of a label against all others."""
        weight = self._weight(self._label_first(label)[0])

        def equation(x: float) -> tuple[float, float, float]:
            by_chance = (1 - x) * (2 * weight - 1)
            return -x * weight, 1 - by_chance, -1 - by_chance

        return self._solve(label, equation, lowest=-1.0)

    def ac1(self, label: str) -> float | None:
        """Return Gwet's AC1 of a label against all others; None if a stratum has no human labels."""
        first, *others = self._label_first(label)
        terms = [(self._weight(first), first.share_of({label}, self.confidence))]
        terms += [(-self._weight(other), other.share_of({label}, self.confidence)) for other in others]
        agreement, share = _value(1 - self._weight(first), terms), self.share(label).value
        if agreement is None or share is None:
            return None
        mean = (share + self._weight(first)) / 2
        by_chance = 2 * mean * (1 - mean)
        return (agreement - by_chance) / (1 - by_chance)

    @property
    def labelled(self) -> int:
        """How many evaluations have a human label."""
        return round(sum(stratum.labelled for stratum in self.strata))

    @property
    def human_labels(self) -> set[str]:
        """The labels that people gave."""
        return {label for stratum in self.strata for label in stratum.human_labels}

    def more_labels(self) -> Iterator[Calibration]:
        """Yield calibrations with more and more human labels of the same shares, until all are labelled."""
        factor = 1.0
        largest = max((each.evaluated / each.labelled for each in self.strata if each.labelled), default=1.0)
        while factor < largest:
            factor *= _GROWTH
            yield replace(self, strata=[stratum.with_labels(factor) for stratum in self.strata])

    @property
    def _evaluated(self) -> int:
        return sum(stratum.evaluated for stratum in self.strata)

    def _weight(self, stratum: Stratum) -> float:
        return stratum.evaluated / self._evaluated if stratum.evaluated else 0.0

    def _label_first(self, label: str) -> list[Stratum]:
        """Return the stratum of a label and at least one other, which is empty if the evaluator has none."""
        own = [stratum for stratum in self.strata if stratum.label == label]
        others = [stratum for stratum in self.strata if stratum.label != label]
        return [*(own or [Stratum(label=label)]), *(others or [Stratum()])]

    def _errors_of_weights(
        self, strata: Sequence[Stratum], shares: Sequence[_Share], *, is_low: bool
    ) -> list[float]:
        """Return the errors because the shares of the evaluator's labels are those of a sample, too.

        The first stratum is compared with all after it, the second with all after it, and so on: given the
        earlier ones, each of these shares is one of independent evaluations.
        """
        errors = []
        values = [share.ends(is_low=is_low)[0] for share in shares]
        for place, stratum in enumerate(strata[:-1]):
            rest = strata[place + 1 :]
            after = sum(each.evaluated for each in rest)
            total = stratum.evaluated + after
            if not total:
                continue
            weights = [each.evaluated / after if after else 1 / len(rest) for each in rest]
            mean = sum(weight * value for weight, value in zip(weights, values[place + 1 :], strict=True))
            interval, share = self._interval_of_weight(stratum, total), stratum.evaluated / total
            distance = values[place] - mean
            end = interval.low if is_low == (distance >= 0) else interval.high
            errors.append(total / self._evaluated * distance * (share - end))
        return errors

    def _interval_of_weight(self, stratum: Stratum, total: int) -> Interval:
        effective = _effective(self._evaluated, self.clusters, {stratum.label}, self.confidence)
        size = effective * total / self._evaluated
        return (
            share_interval(stratum.evaluated * size / total, size, self.confidence)
            if size
            else Interval(0.0, 1.0)
        )

    def _solve(
        self, label: str, equation: Callable[[float], tuple[float, float, float]], *, lowest: float = 0.0
    ) -> Estimate:
        """Return the x from which on a linear expression is negative, and its interval.

        The equation returns a constant, the factor of the label's share in its own stratum, and the factor of
        its share in each other stratum.
        """
        strata = self._label_first(label)
        shares = [stratum.share_of({label}, self.confidence) for stratum in strata]
        weights = [self._weight(stratum) for stratum in strata]

        def terms(x: float) -> tuple[float, list[tuple[float, _Share]]]:
            constant, own, other = equation(x)
            factors = [own, *[other] * (len(strata) - 1)]
            products = zip(weights, factors, shares, strict=True)
            # What people would say about a label that the evaluator never gives is unknown, and irrelevant.
            return constant, [(weight * factor, share) for weight, factor, share in products if weight]

        at_zero, at_one = _value(*terms(0.0)), _value(*terms(1.0))
        value = None
        if at_zero is not None and at_one is not None and abs(at_zero - at_one) > _ROUNDING:
            value = at_zero / (at_zero - at_one)
        limits = []
        for is_low in (True, False):
            low, high = lowest, 1.0
            if _limit(*terms(high), is_low=is_low) >= -_ROUNDING:
                low = high
            for _ in range(_STEPS):
                middle = (low + high) / 2
                if _limit(*terms(middle), is_low=is_low) >= -_ROUNDING:
                    low = middle
                else:
                    high = middle
            limits.append(low)
        return Estimate(value, *limits)


def calibration_of(summary: EvaluatorSummary, confidence: float) -> Calibration:
    """Return the calibration of an evaluator by the human labels in a summary, which may be none."""
    human = summary.human_labels.strata if summary.human_labels else {}
    strata = [
        Stratum(
            label=label,
            evaluated=count,
            human_labels=human[label].labels if label in human else {},
            clusters=human[label].clusters if label in human else None,
        )
        for label, count in summary.label_counts.items()
    ]
    if summary.other_labels:
        strata.append(Stratum(evaluated=summary.other_labels))
    return Calibration(strata, confidence, summary.clusters)


def _effective(total: float, clusters: Clusters | None, labels: Collection[str], confidence: float) -> float:
    """Return how many independent values say as much about the share of some labels as these."""
    if clusters is None:
        return total
    effects = [clusters.labels.get(label, clusters.size) for label in labels]
    effect = effects[0] if len(effects) == 1 else clusters.size
    return effective_size(total, effect, clusters.count, confidence)


def _value(constant: float, terms: Sequence[tuple[float, _Share]]) -> float | None:
    """Return the value of a linear expression; None if a share is unknown."""
    if any(share.share is None for _, share in terms):
        return None
    return constant + sum(factor * (share.share or 0.0) for factor, share in terms)


def _limit(
    constant: float, terms: Sequence[tuple[float, _Share]], errors: Sequence[float] = (), *, is_low: bool
) -> float:
    """Return a limit of a linear expression: its value minus or plus the distances of all parts (MOVER)."""
    value, distances = constant, list(errors)
    for factor, share in terms:
        point, end = share.ends(is_low=is_low == (factor >= 0))
        value += factor * point
        distances.append(factor * (point - end))
    return value - math.hypot(*distances) if is_low else value + math.hypot(*distances)
