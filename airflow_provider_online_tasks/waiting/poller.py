"""Reads all the runs that a process waits for at one Arize, in as few requests as it can.

What is asked
    Runs of one task are read together, a page of the task's list at a time. The order of that list is not
    documented, so a run that a page does not show is looked for on the next page, or read by its ID,
    whichever is expected to need fewer requests; a task whose pages save nothing is read by IDs for a while.
    A run that is alone on its task, or whose task is not known yet, is read by its ID, which also tells its
    task; then the task's list is searched for more of the runs whose task is not known.

When
    A run is read at once, and then again before ``poll_interval`` has passed, jitter making it up to a fifth
    earlier. So the end of a run is noticed within ``poll_interval`` while the budget suffices. When it does
    not, whoever has been due longest goes first, so every interval gets longer by the same time. Where a
    run's cap of spans is known and its pace predicts an earlier end, it is read earlier, if the budget is
    idle.

What goes wrong
    An answer that says nothing of a single run (rate limit, no answer, a refused key) pauses everything. Any
    other concerns the run it is about: it ends that run's waits if it comes again, and no other's.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import heapq
import itertools
import logging
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_online_tasks.exceptions import (
    CallError,
    InputRefused,
    InvalidConnection,
    KeyRefused,
    NotFound,
    OnlineTasksError,
    PermissionDenied,
    RateLimited,
    Unavailable,
    UnexpectedAnswer,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_online_tasks.api.async_client import AsyncClient
    from airflow_provider_online_tasks.api.calls import Page, RestCall
    from airflow_provider_online_tasks.api.runs import TaskRun
    from airflow_provider_online_tasks.api.settings import Settings
    from airflow_provider_online_tasks.waiting.budget import Budget

T = TypeVar("T")
log = logging.getLogger(__name__)

# Waits that begin together, as after a restart of the triggerer, are read together.
GATHERING_SECONDS = 0.05
EARLIEST = 0.8
# A round reads along what would soon be due: it makes the runs of a task come due together.
AHEAD = 0.25
SHORTEST_INTERVAL = 0.05
SHORTEST_PREDICTED_INTERVAL = 2.0
MOST_IN_FLIGHT = 8
# Those who wait for the runs of a page wake up in groups, between which the event loop serves others.
DELIVERED_AT_ONCE = 10
# No answer takes longer, however slowly its parts come: this many times the time-out for each of them.
WHOLE_ANSWER_TIMEOUTS = 4

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
FIRST_RATE_LIMIT_PAUSE, LONGEST_RATE_LIMIT_PAUSE = 15.0, 60.0
LONGEST_RETRY_AFTER = 300.0
LONGEST_RUN_BACK_OFF = 60.0
CONFIRM_SECONDS = 2.0
LONGEST_BY_ID = 16

REFUSALS, REFUSED_SECONDS = 3, 5.0
# How many answers of the same kind in a row end a run's waits.
CONFIRMATIONS: dict[type[CallError], int] = {
    NotFound: 2,
    InputRefused: 2,
    PermissionDenied: 3,
    UnexpectedAnswer: 5,
}


class Wait:
    """One wait for a run."""

    __slots__ = ("_error", "_fresh", "_poller", "_run", "_waiter", "max_spans", "poll_interval")

    def __init__(self, poller: Poller, run: _Run, *, poll_interval: float, max_spans: int | None) -> None:
        self._poller = poller
        self._run = run
        self.poll_interval = poll_interval
        self.max_spans = max_spans
        self._fresh: TaskRun | None = None
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def run_id(self) -> str:
        """The run that is waited for."""
        return self._run.run_id

    @property
    def trouble(self) -> str | None:
        """Why the run is not being read at the moment, if so."""
        return self._run.trouble or self._poller.trouble

    async def next(self) -> TaskRun:
        """Return the run as soon as it is read, once for each time it is; the last time when it is over.

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
        self._poller.hasten(self)

    def tell(self, run: TaskRun) -> None:
        """Hand over the run as it was just read."""
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
class _Scheduled:
    """Something to ask about.

    :param at: when, if it is in the queue.
    :param ticket: its entry in the queue; 0 if it has none.
    :param asking: whether a request about it is under way.
    """

    at: float = 0.0
    ticket: int = 0
    asking: bool = False


@dataclass(slots=True, eq=False, kw_only=True)
class _Run(_Scheduled):
    """A run that is waited for.

    :param due: when it is to be read again.
    :param by_id: whether it is to be read by its ID, instead of with its task.
    """

    run_id: str
    task_id: str | None = None
    waits: list[Wait] = field(default_factory=list)
    due: float = 0.0
    by_id: bool = False
    latest: TaskRun | None = None
    read_at: float = 0.0
    failure: type[CallError] | None = None
    failures: int = 0
    failing_since: float = 0.0
    trouble: str | None = None

    @property
    def interval(self) -> float:
        waits = self.waits
        return waits[0].poll_interval if len(waits) == 1 else min(wait.poll_interval for wait in waits)


@dataclass(slots=True, eq=False, kw_only=True)
class _Task(_Scheduled):
    """A task some of whose runs are waited for, and the round of pages being read of it.

    :param unseen: runs that the round has yet to see; None between rounds.
    :param pages: pages of the round so far.
    :param wasted: how many of them in a row showed none of these runs.
    :param seen: runs that the round has seen.
    :param exploring: whether the pages are read for runs whose task is not known.
    :param by_id_until: until when its runs are read by their IDs.
    :param by_id_next: for how many poll intervals they will be the next time.
    """

    task_id: str
    runs: dict[str, _Run] = field(default_factory=dict)
    unseen: set[str] | None = None
    cursor: str | None = None
    pages: int = 0
    wasted: int = 0
    seen: int = 0
    jitter: float = 1.0
    exploring: bool = False
    by_id_until: float = float("-inf")
    by_id_next: int = 1
    list_failures: int = 0
    list_failing_since: float = 0.0


class Poller:
    """Serves all waits of one event loop that share an Arize and a key.

    It ends with its last wait. It works in a context of its own, since the triggerer attributes what is
    logged by context.

    :param settings: where and how to ask.
    :param budget: how often.
    :param closed: called when the last wait is gone, and no new one is accepted any more.
    """

    _client: AsyncClient

    def __init__(self, settings: Settings, budget: Budget, closed: Callable[[], None]) -> None:
        self.settings = settings
        self.trouble: str | None = None
        self._budget = budget
        self._closed = closed
        self._open = True
        self._loop = asyncio.get_running_loop()
        self._runs: dict[str, _Run] = {}
        self._tasks: dict[str, _Task] = {}
        self._taskless = 0
        self._explored: set[str] = set()
        self._queue: list[tuple[float, int, _Run | _Task]] = []
        self._tickets = itertools.count(1)
        self._in_flight: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._paused_until = 0.0
        self._pauses = 0
        self._paused_at = float("-inf")
        self._refusals = 0
        self._refused_since = 0.0
        self._answered_at = float("-inf")
        self._work = self._loop.create_task(
            self._serve(), name="online-tasks-poller", context=contextvars.Context()
        )

    # Waits come and go -------------------------------------------------------------------------------------

    def add(
        self, run_id: str, task_id: str | None, *, poll_interval: float, max_spans: int | None = None
    ) -> Wait:
        """Begin a wait. The run is read at once."""
        run = self._runs.get(run_id)
        if run is None:
            run = self._runs[run_id] = _Run(run_id=run_id, by_id=True)
            self._taskless += 1
        # In this order, it takes NaN for the shortest interval too.
        interval = max(SHORTEST_INTERVAL, poll_interval)
        wait = Wait(self, run, poll_interval=interval, max_spans=max_spans)
        run.waits.append(wait)
        if run.task_id is None and task_id:
            run.by_id, run.ticket = run.asking, 0
            self._assign(run, task_id)
        self._hasten(run)
        return wait

    def _hasten(self, run: _Run) -> None:
        run.due = now = self._loop.time()
        if run.by_id or run.task_id is None:
            self._queue_up(run, now)
        else:
            self._queue_up(self._tasks[run.task_id], now + GATHERING_SECONDS)

    def hasten(self, wait: Wait) -> None:
        """Read a wait's run at once."""
        run = self._runs.get(wait.run_id)
        if run is not None:
            self._hasten(run)

    def discard(self, wait: Wait) -> None:
        """End a wait, and nothing else."""
        run = self._runs.get(wait.run_id)
        if run is not None and wait in run.waits:
            run.waits.remove(wait)
            if not run.waits:
                self._remove(run)

    def _remove(self, run: _Run) -> None:
        del self._runs[run.run_id]
        run.ticket = 0
        self._leave_task(run)
        if not self._runs:
            self._close()

    def _close(self) -> None:
        """Accept no more waits, and stop."""
        if self._open:
            self._open = False
            self._closed()
            self._wake.set()

    def _assign(self, run: _Run, task_id: str) -> None:
        if run.task_id == task_id:
            return
        if run.task_id is not None:
            self._leave_task(run)
            self._taskless += 1
        self._taskless -= 1
        run.task_id = task_id
        self._task(task_id).runs[run.run_id] = run

    def _task(self, task_id: str) -> _Task:
        task = self._tasks.get(task_id)
        if task is None:
            task = self._tasks[task_id] = _Task(task_id=task_id)
        return task

    def _leave_task(self, run: _Run) -> None:
        if run.task_id is None:
            self._taskless -= 1
            return
        task = self._tasks[run.task_id]
        del task.runs[run.run_id]
        if task.unseen is not None:
            task.unseen.discard(run.run_id)
        self._drop_if_idle(task)

    def _drop_if_idle(self, task: _Task) -> None:
        known = self._tasks.get(task.task_id) is task
        if known and not task.runs and not task.asking and not task.exploring:
            task.ticket = 0
            del self._tasks[task.task_id]

    def _fail(self, run: _Run, error: Exception) -> None:
        waits, run.waits = run.waits, []
        self._remove(run)
        for wait in waits:
            wait.fail(error)

    def _fail_all(self, error: Exception) -> None:
        for run in list(self._runs.values()):
            self._fail(run, error)

    # The queue ---------------------------------------------------------------------------------------------

    def _queue_up(self, item: _Run | _Task, at: float) -> None:
        """Put an item into the queue, unless it is there for an earlier time or is being asked about."""
        if item.asking or (item.ticket and item.at <= at):
            return
        item.at, item.ticket = at, next(self._tickets)
        heapq.heappush(self._queue, (at, item.ticket, item))
        if self._queue[0][1] == item.ticket:
            self._wake.set()

    def _next(self) -> _Run | _Task | None:
        """Return the item that has been due longest, or will be due first."""
        while self._queue:
            _, ticket, item = self._queue[0]
            if item.ticket == ticket:
                return item
            heapq.heappop(self._queue)
        return None

    def _queue_up_task(self, task: _Task) -> None:
        """Put a task that is between two rounds into the queue for the first of its runs that is due."""
        due = [run.due for run in task.runs.values() if not run.by_id]
        if due:
            self._queue_up(task, min(due))

    def _queue_up_run(self, run: _Run, due: float) -> None:
        """Have a run read by its ID."""
        run.due, run.by_id, run.ticket = due, True, 0
        self._queue_up(run, due)

    # Asking ------------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        try:
            self._client = await asyncio.to_thread(open_client, self.settings)
            try:
                while self._runs:
                    await self._ask_next()
            finally:
                for request in self._in_flight:
                    request.cancel()
                await asyncio.gather(*self._in_flight, return_exceptions=True)
                await self._client.close()
        except Exception as error:  # noqa: BLE001  a poller that ends otherwise would leave its waits hanging
            self._fail_all(error)
        finally:
            self._close()

    async def _ask_next(self) -> None:
        """Ask about the next item, or wait until that may be done or anything has changed."""
        self._wake.clear()
        item, wait = self._next(), None
        # One request is enough to find out whether the endpoint answers again.
        most = 1 if self._pauses or self._refusals else MOST_IN_FLIGHT
        if item is not None and len(self._in_flight) < most:
            wait = max(item.at, self._paused_until, self._budget.ready_at()) - self._loop.time()
        if item is None or wait is None or wait > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake.wait()
            return
        heapq.heappop(self._queue)
        item.ticket = 0
        if isinstance(item, _Run) or self._begin_round(item):
            self._ask(item)

    def _ask(self, item: _Run | _Task) -> None:
        item.asking = True
        self._budget.take(self._loop.time())
        read = self._read_run(item) if isinstance(item, _Run) else self._read_page(item)
        request = self._loop.create_task(read)
        self._in_flight.add(request)
        request.add_done_callback(self._asked)

    def _asked(self, request: asyncio.Task[None]) -> None:
        self._in_flight.discard(request)
        self._wake.set()
        if not request.cancelled() and (error := request.exception()) is not None:
            self._fail_all(error if isinstance(error, Exception) else OnlineTasksError(str(error)))

    async def _send(self, call: RestCall[T]) -> T:
        bound = WHOLE_ANSWER_TIMEOUTS * self.settings.timeout
        try:
            async with asyncio.timeout(bound):
                return await self._client.send(call)
        except TimeoutError:
            host = self.settings.endpoint.rest_url
            raise Unavailable(f"{call.name} at {host}: no whole answer within {bound:g} s") from None
        except CallError:
            raise
        except Exception as error:  # noqa: BLE001  nothing that one call meets may end the others
            host = self.settings.endpoint.rest_url
            raise UnexpectedAnswer(f"{call.name} at {host}: {type(error).__name__}: {error}") from None

    # A run by its ID ---------------------------------------------------------------------------------------

    async def _read_run(self, run: _Run) -> None:
        from airflow_provider_online_tasks.api import calls

        sent_at = self._loop.time()
        found = problem = None
        try:
            found = await self._send(calls.get_task_run(run.run_id))
        except CallError as error:
            problem = error
        run.asking = False
        if found is not None:
            self._answered()
        if self._runs.get(run.run_id) is not run:
            return
        if found is not None:
            self._run_read(run, found)
        elif problem is not None:
            self._run_not_read(run, problem, sent_at)

    def _run_read(self, run: _Run, found: TaskRun) -> None:
        if found.task_id is not None:
            self._assign(run, found.task_id)
            task = self._task(found.task_id)
            if task.unseen is not None:
                task.unseen.discard(run.run_id)
            if self._taskless and found.task_id not in self._explored:
                # The list of a task that was not known may show more of the runs whose task is not known.
                self._explored.add(found.task_id)
                task.exploring = True
                self._queue_up(task, float("-inf"))
        if not self._taskless:
            self._explored.clear()
        self._deliver(run, found, random.uniform(EARLIEST, 1.0))  # noqa: S311

    def _run_not_read(self, run: _Run, error: CallError, sent_at: float) -> None:
        now = self._loop.time()
        if type(error) is run.failure:
            run.failures += 1
        else:
            run.failure, run.failures, run.failing_since = type(error), 1, now
        if isinstance(error, KeyRefused):
            self._key_refused(error, sent_at)
            delay = 0.0
        elif isinstance(error, RateLimited):
            self._pause(error, sent_at)
            delay = 0.0
        elif type(error) not in CONFIRMATIONS:
            self._pause(error, sent_at)
            delay = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (run.failures - 1))
        else:
            run.trouble = str(error)
            if isinstance(error, UnexpectedAnswer):
                # When nothing else can be read either, it is no fault of this run.
                certain = self._answered_at > run.failing_since or len(self._runs) == 1
                delay = min(LONGEST_RUN_BACK_OFF, run.interval * 2.0 ** (run.failures - 1))
            else:
                self._answered()
                certain = True
                delay = CONFIRM_SECONDS
            if certain and run.failures >= CONFIRMATIONS[type(error)]:
                self._fail(run, error)
                return
        if self._runs.get(run.run_id) is run:
            self._queue_up_run(run, now + delay)

    def _deliver(self, run: _Run, found: TaskRun, jitter: float) -> None:
        """Hand a run that was read to all who wait for it, and set when it is read again."""
        now = self._loop.time()
        if found.is_over:
            waits, run.waits = run.waits, []
            self._remove(run)
        else:
            waits = run.waits
            run.due = now + self._interval(run, found, now) * jitter
            run.latest, run.read_at = found, now
            run.failure, run.failures, run.trouble = None, 0, None
            if not run.asking:
                run.ticket, run.by_id = 0, run.task_id is None
            if run.by_id:
                self._queue_up(run, run.due)
            elif run.task_id is not None and (task := self._tasks[run.task_id]).unseen is None:
                self._queue_up(task, run.due)
        for wait in waits:
            wait.tell(found)

    def _interval(self, run: _Run, found: TaskRun, now: float) -> float:
        """Return the seconds until a run is to be read again, before jitter."""
        interval = run.interval
        caps = [wait.max_spans for wait in run.waits if wait.max_spans]
        if not caps or run.latest is None or not self._budget.is_idle(now):
            return interval
        progress = found.counts.done - run.latest.counts.done
        if progress <= 0:
            return interval
        left = (min(caps) - found.counts.done) * (now - run.read_at) / progress
        return min(interval, max(SHORTEST_PREDICTED_INTERVAL, left))

    # The runs of a task ------------------------------------------------------------------------------------

    def _begin_round(self, task: _Task) -> bool:
        """Decide how the runs of a task that are due are read; return whether by a page of its list."""
        if task.unseen is not None:
            return True
        now = self._loop.time()
        read_together = [run for run in task.runs.values() if not run.by_id]
        if not task.exploring and (len(task.runs) == 1 or now < task.by_id_until):
            for run in read_together:
                if run.due <= now:
                    self._queue_up_run(run, run.due)
            self._queue_up_task(task)
            return False
        task.unseen = {run.run_id for run in read_together if run.due <= now + AHEAD * run.interval}
        task.cursor, task.pages, task.wasted, task.seen = None, 0, 0, 0
        task.jitter = random.uniform(EARLIEST, 1.0)  # noqa: S311
        return True

    async def _read_page(self, task: _Task) -> None:
        from airflow_provider_online_tasks.api.async_client import skim_task_runs

        sent_at = self._loop.time()
        try:
            page = await self._send(skim_task_runs(task.task_id, self._runs, cursor=task.cursor))
        except CallError as error:
            task.asking = False
            self._page_not_read(task, error, sent_at)
        else:
            self._answered()
            await self._page_read(task, page)

    async def _page_read(self, task: _Task, page: Page[TaskRun]) -> None:
        unseen = task.unseen or set()
        before, explored = len(unseen), 0
        for number, found in enumerate(page.items, 1):
            if number % DELIVERED_AT_ONCE == 0:
                await asyncio.sleep(0)
            run = self._runs.get(found.id)
            if run is not None:
                explored += run.task_id is None
                self._assign(run, task.task_id)
                unseen.discard(found.id)
                self._deliver(run, found, task.jitter)
        task.asking = False
        task.list_failures = 0
        task.pages += 1
        task.seen += len(page.items)
        task.wasted = 0 if len(unseen) < before or explored else task.wasted + 1
        task.cursor = page.next_cursor
        # A page costs as much as one run read by its ID, and fruitless pages no more than all such runs.
        worth_it = len(unseen) > 1 + task.wasted or (explored > 1 and self._taskless > 0)
        if task.cursor is not None and worth_it:
            self._queue_up(task, task.at)
        else:
            self._end_round(task)

    def _end_round(self, task: _Task, *, by_id_intervals: int = 0) -> None:
        """Have the runs that the pages did not show read by their IDs, and wait for the next round."""
        unseen = task.unseen or set()
        task.unseen, task.exploring = None, False
        now = self._loop.time()
        if unseen and task.seen <= task.pages:
            by_id_intervals = max(by_id_intervals, task.by_id_next)
        if by_id_intervals and task.runs:
            shortest = min(run.interval for run in task.runs.values())
            task.by_id_until = now + by_id_intervals * shortest
            task.by_id_next = min(LONGEST_BY_ID, 2 * task.by_id_next)
        else:
            task.by_id_next = 1
        for run_id in unseen:
            run = task.runs[run_id]
            if not run.by_id:
                self._queue_up_run(run, min(run.due, now))
        self._queue_up_task(task)
        self._drop_if_idle(task)

    def _page_not_read(self, task: _Task, error: CallError, sent_at: float) -> None:
        now = self._loop.time()
        delay = 0.0
        if isinstance(error, NotFound | PermissionDenied | InputRefused):
            self._answered()
            self._end_round(task, by_id_intervals=LONGEST_BY_ID)
            return
        if isinstance(error, KeyRefused):
            self._key_refused(error, sent_at)
        else:
            self._pause(error, sent_at)
        if not isinstance(error, KeyRefused | RateLimited):
            task.list_failures += 1
            delay = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (task.list_failures - 1))
            if task.list_failures == 1:
                task.list_failing_since = now
            elif self._answered_at > task.list_failing_since:
                self._end_round(task, by_id_intervals=task.by_id_next)
                return
            else:
                # If one run can be read by its ID, it is the list that is at fault.
                probe = next((run for run in task.runs.values() if not run.by_id), None)
                if probe is not None:
                    self._queue_up_run(probe, now)
        if task.runs:
            self._queue_up(task, now + delay)
        else:
            self._end_round(task)

    # The state of the endpoint -----------------------------------------------------------------------------

    def _answered(self) -> None:
        """Note that the endpoint answers."""
        if self._pauses or self._refusals:
            log.info("%s answers again.", self.settings.endpoint.rest_url)
        self._pauses = self._refusals = 0
        self.trouble = None
        self._answered_at = self._loop.time()

    def _pause(self, error: CallError, sent_at: float) -> None:
        """Ask nothing for a while."""
        now = self._loop.time()
        asked_for = error.retry_after if isinstance(error, RateLimited | Unavailable) else None
        if sent_at >= self._paused_at:  # else it was under way when the pause began, and tells nothing new
            self._pauses += 1
            self._paused_at = now
        doublings = 2.0 ** (min(self._pauses, 10) - 1)
        if asked_for is not None:
            seconds = min(max(asked_for, FIRST_PAUSE), LONGEST_RETRY_AFTER)
        elif isinstance(error, RateLimited):
            seconds = min(FIRST_RATE_LIMIT_PAUSE * doublings, LONGEST_RATE_LIMIT_PAUSE)
        else:
            seconds = min(FIRST_PAUSE * doublings, LONGEST_PAUSE)
        self._paused_until = max(self._paused_until, now + seconds)
        if self.trouble is None:
            log.warning("Waits pause for %.0f s, and go on: %s", seconds, error)
        self.trouble = str(error)

    def _key_refused(self, error: KeyRefused, sent_at: float) -> None:
        """Give the key another chance, and give up on it when it stays refused."""
        now = self._loop.time()
        if sent_at >= self._paused_at:
            self._refusals += 1
        if self._refusals == 1:
            self._refused_since = now
        if self._refusals >= REFUSALS and now - self._refused_since >= REFUSED_SECONDS:
            self._fail_all(error)
            return
        self._paused_at = now
        self._paused_until = max(self._paused_until, now + CONFIRM_SECONDS * self._refusals)
        self.trouble = str(error)


def open_client(settings: Settings) -> AsyncClient:
    """Return a client. Takes a while, for certificates and imports: not on an event loop.

    :raises InvalidConnection: the CA bundle or the proxy cannot be used.
    """
    from airflow_provider_online_tasks.api.async_client import AsyncClient

    try:
        return AsyncClient(settings)
    except (OSError, ValueError) as error:
        raise InvalidConnection(
            f"No session to {settings.endpoint.rest_url} can be opened with the connection's CA bundle and "
            f"proxy: {type(error).__name__}: {error}"
        ) from None
