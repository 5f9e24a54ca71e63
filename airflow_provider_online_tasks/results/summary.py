"""Count the evaluations of a window while its spans are read, with constant memory."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks._defaults import MAX_SEGMENTS
from airflow_provider_online_tasks._text import on_one_line
from airflow_provider_online_tasks._times import parse_time
from airflow_provider_online_tasks.api.calls import EVAL_PREFIXES
from airflow_provider_online_tasks.gate.evaluator_versions import Version, version_of, versions_text
from airflow_provider_online_tasks.gate.intervals import mean_interval, share_interval
from airflow_provider_online_tasks.gate.summary import NO_SEGMENT, OTHER_SEGMENTS
from airflow_provider_online_tasks.inputs.arguments import MAXIMIZE
from airflow_provider_online_tasks.results.counts import Counts, LowestScoring, Quantiles

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.responses import Evaluation, Span

MAX_VERSIONS = 20
MAX_SEGMENTS_KEPT = 5_000
CONFIDENCE = 0.95
SPAN, TRACE, SESSION = EVAL_PREFIXES
SESSION_ID = "session.id"
# Duplicates are looked for among the spans of two pages, and among all spans with the same start time, whose
# order is undefined.
_RECENT_SPANS = 1_000
_MAX_SAME_START = 100_000


class EvaluatorResults:
    """The evaluations of one evaluator.

    :param direction: whether a high score is good: ``maximize`` or ``minimize``.
    :param max_segments: how many segments the summary has.
    """

    def __init__(self, direction: str = MAXIMIZE, *, max_segments: int = MAX_SEGMENTS) -> None:
        self.counts = Counts()
        self._empty = 0
        self._max_segments = max_segments
        self._quantiles = Quantiles()
        self._lowest = LowestScoring(direction)
        self._segments: dict[str, Counts] = {}
        self._versions: Counter[Version] = Counter()

    def add(self, span: Span, evaluation: Evaluation, segment: str | None = None) -> bool:
        """Count an evaluation. Return False if it is empty: it has neither a label nor a score."""
        if evaluation.label is None and evaluation.score is None and not evaluation.not_number:
            self._empty += 1
            return False
        self.counts.add(evaluation)
        self._lowest.add(span, evaluation)
        if evaluation.score is not None:
            self._quantiles.add(evaluation.score)
        version = version_of(evaluation.metadata)
        if version in self._versions or len(self._versions) < MAX_VERSIONS:
            self._versions[version] += 1
        if segment is not None:
            if segment not in self._segments and len(self._segments) >= MAX_SEGMENTS_KEPT:
                segment = OTHER_SEGMENTS
            self._segments.setdefault(segment, Counts()).add(evaluation)
        return True

    def summary(self, items: int, *, with_segments: bool = False) -> dict[str, Any]:
        """Return the figures as JSON values.

        :param items: how many spans, traces or sessions were read.
        :param with_segments: whether evaluations were assigned to segments.
        """
        versions = [version for version, _ in self._versions.most_common()]
        return {
            **self.counts.summary(),
            "not_evaluated": items - self.counts.evaluated,
            "empty": self._empty,
            **self._quantiles.summary(),
            "score_interval": self._score_interval(),
            "evaluator_versions": [dict(sorted(version)) for version in versions],
            "evaluator_version": versions_text(versions),
            "segments": self._segment_summaries() if with_segments else None,
            "lowest_scoring_examples": self._lowest.summary(self.counts.labels),
        }

    def _score_interval(self) -> list[float] | None:
        """Return the 95 % interval of the mean score, for the Evals page."""
        scores = self.counts.scores
        if scores.count < 2 or not math.isfinite(scores.squares):
            return None
        if scores.is_binary:
            return list(share_interval(round(scores.mean * scores.count), scores.count, CONFIDENCE))
        return list(mean_interval(scores, CONFIDENCE))

    def _segment_summaries(self) -> dict[str, Any]:
        """Return the largest segments, and all others as one."""
        named = [name for name in self._segments if name != OTHER_SEGMENTS]
        named.sort(key=lambda name: (-self._segments[name].evaluated, name))
        largest = named[: self._max_segments]
        others = Counts()
        for name, counts in self._segments.items():
            if name not in largest:
                others.merge(counts)
        shown = {name: self._segments[name].summary() for name in largest}
        return shown | ({OTHER_SEGMENTS: others.summary()} if others.evaluated else {})


class Results:
    """The evaluations of a window's spans.

    Evaluations whose metadata names the run are the run's. If no evaluation names any run, all evaluations
    of the task's evaluators in the window are used (``matched_by`` in the summary says which). Evaluations
    that name another run are never used.

    :param run_id: the run; None for all evaluations of the task in the window.
    :param online_task_id: the task.
    :param evaluators: column names of the evaluators; empty: those whose evaluations name the run or task.
    :param direction: whether a high score is good: ``maximize`` or ``minimize``.
    :param granularity: what is evaluated: ``span``, ``trace`` or ``session``.
    :param group_by: dotted path of the attribute whose values are the segments.
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
        self.is_unambiguous = True
        self._run_id = run_id
        self._task_id = online_task_id
        self._names = tuple(evaluators)
        self._direction = direction
        self._granularity = granularity
        self._group_by = group_by
        self._max_segments = max_segments
        self._duplicates = _Duplicates()
        self._of_run: dict[str, EvaluatorResults] = {}
        self._of_task: dict[str, EvaluatorResults] = {}
        self._spans_of_run = 0
        # Hashes of the traces or sessions that were counted; unused for spans.
        self._items: set[int] = set()
        self._items_of_run: set[int] = set()
        self._counted: dict[tuple[str, bool], set[int]] = {}

    def add(self, span: Span) -> list[Evaluation]:
        """Count a span's evaluations, and return those that belong to the task."""
        if self._duplicates.is_duplicate(span):
            return []
        self.spans += 1
        item = self._item(span)
        if item is not None:
            self._items.add(item)
        segment = None if self._group_by is None else _segment(span.attribute(self._group_by))
        taken: list[Evaluation] = []
        first_of: dict[tuple[str, bool], Evaluation] = {}
        is_of_run = False
        for evaluation in span.evaluations:
            of_run = self._run_id is not None and evaluation.names(self._run_id)
            if not (of_run or self._is_of_task(evaluation)):
                continue
            if item is not None and self._is_counted(evaluation.name, of_run, item):
                continue
            first = first_of.setdefault((evaluation.name, of_run), evaluation)
            if first is not evaluation:
                self.is_unambiguous &= _are_equal(first, evaluation)
                continue
            taken.append(evaluation)
            self._count(self._of_task, span, evaluation, segment)
            if of_run:
                is_of_run |= self._count(self._of_run, span, evaluation, segment)
        if is_of_run and item is None:
            self._spans_of_run += 1
        elif is_of_run and item is not None:
            self._items_of_run.add(item)
        return taken

    def _item(self, span: Span) -> int | None:
        """Return the hash of the trace or session of a span; None if spans are evaluated."""
        if self._granularity == TRACE:
            return hash(span.trace_id)
        if self._granularity == SESSION:
            return hash(str(span.attribute(SESSION_ID)))
        return None

    def _is_of_task(self, evaluation: Evaluation) -> bool:
        """Return whether an evaluation that doesn't name the run is the task's, and names no other run."""
        names_task = evaluation.names(self._task_id)
        if not (evaluation.name in self._names if self._names else names_task):
            return False
        return self._run_id is None or not (
            names_task or any("run" in key.lower() for key in evaluation.metadata)
        )

    def _is_counted(self, name: str, of_run: bool, item: int) -> bool:
        counted = self._counted.setdefault((name, of_run), set())
        if item in counted:
            return True
        counted.add(item)
        return False

    def _count(
        self, into: dict[str, EvaluatorResults], span: Span, evaluation: Evaluation, segment: str | None
    ) -> bool:
        results = into.get(evaluation.name)
        if results is None:
            results = into[evaluation.name] = self._empty()
        return results.add(span, evaluation, segment)

    def _empty(self) -> EvaluatorResults:
        return EvaluatorResults(self._direction, max_segments=self._max_segments)

    @property
    def is_ordered(self) -> bool:
        """Whether the spans came in order of time, so that no duplicate was missed."""
        return self._duplicates.is_ordered

    @property
    def duplicates(self) -> int:
        """How many spans were listed again."""
        return self._duplicates.count

    @property
    def items(self) -> int:
        """How many spans, traces or sessions were read."""
        return self.spans if self._granularity == SPAN else len(self._items)

    @property
    def items_of_run(self) -> int:
        """How many of them have an evaluation that names the run."""
        return self._spans_of_run + len(self._items_of_run)

    @property
    def is_by_run(self) -> bool:
        """Whether evaluations name their run."""
        return bool(self._of_run)

    @property
    def by_evaluator(self) -> Mapping[str, EvaluatorResults]:
        """The results of each evaluator, including requested ones without evaluations."""
        results = self._of_run if self.is_by_run else self._of_task
        names = sorted({*self._names, *results})
        return {name: results.get(name) or self._empty() for name in names}

    def summary(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        return {
            "spans": self.spans,
            "granularity": self._granularity,
            "group_by": self._group_by,
            "matched_by": "run_id" if self.is_by_run else "evaluator",
            "evaluators": {
                name: results.summary(self.items, with_segments=self._group_by is not None)
                for name, results in self.by_evaluator.items()
            },
        }


class _Duplicates:
    """Detects spans that a list contains twice, because spans arrived while its pages were read."""

    def __init__(self) -> None:
        self.count = 0
        self.is_ordered = True
        self._recent: deque[str] = deque()
        self._recent_ids: set[str] = set()
        self._last_start: str | None = None
        self._same_start: set[int] = set()

    def is_duplicate(self, span: Span) -> bool:
        mark = hash(span.span_id)
        if span.span_id in self._recent_ids or mark in self._same_start:
            self.count += 1
            return True
        self._recent.append(span.span_id)
        self._recent_ids.add(span.span_id)
        if len(self._recent) > _RECENT_SPANS:
            self._recent_ids.discard(self._recent.popleft())
        if self.is_ordered:
            if span.start_time != self._last_start:
                self._same_start.clear()
            self._same_start.add(mark)
            self.is_ordered = len(self._same_start) <= _MAX_SAME_START and _is_not_later(
                span.start_time, self._last_start
            )
            self._last_start = span.start_time
        return False


def _is_not_later(start: str | None, last: str | None) -> bool:
    """Return whether a start time is not later than the last one; False if it cannot be read."""
    if start is None or last is None:
        return start is not None
    if len(start) == len(last) and start <= last:
        return True  # times of equal form are in order as text
    try:
        return parse_time(start, "start_time") <= parse_time(last, "start_time")
    except ValueError:
        return False


def _are_equal(one: Evaluation, other: Evaluation) -> bool:
    return (one.label, one.score, one.not_number) == (other.label, other.score, other.not_number)


def _segment(value: Any) -> str:
    return NO_SEGMENT if value is None else on_one_line(str(value)) or NO_SEGMENT
