"""Count the evaluations of a window while its spans are read, with constant memory."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict, deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, get_args
from zlib import crc32

from airflow_provider_online_tasks._defaults import MAX_SEGMENTS, SESSION_ID
from airflow_provider_online_tasks._text import on_one_line
from airflow_provider_online_tasks.api.calls import EVAL_PREFIXES
from airflow_provider_online_tasks.gate.intervals import mean_interval, share_interval
from airflow_provider_online_tasks.gate.summary import (
    NO_SEGMENT,
    OTHER_SEGMENTS,
    Version,
    version_of,
    versions_text,
)
from airflow_provider_online_tasks.inputs.arguments import MAXIMIZE, Scope
from airflow_provider_online_tasks.results.counts import (
    CONFIDENCE,
    Clusters,
    Counts,
    Examples,
    Quantiles,
    effective_count,
)
from airflow_provider_online_tasks.results.human_labels import HumanLabels, agreement_with_people

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.responses import Annotation, Evaluation, Span

WINDOW, RUN = get_args(Scope)
MAX_VERSIONS = 20
MAX_SEGMENTS_KEPT = 5_000
MAX_CLUSTERS = 10_000
SPAN, TRACE, SESSION = EVAL_PREFIXES
# Duplicates are looked for among the spans of two pages, and among all spans with the same start time, whose
# order is undefined.
_RECENT_SPANS = 1_000
_MAX_SAME_START = 100_000
# Such as run, task_run, run_id, taskRunId. Arize doesn't document the keys.
_RUN_KEY = re.compile(r"((?<![A-Za-z])[Rr]un|Run|(?<![A-Z])RUN)[_. -]?([Ii][Dd])?$")


class EvaluatorResults:
    """The evaluations of one evaluator."""

    def __init__(self, direction: str) -> None:
        self.counts = Counts()
        self._empty = 0
        self._quantiles = Quantiles()
        self._examples = Examples(direction)
        self._segments: defaultdict[str, Counts] = defaultdict(Counts)
        self._clusters = Clusters()
        self._human_labels = HumanLabels()
        self.versions: Counter[Version] = Counter()

    def add(self, span: Span, evaluation: Evaluation, segment: str | None, cluster: int | None) -> bool:
        """Count an evaluation. Return False if it is empty: it has neither a label nor a score."""
        if evaluation.label is None and evaluation.score is None and not evaluation.not_number:
            self._empty += 1
            return False
        self.counts.add(evaluation)
        self._examples.add(span, evaluation, segment)
        if cluster is not None:
            self._clusters.add(cluster, evaluation, self.counts)
        if evaluation.score is not None:
            self._quantiles.add(evaluation.score)
        version = version_of(evaluation.metadata)
        if version in self.versions or len(self.versions) < MAX_VERSIONS:
            self.versions[version] += 1
        if segment is not None:
            is_kept = segment in self._segments or len(self._segments) < MAX_SEGMENTS_KEPT
            self._segments[segment if is_kept else OTHER_SEGMENTS].add(evaluation)
        return True

    def add_human_labels(
        self, span: Span, evaluation: Evaluation, annotations: Sequence[Annotation], cluster: int | None
    ) -> None:
        """Count the annotations of one config on the span of an evaluation that was counted."""
        label = evaluation.label if evaluation.label in self.counts.labels else None
        self._human_labels.add(span, label, annotations, cluster)

    def human_labels(self, annotation: str) -> dict[str, Any]:
        """Return the human labels as JSON values; the annotation is the name of their config."""
        return self._human_labels.summary(annotation, self.counts)

    def summary(self, items: int, *, max_segments: int | None) -> dict[str, Any]:
        """Return the figures as JSON values; without ``max_segments`` there are no segments."""
        clusters = self._clusters.summary(self.counts)
        return {
            **self.counts.summary(),
            "not_evaluated": items - self.counts.evaluated,
            "empty": self._empty,
            **self._quantiles.summary(),
            "score_interval": self._score_interval(clusters),
            "evaluator_versions": version_list(self.versions),
            "evaluator_version": versions_text(self.versions),
            "clusters": clusters,
            "segments": None if max_segments is None else self._segment_summaries(max_segments),
            "examples": self._examples.groups(),
        }

    def _score_interval(self, clusters: Mapping[str, Any] | None) -> list[float] | None:
        """Return the 95 % interval of the mean score, for the Evals page."""
        scores = self.counts.scores
        size = effective_count(scores.count, clusters, None)
        if size < 2 or not math.isfinite(scores.squares):
            return None
        if scores.is_binary:
            return list(share_interval(scores.mean * size, size, CONFIDENCE))
        return list(mean_interval(scores.of_size(size), CONFIDENCE))

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

    The scope ``window`` counts all evaluations by the evaluators. The scope ``run`` counts those whose
    metadata names the run; if no evaluation names it, all that name no other run count, and ``scope`` in the
    summary is ``window``. Without ``evaluators``, evaluations count whose metadata names the run or the task.

    ``filtered`` are evaluators with their own filter: the run's items without their evaluation are kept.
    ``human_labels`` are the annotation configs of evaluators.
    """

    run_id: str | None
    online_task_id: str
    evaluators: Sequence[str] = ()
    filtered: Collection[str] = ()
    scope: Scope = "window"
    direction: str = MAXIMIZE
    granularity: str = SPAN
    group_by: str | None = None
    max_segments: int = MAX_SEGMENTS
    cluster_by: str | None = None
    human_labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.spans = 0
        self.duplicates = Duplicates()
        self.is_unambiguous = True
        self._empty = partial(EvaluatorResults, self.direction)
        self._of_run: defaultdict[str, EvaluatorResults] = defaultdict(self._empty)
        self._of_window: defaultdict[str, EvaluatorResults] = defaultdict(self._empty)
        self._without_run: Counter[str] = Counter()
        self._spans_of_run = 0
        self._covered: Counter[str] = Counter()
        self._uncovered: defaultdict[str, set[str]] = defaultdict(set)
        # The traces or sessions that were counted; unused for spans.
        self._items: set[str] = set()
        self._items_of_run: set[str] = set()
        self._counted_of_run: defaultdict[str, set[str | None]] = defaultdict(set)
        self._counted: defaultdict[str, set[str | None]] = defaultdict(set)
        self._segments: dict[str, str] = {}
        self._clusters: dict[str, int] = {}

    def add(self, span: Span) -> list[Evaluation]:
        """Count a span's evaluations, and return those that count for the window."""
        if self.duplicates.is_duplicate(span):
            return []
        self.spans += 1
        item = None if self.granularity == SPAN else item_of(span, self.granularity)
        segment, cluster = self._segment(span, item), self._cluster(span)
        # Count clusters only for the evaluations that the summary is about.
        in_window, in_run = (segment, cluster), (segment, None if self.scope == WINDOW else cluster)
        of_run, others = self._split(span)
        of_window = {**others, **of_run}
        own = {
            name
            for name, evaluation in of_run.items()
            if item not in self._counted_of_run[name] and self._of_run[name].add(span, evaluation, *in_run)
        }
        added = {
            name
            for name, evaluation in of_window.items()
            if item not in self._counted[name] and self._of_window[name].add(span, evaluation, *in_window)
        }
        for name, human_labels in self._human_labels(span).items():
            for counted, evaluators in ((own, self._of_run), (added, self._of_window)):
                if name in counted:
                    evaluators[name].add_human_labels(span, of_window[name], human_labels, cluster)
        self._without_run.update(name for name in added - own if not self._names_other_run(of_window[name]))
        if item is None:
            self._note_coverage(span, own, added)
        else:
            self._note_item(item, own, added)
        return list(of_window.values())

    def _segment(self, span: Span, item: str | None) -> str | None:
        """Return the segment of a span, or of the trace or session that it is part of."""
        if self.group_by is None:
            return None
        value = span.attribute(self.group_by)
        segment = on_one_line("" if value is None else str(value)) or NO_SEGMENT
        if item is None:
            return segment
        if segment != NO_SEGMENT:
            return self._segments.setdefault(item, segment)
        # The root span, which has the evaluation, is listed after the others.
        return self._segments.get(item, NO_SEGMENT)

    def _cluster(self, span: Span) -> int | None:
        """Return the number of a span's session, else of its trace. Beyond 10,000, several share a number."""
        if self.cluster_by is None:
            return None
        name = str(span.attribute(self.cluster_by) or span.trace_id or span.span_id)
        if name in self._clusters or len(self._clusters) < MAX_CLUSTERS:
            return self._clusters.setdefault(name, len(self._clusters))
        return crc32(name.encode()) % MAX_CLUSTERS

    def _human_labels(self, span: Span) -> dict[str, list[Annotation]]:
        """Return the human labels of a span or trace by the evaluator that they are compared with."""
        given = span.trace_annotations if self.granularity == TRACE else span.annotations
        if not given:
            return {}
        by_evaluator = {
            evaluator: [annotation for annotation in given if annotation.name == config]
            for evaluator, config in self.human_labels.items()
        }
        return {evaluator: human_labels for evaluator, human_labels in by_evaluator.items() if human_labels}

    def _split(self, span: Span) -> tuple[dict[str, Evaluation], dict[str, Evaluation]]:
        """Return the evaluations that name the run, and the others that count, by evaluator."""
        of_run: dict[str, Evaluation] = {}
        others: dict[str, Evaluation] = {}
        ambiguous = set()
        for evaluation in span.evaluations:
            name, is_of_run = evaluation.name, self.run_id is not None and evaluation.names(self.run_id)
            if is_of_run or self._is_counted(evaluation):
                first = (of_run if is_of_run else others).setdefault(name, evaluation)
                if _figures(first) != _figures(evaluation):
                    ambiguous.add((name, is_of_run))
        # An evaluation of the run replaces the others, so these may differ.
        self.is_unambiguous &= not any(is_of_run or name not in of_run for name, is_of_run in ambiguous)
        return of_run, others

    def _is_counted(self, evaluation: Evaluation) -> bool:
        """Return whether an evaluation that doesn't name the run counts."""
        names_task = evaluation.names(self.online_task_id)
        if not (evaluation.name in self.evaluators if self.evaluators else names_task):
            return False
        return self.scope == WINDOW or self.run_id is None or not self._names_other_run(evaluation)

    def _names_other_run(self, evaluation: Evaluation) -> bool:
        """Return whether an evaluation that doesn't name the run names another one, under any key."""
        texts = (key for key, value in evaluation.metadata.items() if value and isinstance(value, str))
        is_named = any(map(_RUN_KEY.search, texts))
        return is_named or evaluation.names(self.online_task_id)

    def _note_coverage(self, span: Span, own: Collection[str], added: Collection[str]) -> None:
        """Count a span of the run for each of its evaluators."""
        if not own:
            return
        self._spans_of_run += 1
        self._covered.update(added)
        for name in self.filtered:
            if name not in added:
                self._uncovered[name].add(span.span_id)

    def _note_item(self, item: str, own: Collection[str], added: Collection[str]) -> None:
        """Note a trace or session, and the evaluators that were counted for it."""
        self._items.add(item)
        if own:
            self._items_of_run.add(item)
        for name in own:
            self._counted_of_run[name].add(item)
        for name in added:
            self._counted[name].add(item)

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
        """Whether evaluations name the run."""
        return bool(self._of_run)

    @property
    def evaluators_of_run(self) -> Collection[str]:
        """The evaluators with evaluations that name the run."""
        return self._of_run.keys()

    def covered(self, name: str) -> int:
        """Return how many items of the run the evaluator has evaluated, in the run or before.

        If no evaluation names the run: how many may be of the run, because they name none.
        """
        if not self.is_by_run:
            return self._without_run[name]
        return self._covered[name] + len(self._items_of_run & self._counted[name])

    def uncovered(self, name: str) -> set[str]:
        """Return the items of the run that an evaluator with its own filter has not evaluated."""
        return self._uncovered[name] | (self._items_of_run - self._counted[name])

    @property
    def by_evaluator(self) -> Mapping[str, EvaluatorResults]:
        """The results of each evaluator, including requested ones without evaluations."""
        results = self._of_run if self._is_of_run_only else self._of_window
        return {name: results.get(name) or self._empty() for name in sorted({*self.evaluators, *results})}

    @property
    def evaluated(self) -> int:
        """How many evaluations were read."""
        return sum(each.counts.evaluated for each in self.by_evaluator.values())

    @property
    def _is_of_run_only(self) -> bool:
        return self.scope == RUN and self.is_by_run

    def summary(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        max_segments = None if self.group_by is None else self.max_segments
        evaluators = {}
        for name, results in self.by_evaluator.items():
            of_run = self._of_run.get(name) or self._empty()
            evaluators[name] = {
                **results.summary(self.items, max_segments=max_segments),
                "from_run": of_run.counts.evaluated,
                "from_before": results.counts.evaluated - of_run.counts.evaluated,
                "versions_from_before": version_list(results.versions - of_run.versions),
            }
            if annotation := self.human_labels.get(name):
                evaluators[name]["human_labels"] = results.human_labels(annotation)
                evaluators[name]["human_labels"] |= agreement_with_people(name, evaluators[name])
        return {
            "scope": RUN if self._is_of_run_only else WINDOW,
            "spans": self.spans,
            "granularity": self.granularity,
            "group_by": self.group_by,
            "evaluators": evaluators,
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
        start = span.started_at
        if start is None:
            self.is_ordered = False
            return False
        if start != self._last_start:
            self._same_start.clear()
        self._same_start.add(mark)
        self.is_ordered = start <= self._last_start and len(self._same_start) <= _MAX_SAME_START
        self._last_start = start
        return False


def item_of(span: Span, granularity: str) -> str | None:
    """Return the ID of a span, or of its trace or session; None if it has none."""
    match granularity:
        case "span":
            return span.span_id
        case "trace":
            return span.trace_id
        case _:
            session = span.attribute(SESSION_ID)
            return None if session in (None, "") else str(session)


def version_list(versions: Counter[Version]) -> list[dict[str, str]]:
    """Return versions as JSON values, the most frequent first."""
    return [dict(sorted(version)) for version, _ in versions.most_common()]


def _figures(evaluation: Evaluation) -> tuple[str | None, float | None, bool]:
    return evaluation.label, evaluation.score, evaluation.not_number
