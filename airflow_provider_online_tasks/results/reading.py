"""Read the spans of a window with their evaluations, and check that all evaluations were read."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks._defaults import SESSION_ID
from airflow_provider_online_tasks._text import on_one_line
from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.api.calls import (
    EVAL_PREFIXES,
    ID_ONLY,
    SESSION_CHARACTERS,
    Page,
    RestCall,
    filter_by,
    is_quotable,
    list_evaluator_versions,
    list_spans,
    pages,
)
from airflow_provider_online_tasks.api.responses import (
    ATTRIBUTES,
    AttachedEvaluator,
    EvaluatorVersion,
    RunStatus,
    Span,
    Task,
    TaskRun,
)
from airflow_provider_online_tasks.exceptions import CallError, InvalidInput, ResponseTooLarge
from airflow_provider_online_tasks.inputs.windows import DataWindow
from airflow_provider_online_tasks.results.counts import choose_examples
from airflow_provider_online_tasks.results.summary import SESSION, SPAN, TRACE, WINDOW, Results, item_of
from airflow_provider_online_tasks.runs.end_states import EndState, read_end_state, skipped_all

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.client import Client
    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
    from airflow_provider_online_tasks.results.rows import RowWriter

PROGRESS_SECONDS = 15.0
INPUT, OUTPUT = "input.value", "output.value"
_SEGMENT_CHARACTERS = 100
_EXAMPLE_CHARACTERS = 300
_ITEMS_OF_REQUEST = 100
_MOST_LOOKED_UP = 10_000
_EARLIEST = datetime.min.replace(tzinfo=UTC)
EARLIER = timedelta(days=7)
"""How long before a window its traces and sessions may have started."""


def task_and_window(run: TaskRun) -> tuple[str, DataWindow]:
    """Return a finished run's task and window; raise InvalidInput if it is not finished or has no window."""
    if not run.is_over:
        raise InvalidInput(
            f"Run {run.id} is {run.status_text}, so its results are incomplete. Wait for it with "
            f"OnlineTaskRunSensor or wait_for_completion=True."
        )
    if run.task_id is None or run.data_start_time is None or run.data_end_time is None:
        raise InvalidInput(f"Run {run.id} has no window: it did not evaluate the spans of a project.")
    return run.task_id, DataWindow(start=run.data_start_time, end=run.data_end_time)


@dataclass(kw_only=True)
class Reader:
    """Reads the spans of a task with the columns of some evaluators, or of all evaluators of the task.

    ``run_id`` is the run whose results are read. The values of ``group_by`` are the segments.
    ``annotations`` are the names of annotation configs, whose labels are read with the evaluations.
    """

    client: Client
    task: Task
    log: Any
    evaluators: Sequence[str] = ()
    granularity: str = SPAN
    run_id: str | None = None
    group_by: str | None = None
    cluster_by: str | None = None
    annotations: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.task.project_id is None:
            raise InvalidInput(
                f"Task {self.task.id} has no results to read: it does not evaluate a project's spans."
            )
        self.project_id: str = self.task.project_id
        self._list_spans = partial(list_spans, self.project_id)
        self._versions: dict[str, list[tuple[datetime, EvaluatorVersion]]] = {}

    @cached_property
    def columns(self) -> Mapping[str, AttachedEvaluator]:
        """The evaluators of the task by the name of their column; empty if a name is unknown."""
        columns = {}
        for evaluator in self.task.evaluators:
            name = self._column_of(evaluator)
            if name is None:
                return {}
            columns[name] = evaluator
        return columns

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns to read; empty for all."""
        return tuple(self.evaluators or self.columns)

    def read(self, window: DataWindow, results: Results, rows: RowWriter | None = None) -> None:
        """Count the evaluations of a window's spans, and write them as rows."""
        logged_at = time.monotonic()
        grouping = list(dict.fromkeys(each for each in (self.group_by, self.cluster_by) if each is not None))
        text_length = _SEGMENT_CHARACTERS if grouping else 1
        listed = self.pages(
            window,
            attributes=grouping,
            annotations=self.annotations,
            text_length=text_length,
            explanations=rows is not None,
        )
        for page in listed:
            for span in page:
                taken = results.add(span)
                if rows is not None:
                    rows.write(span, taken)
            if time.monotonic() - logged_at >= PROGRESS_SECONDS:
                logged_at = time.monotonic()
                self.log.info("%d spans read.", results.spans)

    def pages(self, window: DataWindow, **columns: Any) -> Iterator[tuple[Span, ...]]:
        """Yield the task's spans of a window page by page, newest first.

        Of traces and sessions, a filter selects those with a matching span, and all their spans are yielded:
        the evaluation may be on another one. If they started before the window, it is on a span before the
        window, which is yielded at the end.

        :param columns: the columns, as :func:`list_spans` takes them. Default: those of the evaluators.
        """
        columns = {**self._evaluator_columns, **columns}
        granularity = columns["granularity"]
        if granularity == SPAN:
            yield from self._pages(window, self.task.span_filter, columns)
            return
        if granularity == SESSION:
            attributes = dict.fromkeys([*columns.get("attributes", ()), SESSION_ID])
            text_length = max(columns.get("text_length", 0), SESSION_CHARACTERS)
            columns |= {"attributes": list(attributes), "text_length": text_length}
        items = self.items(window, granularity=granularity) if self.task.span_filter else None
        without_evaluation: dict[str, None] = {}
        with_evaluation: set[str] = set()
        for page in self._pages(window, None, columns):
            spans = [(span, item) for span in page if (item := item_of(span, granularity)) is not None]
            spans = [(span, item) for span, item in spans if items is None or item in items]
            for span, item in spans:
                # The evaluation of a trace is on its root span.
                is_complete = granularity == TRACE and span.parent_id is None
                if span.evaluations or is_complete:
                    with_evaluation.add(item)
                else:
                    without_evaluation[item] = None
            yield tuple(span for span, _ in spans)
        for item in with_evaluation:
            without_evaluation.pop(item, None)
        yield self._evaluations_before(window, list(without_evaluation), columns)

    def items(
        self, window: DataWindow, *, granularity: str | None = None, own_filter: str | None = None
    ) -> set[str]:
        """Return the spans, traces or sessions of the task that have a matching span in a window.

        :param granularity: Default: that of the evaluators.
        :param own_filter: the filter of an evaluator, which the span matches too.
        """
        granularity = granularity or self.granularity
        filters = [each for each in (self.task.span_filter, own_filter) if each]
        query_filter = filters[0] if len(filters) == 1 else " AND ".join(f"({each})" for each in filters)
        ids = [ATTRIBUTES + SESSION_ID] if granularity == SESSION else ID_ONLY
        columns = {"columns": ids, "text_length": SESSION_CHARACTERS}
        listed = self._pages(window, query_filter, columns, with_end=True)
        found = {item_of(span, granularity) for page in listed for span in page}
        return {item for item in found if item is not None}

    def _evaluations_before(
        self, window: DataWindow, items: Sequence[str], columns: Mapping[str, Any]
    ) -> tuple[Span, ...]:
        """Return the spans before a window with the evaluations of traces or sessions, newest first."""
        earlier = DataWindow(start=window.start - EARLIER, end=window.start)
        path = ATTRIBUTES + SESSION_ID if columns["granularity"] == SESSION else "context.trace_id"
        items = [item for item in items if is_quotable(item)]
        if len(items) > _MOST_LOOKED_UP:
            self.log.warning(
                "%d traces or sessions have no evaluation in the window. Only the newest %d of them are read "
                "in the days before it.",
                len(items),
                _MOST_LOOKED_UP,
            )
        found: list[Span] = []
        for first in range(0, len(items[:_MOST_LOOKED_UP]), _ITEMS_OF_REQUEST):
            query_filter = filter_by(path, items[first : first + _ITEMS_OF_REQUEST])
            for page in self._pages(earlier, query_filter, columns):
                found += [span for span in page if span.evaluations]
        return tuple(sorted(found, key=lambda span: span.started_at or _EARLIEST, reverse=True))

    def _pages(
        self,
        window: DataWindow,
        query_filter: str | None,
        columns: Mapping[str, Any],
        *,
        with_end: bool = False,
    ) -> Iterator[tuple[Span, ...]]:
        """Yield the spans of a window page by page.

        Arize lists a span that starts when the window ends. It belongs to the next window, unless the run
        evaluated it.

        :param with_end: whether to yield such a span in any case.
        """
        list_page = partial(self._list_spans, window=window, query_filter=query_filter)

        def call_at(cursor: str | None) -> RestCall[Page[Span]]:
            return list_page(**columns, cursor=cursor)

        def skip(cursor: str | None) -> Page[Span]:
            page = self.client.send(list_page(columns=ID_ONLY, cursor=cursor, limit=1))
            self._warn_of_skipped(span.span_id for span in page.items)
            return replace(page, items=())

        for page in pages(self.client.send, call_at, skip=skip):
            yield tuple(
                span
                for span in page.items
                if with_end or (span.started_at or _EARLIEST) < window.end or self._is_of_run(span)
            )

    def _is_of_run(self, span: Span) -> bool:
        """Return whether an evaluation of a span names the run."""
        return self.run_id is not None and any(each.names(self.run_id) for each in span.evaluations)

    @property
    def _evaluator_columns(self) -> dict[str, Any]:
        return {"evaluators": self.names, "granularity": self.granularity}

    def check_granularity(self, window: DataWindow, run_id: str | None) -> None:
        """Raise InvalidInput if the evaluations, of a run if one is given, have another granularity."""
        for granularity in EVAL_PREFIXES.keys() - {self.granularity} if self.names else ():
            first_page = next(self.pages(window, granularity=granularity))
            found = [each for span in first_page for each in span.evaluations]
            if any(run_id is None or evaluation.names(run_id) for evaluation in found):
                raise InvalidInput(
                    f"The evaluators {', '.join(self.names)} evaluate each {granularity}, and granularity is "
                    f"{self.granularity!r}. Set granularity={granularity!r}."
                )

    def finds_labels(self, window: DataWindow) -> bool:
        """Return whether an evaluator of the task has evaluated a matching span, trace or session."""
        if not self.names:
            return False
        labels = [f"{prefix}.{name}.label" for prefix in EVAL_PREFIXES.values() for name in self.names]
        listings = (
            self._pages(window, self.task.span_filter, {"columns": labels}),
            # The evaluation may be on a span that doesn't match, or before the window.
            self.pages(window, granularity=TRACE),
            self.pages(window, granularity=SESSION),
        )
        spans = (span for listing in listings for page in listing for span in page)
        return any(evaluation.name in self.names for span in spans for evaluation in span.evaluations)

    def missing_of_filtered(self, window: DataWindow, results: Results) -> dict[str, int] | None:
        """Return how many evaluations of the run are missing of each evaluator that has its own filter.

        None means unknown: the columns of the evaluators are.
        """
        if not self.columns and any(evaluator.query_filter for evaluator in self.task.evaluators):
            return None
        missing: dict[str, int] = {}
        for name in results.filtered:
            uncovered = results.uncovered(name)
            if uncovered:
                uncovered &= self.items(window, own_filter=self.columns[name].query_filter)
            missing[name] = len(uncovered)
        return missing

    @property
    def filtered(self) -> tuple[str, ...]:
        """The columns of the evaluators that have their own filter."""
        return tuple(name for name in self.names if name in self.columns and self.columns[name].query_filter)

    def spans_with_texts(self, window: DataWindow, span_ids: Sequence[str], **columns: Any) -> Iterator[Span]:
        """Yield spans with their input, output and explanations; leave out those that are too large.

        :param columns: other columns, as :func:`list_spans` takes them. Default evaluators: those to read.
        """
        if self.granularity != SPAN:
            window = DataWindow(start=window.start - EARLIER, end=window.end)
        span_ids = [span_id for span_id in span_ids if is_quotable(span_id)]
        columns = {**self._evaluator_columns, "attributes": (INPUT, OUTPUT), **columns}
        size = _ITEMS_OF_REQUEST
        parts = [span_ids[first : first + size] for first in range(0, len(span_ids), size)]
        while parts:
            part = parts.pop(0)
            query_filter = filter_by("context.span_id", part)
            call = self._list_spans(window=window, query_filter=query_filter, explanations=True, **columns)
            try:
                page = self.client.send(call)
            except ResponseTooLarge:
                half = len(part) // 2
                if half:
                    parts[:0] = [part[:half], part[half:]]
                else:
                    self._warn_of_skipped(part)
            else:
                yield from page.items

    def _warn_of_skipped(self, span_ids: Iterable[str]) -> None:
        for span_id in span_ids:
            self.log.warning("Span %s is not read because it has more than 3 MiB.", span_id)

    def describe_examples(
        self, window: DataWindow, summary: dict[str, Any], url_of: Callable[[str, str | None], str | None]
    ) -> None:
        """Choose the examples of a summary, and add their input, output, explanation and URL."""
        for name, figures in summary["evaluators"].items():
            disagreements = (figures.get("human_labels") or {}).get("disagreements", [])
            examples = defaultdict(list)
            for example in itertools.chain(*figures["examples"], disagreements):
                example["url"] = url_of(example["span_id"], example["trace_id"])
                examples[example["span_id"]].append(example)
            self._describe(window, name, examples)
            figures["examples"] = choose_examples(figures["examples"])

    def _describe(
        self, window: DataWindow, evaluator: str, examples: Mapping[str, Sequence[dict[str, Any]]]
    ) -> None:
        """Add input, output and explanation to the examples of an evaluator, which are listed by span ID."""
        columns = {"evaluators": (evaluator,), "text_length": _EXAMPLE_CHARACTERS}
        try:
            for span in self.spans_with_texts(window, list(examples), **columns):
                explanations = {evaluation.name: evaluation.explanation for evaluation in span.evaluations}
                for example in examples.get(span.span_id, ()):
                    example["input"] = _shortened(span.attribute(INPUT))
                    example["output"] = _shortened(span.attribute(OUTPUT))
                    example["explanation"] = _shortened(explanations.get(evaluator))
        except CallError as error:
            self.log.warning("Could not read input and output of the examples of %s: %s", evaluator, error)

    def new_evaluator_versions(self, since: datetime, until: datetime) -> list[dict[str, str | None]]:
        """Return the versions of the task's evaluators that were created in this time and replaced others.

        ``evaluator`` is the column; None if that is unknown. Of a pinned evaluator only the pinned version
        counts: the pin moved to it.
        """
        new: list[dict[str, str | None]] = []
        for evaluator in self.task.evaluators:
            evaluator_id, name = evaluator.evaluator_id, evaluator.evaluator_name
            if evaluator_id is None:
                continue
            try:
                versions = self._versions_in_order(evaluator_id)
            except CallError as error:
                self.log.warning(
                    "Could not list the versions of evaluator %s: %s", name or evaluator_id, error
                )
                continue
            new += [
                {"evaluator": version.column, "version_id": version.id, "since": wire_time(created_at)}
                for created_at, version in versions[1:]  # the first version replaced none
                if since < created_at <= until and evaluator.evaluator_version_id in (None, version.id)
            ]
        return new

    def versions_of_run(self, run: TaskRun) -> dict[str, str]:
        """Return the version of each Eval Hub evaluator that a run used: the pinned one, or the newest.

        A pin to a version that was created later has moved since.
        """
        started_at, used = run.run_started_at or run.created_at, {}
        for name, evaluator in self.columns.items():
            if started_at is not None and evaluator.evaluator_id is not None:
                versions = self._versions_in_order(evaluator.evaluator_id)
                known = [version.id for created_at, version in versions if created_at <= started_at]
                if known and evaluator.evaluator_version_id in (None, *known):
                    used[name] = evaluator.evaluator_version_id or known[-1]
        return used

    def _column_of(self, evaluator: AttachedEvaluator) -> str | None:
        """Return the column of an evaluator; None if it is unknown."""
        if evaluator.evaluator_id is None:
            return evaluator.evaluator_name
        try:
            versions = [version for _, version in self._versions_in_order(evaluator.evaluator_id)]
        except CallError as error:
            name = evaluator.evaluator_name or evaluator.evaluator_id
            self.log.warning(
                "Could not read the column of evaluator %s, so only evaluations that name the task count: %s",
                name,
                error,
            )
            return None
        pinned = [version for version in versions if version.id == evaluator.evaluator_version_id]
        column = next((version.column for version in reversed(pinned or versions)), None)
        return column or evaluator.evaluator_name

    def _versions_in_order(self, evaluator_id: str) -> list[tuple[datetime, EvaluatorVersion]]:
        if evaluator_id not in self._versions:
            listed = pages(
                self.client.send, lambda cursor: list_evaluator_versions(evaluator_id, cursor=cursor)
            )
            versions = [version for page in listed for version in page.items]
            dated = [(version.created_at, version) for version in versions if version.created_at]
            self._versions[evaluator_id] = sorted(dated, key=lambda each: (each[0], each[1].id))
        return self._versions[evaluator_id]


def labels_exist(hook: OnlineTasksHook, run: TaskRun, *, log: Any) -> bool:
    """Return whether a run skipped all spans, and a span of its window has a label."""
    if not skipped_all(run) or run.task_id is None:
        return False
    try:
        task_id, window = task_and_window(run)
        reader = Reader(client=hook.client, task=hook.get_task(task_id), log=log)
        return reader.finds_labels(window)
    except (CallError, InvalidInput) as error:
        log.warning("Could not read whether the skipped spans have labels: %s", error)
        return False


@dataclass(frozen=True, kw_only=True)
class Completeness:
    """Whether all evaluations of a run were read, and how many items there are; None means unknown."""

    complete: bool | None
    expected: int | None
    read: int
    incomplete_reason: str | None


def check_completeness(
    results: Results, run: TaskRun | None, *, evaluators: int, missing: Mapping[str, int] | None
) -> Completeness:
    """Compare the number of the run's evaluations that were read with the run's own count.

    A run counts items (spans by default). Each of its evaluators has evaluated every item, in this run or
    before, unless it has its own filter.

    :param evaluators: the number of evaluators; 0 if unknown.
    :param missing: how many evaluations are missing of each evaluator with its own filter; None if there are
        filters and it is unknown.
    """
    if run is None:
        read = _least((each.counts.evaluated for each in results.by_evaluator.values()), evaluators)
        unknown = "without a run, the number of evaluations is unknown"
        return Completeness(complete=None, expected=None, read=read, incomplete_reason=unknown)
    expected, missing_of_filtered = run.counts.successes, missing or {}
    counts = [
        expected - missing_of_filtered[name] if name in missing_of_filtered else results.covered(name)
        for name in results.by_evaluator
    ]
    read = _least(counts, evaluators)
    if missing_of_filtered:
        read = min(read, results.items_of_run)
    complete: bool | None = None
    reason: str | None = None
    if has_nothing_to_add(run) and results.scope == WINDOW:
        unread = [name for name, each in results.by_evaluator.items() if not each.counts.evaluated]
        complete = bool(counts) and not set(unread) - set(missing_of_filtered)
        if not complete:
            reason = f"all spans have labels, and none of {', '.join(unread) or 'the task'} could be read"
    elif not results.is_by_run and any(counts) and max(counts) >= expected:
        reason = "the evaluations have no run ID, so some may be from an earlier run"
    elif read < expected and missing is None and results.items_of_run >= expected:
        reason = "evaluators with their own filters evaluate an unknown number of items"
    elif read < expected:
        complete = False
        reason = f"{read} of {expected} evaluated items could be read. Arize indexes evaluations late, or "
        reason += "some were deleted"
    else:
        reason = _doubt(results, run, read, evaluators)
        complete = None if reason else True
    return Completeness(complete=complete, expected=expected, read=read, incomplete_reason=reason)


def _doubt(results: Results, run: TaskRun, read: int, evaluators: int) -> str | None:
    """Return why results may be incomplete although as many evaluations were read as the run counts."""
    reason: str | None = None
    if run.status is not RunStatus.COMPLETED:
        reason = f"the run ended {run.status.value}, so it did not evaluate everything"
    elif not evaluators:
        reason = "the task's evaluators are unknown, so one may be missing. Set evaluators"
    elif (items := max(read, results.items_of_run)) > run.counts.attempted:  # others may evaluate errors
        reason = f"{items} items have evaluations of the run, which counts {run.counts.successes}. Check "
        reason += "granularity"
    elif not results.duplicates.is_ordered:
        reason = "the spans were not listed in order of time, so some may be counted twice"
    elif not results.is_unambiguous:
        reason = "some items have two different evaluations by one evaluator"
    return reason


def has_nothing_to_add(run: TaskRun) -> bool:
    """Return whether a finished run evaluated nothing because all matching spans had a label already."""
    return run.is_over and read_end_state(run) is EndState.NOTHING_TO_ADD


def expects_more_labels(results: Results, run: TaskRun, task: Task) -> bool:
    """Return whether labels may not be indexed yet: the run says that all spans have one, and some don't.

    This can't be known of a sample, nor of traces and sessions, which a filter may show in part.
    """
    is_sample = task.sampling_rate not in (None, 1)
    if not has_nothing_to_add(run) or is_sample or results.granularity != SPAN:
        return False
    return any(
        each.counts.evaluated < results.items
        for name, each in results.by_evaluator.items()
        if name not in results.filtered
    )


def _least(counts: Iterable[int], evaluators: int) -> int:
    """Return the smallest count; 0 if an evaluator is missing."""
    listed = list(counts)
    return min(listed) if listed and len(listed) >= evaluators else 0


def _shortened(value: Any) -> str | None:
    return on_one_line(str(value)[:_EXAMPLE_CHARACTERS]) if value not in (None, "") else None
