"""Reads the evaluations of a window, page by page, and finds out whether all of them are there."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks._text import on_one_line
from airflow_provider_online_tasks._times import parse_time, wire_time
from airflow_provider_online_tasks.api.calls import pages
from airflow_provider_online_tasks.api.calls.evaluators import list_evaluator_versions
from airflow_provider_online_tasks.api.calls.spans import list_spans
from airflow_provider_online_tasks.api.responses.runs import RunStatus
from airflow_provider_online_tasks.exceptions import CallError
from airflow_provider_online_tasks.inputs import DataWindow
from airflow_provider_online_tasks.results.statistics import SESSION, SESSION_ID, SPAN, Results

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.calls import Page, RestCall
    from airflow_provider_online_tasks.api.client import Client
    from airflow_provider_online_tasks.api.responses.evaluators import EvaluatorVersion
    from airflow_provider_online_tasks.api.responses.spans import Span
    from airflow_provider_online_tasks.api.responses.tasks import Task
    from airflow_provider_online_tasks.results.rows import RowWriter
    from airflow_provider_online_tasks.ui.links import Links

PROGRESS_SECONDS = 15.0
INPUT, OUTPUT = "input.value", "output.value"
_SEGMENT_CHARACTERS = 100
_EXAMPLE_CHARACTERS = 300
_MOST_GAPS = 100
_DESCRIBED = 100
_SPAN_ID = re.compile(r"[0-9A-Za-z_-]{1,100}")
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, kw_only=True)
class Whole:
    """Whether all evaluations of a run were read.

    :param complete: whether they were; None if that is not known.
    :param expected: how many items the run says that it evaluated; None without a run.
    :param read: how many items carry the evaluations of the run, of the evaluator with the fewest.
    :param reason: why ``complete`` is not True.
    """

    complete: bool | None
    expected: int | None
    read: int
    reason: str | None = None

    def summary(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "complete": self.complete,
            "expected": self.expected,
            "read": self.read,
            "incomplete_reason": self.reason,
        }


def whole(
    results: Results,
    *,
    expected: int | None,
    evaluators: int,
    have_filters: bool,
    errors: int = 0,
    ended: RunStatus = RunStatus.COMPLETED,
) -> Whole:
    """Compare what was read with the run's own count of the items it evaluated.

    A run counts items, spans by default, and each of its evaluators judges each of them.

    :param expected: the run's ``num_successes``; None without a run.
    :param evaluators: how many evaluators the run has; 0 if nobody knows.
    :param have_filters: whether evaluators have filters of their own, and so may judge fewer.
    :param errors: the run's ``num_errors``: of several evaluators, the others may have judged these items.
    :param ended: how the run ended; one that did not complete has not judged everything.
    """
    counts = [one.counts.evaluated for one in results.found.values()]
    read = min(counts) if counts and len(counts) >= evaluators else 0
    found = Whole(complete=None, expected=expected, read=read)
    if expected is None:
        return replace(found, reason="without a run nothing says how many evaluations there are")
    if not results.is_by_run and any(counts):
        if max(counts) >= expected:
            reason = "the evaluations do not name their run, so earlier ones may be among them"
            return replace(found, reason=reason)
        return replace(found, complete=False, reason=_too_few(read, expected))
    if read < expected:
        if have_filters and results.items_of_run >= expected:
            reason = "evaluators with filters of their own judge an unknown number"
            return replace(found, reason=reason)
        return replace(found, complete=False, reason=_too_few(read, expected))
    if ended is not RunStatus.COMPLETED:
        return replace(found, reason=f"the run ended {ended.value}, so it has not judged everything")
    if doubt := _doubt(results, found, evaluators=evaluators, most=expected + errors):
        return replace(found, reason=doubt)
    return replace(found, complete=True)


def _doubt(results: Results, found: Whole, *, evaluators: int, most: int) -> str | None:
    """Return why as many evaluations as expected may not be all of them."""
    if not evaluators:
        return "nothing says which evaluators the task has, so one may be missing; name them in evaluators"
    if not results.is_ordered:
        return "the spans did not come in order, so some may be counted twice"
    if not results.is_unambiguous:
        return "some items carry two evaluations of one evaluator by the run, and these differ"
    if found.read > most:
        return (
            f"{found.read} items carry evaluations of the run, which counts {found.expected}: that is the "
            f"count of another evaluator, or of another granularity"
        )
    return None


def _too_few(read: int, expected: int) -> str:
    return f"{read} of {expected} evaluated items could be read; Arize's index lags, or some were deleted"


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a read has found, page by page, so that the next one needs not read everything again.

    :param settled: how many items of the run are on pages that lack nothing.
    :param gaps: begin and end of the stretches of time that lack something.
    :param gap_pages: how many pages they filled.
    :param pages: how many pages there were.
    """

    settled: int
    gaps: tuple[tuple[str, str], ...]
    gap_pages: int
    pages: int

    @property
    def saves_pages(self) -> bool:
        """Whether a look at the gaps costs clearly less than reading everything."""
        return 0 < self.gap_pages <= self.pages // 2 and len(self.gaps) <= _MOST_GAPS

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "settled": self.settled,
            "gaps": [list(one) for one in self.gaps],
            "gap_pages": self.gap_pages,
            "pages": self.pages,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Look:
        """Read back what :meth:`to_json` wrote."""
        gaps = tuple((str(begin), str(end)) for begin, end in value["gaps"])
        return cls(
            settled=int(value["settled"]),
            gaps=gaps,
            gap_pages=int(value["gap_pages"]),
            pages=int(value["pages"]),
        )


class Reader:
    """Reads the spans of a task.

    :param client: what the calls go through.
    :param task: the task whose filter says which spans there are.
    :param evaluators: column names of the evaluators to read; all if empty.
    :param granularity: what they judge.
    :param group_by: the attribute whose values make the segments.
    :param log: where progress is reported.
    """

    def __init__(
        self,
        client: Client,
        task: Task,
        *,
        evaluators: Sequence[str] = (),
        granularity: str = SPAN,
        group_by: str | None = None,
        log: Any,
    ) -> None:
        self._client = client
        self._task = task
        self._evaluators = tuple(evaluators)
        self._granularity = granularity
        self._group_by = group_by
        self._log = log

    def pages(
        self,
        window: DataWindow,
        *,
        evaluators: Sequence[str] | None = None,
        attributes: Sequence[str] = (),
        text_length: int | None = 1,
    ) -> Iterator[tuple[Span, ...]]:
        """Yield the task's spans of a window page by page, newest first."""

        def call_at(cursor: str | None) -> RestCall[Page[Span]]:
            return list_spans(
                str(self._task.project_id),
                window,
                query_filter=self._task.query_filter,
                evaluators=self._evaluators if evaluators is None else evaluators,
                granularity=self._granularity,
                attributes=attributes,
                text_length=text_length,
                cursor=cursor,
            )

        for page in pages(self._client.send, call_at):
            yield page.items

    def _counted(self, window: DataWindow) -> Iterator[tuple[Span, ...]]:
        wanted = [] if self._group_by is None else [self._group_by]
        if self._granularity == SESSION:
            wanted.append(SESSION_ID)
        return self.pages(window, attributes=wanted, text_length=_SEGMENT_CHARACTERS if wanted else 1)

    def read(self, window: DataWindow, results: Results, rows: RowWriter | None = None) -> Look:
        """Count the evaluations of a window's spans, and write them as rows."""
        said_at = time.monotonic()
        settled = pages = gap_pages = 0
        gaps: list[tuple[str, str]] = []
        was_gap = False
        for page in self._counted(window):
            pages += 1
            before, wanted = results.items_of_run, max(1, len(self._evaluators))
            is_gap = False
            for span in page:
                taken = results.add(span)
                if rows is not None:
                    rows.write(span, taken)
                is_gap |= len(taken) < wanted
            if is_gap and page:
                gap_pages += 1
                begin, end = str(page[-1].start_time), str(page[0].start_time)
                # Pages that follow one another make one stretch.
                gaps[-1:] = [(begin, gaps[-1][1])] if was_gap else [*gaps[-1:], (begin, end)]
            else:
                settled += results.items_of_run - before
            was_gap = is_gap
            if time.monotonic() - said_at >= PROGRESS_SECONDS:
                said_at = time.monotonic()
                self._log.info("%d spans read.", results.spans)
        return Look(settled=settled, gaps=tuple(gaps), gap_pages=gap_pages, pages=pages)

    def count_again(self, look: Look, results_of: Callable[[], Results]) -> int:
        """Return how many items of the run there are now, by reading only where something lacked.

        :param results_of: makes an empty :class:`Results`.
        """
        found = look.settled
        for begin, end in look.gaps:
            results = results_of()
            stretch = DataWindow(start=parse_time(begin, "begin"), end=parse_time(end, "end") + _MILLISECOND)
            for page in self._counted(stretch):
                for span in page:
                    results.add(span)
            found += results.items_of_run
        return found

    def new_versions(self, since: datetime, until: datetime) -> list[dict[str, str | None]]:
        """Return the versions of the task's evaluators in the Eval Hub that replaced others in this time.

        An evaluator that the task holds to one version has none, nor has one that is written in the task.
        """
        found: list[dict[str, str | None]] = []
        for one in self._task.evaluators:
            if one.evaluator_id is None or one.evaluator_version_id is not None:
                continue
            call_at = partial(_versions_at, one.evaluator_id)
            try:
                versions = [version for page in pages(self._client.send, call_at) for version in page.items]
            except CallError as error:
                name = one.evaluator_name or one.evaluator_id
                self._log.warning("Could not list the versions of evaluator %s: %s", name, error)
                continue
            times = sorted((at, version.id) for version in versions if (at := version.created_at) is not None)
            # The first version replaced none.
            found += [
                {"evaluator": one.evaluator_name, "version_id": version_id, "created_at": wire_time(at)}
                for at, version_id in times[1:]
                if since < at <= until
            ]
        return found

    def describe(self, window: DataWindow, summary: dict[str, Any], links: Links | None) -> None:
        """Add input, output, explanation and link to the worst examples of a summary."""
        examples: dict[str, list[tuple[str, dict[str, Any]]]] = {}
        for name, figures in summary["evaluators"].items():
            for one in figures["lowest_scoring_examples"]:
                one["url"] = links.span(one["span_id"], one["trace_id"]) if links else None
                if _SPAN_ID.fullmatch(one["span_id"]):
                    examples.setdefault(one["span_id"], []).append((name, one))
        wanted = list(examples)[:_DESCRIBED]
        if not wanted:
            return
        one_of = ", ".join(f"'{span_id}'" for span_id in wanted)
        call = list_spans(
            str(self._task.project_id),
            window,
            query_filter=f"context.span_id IN ({one_of})",
            evaluators=tuple(summary["evaluators"]),
            granularity=self._granularity,
            attributes=(INPUT, OUTPUT),
            text_length=_EXAMPLE_CHARACTERS,
        )
        try:
            page = self._client.send(call)
        except CallError as error:
            self._log.warning("Could not read input and output of the lowest-scoring examples: %s", error)
            return
        for span in page.items:
            said = {one.name: one.explanation for one in span.evaluations}
            for name, one in examples.get(span.span_id, ()):
                one["input"], one["output"] = (_short(span.attribute(path)) for path in (INPUT, OUTPUT))
                one["explanation"] = _short(said.get(name)) or one["explanation"]


def _short(value: Any) -> str | None:
    return on_one_line(str(value)[:_EXAMPLE_CHARACTERS]) if value not in (None, "") else None


def _versions_at(evaluator_id: str, cursor: str | None) -> RestCall[Page[EvaluatorVersion]]:
    return list_evaluator_versions(evaluator_id, cursor=cursor)


def before(window: DataWindow, length: timedelta) -> DataWindow:
    """Return the window of this length that ends where another begins."""
    return DataWindow(start=window.start - length, end=window.start - _MILLISECOND)
