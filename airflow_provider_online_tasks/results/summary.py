"""Count the evaluations of a window while its spans are read, with constant memory."""

from __future__ import annotations

import math
from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks._defaults import MAX_SEGMENTS
from airflow_provider_online_tasks._text import on_one_line
from airflow_provider_online_tasks._times import parse_time
from airflow_provider_online_tasks.api.calls import EVAL_PREFIXES
from airflow_provider_online_tasks.gate.intervals import mean_interval, share_interval
from airflow_provider_online_tasks.gate.summary import (
    NO_SEGMENT,
    OTHER_SEGMENTS,
    Version,
    version_of,
    versions_text,
)
from airflow_provider_online_tasks.inputs.arguments import MAXIMIZE
from airflow_provider_online_tasks.results.counts import Counts, Examples, Quantiles

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
    """The evaluations of one evaluator."""

    def __init__(self, direction: str) -> None:
        self.counts = Counts()
        self._empty = 0
        self._quantiles = Quantiles()
        self._examples = Examples(direction)
        self._segments: defaultdict[str, Counts] = defaultdict(Counts)
        self._versions: Counter[Version] = Counter()

    def add(self, span: Span, evaluation: Evaluation, segment: str | None) -> bool:
        """Count an evaluation. Return False if it is empty: it has neither a label nor a score."""
        if evaluation.label is None and evaluation.score is None and not evaluation.not_number:
            self._empty += 1
            return False
        self.counts.add(evaluation)
        self._examples.add(span, evaluation, segment)
        if evaluation.score is not None:
            self._quantiles.add(evaluation.score)
        version = version_of(evaluation.metadata)
        if version in self._versions or len(self._versions) < MAX_VERSIONS:
            self._versions[version] += 1
        if segment is not None:
            is_kept = segment in self._segments or len(self._segments) < MAX_SEGMENTS_KEPT
            self._segments[segment if is_kept else OTHER_SEGMENTS].add(evaluation)
        return True

    def summary(self, items: int, *, max_segments: int | None) -> dict[str, Any]:
        """Return the figures as JSON values; without ``max_segments`` there are no segments."""
        versions = [version for version, _ in self._versions.most_common()]
        return {
            **self.counts.summary(),
            "not_evaluated": items - self.counts.evaluated,
            "empty": self._empty,
            **self._quantiles.summary(),
            "score_interval": self._score_interval(),
            "evaluator_versions": [dict(sorted(version)) for version in versions],
            "evaluator_version": versions_text(versions),
            "segments": None if max_segments is None else self._segment_summaries(max_segments),
            "examples": self._examples.groups(),
        }

    def _score_interval(self) -> list[float] | None:
        """Return the 95 % interval of the mean score, for the Evals page."""
        scores = self.counts.scores
        if scores.count < 2 or not math.isfinite(scores.squares):
            return None
        if scores.is_binary:
            return list(share_interval(scores.ones, scores.count, CONFIDENCE))
        return list(mean_interval(scores, CONFIDENCE))

    def _segment_summaries(self, max_segments: int) -> dict[str, Any]:
        """Return the largest segments, and all others as one."""
        named = [name for name in self._segments if name != OTHER_SEGMENTS]
        largest = sorted(named, key=lambda name: (-self._segments[name].evaluated, name))[:max_segments]
        others = Counts()
        for name in self._segments.keys() - set(largest):
            others.merge(self._segments[name])
        shown = {name: self._segments[name].summary() for name in largest}
        return shown | ({OTHER_SEGMENTS: others.summary()} if others.evaluated else {})


@dataclass(kw_only=True)
class Results:
    """The evaluations of a window's spans.

    Evaluations whose metadata names the run are the run's. If no evaluation names any run, all evaluations
    of the task's evaluators in the window are used (``matched_by`` in the summary says which). Evaluations
    that name another run are never used. Without ``evaluators``, those count whose evaluations name the run
    or task.
    """

    run_id: str | None
    online_task_id: str
    evaluators: Sequence[str] = ()
    direction: str = MAXIMIZE
    granularity: str = SPAN
    group_by: str | None = None
    max_segments: int = MAX_SEGMENTS

    def __post_init__(self) -> None:
        self.spans = 0
        self.duplicates = Duplicates()
        self.is_unambiguous = True
        self._empty = partial(EvaluatorResults, self.direction)
        self._of_run: defaultdict[str, EvaluatorResults] = defaultdict(self._empty)
        self._of_task: defaultdict[str, EvaluatorResults] = defaultdict(self._empty)
        self._spans_of_run = 0
        # Hashes of the traces or sessions that were counted; unused for spans.
        self._items: set[int] = set()
        self._items_of_run: set[int] = set()
        self._counted: defaultdict[tuple[str, bool], set[int]] = defaultdict(set)
        self._segments: dict[int, str] = {}

    def add(self, span: Span) -> list[Evaluation]:
        """Count a span's evaluations, and return those that belong to the task."""
        if self.duplicates.is_duplicate(span):
            return []
        self.spans += 1
        item = self._item(span)
        if item is not None:
            self._items.add(item)
        segment = None
        if self.group_by is not None:
            value = span.attribute(self.group_by)
            segment = on_one_line("" if value is None else str(value)) or NO_SEGMENT
            if item is not None and segment != NO_SEGMENT:
                segment = self._segments.setdefault(item, segment)
            elif item is not None:
                # The root span, which has the evaluation, is listed after the others.
                segment = self._segments.get(item, NO_SEGMENT)
        evaluations = self._own_evaluations(span, item)
        is_of_run = False
        for (name, of_run), evaluation in evaluations.items():
            self._of_task[name].add(span, evaluation, segment)
            if of_run:
                is_of_run |= self._of_run[name].add(span, evaluation, segment)
        if item is None:
            self._spans_of_run += is_of_run
        elif is_of_run:
            self._items_of_run.add(item)
        return list(evaluations.values())

    def _item(self, span: Span) -> int | None:
        """Return the hash of the trace or session of a span; None if spans are evaluated."""
        if self.granularity == SPAN:
            return None
        return hash(span.trace_id if self.granularity == TRACE else str(span.attribute(SESSION_ID)))

    def _own_evaluations(self, span: Span, item: int | None) -> dict[tuple[str, bool], Evaluation]:
        """Return the evaluations to count, by evaluator and whether they name the run."""
        own: dict[tuple[str, bool], Evaluation] = {}
        for evaluation in span.evaluations:
            of_run = self.run_id is not None and evaluation.names(self.run_id)
            if not (of_run or self._is_of_task(evaluation)):
                continue
            key = (evaluation.name, of_run)
            if item is not None:
                if item in self._counted[key]:
                    continue
                self._counted[key].add(item)
            first = own.setdefault(key, evaluation)
            self.is_unambiguous &= _figures(first) == _figures(evaluation)
        return own

    def _is_of_task(self, evaluation: Evaluation) -> bool:
        """Return whether an evaluation that doesn't name the run is the task's, and names no other run."""
        names_task = evaluation.names(self.online_task_id)
        if not (evaluation.name in self.evaluators if self.evaluators else names_task):
            return False
        return self.run_id is None or not (
            names_task or any("run" in key.lower() for key in evaluation.metadata)
        )

    @property
    def items(self) -> int:
        """How many spans, traces or sessions were read."""
        return self.spans if self.granularity == SPAN else len(self._items)

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
        return {name: results.get(name) or self._empty() for name in sorted({*self.evaluators, *results})}

    def summary(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        max_segments = None if self.group_by is None else self.max_segments
        return {
            "spans": self.spans,
            "granularity": self.granularity,
            "group_by": self.group_by,
            "matched_by": "run_id" if self.is_by_run else "evaluator",
            "evaluators": {
                name: results.summary(self.items, max_segments=max_segments)
                for name, results in self.by_evaluator.items()
            },
        }


class Duplicates:
    """Detects spans that a list contains twice, because spans arrived while its pages were read.

    ``count`` is their number. ``is_ordered`` is whether the spans came newest first, so that none was missed.
    """

    def __init__(self) -> None:
        self.count = 0
        self.is_ordered = True
        self._recent: deque[str] = deque()
        self._recent_ids: set[str] = set()
        self._last_start = datetime.max.replace(tzinfo=UTC)
        self._same_start: set[int] = set()

    def is_duplicate(self, span: Span) -> bool:
        """Return whether a span was listed before, and remember it."""
        mark = hash(span.span_id)
        if span.span_id in self._recent_ids or mark in self._same_start:
            self.count += 1
            return True
        self._recent.append(span.span_id)
        self._recent_ids.add(span.span_id)
        if len(self._recent) > _RECENT_SPANS:
            self._recent_ids.discard(self._recent.popleft())
        if not self.is_ordered:
            return False
        try:
            start = parse_time(span.start_time)
        except ValueError:
            self.is_ordered = False
            return False
        if start != self._last_start:
            self._same_start.clear()
        self._same_start.add(mark)
        self.is_ordered = start <= self._last_start and len(self._same_start) <= _MAX_SAME_START
        self._last_start = start
        return False


def _figures(evaluation: Evaluation) -> tuple[str | None, float | None, bool]:
    return evaluation.label, evaluation.score, evaluation.not_number
