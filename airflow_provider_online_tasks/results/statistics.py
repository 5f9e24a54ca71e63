"""Counts the evaluations of a run while they are read: memory does not grow with the window."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks._defaults import MAX_SEGMENTS
from airflow_provider_online_tasks._text import on_one_line
from airflow_provider_online_tasks._times import parse_time
from airflow_provider_online_tasks.api.calls.spans import EVAL_PREFIXES
from airflow_provider_online_tasks.gate.evaluator_changes import judge_of, judges_text
from airflow_provider_online_tasks.gate.intervals import MeanOf, mean_interval, share_interval
from airflow_provider_online_tasks.inputs import MAXIMIZE
from airflow_provider_online_tasks.results.counts import Counts, Quantiles, Worst

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.responses.spans import Evaluation, Span

MAX_JUDGES = 20
SEGMENTS_KEPT = 5_000
SHOWN_CONFIDENCE = 0.95
NO_SEGMENT = "(none)"
OTHER_SEGMENTS = "(other)"
SPAN, TRACE, SESSION = EVAL_PREFIXES
SESSION_ID = "session.id"
# Spans that are compared to find out whether one is listed twice: as many as two pages hold, and those that
# begin at the same instant, as the order of time says nothing of them.
_RECENT = 1_000
_MOST_OF_ONE_INSTANT = 100_000


class EvaluatorResults:
    """The evaluations of one evaluator.

    :param direction: whether a high score is good: ``maximize`` or ``minimize``.
    :param max_segments: how many segments the summary has.
    """

    def __init__(self, direction: str = MAXIMIZE, *, max_segments: int = MAX_SEGMENTS) -> None:
        self.counts = Counts()
        self.empty = 0
        self._max_segments = max_segments
        self._quantiles = Quantiles()
        self._worst = Worst(direction)
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
            "not_evaluated": items - evaluated,
            "empty": self.empty,
            **figures,
            **self._quantiles.summary(),
            "score_interval": self._score_interval(),
            "evaluator_versions": [dict(judge) for judge, _ in self._judges.most_common()],
            "evaluator_version": judges_text(judge for judge, _ in self._judges.most_common()),
            "segments": self._segment_summaries() if with_segments else None,
            "lowest_scoring_examples": self._worst.summary(self.counts.labels),
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
