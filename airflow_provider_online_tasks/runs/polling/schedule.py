"""The waits of a poller, the runs and tasks they are for, and the queue of the next requests."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from airflow_provider_online_tasks.runs.wait_policy import Rejections

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_online_tasks.api.responses import TaskRun
    from airflow_provider_online_tasks.runs.polling.poller import Poller

# A round includes runs that are due within this part of their interval, so that they become due together.
AHEAD = 0.25
# For how many poll intervals the runs of a task are read by their IDs if its pages are not worth it.
BY_ID_INTERVALS = 8


class Wait:
    """One wait for a run. ``has_news`` tells whether a poll is worth waking up for; its end always is."""

    __slots__ = ("_error", "_unread", "_waiter", "conn_id", "has_news", "poll_interval", "run", "server")

    def __init__(self, server: Poller, run: PolledRun, *, conn_id: str, poll_interval: float) -> None:
        self.server = server
        self.run = run
        self.conn_id = conn_id
        self.poll_interval = poll_interval
        self.has_news: Callable[[TaskRun], bool] | None = None
        self._unread: TaskRun | None = None
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def trouble(self) -> str | None:
        """Why the run can't be read at the moment; None if it can."""
        return self.run.trouble or self.server.endpoint.trouble

    @property
    def seconds_late(self) -> float:
        """How late the run is read because of the request budget."""
        return self.server.seconds_late(self.run)

    async def next(self) -> TaskRun:
        """Return the run after the next poll with news. Raise the error that ended the wait, if one did."""
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
    """Something that a request is sent about. Times are those of the event loop."""

    at: float = 0.0  # of the next request, if it is in the queue
    ticket: int = 0  # its entry in the queue; 0 if it has none
    in_flight: bool = False
    sent_at: float = 0.0


@dataclass(slots=True, eq=False, kw_only=True)
class PolledRun(Scheduled):
    """A run with at least one wait."""

    run_id: str
    task_id: str | None = None
    waits: list[Wait] = field(default_factory=list)
    due: float = 0.0
    by_id: bool = False  # whether the next poll reads it by ID instead of with the list of its task
    was_late: float = 0.0  # seconds by which the budget delayed its last poll
    failures: int = 0  # in a row
    rejections: Rejections = field(default_factory=Rejections)
    trouble: str | None = None

    @property
    def interval(self) -> float:
        """The shortest poll interval of its waits, in seconds."""
        return min(wait.poll_interval for wait in self.waits)


@dataclass(slots=True, eq=False, kw_only=True)
class TaskPages(Scheduled):
    """The waited-for runs of one task, and the round of pages that reads them.

    A page shows up to 100 runs, in an order that Arize doesn't document. A round reads pages until it has
    shown the runs that are due. It stops early when reading the missing runs by their IDs costs less. If its
    pages show about as few waited-for runs as requests, the runs are read by their IDs for a while.

    :param missing: IDs of the runs that this round has yet to show; None between rounds.
    :param cursor: start of the next page; None for the first one.
    :param by_id_until: until when the runs are read by their IDs.
    :param failing_since: when the first of the last pages failed; None if the last page could be read.
    """

    task_id: str
    runs: dict[str, PolledRun] = field(default_factory=dict)
    missing: set[str] | None = None
    cursor: str | None = None
    by_id_until: float = float("-inf")
    failing_since: float | None = None
    _cursors: set[str | None] = field(default_factory=set)
    _pages: int = 0
    _shown: int = 0
    _fruitless_pages: int = 0

    def listed(self) -> list[PolledRun]:
        """Return the runs that are read by pages."""
        return [run for run in self.runs.values() if not run.by_id]

    def prefers_ids(self, now: float) -> bool:
        """Return whether the runs are read by their IDs at present."""
        return len(self.runs) == 1 or now < self.by_id_until

    def begin_round(self, now: float) -> None:
        """Start with the first page, to read all runs that are due soon."""
        self.missing = {run.run_id for run in self.listed() if run.due <= now + AHEAD * run.interval}
        self.cursor = None
        self._cursors = {None}
        self._pages = self._shown = self._fruitless_pages = 0

    def add_page(self, shown: set[str], next_cursor: str | None) -> bool:
        """Record a page of the round.

        :param shown: IDs of the waited-for runs on the page.
        :param next_cursor: start of the next page; None after the last one.
        :return: whether the next page is worth a request.
        """
        missing = self.missing or set()
        self._fruitless_pages = 0 if missing & shown else self._fruitless_pages + 1
        missing -= shown
        self.failing_since = None
        self._pages += 1
        self._shown += len(shown)
        self.cursor = next_cursor
        is_new = next_cursor not in self._cursors
        self._cursors.add(next_cursor)
        # A page costs as much as one run by its ID. So at most as many fruitless pages as missing runs.
        return is_new and len(missing) > 1 + self._fruitless_pages

    def end_round(self, now: float, *, use_ids: bool = False) -> set[str]:
        """End the round, and return the IDs of the runs that it has not shown.

        :param use_ids: read the runs by their IDs for a while in any case.
        """
        missing, self.missing = self.missing or set(), None
        if self.runs and (use_ids or (missing and self._shown <= self._pages)):
            self.by_id_until = now + BY_ID_INTERVALS * min(run.interval for run in self.runs.values())
        return missing

    def remove(self, run: PolledRun) -> None:
        """Forget a run."""
        del self.runs[run.run_id]
        if self.missing is not None:
            self.missing.discard(run.run_id)


T = TypeVar("T", bound=Scheduled)


class Queue(Generic[T]):
    """The runs and tasks of the next requests, the longest overdue first."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._tickets = itertools.count(1)

    def put(self, item: T, at: float) -> bool:
        """Add an item unless it is queued earlier or in flight. Return whether it is the first one now."""
        if item.in_flight or (item.ticket and item.at <= at):
            return False
        item.at, item.ticket = at, next(self._tickets)
        heapq.heappush(self._heap, (at, item.ticket, item))
        return self._heap[0][1] == item.ticket

    def first(self) -> T | None:
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
