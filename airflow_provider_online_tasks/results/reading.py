"""Read the spans of a window with their evaluations, and check that all evaluations were read."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks._text import on_one_line
from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.api.calls import Page, RestCall, list_evaluator_versions, list_spans, pages
from airflow_provider_online_tasks.api.responses import RunStatus, Span, Task, TaskRun
from airflow_provider_online_tasks.exceptions import CallError, InvalidInput
from airflow_provider_online_tasks.inputs.windows import DataWindow
from airflow_provider_online_tasks.results.counts import choose_examples
from airflow_provider_online_tasks.results.summary import SESSION, SESSION_ID, SPAN, Results

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.client import Client
    from airflow_provider_online_tasks.results.rows import RowWriter

PROGRESS_SECONDS = 15.0
INPUT, OUTPUT = "input.value", "output.value"
_SEGMENT_CHARACTERS = 100
_EXAMPLE_CHARACTERS = 300
_SPAN_ID = re.compile(r"[0-9A-Za-z_-]{1,100}")


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
    """Reads the spans of a task. No evaluators means all; the values of ``group_by`` are the segments."""

    client: Client
    task: Task
    log: Any
    evaluators: Sequence[str] = ()
    granularity: str = SPAN
    group_by: str | None = None

    def __post_init__(self) -> None:
        if self.task.project_id is None:
            raise InvalidInput(
                f"Task {self.task.id} has no results to read: it does not evaluate a project's spans."
            )
        self.project_id: str = self.task.project_id
        self._list_spans = partial(list_spans, self.project_id, granularity=self.granularity)

    def read(self, window: DataWindow, results: Results, rows: RowWriter | None = None) -> None:
        """Count the evaluations of a window's spans, and write them as rows."""
        logged_at = time.monotonic()
        attributes = [] if self.group_by is None else [self.group_by]
        if self.granularity == SESSION:
            attributes.append(SESSION_ID)
        text_length = _SEGMENT_CHARACTERS if attributes else 1
        for page in self.pages(window, attributes=attributes, text_length=text_length):
            for span in page:
                taken = results.add(span)
                if rows is not None:
                    rows.write(span, taken)
            if time.monotonic() - logged_at >= PROGRESS_SECONDS:
                logged_at = time.monotonic()
                self.log.info("%d spans read.", results.spans)

    def pages(
        self, window: DataWindow, *, attributes: Sequence[str] = (), text_length: int | None = 1
    ) -> Iterator[tuple[Span, ...]]:
        """Yield the task's spans of a window page by page, newest first."""

        def call_at(cursor: str | None) -> RestCall[Page[Span]]:
            return self._list_spans(
                window=window,
                query_filter=self.task.query_filter,
                evaluators=self.evaluators,
                attributes=attributes,
                text_length=text_length,
                cursor=cursor,
            )

        for page in pages(self.client.send, call_at):
            yield page.items

    def describe_examples(
        self, window: DataWindow, summary: dict[str, Any], url_of: Callable[[str, str | None], str | None]
    ) -> None:
        """Choose the examples of a summary, and add their input, output, explanation and URL."""
        for name, figures in summary["evaluators"].items():
            examples = {each["span_id"]: each for group in figures["examples"] for each in group}
            for example in examples.values():
                example["url"] = url_of(example["span_id"], example["trace_id"])
            self._describe(window, name, {key: examples[key] for key in examples if _SPAN_ID.fullmatch(key)})
            figures["examples"] = choose_examples(figures["examples"])

    def _describe(self, window: DataWindow, evaluator: str, examples: dict[str, dict[str, Any]]) -> None:
        """Add input, output and explanation to the examples of an evaluator, which are listed by span ID."""
        if not examples:
            return
        span_ids = ", ".join(f"'{span_id}'" for span_id in examples)
        call = self._list_spans(
            window=window,
            query_filter=f"context.span_id IN ({span_ids})",
            evaluators=(evaluator,),
            attributes=(INPUT, OUTPUT),
            text_length=_EXAMPLE_CHARACTERS,
        )
        try:
            page = self.client.send(call)
        except CallError as error:
            self.log.warning("Could not read input and output of the examples of %s: %s", evaluator, error)
            return
        for span in page.items:
            explanations = {evaluation.name: evaluation.explanation for evaluation in span.evaluations}
            if example := examples.get(span.span_id):
                example["input"] = _shortened(span.attribute(INPUT))
                example["output"] = _shortened(span.attribute(OUTPUT))
                example["explanation"] = _shortened(explanations.get(evaluator))

    def new_evaluator_versions(self, since: datetime, until: datetime) -> list[dict[str, str | None]]:
        """Return the versions in the Eval Hub that replaced others of the task's evaluators in this time.

        Evaluators that are pinned to a version or defined within the task cannot change.
        """
        new: list[dict[str, str | None]] = []
        for evaluator in self.task.evaluators:
            evaluator_id, name = evaluator.evaluator_id, evaluator.evaluator_name
            if evaluator_id is None or evaluator.evaluator_version_id is not None:
                continue
            try:
                versions = self._versions_in_order(evaluator_id)
            except CallError as error:
                self.log.warning(
                    "Could not list the versions of evaluator %s: %s", name or evaluator_id, error
                )
                continue
            new += [
                {"evaluator": name, "version_id": version_id, "created_at": wire_time(created_at)}
                for created_at, version_id in versions[1:]  # the first version replaced none
                if since < created_at <= until
            ]
        return new

    def _versions_in_order(self, evaluator_id: str) -> list[tuple[datetime, str]]:
        listed = pages(self.client.send, lambda cursor: list_evaluator_versions(evaluator_id, cursor=cursor))
        versions = [version for page in listed for version in page.items]
        return sorted((version.created_at, version.id) for version in versions if version.created_at)


@dataclass(frozen=True, kw_only=True)
class Completeness:
    """Whether all evaluations of a run were read, and how many items there are; None means unknown."""

    complete: bool | None
    expected: int | None
    read: int
    incomplete_reason: str | None


def check_completeness(
    results: Results, run: TaskRun | None, *, evaluators: int, have_filters: bool
) -> Completeness:
    """Compare the number of evaluations read with the run's own count.

    A run counts items (spans by default), and each of its evaluators evaluates every item, unless it has its
    own filter. The number of evaluators is 0 if unknown.
    """
    counts = [one.counts.evaluated for one in results.by_evaluator.values()]
    read = min(counts) if counts and len(counts) >= evaluators else 0
    complete: bool | None = None
    reason: str | None = None
    expected = run.counts.successes if run else None
    if run is None or expected is None:
        reason = "without a run, the number of evaluations is unknown"
    elif not results.is_by_run and any(counts) and max(counts) >= expected:
        reason = "the evaluations have no run ID, so some may be from an earlier run"
    elif read < expected and have_filters and results.items_of_run >= expected:
        reason = "evaluators with their own filters evaluate an unknown number of items"
    elif read < expected:
        complete = False
        reason = f"{read} of {expected} evaluated items could be read. Arize indexes evaluations late, or "
        reason += "some were deleted"
    elif run.status is not RunStatus.COMPLETED:
        reason = f"the run ended {run.status.value}, so it did not evaluate everything"
    elif not evaluators:
        reason = "the task's evaluators are unknown, so one may be missing. Set evaluators"
    elif read > expected + run.counts.errors:  # other evaluators may have evaluated items with errors
        reason = f"{read} items have evaluations of the run, which counts {expected}. Check granularity"
    elif not results.duplicates.is_ordered:
        reason = "the spans were not listed in order of time, so some may be counted twice"
    elif not results.is_unambiguous:
        reason = "some items have two different evaluations by one evaluator of the run"
    else:
        complete = True
    return Completeness(complete=complete, expected=expected, read=read, incomplete_reason=reason)


def _shortened(value: Any) -> str | None:
    return on_one_line(str(value)[:_EXAMPLE_CHARACTERS]) if value not in (None, "") else None
