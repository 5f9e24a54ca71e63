"""Counts labels and scores one by one: memory does not grow with their number."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks._text import on_one_line
from airflow_provider_online_tasks.inputs import MAXIMIZE

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.responses.spans import Evaluation, Span

MAX_WORST = 20
MAX_LABELS = 200
SCORES_KEPT = 10_000
QUANTILES = (5, 25, 50, 75, 95)
NO_LABEL = "(no label)"
_SHOWN_EXPLANATION = 300


@dataclass
class Mean:
    """Mean and variance of a stream of numbers, by Welford's method."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    ends: int = 0

    def add(self, number: float) -> None:
        """Count a number."""
        self.count += 1
        away = number - self.mean
        self.mean += away / self.count
        self.squares += away * (number - self.mean)
        if number in (0, 1):
            self.ends += 1

    def merge(self, other: Mean) -> None:
        """Count the numbers that another has counted."""
        if not other.count:
            return
        total = self.count + other.count
        away = other.mean - self.mean
        self.mean += away * other.count / total
        self.squares += other.squares + away * away * self.count * other.count / total
        self.ends += other.ends
        self.count = total

    def summary(self) -> dict[str, Any]:
        """Return the figures as plain JSON values."""
        known = self.count > 0 and math.isfinite(self.mean) and math.isfinite(self.squares)
        return {
            "scored": self.count,
            "score_mean": self.mean if known else None,
            "score_variance": max(0.0, self.squares) / (self.count - 1) if known and self.count > 1 else None,
            "score_is_binary": self.count > 0 and self.ends == self.count,
        }


@dataclass
class Quantiles:
    """Quantiles of a stream of scores: exact up to 10,000 of them, from a fair sample beyond."""

    count: int = 0
    kept: list[float] = field(default_factory=list)
    chance: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311  same result each time

    def add(self, score: float) -> None:
        """Count a score."""
        self.count += 1
        if len(self.kept) < SCORES_KEPT:
            self.kept.append(score)
        elif (place := int(self.chance.random() * self.count)) < SCORES_KEPT:
            self.kept[place] = score

    def summary(self) -> dict[str, Any]:
        """Return the quantiles, and all percentiles, as plain JSON values."""
        if not self.kept:
            return {"score_quantiles": None, "score_percentiles": None}
        ordered = sorted(self.kept)
        percentiles = [ordered[round(percent / 100 * (len(ordered) - 1))] for percent in range(101)]
        return {
            "score_quantiles": {f"p{percent:02d}": percentiles[percent] for percent in QUANTILES},
            "score_percentiles": percentiles,
        }


@dataclass
class Worst:
    """The examples with the worst scores; among spans without scores, those with the rarest label."""

    direction: str
    scored: list[tuple[float, int, dict[str, Any]]] = field(default_factory=list)
    labelled: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    seen: int = 0

    def add(self, span: Span, evaluation: Evaluation) -> None:
        """Consider an evaluation."""
        self.seen += 1
        if evaluation.score is None:
            label = evaluation.label or NO_LABEL
            if label in self.labelled or len(self.labelled) < MAX_LABELS:
                examples = self.labelled.setdefault(label, [])
                if len(examples) < MAX_WORST:
                    examples.append(_example(span, evaluation))
            return
        badness = -evaluation.score if self.direction == MAXIMIZE else evaluation.score
        if len(self.scored) == MAX_WORST and badness <= self.scored[0][0]:
            return
        # The place in the stream breaks ties: earlier examples stay.
        heapq.heappush(self.scored, (badness, -self.seen, _example(span, evaluation)))
        if len(self.scored) > MAX_WORST:
            heapq.heappop(self.scored)

    def summary(self, labels: Mapping[str, int]) -> list[dict[str, Any]]:
        """Return the examples, the worst first.

        :param labels: how many evaluations have each label.
        """
        if self.scored:
            return [example for _, _, example in sorted(self.scored, key=lambda one: one[:2], reverse=True)]
        if len(labels) < 2:
            return []
        rarest = min(labels, key=lambda label: (labels[label], label))
        return self.labelled.get(rarest, [])


def _example(span: Span, evaluation: Evaluation) -> dict[str, Any]:
    explanation = evaluation.explanation
    return {
        "span_id": span.span_id,
        "trace_id": span.trace_id,
        "start_time": span.start_time,
        "label": evaluation.label,
        "score": evaluation.score,
        "explanation": on_one_line(str(explanation)[:_SHOWN_EXPLANATION]) if explanation else None,
    }


class Counts:
    """How many evaluations there are, with which labels, and the figures of their scores."""

    def __init__(self) -> None:
        self.evaluated = 0
        self.labelled = 0
        self.other_labels = 0
        self.invalid_scores = 0
        self.labels: dict[str, int] = {}
        self.scores = Mean()

    def add(self, evaluation: Evaluation) -> None:
        """Count one evaluation."""
        self.evaluated += 1
        if evaluation.label is not None:
            self._label(evaluation.label, 1)
        if evaluation.score is not None:
            self.scores.add(evaluation.score)
        elif evaluation.not_number:
            self.invalid_scores += 1

    def _label(self, label: str, count: int) -> None:
        self.labelled += count
        if label in self.labels or len(self.labels) < MAX_LABELS:
            self.labels[label] = self.labels.get(label, 0) + count
        else:
            self.other_labels += count

    def merge(self, other: Counts) -> None:
        """Count the evaluations that another has counted."""
        self.evaluated += other.evaluated
        self.invalid_scores += other.invalid_scores
        for label, count in other.labels.items():
            self._label(label, count)
        self.labelled += other.other_labels
        self.other_labels += other.other_labels
        self.scores.merge(other.scores)

    def summary(self) -> dict[str, Any]:
        """Return the figures as plain JSON values."""
        ordered = sorted(self.labels.items(), key=lambda one: -one[1])
        return {
            "evaluated": self.evaluated,
            "labelled": self.labelled,
            "labels": {label: {"count": count, "share": count / self.labelled} for label, count in ordered},
            "other_labels": self.other_labels,
            **self.scores.summary(),
            "invalid_scores": self.invalid_scores,
        }
