"""Counts the evaluations of a run while they are read: memory does not grow with the window."""

from __future__ import annotations

import heapq
import math
import random
import re
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks._defaults import MAX_SEGMENTS
from airflow_provider_online_tasks._text import on_one_line
from airflow_provider_online_tasks._times import parse_time
from airflow_provider_online_tasks.api.calls.spans import EVAL_PREFIXES
from airflow_provider_online_tasks.inputs import MAXIMIZE
from airflow_provider_online_tasks.results._intervals import MeanOf, mean_interval, share_interval

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.answers.spans import Evaluation, Span

MAX_WORST = 20
MAX_LABELS = 200
MAX_JUDGES = 20
SEGMENTS_KEPT = 5_000
SCORES_KEPT = 10_000
SHOWN_CONFIDENCE = 0.95
QUANTILES = (5, 25, 50, 75, 95)
NO_LABEL = "(no label)"
NO_SEGMENT = "(none)"
OTHER_SEGMENTS = "(other)"
SPAN, TRACE, SESSION = EVAL_PREFIXES
SESSION_ID = "session.id"
# Spans that are compared to find out whether one is listed twice: as many as two pages hold, and those that
# begin at the same instant, as the order of time says nothing of them.
_RECENT = 1_000
_MOST_OF_ONE_INSTANT = 100_000
_SHOWN_EXPLANATION = 300
_JUDGE_KEY = re.compile(
    r"(evaluator|judge|template|prompt|model|version)(_?(id|name|hash|version))*", re.IGNORECASE
)


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
class _Quantiles:
    """Quantiles of a stream of scores: exact up to 10,000 of them, from a fair sample beyond."""

    count: int = 0
    kept: list[float] = field(default_factory=list)
    chance: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311  same result each time

    def add(self, score: float) -> None:
        self.count += 1
        if len(self.kept) < SCORES_KEPT:
            self.kept.append(score)
        elif (place := int(self.chance.random() * self.count)) < SCORES_KEPT:
            self.kept[place] = score

    def summary(self) -> dict[str, Any]:
        if not self.kept:
            return {"score_quantiles": None, "score_percentiles": None}
        ordered = sorted(self.kept)
        percentiles = [ordered[round(percent / 100 * (len(ordered) - 1))] for percent in range(101)]
        return {
            "score_quantiles": {f"p{percent:02d}": percentiles[percent] for percent in QUANTILES},
            "score_percentiles": percentiles,
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
        self.not_numbers = 0
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
            self.not_numbers += 1

    def _label(self, label: str, count: int) -> None:
        self.labelled += count
        if label in self.labels or len(self.labels) < MAX_LABELS:
            self.labels[label] = self.labels.get(label, 0) + count
        else:
            self.other_labels += count

    def merge(self, other: Counts) -> None:
        """Count the evaluations that another has counted."""
        self.evaluated += other.evaluated
        self.not_numbers += other.not_numbers
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
            "not_numbers": self.not_numbers,
        }


class EvaluatorResults:
    """The evaluations of one evaluator.

    :param direction: whether a high score is good: ``maximize`` or ``minimize``.
    :param max_segments: how many segments the summary has.
    """

    def __init__(self, direction: str = MAXIMIZE, *, max_segments: int = MAX_SEGMENTS) -> None:
        self.counts = Counts()
        self.empty = 0
        self._max_segments = max_segments
        self._quantiles = _Quantiles()
        self._worst = _Worst(direction)
        self._segments: dict[str, Counts] = {}
        self._judges: Counter[tuple[tuple[str, str], ...]] = Counter()

    def add(self, span: Span, evaluation: Evaluation, *, segment: str | None = None) -> bool:
        """Count one evaluation; return whether it says anything: one without label and score does not."""
        if evaluation.label is None and evaluation.score is None and not evaluation.not_number:
            self.empty += 1
            return False
        self.counts.add(evaluation)
        if evaluation.score is not None:
            self._quantiles.add(evaluation.score)
        self._worst.add(span, evaluation)
        judge = judge_of(evaluation.metadata)
        if judge in self._judges or len(self._judges) < MAX_JUDGES:
            self._judges[judge] += 1
        if segment is not None:
            known = segment in self._segments or len(self._segments) < SEGMENTS_KEPT
            self._segments.setdefault(segment if known else OTHER_SEGMENTS, Counts()).add(evaluation)
        return True

    def summary(self, items: int, *, with_segments: bool = False) -> dict[str, Any]:
        """Return the figures as plain JSON values.

        :param items: how many spans, traces or sessions were read.
        :param with_segments: whether the evaluations were divided into segments.
        """
        figures = self.counts.summary()
        evaluated = figures.pop("evaluated")
        return {
            "evaluated": evaluated,
            "without": items - evaluated,
            "empty": self.empty,
            **figures,
            **self._quantiles.summary(),
            "score_interval": self._score_interval(),
            "judges": [dict(judge) for judge, _ in self._judges.most_common()],
            "judge": judges_text(judge for judge, _ in self._judges.most_common()),
            "segments": self._segment_summaries() if with_segments else None,
            "worst": self._worst.summary(self.counts.labels),
        }

    def _score_interval(self) -> list[float] | None:
        """Return the 95 % interval of the mean score, for pictures; a gate works out its own."""
        scores = self.counts.scores
        if scores.count < 2 or not math.isfinite(scores.squares):
            return None
        if scores.ends == scores.count:
            return list(share_interval(round(scores.mean * scores.count), scores.count, SHOWN_CONFIDENCE))
        mean = MeanOf(scores.mean, max(0.0, scores.squares) / (scores.count - 1), scores.count)
        return list(mean_interval(mean, SHOWN_CONFIDENCE))

    def _segment_summaries(self) -> dict[str, Any]:
        """Return the largest segments, and the others as one."""
        named = {name: counts for name, counts in self._segments.items() if name != OTHER_SEGMENTS}
        largest = sorted(named, key=lambda name: (-named[name].evaluated, name))[: self._max_segments]
        rest = Counts()
        for name, counts in self._segments.items():
            if name not in largest:
                rest.merge(counts)
        shown = {name: named[name].summary() for name in largest}
        return shown | ({OTHER_SEGMENTS: rest.summary()} if rest.evaluated else {})


def judge_of(metadata: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return what an evaluation's metadata says of the judge: its evaluator, version, template, model.

    The keys are not documented, so every text or number whose key is made of such words counts.
    """
    if not any(map(_is_judge_key, metadata)):
        return ()
    return tuple(
        sorted(
            (key, on_one_line(str(value)))
            for key, value in metadata.items()
            if _is_judge_key(key) and isinstance(value, str | int)
        )
    )


def judges_text(judges: Iterable[Iterable[tuple[str, str]]]) -> str | None:
    """Return who judged on one line; None if the evaluations do not say."""
    named = sorted(", ".join(f"{key}: {value}" for key, value in judge) for judge in judges)
    return on_one_line(" or ".join(filter(None, named))) or None


@lru_cache(maxsize=1_000)
def _is_judge_key(key: str) -> bool:
    return _JUDGE_KEY.fullmatch(key) is not None


class Results:
    """The evaluations of a window's spans, counted span by span.

    An evaluation belongs to the run if its metadata names it. Where metadata names no run at all, the
    evaluations of the task's evaluators in the window are taken; ``matched_by`` says which. An evaluation
    that names another run is never taken for this one's.

    :param run_id: the run, if one is asked for.
    :param online_task_id: the task.
    :param evaluators: column names of the evaluators; empty: those whose evaluations name the run or task.
    :param direction: whether a high score is good: ``maximize`` or ``minimize``.
    :param granularity: what an evaluation is of: ``span``, ``trace`` or ``session``.
    :param group_by: dotted path of the attribute whose values make the segments.
    :param max_segments: how many segments the summary has.
    """

    def __init__(
        self,
        *,
        run_id: str | None,
        online_task_id: str,
        evaluators: Sequence[str] = (),
        direction: str = MAXIMIZE,
        granularity: str = SPAN,
        group_by: str | None = None,
        max_segments: int = MAX_SEGMENTS,
    ) -> None:
        self.spans = 0
        self.repeated = 0
        self.is_ordered = True
        self.is_unambiguous = True
        self._run_id = run_id
        self._task_id = online_task_id
        self._names = tuple(evaluators)
        self._direction = direction
        self._granularity = granularity
        self._group_by = group_by
        self._max_segments = max_segments
        self._of_run: dict[str, EvaluatorResults] = {}
        self._of_task: dict[str, EvaluatorResults] = {}
        self._spans_of_run = 0
        self._of_run_items: set[int] = set()
        self._recent: deque[str] = deque()
        self._recent_ids: set[str] = set()
        self._last_start: str | None = None
        self._same_instant: set[int] = set()
        # Hashes of the traces or sessions that are counted: none for spans.
        self._items: set[int] = set()
        self._seen: dict[tuple[str, bool], set[int]] = {}

    def add(self, span: Span) -> list[Evaluation]:
        """Count a span, and return which of its evaluations belong to the task."""
        if self._is_repeated(span):
            self.repeated += 1
            return []
        self.spans += 1
        item = self._item(span)
        if item is not None:
            self._items.add(item)
        segment = None if self._group_by is None else _segment(span.attribute(self._group_by))
        taken, is_of_run = [], False
        counted: dict[tuple[str, bool], Evaluation] = {}
        for evaluation in span.evaluations:
            of_run = self._run_id is not None and evaluation.names(self._run_id)
            if not of_run and (not self._is_of_task(evaluation) or self._names_a_run(evaluation)):
                continue
            if item is not None and not self._is_new(evaluation.name, of_run=of_run, item=item):
                continue
            first = counted.setdefault((evaluation.name, of_run), evaluation)
            if first is not evaluation:
                self.is_unambiguous &= _say_the_same(first, evaluation)
                continue
            taken.append(evaluation)
            self._count(self._of_task, span, evaluation, segment)
            is_of_run |= of_run and self._count(self._of_run, span, evaluation, segment)
        if is_of_run and item is None:
            self._spans_of_run += 1
        elif is_of_run and item is not None:
            self._of_run_items.add(item)
        return taken

    def _is_repeated(self, span: Span) -> bool:
        """Whether the span was listed a moment ago; what is further apart shows by the order of time."""
        mark = hash(span.span_id)
        if span.span_id in self._recent_ids or mark in self._same_instant:
            return True
        self._recent.append(span.span_id)
        self._recent_ids.add(span.span_id)
        if len(self._recent) > _RECENT:
            self._recent_ids.discard(self._recent.popleft())
        if self.is_ordered:
            last, start = self._last_start, span.start_time
            if start != last:
                self._same_instant.clear()
            # Times of the same form are in order as text; the others are read.
            if last is None or start is None or len(start) != len(last) or start > last:
                self.is_ordered = start is not None and (last is None or _is_not_later(start, last))
            self._last_start = start
            self._same_instant.add(mark)
            self.is_ordered &= len(self._same_instant) <= _MOST_OF_ONE_INSTANT
        return False

    def _item(self, span: Span) -> int | None:
        match self._granularity:
            case "trace":
                return hash(span.trace_id)
            case "session":
                return hash(str(span.attribute(SESSION_ID)))
        return None

    def _is_new(self, name: str, *, of_run: bool, item: int) -> bool:
        seen = self._seen.setdefault((name, of_run), set())
        if item in seen:
            return False
        seen.add(item)
        return True

    def _is_of_task(self, evaluation: Evaluation) -> bool:
        if self._names:
            return evaluation.name in self._names
        return evaluation.names(self._task_id)

    def _names_a_run(self, evaluation: Evaluation) -> bool:
        """Whether an evaluation that does not name this run names another."""
        if self._run_id is None:
            return False
        return evaluation.names(self._task_id) or any("run" in key.lower() for key in evaluation.metadata)

    def _count(
        self, into: dict[str, EvaluatorResults], span: Span, evaluation: Evaluation, segment: str | None
    ) -> bool:
        results = into.get(evaluation.name)
        if results is None:
            results = into[evaluation.name] = EvaluatorResults(
                self._direction, max_segments=self._max_segments
            )
        return results.add(span, evaluation, segment=segment)

    @property
    def items(self) -> int:
        """How many spans, traces or sessions were read."""
        return self.spans if self._granularity == SPAN else len(self._items)

    @property
    def items_of_run(self) -> int:
        """How many of them carry an evaluation that names the run."""
        return self._spans_of_run + len(self._of_run_items)

    @property
    def is_by_run(self) -> bool:
        """Whether evaluations name the run they are of."""
        return bool(self._of_run)

    @property
    def found(self) -> Mapping[str, EvaluatorResults]:
        """The evaluators' results, those of the run if evaluations name it; the ones asked for always."""
        found = self._of_run if self.is_by_run else self._of_task
        names = sorted({*self._names, *found}) if self._names else sorted(found)
        return {name: found.get(name) or EvaluatorResults(self._direction) for name in names}

    def summary(self) -> dict[str, Any]:
        """Return the figures as plain JSON values."""
        return {
            "spans": self.spans,
            "granularity": self._granularity,
            "group_by": self._group_by,
            "matched_by": "run_id" if self.is_by_run else "evaluator",
            "evaluators": {
                name: one.summary(self.items, with_segments=self._group_by is not None)
                for name, one in self.found.items()
            },
        }


def _is_not_later(start: str, last: str) -> bool:
    try:
        return parse_time(start, "start_time") <= parse_time(last, "start_time")
    except ValueError:
        return False


def _say_the_same(one: Evaluation, other: Evaluation) -> bool:
    return (one.label, one.score, one.not_number) == (other.label, other.score, other.not_number)


def _segment(value: Any) -> str:
    return NO_SEGMENT if value is None else on_one_line(str(value)) or NO_SEGMENT
