"""The runs that a poller waits for, their tasks, and the queue of the next requests."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from airflow_provider_online_tasks.runs.wait_policy import REJECTIONS, Rejections

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_online_tasks.api.responses.runs import TaskRun
    from airflow_provider_online_tasks.exceptions import CallError

# The maximum number of poll intervals for which the runs of a task are read by ID before its list is tried.
LONGEST_BY_ID = 16


class Shortage(NamedTuple):
    """A request budget that is too small for all waits.

    :param late: seconds by which the run was read late.
    :param rate: requests per minute that may be sent.
    :param waits: number of waits that share them.
    """

    late: float
    rate: float
    waits: int


class WaitServer(Protocol):
    """The part of a poller that a wait uses."""

    @property
    def trouble(self) -> str | None:
        """Why no run is read at the moment; None if runs are read."""

    def shortage(self, run: Run) -> Shortage:
        """Return how late a run is read because of the request budget."""

    def hasten(self, wait: Wait) -> None:
        """Read the run of a wait at once."""

    def discard(self, wait: Wait) -> None:
        """End a wait."""


class Wait:
    """One wait for a run.

    :param server: polls the run.
    :param run: the run.
    :param conn_id: the Airflow connection of the wait.
    :param poll_interval: seconds between two polls.
    """

    __slots__ = ("_error", "_unread", "_waiter", "conn_id", "has_news", "poll_interval", "run", "server")

    def __init__(self, server: WaitServer, run: Run, *, conn_id: str, poll_interval: float) -> None:
        self.server = server
        self.run = run
        self.conn_id = conn_id
        self.poll_interval = poll_interval
        # Tells whether a poll is worth waking up for. Default: every poll. The end of the run always is.
        self.has_news: Callable[[TaskRun], bool] | None = None
        self._unread: TaskRun | None = None
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def run_id(self) -> str:
        """The ID of the run."""
        return self.run.run_id

    @property
    def trouble(self) -> str | None:
        """Why the run can't be read at the moment; None if it can."""
        return self.run.trouble or self.server.trouble

    @property
    def shortage(self) -> Shortage:
        """How late the run is read because of the request budget."""
        return self.server.shortage(self.run)

    async def next(self) -> TaskRun:
        """Return the run after the next poll with news; for the last time when it is finished.

        :raises Exception: the error that ended the wait.
        """
        while self._unread is None:
            if self._error is not None:
                raise self._error.with_traceback(None)
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        run, self._unread = self._unread, None
        return run

    def hasten(self) -> None:
        """Read the run at once."""
        self.server.hasten(self)

    def close(self) -> None:
        """End the wait. The run and other waits are not affected."""
        self.server.discard(self)

    def deliver(self, run: TaskRun) -> None:
        """Hand over the run as it was just read."""
        if self.has_news is None or run.is_over or self.has_news(run):
            self._unread = run
            self._notify()

    def fail(self, error: Exception) -> None:
        """End the wait with an error."""
        self._error = error
        self._notify()

    def _notify(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


@dataclass(slots=True, eq=False, kw_only=True)
class Scheduled:
    """Something that a request is sent about. Times are those of the event loop.

    :param at: time of the next request, if it is in the queue.
    :param ticket: its entry in the queue; 0 if it has none.
    :param asking: whether a request about it is in flight.
    :param sent_at: time of the last request.
    :param free_since: time from which the last request could have been sent with a larger budget; None if
        the budget did not delay it.
    """

    at: float = 0.0
    ticket: int = 0
    asking: bool = False
    sent_at: float = 0.0
    free_since: float | None = None

    def late(self, due: float) -> float:
        """Return by how many seconds the budget delayed the last request."""
        return 0.0 if self.free_since is None else max(0.0, self.sent_at - max(due, self.free_since))


@dataclass(slots=True, eq=False, kw_only=True)
class Run(Scheduled):
    """A run with at least one wait.

    :param due: time of its next poll.
    :param by_id: whether the next poll reads it by ID instead of with the list of its task.
    :param was_late: seconds by which the budget delayed its last poll.
    :param failures: number of failed polls in a row.
    :param trouble: why it can't be read at the moment.
    """

    run_id: str
    task_id: str | None = None
    waits: list[Wait] = field(default_factory=list)
    due: float = 0.0
    by_id: bool = False
    latest: TaskRun | None = None
    read_at: float = 0.0
    was_late: float = 0.0
    failures: int = 0
    rejections: Rejections = field(default_factory=Rejections)
    trouble: str | None = None

    @property
    def interval(self) -> float:
        """The shortest poll interval of its waits, in seconds."""
        return min(wait.poll_interval for wait in self.waits)

    def count_failure(self, error: CallError, now: float) -> None:
        """Count a poll of the run that failed."""
        self.failures += 1
        if isinstance(error, REJECTIONS):
            self.rejections.add(now)
        else:
            self.rejections.clear()

    def clear_failures(self) -> None:
        """Start again: the run was read."""
        self.failures, self.trouble = 0, None
        self.rejections.clear()


@dataclass(slots=True, eq=False, kw_only=True)
class Task(Scheduled):
    """A task with awaited runs, and the round in which the pages of its list are read.

    :param unseen: the due runs that the round has not seen yet; None between rounds.
    :param cursors: the cursors of the round's pages.
    :param wasted: number of pages in a row without a due run.
    :param seen: number of runs on the round's pages.
    :param explored: number of runs on the last page whose task was unknown.
    :param exploring: whether the pages are read to find runs whose task is unknown.
    :param by_id_until: time until which its runs are read by ID.
    :param by_id_next: number of poll intervals for which they are read by ID the next time.
    """

    task_id: str
    runs: dict[str, Run] = field(default_factory=dict)
    unseen: set[str] | None = None
    cursor: str | None = None
    cursors: set[str | None] = field(default_factory=set)
    pages: int = 0
    wasted: int = 0
    seen: int = 0
    explored: int = 0
    jitter: float = 1.0
    exploring: bool = False
    by_id_until: float = float("-inf")
    by_id_next: int = 1
    list_failures: int = 0
    list_failing_since: float = 0.0

    def begin_round(self, unseen: set[str], jitter: float) -> None:
        """Start a round: read the list from its first page."""
        self.unseen, self.jitter = unseen, jitter
        self.cursor, self.pages, self.wasted, self.seen = None, 0, 0, 0
        self.cursors.clear()

    def count_list_failure(self, now: float) -> bool:
        """Count a page that could not be read; return whether the page before it failed too."""
        self.list_failures += 1
        if self.list_failures > 1:
            return True
        self.list_failing_since = now
        return False

    def count_page(self, size: int, *, awaited: int, explored: int, next_cursor: str | None) -> None:
        """Count a page of the round.

        :param size: number of runs on it.
        :param awaited: number of due runs on it that the round had not seen.
        :param explored: number of awaited runs on it whose task was unknown.
        """
        self.list_failures = 0
        self.pages += 1
        self.seen += size
        self.wasted = 0 if awaited or explored else self.wasted + 1
        self.explored, self.cursor = explored, next_cursor

    def wants_next_page(self, *, taskless: int) -> bool:
        """Return whether the next page is worth a request.

        :param taskless: number of awaited runs whose task is unknown.
        """
        # A page costs as much as reading one run by ID. Pages without a due run must not cost more than that.
        is_worth_it = len(self.unseen or ()) > 1 + self.wasted or (self.explored > 1 and taskless > 0)
        return is_worth_it and self.cursor is not None and self.cursor not in self.cursors

    def end_round(self, now: float, *, by_id_intervals: int = 0) -> set[str]:
        """End the round, and return the due runs that it has not seen.

        :param by_id_intervals: minimum number of poll intervals for which the runs are read by ID.
        """
        unseen = self.unseen or set()
        self.unseen, self.exploring = None, False
        if unseen and self.seen <= self.pages:
            by_id_intervals = max(by_id_intervals, self.by_id_next)
        if by_id_intervals and self.runs:
            shortest = min(run.interval for run in self.runs.values())
            self.by_id_until = now + by_id_intervals * shortest
            self.by_id_next = min(LONGEST_BY_ID, 2 * self.by_id_next)
        else:
            self.by_id_next = 1
        return unseen


class Queue:
    """The runs and tasks of the next requests, the longest overdue first."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Run | Task]] = []
        self._tickets = itertools.count(1)

    def put(self, item: Run | Task, at: float) -> bool:
        """Add an item, unless it is queued for an earlier time or has a request in flight.

        :return: whether it is the first one now.
        """
        if item.asking or (item.ticket and item.at <= at):
            return False
        item.at, item.ticket = at, next(self._tickets)
        heapq.heappush(self._heap, (at, item.ticket, item))
        return self._heap[0][1] == item.ticket

    def first(self) -> Run | Task | None:
        """Return the longest overdue item, else the one that is due next."""
        while self._heap:
            _, ticket, item = self._heap[0]
            if item.ticket == ticket:
                return item
            heapq.heappop(self._heap)
        return None

    def pop(self) -> None:
        """Remove the first item."""
        _, _, item = heapq.heappop(self._heap)
        item.ticket = 0
