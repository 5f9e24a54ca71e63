"""What a summary says of an evaluator, checked: the figures that a gate's rules are checked against."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks._numbers import finite
from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.results.counts import Mean

if TYPE_CHECKING:
    from airflow_provider_online_tasks.gate.evaluator_changes import Judge


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The figures of one evaluator, or of one of its segments.

    :param evaluated: evaluations with a label or a score.
    :param labels: how many have each label.
    :param other_labels: how many have a label that is not counted by itself.
    :param scores: count, mean and variance of the scores.
    :param invalid_scores: scores that are no finite numbers.
    :param percentiles: the 0th to the 100th percentile of the scores.
    :param judges: who judged, as far as the evaluations say.
    :param segments: the same figures by segment; None if there are no segments.
    :param without: items that were read and carry no evaluation; None if nothing says how many.
    """

    evaluated: int
    labels: Mapping[str, int]
    other_labels: int
    scores: Mean
    invalid_scores: int
    percentiles: tuple[float, ...] | None
    judges: frozenset[Judge]
    segments: Mapping[str, Evidence] | None
    without: int | None = None

    @property
    def labelled(self) -> int:
        """How many evaluations have a label."""
        return sum(self.labels.values()) + self.other_labels

    @property
    def coverage(self) -> float | None:
        """Which share of the items that were read carries an evaluation."""
        items = self.evaluated + (self.without or 0)
        return None if self.without is None or not items else self.evaluated / items

    @property
    def mean(self) -> float | None:
        """The mean score."""
        return self.scores.mean if self.scores.count else None

    @property
    def variance(self) -> float | None:
        """The scores' variance; None for fewer than two."""
        return self.scores.squares / (self.scores.count - 1) if self.scores.count > 1 else None

    @property
    def is_binary(self) -> bool:
        """Whether each score is 0 or 1."""
        return 0 < self.scores.count == self.scores.ends

    @classmethod
    def read(cls, name: str, figures: Any) -> Evidence:
        """Read an evaluator's part of a summary.

        :raises InvalidInput: its figures are none, or contradict each other.
        """
        if not isinstance(figures, Mapping):
            raise _unreadable(name, "it is no object", figures)
        count = _Counts(name, figures)
        labels = {
            str(label): _Counts(f"{name}.{label}", one)("count") for label, one in count.mapping("labels")
        }
        segments = figures.get("segments")
        if segments is not None and not isinstance(segments, Mapping):
            raise _unreadable(name, "its segments are no object", segments)
        read = cls(
            evaluated=count("evaluated"),
            labels=labels,
            other_labels=count("other_labels"),
            scores=_scores(name, figures, count("scored")),
            invalid_scores=count("invalid_scores"),
            percentiles=_percentiles(name, figures.get("score_percentiles")),
            judges=_judges(figures.get("evaluator_versions")),
            segments=None
            if segments is None
            else {str(one): cls.read(f"{name}, segment {one}", given) for one, given in segments.items()},
            without=None if figures.get("not_evaluated") is None else count("not_evaluated"),
        )
        if read.labelled > read.evaluated or read.scores.count + read.invalid_scores > read.evaluated:
            raise _unreadable(name, "it has more labels or scores than evaluations", figures)
        return read

    @classmethod
    def merged(cls, parts: Iterable[Evidence]) -> Evidence:
        """Return the figures of several windows as those of one."""
        found = list(parts)
        labels: dict[str, int] = {}
        scores = Mean()
        for one in found:
            scores.merge(one.scores)
            for label, number in one.labels.items():
                labels[label] = labels.get(label, 0) + number
        return cls(
            evaluated=sum(one.evaluated for one in found),
            labels=labels,
            other_labels=sum(one.other_labels for one in found),
            scores=scores,
            invalid_scores=sum(one.invalid_scores for one in found),
            percentiles=None,
            judges=frozenset().union(*(one.judges for one in found)),
            segments=None,
        )


class _Counts:
    """Reads counts, which are whole numbers from 0 on and nothing else."""

    def __init__(self, name: str, figures: Any) -> None:
        self._name = name
        self._figures = figures if isinstance(figures, Mapping) else {}

    def __call__(self, key: str) -> int:
        found = self._figures.get(key)
        if isinstance(found, bool) or not isinstance(found, int) or found < 0:
            raise _unreadable(self._name, f"its {key!r} is {shown(found)}, not a count", self._figures)
        return found

    def mapping(self, key: str) -> Iterable[tuple[Any, Any]]:
        found = self._figures.get(key)
        if not isinstance(found, Mapping):
            raise _unreadable(self._name, f"its {key!r} is {shown(found)}, not an object", self._figures)
        return found.items()


def _scores(name: str, figures: Mapping[str, Any], scored: int) -> Mean:
    mean, variance = finite(figures.get("score_mean")), finite(figures.get("score_variance"))
    if mean is None:
        # No mean although there are scores: they are too large to be added up.
        return Mean()
    is_binary = figures.get("score_is_binary") is True
    if (scored > 1 and (variance is None or variance < 0)) or (is_binary and not 0 <= mean <= 1):
        raise _unreadable(name, "its scores contradict each other", figures)
    return Mean(
        count=scored,
        mean=mean,
        squares=(variance or 0.0) * max(0, scored - 1),
        ends=scored if is_binary else 0,
    )


def _percentiles(name: str, given: Any) -> tuple[float, ...] | None:
    if given is None:
        return None
    read = tuple(number for one in given if (number := finite(one)) is not None)
    if len(read) != 101 or list(read) != sorted(read):
        raise _unreadable(name, "its percentiles are not 101 numbers in order", given)
    return read


def _judges(given: Any) -> frozenset[Judge]:
    if not isinstance(given, list):
        return frozenset()
    return frozenset(
        frozenset((str(key), str(value)) for key, value in one.items())
        for one in given
        if isinstance(one, Mapping)
    )


def _unreadable(name: str, problem: str, value: Any) -> InvalidInput:
    return InvalidInput(
        f"The summary's results of {name!r} cannot be read: {problem}. Give what EvalResultsOperator "
        f"returned, not {shown(value)}."
    )
