"""What a poller knows of the runs that are waited for, and of their tasks."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_online_tasks.api.responses.runs import TaskRun
    from airflow_provider_online_tasks.exceptions import CallError
    from airflow_provider_online_tasks.runs.polling.poller import Poller

# For how many poll intervals the runs of a task are read by their IDs, at the most, before its list is tried.
LONGEST_BY_ID = 16


class Shortage(NamedTuple):
    """Why a run is read late: the budget does not suffice for all waits.

    :param late: seconds after it was due that the run was read.
    :param rate: requests a minute that may be sent.
    :param waits: how many waits share them.
    """

    late: float
    rate: float
    waits: int


class Wait:
    """One wait for a run.

    :param conn_id: the Airflow connection it was begun with.
    """

    __slots__ = (
        "_error",
        "_fresh",
        "_waiter",
        "conn_id",
        "is_news",
        "poll_interval",
        "poller",
        "run",
    )

    def __init__(self, poller: Poller, run: Run, *, conn_id: str, poll_interval: float) -> None:
        self.poller = poller
        self.run = run
        self.conn_id = conn_id
        self.poll_interval = poll_interval
        # Whether a run as it was just read is worth waking up for; None if any is. Its end always is.
        self.is_news: Callable[[TaskRun], bool] | None = None
        self._fresh: TaskRun | None = None
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def run_id(self) -> str:
        """The run that is waited for."""
        return self.run.run_id

    @property
    def trouble(self) -> str | None:
        """Why the run is not being read at the moment, if so."""
        return self.run.trouble or self.poller.trouble

    @property
    def late(self) -> float:
        """How many seconds late the run was read, or is, because the budget is too small."""
        return self.poller.late(self.run)

    @property
    def shortage(self) -> Shortage:
        """How short the budget is."""
        return Shortage(self.late, self.poller.budget.rate, self.poller.count_waits())

    async def next(self) -> TaskRun:
        """Return the run as soon as it is read and news, once for each time; the last time when it is over.

        :raises Exception: the run cannot be followed.
        """
        while self._fresh is None:
            if self._error is not None:
                raise self._error.with_traceback(None)
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        run, self._fresh = self._fresh, None
        return run

    def hasten(self) -> None:
        """Have the run read at once."""
        self.poller.hasten(self)

    def close(self) -> None:
        """End the wait, and nothing else."""
        self.poller.discard(self)

    def tell(self, run: TaskRun) -> None:
        """Hand over the run as it was just read."""
        if self.is_news is None or run.is_over or self.is_news(run):
            self._fresh = run
            self._notify()

    def fail(self, error: Exception) -> None:
        """End the wait: its run cannot be followed."""
        self._error = error
        self._notify()

    def _notify(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


@dataclass(slots=True, eq=False, kw_only=True)
class Scheduled:
    """Something to ask about.

    :param at: when, if it is in the queue.
    :param ticket: its entry in the queue; 0 if it has none.
    :param asking: whether a request about it is under way.
    :param sent_at: when it was last asked about.
    :param free_since: since when that could have been, had the budget sufficed; None if it did suffice.
    """

    at: float = 0.0
    ticket: int = 0
    asking: bool = False
    sent_at: float = 0.0
    free_since: float | None = None

    def late(self, due: float) -> float:
        """Return how many seconds late the last request was sent, because the budget was too small."""
        return 0.0 if self.free_since is None else max(0.0, self.sent_at - max(due, self.free_since))


@dataclass(slots=True, eq=False, kw_only=True)
class Run(Scheduled):
    """A run that is waited for.

    :param due: when it is to be read again.
    :param by_id: whether it is to be read by its ID, instead of with its task.
    :param was_late: how late its last reading was, for want of budget.
    """

    run_id: str
    task_id: str | None = None
    waits: list[Wait] = field(default_factory=list)
    due: float = 0.0
    by_id: bool = False
    latest: TaskRun | None = None
    read_at: float = 0.0
    was_late: float = 0.0
    failure: type[CallError] | None = None
    failures: int = 0
    failing_since: float = 0.0
    trouble: str | None = None

    @property
    def interval(self) -> float:
        """The shortest poll interval of its waits, in seconds."""
        return min(wait.poll_interval for wait in self.waits)

    def count_failure(self, error: CallError, now: float) -> None:
        """Count an answer of the same kind as the one before, or begin to."""
        if type(error) is self.failure:
            self.failures += 1
        else:
            self.failure, self.failures, self.failing_since = type(error), 1, now


@dataclass(slots=True, eq=False, kw_only=True)
class Task(Scheduled):
    """A task some of whose runs are waited for, and the round of pages being read of it.

    :param unseen: runs that the round has yet to see; None between rounds.
    :param cursors: where the pages of the round began.
    :param wasted: how many pages in a row showed none of these runs.
    :param seen: how many runs its pages held.
    :param explored: how many runs the last page showed that were not known to be of this task.
    :param exploring: whether the pages are read for runs whose task is not known.
    :param by_id_until: until when its runs are read by their IDs.
    :param by_id_next: for how many poll intervals they will be the next time.
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
        """Begin to read the pages of its list."""
        self.unseen, self.jitter = unseen, jitter
        self.cursor, self.pages, self.wasted, self.seen = None, 0, 0, 0
        self.cursors.clear()

    def count_list_failure(self, now: float) -> bool:
        """Count a page that was not read; return whether the one before it was not read either."""
        self.list_failures += 1
        if self.list_failures > 1:
            return True
        self.list_failing_since = now
        return False

    def count_page(self, size: int, *, awaited: int, explored: int, next_cursor: str | None) -> None:
        """Count a page of the round.

        :param size: how many runs it holds.
        :param awaited: how many of them the round had yet to see.
        :param explored: how many of them are waited for, and were not known to be of this task.
        """
        self.list_failures = 0
        self.pages += 1
        self.seen += size
        self.wasted = 0 if awaited or explored else self.wasted + 1
        self.explored, self.cursor = explored, next_cursor

    def wants_next_page(self, *, taskless: int) -> bool:
        """Return whether the page that the cursor leads to is worth a request.

        :param taskless: how many runs are waited for whose task is not known.
        """
        # A page costs as much as one run read by its ID, and fruitless pages no more than all such runs.
        is_worth_it = len(self.unseen or ()) > 1 + self.wasted or (self.explored > 1 and taskless > 0)
        return is_worth_it and self.cursor is not None and self.cursor not in self.cursors

    def end_round(self, now: float, *, by_id_intervals: int = 0) -> set[str]:
        """End the round, and return the runs that it has not seen.

        :param by_id_intervals: for how many poll intervals the runs are read by their IDs at the least.
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
    """What is to be asked about: that which has been due longest comes first."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Run | Task]] = []
        self._tickets = itertools.count(1)

    def put(self, item: Run | Task, at: float) -> bool:
        """Put an item in, unless it is there for an earlier time or is being asked about.

        :return: whether it has become the first one.
        """
        if item.asking or (item.ticket and item.at <= at):
            return False
        item.at, item.ticket = at, next(self._tickets)
        heapq.heappush(self._heap, (at, item.ticket, item))
        return self._heap[0][1] == item.ticket

    def first(self) -> Run | Task | None:
        """Return the item that has been due longest, or will be due first."""
        while self._heap:
            _, ticket, item = self._heap[0]
            if item.ticket == ticket:
                return item
            heapq.heappop(self._heap)
        return None

    def pop(self) -> None:
        """Take the first item out."""
        _, _, item = heapq.heappop(self._heap)
        item.ticket = 0
