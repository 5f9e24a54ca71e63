"""What a run's evaluations come to, counted while they are read: memory does not grow with the window."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.inputs import MAXIMIZE

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.calls.spans import Evaluation, Span

MAX_WORST = 20
MAX_LABELS = 200
SCORES_KEPT = 10_000
QUANTILES = (5, 25, 50, 75, 95)
OTHER_LABELS = "(other labels)"
NO_LABEL = "(no label)"


@dataclass
class _Scores:
    """Mean and quantiles of a stream of scores: exact up to 10,000 of them, from a fair sample beyond."""

    count: int = 0
    total: float = 0.0
    kept: list[float] = field(default_factory=list)
    chance: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311  same result each time

    def add(self, score: float) -> None:
        self.count += 1
        self.total += score
        if len(self.kept) < SCORES_KEPT:
            self.kept.append(score)
        elif (place := self.chance.randrange(self.count)) < SCORES_KEPT:
            self.kept[place] = score

    def summary(self) -> dict[str, Any]:
        if not self.count:
            return {"score_mean": None, "score_quantiles": None}
        ordered = sorted(self.kept)
        return {
            "score_mean": self.total / self.count,
            "score_quantiles": {
                f"p{percent:02d}": ordered[round(percent / 100 * (len(ordered) - 1))] for percent in QUANTILES
            },
        }


@dataclass
class _Worst:
    """The examples with the worst scores; among spans without scores, those with the rarest label."""

    direction: str
    scored: list[tuple[float, int, dict[str, Any]]] = field(default_factory=list)
    labelled: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    seen: int = 0

    def add(self, span: Span, evaluation: Evaluation) -> None:
        self.seen += 1
        example = {
            "span_id": span.span_id,
            "trace_id": span.trace_id,
            "label": evaluation.label,
            "score": evaluation.score,
        }
        if evaluation.score is None:
            examples = self.labelled.setdefault(evaluation.label or NO_LABEL, [])
            if len(examples) < MAX_WORST and len(self.labelled) <= MAX_LABELS:
                examples.append(example)
            return
        badness = -evaluation.score if self.direction == MAXIMIZE else evaluation.score
        # The place in the stream breaks ties: earlier examples stay.
        heapq.heappush(self.scored, (badness, -self.seen, example))
        if len(self.scored) > MAX_WORST:
            heapq.heappop(self.scored)

    def summary(self, labels: Counter[str]) -> list[dict[str, Any]]:
        if self.scored:
            return [example for _, _, example in sorted(self.scored, key=lambda one: one[:2], reverse=True)]
        if len(labels) < 2:
            return []
        rarest = min(labels, key=lambda label: (labels[label], label))
        return self.labelled.get(rarest, [])


class EvaluatorResults:
    """The evaluations of one evaluator.

    :param direction: whether a high score is good: ``maximize`` or ``minimize``.
    """

    def __init__(self, direction: str = MAXIMIZE) -> None:
        self.evaluated = 0
        self._labels: Counter[str] = Counter()
        self._scores = _Scores()
        self._worst = _Worst(direction)

    def add(self, span: Span, evaluation: Evaluation) -> None:
        """Count one evaluation."""
        self.evaluated += 1
        if evaluation.label is not None:
            known = evaluation.label in self._labels or len(self._labels) < MAX_LABELS
            self._labels[evaluation.label if known else OTHER_LABELS] += 1
        if evaluation.score is not None:
            self._scores.add(evaluation.score)
        self._worst.add(span, evaluation)

    def summary(self, spans: int) -> dict[str, Any]:
        """Return the figures as plain JSON values.

        :param spans: how many spans were read.
        """
        labelled = sum(self._labels.values())
        return {
            "evaluated": self.evaluated,
            "without": spans - self.evaluated,
            "labels": {
                label: {"count": count, "share": count / labelled}
                for label, count in self._labels.most_common()
            },
            **self._scores.summary(),
            "worst": self._worst.summary(self._labels),
        }


class Results:
    """The evaluations of a window's spans, counted span by span.

    An evaluation belongs to the run if its metadata names it. Where metadata is not there, the evaluations
    of the task's evaluators in the window are taken; ``matched_by`` says which.

    :param run_id: the run, if one is asked for.
    :param online_task_id: the task.
    :param evaluators: column names of the evaluators; empty: those whose evaluations name the run or task.
    :param direction: whether a high score is good: ``maximize`` or ``minimize``.
    """

    def __init__(
        self,
        *,
        run_id: str | None,
        online_task_id: str,
        evaluators: Sequence[str] = (),
        direction: str = MAXIMIZE,
    ) -> None:
        self.spans = 0
        self._run_id = run_id
        self._task_id = online_task_id
        self._names = frozenset(evaluators)
        self._direction = direction
        self._of_run: dict[str, EvaluatorResults] = {}
        self._of_task: dict[str, EvaluatorResults] = {}

    def add(self, span: Span) -> list[Evaluation]:
        """Count a span, and return which of its evaluations belong to the task."""
        self.spans += 1
        taken = []
        for evaluation in span.evaluations:
            of_run = self._run_id is not None and evaluation.names(self._run_id)
            if not of_run and not self._is_of_task(evaluation):
                continue
            taken.append(evaluation)
            self._count(self._of_task, span, evaluation)
            if of_run:
                self._count(self._of_run, span, evaluation)
        return taken

    def _is_of_task(self, evaluation: Evaluation) -> bool:
        if self._names:
            return evaluation.name in self._names
        return evaluation.names(self._task_id)

    def _count(self, into: dict[str, EvaluatorResults], span: Span, evaluation: Evaluation) -> None:
        results = into.get(evaluation.name)
        if results is None:
            results = into[evaluation.name] = EvaluatorResults(self._direction)
        results.add(span, evaluation)

    @property
    def is_by_run(self) -> bool:
        """Whether evaluations name the run they are of."""
        return bool(self._of_run)

    def summary(self) -> dict[str, Any]:
        """Return the figures as plain JSON values."""
        found = self._of_run if self.is_by_run else self._of_task
        names = sorted(self._names | set(found)) if self._names else sorted(found)
        return {
            "spans": self.spans,
            "matched_by": "run_id" if self.is_by_run else "evaluator",
            "evaluators": {
                name: found.get(name, EvaluatorResults(self._direction)).summary(self.spans) for name in names
            },
        }
