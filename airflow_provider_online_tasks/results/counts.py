"""Count labels and scores one by one, with constant memory."""

from __future__ import annotations

import heapq
import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.gate.examples import EXAMPLES_SHOWN, distinct_first
from airflow_provider_online_tasks.gate.intervals import Mean, design_effect, effective_size
from airflow_provider_online_tasks.gate.summary import PERCENTILES, SCORES_KEPT
from airflow_provider_online_tasks.inputs.arguments import MAXIMIZE

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.responses import Evaluation, Span

CANDIDATES = 20
MAX_LABELS = 200
CONFIDENCE = 0.95  # of the intervals in summaries, and on the Evals page
OTHER_LABELS = "(other labels)"
QUANTILES = (5, 25, 50, 75, 95)


@dataclass
class Counts:
    """How many evaluations there are, their labels, and the mean and variance of their scores."""

    evaluated: int = 0
    labelled: int = 0
    other_labels: int = 0
    invalid_scores: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    scores: Mean = field(default_factory=Mean)

    def add(self, evaluation: Evaluation) -> None:
        """Count an evaluation."""
        self.evaluated += 1
        if evaluation.label is not None:
            self._add_label(evaluation.label, 1)
        if evaluation.score is not None:
            self.scores.add(evaluation.score)
        elif evaluation.not_number:
            self.invalid_scores += 1

    def _add_label(self, label: str, count: int) -> None:
        self.labelled += count
        if label in self.labels or len(self.labels) < MAX_LABELS:
            self.labels[label] += count
        else:
            self.other_labels += count

    def merge(self, other: Counts) -> None:
        """Add the counts of another object."""
        self.evaluated += other.evaluated
        self.invalid_scores += other.invalid_scores
        for label, count in other.labels.items():
            self._add_label(label, count)
        self.labelled += other.other_labels
        self.other_labels += other.other_labels
        self.scores.merge(other.scores)

    def summary(self) -> dict[str, Any]:
        """Return the counts as JSON values; labels with the most frequent first."""
        scores = self.scores
        labels = self.labels.most_common()
        return {
            "evaluated": self.evaluated,
            "labelled": self.labelled,
            "labels": {label: {"count": count, "share": count / self.labelled} for label, count in labels},
            "other_labels": self.other_labels,
            "scored": scores.count,
            "score_mean": scores.mean if scores.is_finite else None,
            "score_variance": scores.variance if scores.is_finite else None,
            "score_min": scores.low if scores.count else None,
            "score_max": scores.high if scores.count else None,
            "score_is_binary": scores.is_binary,
            "invalid_scores": self.invalid_scores,
        }


class Clusters:
    """The labels and scores of each cluster (session or trace), for the effect of clusters on variances."""

    def __init__(self) -> None:
        self._labels: defaultdict[int, Counter[str]] = defaultdict(Counter)
        self._scores: defaultdict[int, list[float]] = defaultdict(lambda: [0, 0.0])

    def add(self, cluster: int, evaluation: Evaluation, counts: Counts) -> None:
        """Add an evaluation that was counted."""
        if evaluation.label is not None:
            label = evaluation.label if evaluation.label in counts.labels else ""
            self._labels[cluster][label] += 1
        if evaluation.score is not None:
            scores = self._scores[cluster]
            scores[0] += 1
            scores[1] += evaluation.score

    def summary(self, counts: Counts) -> dict[str, Any] | None:
        """Return the design effects as JSON values; None if no cluster has several evaluations."""
        sizes = {cluster: labels.total() for cluster, labels in self._labels.items()}
        score_sizes = {cluster: round(size) for cluster, (size, _) in self._scores.items()}
        longer = max(sizes, score_sizes, key=len)
        if not longer or max([*sizes.values(), *score_sizes.values()]) == 1:
            return None
        labels = {}
        for label, count in counts.labels.items():
            share = count / counts.labelled
            pairs = [(float(self._labels[cluster][label]), size) for cluster, size in sizes.items()]
            labels[label] = design_effect(pairs, share * (1 - share))
        scores = [(total, score_sizes[cluster]) for cluster, (_, total) in self._scores.items()]
        variance = counts.scores.squares / max(1, counts.scores.count)
        return {
            "count": len(longer),
            "size": design_effect([(0.0, size) for size in longer.values()], 0.0),
            "labels": labels,
            "score": design_effect(scores, variance) if scores and math.isfinite(variance) else None,
        }


def effective_count(total: int, clusters: Mapping[str, Any] | None, label: str | None) -> float:
    """Return how many independent evaluations say as much about a label as these; None: about the score.

    :param clusters: the summary of clusters.
    """
    if clusters is None:
        return total
    effect = clusters["score"] if label is None else clusters["labels"].get(label)
    return effective_size(total, effect or clusters["size"], clusters["count"], CONFIDENCE)


class Quantiles:
    """Quantiles of scores: exact up to 10,000 scores, from a random sample of them beyond."""

    def __init__(self) -> None:
        self._count = 0
        self._kept: list[float] = []
        self._random = random.Random(0)  # noqa: S311  the same results give the same summary

    def add(self, score: float) -> None:
        """Add a score."""
        self._count += 1
        if len(self._kept) < SCORES_KEPT:
            self._kept.append(score)
        elif (place := int(self._random.random() * self._count)) < SCORES_KEPT:
            self._kept[place] = score

    def summary(self) -> dict[str, Any]:
        """Return the quantiles and all percentiles as JSON values."""
        if not self._kept:
            return {"score_quantiles": None, "score_percentiles": None}
        ordered, last = sorted(self._kept), len(self._kept) - 1
        percentiles = [ordered[round(percent / 100 * last)] for percent in range(PERCENTILES)]
        return {
            "score_quantiles": {f"p{percent:02d}": percentiles[percent] for percent in QUANTILES},
            "score_percentiles": percentiles,
        }


class Examples:
    """Spans to show as examples: with the lowest and the highest scores, and of each label.

    Direction ``minimize`` puts the highest scores first.
    """

    def __init__(self, direction: str) -> None:
        lowest, highest = _Extremes(-1), _Extremes(1)
        self._extremes = (lowest, highest) if direction == MAXIMIZE else (highest, lowest)
        self._labelled: dict[str | None, list[dict[str, Any]]] = {}
        self._labels: Counter[str | None] = Counter()

    def add(self, span: Span, evaluation: Evaluation, segment: str | None) -> None:
        """Consider an evaluation; of equal ones, the first are kept."""
        label, score = evaluation.label, evaluation.score
        example = {
            "span_id": span.span_id,
            "trace_id": span.trace_id,
            "start_time": span.start_time,
            "label": label,
            "score": score,
            "segment": segment,
        }
        if score is not None:
            for extremes in self._extremes:
                extremes.add(score, example)
        if label in self._labelled or len(self._labelled) < MAX_LABELS:
            self._labels[label] += 1
            examples = self._labelled.setdefault(label, [])
            if len(examples) < CANDIDATES:
                examples.append(example)

    def groups(self) -> list[list[dict[str, Any]]]:
        """Return the candidates by end of the scores and by label: at most 100, so that inputs can differ."""
        labels = [label for label, _ in self._labels.most_common()]
        if len(labels) > 2 * EXAMPLES_SHOWN:  # the most frequent and the rarest labels
            labels = labels[:EXAMPLES_SHOWN] + labels[-EXAMPLES_SHOWN:]
        per_label = min(CANDIDATES, 3 * CANDIDATES // max(1, len(labels)))
        return [
            *(extremes.in_order() for extremes in self._extremes),
            *(self._labelled[label][:per_label] for label in labels),
        ]


class _Extremes:
    """The examples with the lowest (sign -1) or the highest scores (sign 1)."""

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._seen = 0
        self._kept: list[tuple[float, int, dict[str, Any]]] = []

    def add(self, score: float, example: dict[str, Any]) -> None:
        self._seen += 1
        entry = (self._sign * score, -self._seen, example)
        if len(self._kept) < CANDIDATES:
            heapq.heappush(self._kept, entry)
        elif entry > self._kept[0]:
            heapq.heapreplace(self._kept, entry)

    def in_order(self) -> list[dict[str, Any]]:
        return [example for *_, example in sorted(self._kept, reverse=True)]


def choose_examples(groups: Iterable[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return 5 examples of each group, those with different inputs first."""
    chosen = [example for group in groups for example in distinct_first(group)[:EXAMPLES_SHOWN]]
    return list({example["span_id"]: example for example in chosen}.values())
