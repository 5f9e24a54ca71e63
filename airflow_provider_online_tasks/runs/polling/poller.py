"""Poll all runs that a process waits for at one Arize endpoint, with as few requests as possible.

What is read
    Runs of one task are read together, by pages of the task's list. A run that the pages don't show, that is
    the only one of its task, or whose task is not known yet is read by its ID. The response names its task.

When
    A run is read at once, and then every ``poll_interval`` or up to a tenth earlier. If the budget doesn't
    suffice, the run that has been due longest comes first, so all intervals grow by the same time.

Errors
    An error that says nothing about a single run (rate limit, no response, rejected key) pauses all requests.
    Any other error concerns one run: if nothing else comes for 5 minutes, it ends the waits for that run. A
    bug that concerns one run or task ends the waits for that run or task only.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow_provider_online_tasks import exceptions
from airflow_provider_online_tasks.api import calls, responses
from airflow_provider_online_tasks.api.async_client import AsyncClient
from airflow_provider_online_tasks.runs import wait_policy
from airflow_provider_online_tasks.runs.polling.schedule import PolledRun, Queue, TaskPages, Wait

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.settings import Settings
    from airflow_provider_online_tasks.runs.polling.budget import Budget

log = logging.getLogger(__name__)

# Waits that begin together, as after a restart of the triggerer, are read together.
GATHERING_SECONDS = 0.05
SHORTEST_INTERVAL = 0.05
# A run is due again at a random time from this part of its interval on, so that tasks take turns.
EARLIEST = 0.9
# How often to look whether cancellations, which go first, have ended.
HELD_SECONDS = 0.2
# The waits for the runs of a page wake up in groups, so that the event loop serves others in between.
DELIVERED_AT_ONCE = 25

# A request that takes long makes room for another, so that slow responses don't stop everything.
MOST_IN_FLIGHT = 8
SLOW_SECONDS = 3.0
MOST_WITH_SLOW = 64

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
FIRST_REJECTED_PAUSE = 2.0
LONGEST_RATE_LIMIT_PAUSE = 60.0

# Errors that concern the run or task of the request. Others concern all requests.
REFUSED = (exceptions.NotFound, exceptions.PermissionDenied, exceptions.BadRequest)
# An unreadable page is read again first, because that costs less than to read its runs by their IDs.
REFUSED_RUN = (*REFUSED, exceptions.UnexpectedResponse)


class Poller:
    """Serves the waits of one event loop for one endpoint and key, and ends with the last wait.

    No wait may be added once it has called `on_closed`. `on_settings_doubtful` may move waits to another
    poller.
    It works in its own context, because the triggerer attributes log lines to triggers by context.
    """

    def __init__(
        self,
        settings: Settings,
        budget: Budget,
        *,
        on_closed: Callable[[], None],
        on_settings_doubtful: Callable[[], None],
    ) -> None:
        self.settings = settings
        self._budget = budget
        self.endpoint = EndpointState(settings.endpoint.rest_url)
        self._on_closed = on_closed
        self._on_settings_doubtful = on_settings_doubtful
        self._loop = asyncio.get_running_loop()
        self._runs: dict[str, PolledRun] = {}
        self._tasks: dict[str, TaskPages] = {}
        self._queue: Queue[PolledRun | TaskPages] = Queue()
        self._requests: dict[PolledRun | TaskPages, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self.work = self._loop.create_task(
            self._serve(), name="online-tasks-poller", context=contextvars.Context()
        )

    # -- Waits. --

    def add(self, run_id: str, task_id: str | None, *, conn_id: str, poll_interval: float) -> Wait:
        """Start a wait. Its run is read at once."""
        run = self._runs.setdefault(run_id, PolledRun(run_id=run_id))
        # In this order, NaN becomes the shortest interval too.
        interval = max(SHORTEST_INTERVAL, poll_interval)
        wait = Wait(self, run, conn_id=conn_id, poll_interval=interval)
        self._attach(wait, task_id)
        return wait

    def move(self, conn_id: str, other_poller: Callable[[], Poller]) -> None:
        """Move the waits that use a connection to another poller, which starts only if there are any."""
        for wait in [wait for run in self._runs.values() for wait in run.waits if wait.conn_id == conn_id]:
            run_id, task_id = wait.run.run_id, wait.run.task_id
            self.discard(wait)
            other: Poller = other_poller()
            wait.server = other
            wait.run = other._runs.setdefault(run_id, PolledRun(run_id=run_id))
            other._attach(wait, task_id)

    def discard(self, wait: Wait) -> None:
        """End a wait, but not its run."""
        run = wait.run
        if wait in run.waits:
            run.waits.remove(wait)
            if not run.waits:
                self._forget(run)

    def count_runs(self) -> int:
        """Return the number of runs that are waited for."""
        return len(self._runs)

    @property
    def requests_per_minute(self) -> float:
        """How many requests the budget allows at present."""
        return self._budget.rate

    def seconds_late(self, run: PolledRun) -> float:
        """Return how late a run is read because of the request budget."""
        if run.in_flight or self.endpoint.trouble is not None:
            return run.was_late
        return max(run.was_late, self._lateness(run, self._loop.time()))

    def hasten(self, wait: Wait) -> None:
        """Read the run of a wait at once."""
        run, now = wait.run, self._loop.time()
        if not run.waits:
            return
        run.due = now
        if run.by_id or run.task_id is None:
            self._queue_up(run, now)
        else:
            self._queue_up(self._tasks[run.task_id], now + GATHERING_SECONDS)

    def _attach(self, wait: Wait, task_id: str | None) -> None:
        run = wait.run
        run.waits.append(wait)
        if run.task_id is None and task_id is not None:
            self._assign(run, task_id)
            run.by_id, run.ticket = run.in_flight, 0
        self.hasten(wait)

    def _lateness(self, run: PolledRun, at: float) -> float:
        return at - max(run.due, self.endpoint.paused_until)

    def _assign(self, run: PolledRun, task_id: str | None) -> None:
        """Move a run to the task with this ID; None if it is not read any more."""
        if run.task_id == task_id:
            return
        if run.task_id is not None:
            task = self._tasks[run.task_id]
            task.remove(run)
            self._forget_task_if_unused(task)
        run.task_id = task_id
        if task_id is not None:
            self._tasks.setdefault(task_id, TaskPages(task_id=task_id)).runs[run.run_id] = run

    def _forget(self, run: PolledRun) -> None:
        """Stop reading a run, and close the poller if that was the last one."""
        del self._runs[run.run_id]
        run.ticket = 0
        self._assign(run, None)
        if not self._runs:
            self._on_closed()
            self._wake.set()

    def _forget_task_if_unused(self, task: TaskPages) -> None:
        if not task.runs and not task.in_flight and self._tasks.get(task.task_id) is task:
            task.ticket = 0
            del self._tasks[task.task_id]

    def _fail(self, run: PolledRun, error: Exception) -> None:
        """End all waits for a run."""
        waits, run.waits = run.waits, []
        self._forget(run)
        for wait in waits:
            wait.fail(error)

    # -- The loop. --

    async def _serve(self) -> None:
        try:
            self._session = await AsyncClient.open(self.settings)
            try:
                while self._runs:
                    await self._send_next()
            finally:
                requests = list(self._requests.values())
                for request in requests:
                    request.cancel()
                await asyncio.gather(*requests, return_exceptions=True)
                await self._session.close()
        except Exception as error:  # noqa: BLE001  no wait may hang because its poller has ended
            for run in list(self._runs.values()):
                self._fail(run, error)

    async def _send_next(self) -> None:
        """Send the next request, or wait until it may be sent or something has changed."""
        self._wake.clear()
        item, now, pause = self._queue.first(), self._loop.time(), None
        if item is not None:
            ready_at = max(
                item.at, self.endpoint.paused_until, self._budget.ready_at(), self._place_free_at(now)
            )
            if self._budget.is_held:
                ready_at = max(ready_at, now + HELD_SECONDS)
            pause = ready_at - now
            if pause <= 0:
                self._queue.pop()
                if isinstance(item, PolledRun) or item.missing is not None or self._begin_round(item):
                    item.in_flight, item.sent_at = True, now
                    self._budget.take(now)
                    self._requests[item] = self._loop.create_task(self._read(item))
                return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._wake.wait()

    def _place_free_at(self, now: float) -> float:
        """Return when one more request may be in flight."""
        if len(self._requests) >= MOST_WITH_SLOW:
            return now + SLOW_SECONDS
        # While it is in doubt whether the endpoint responds, one request is enough to find out.
        most = 1 if self.endpoint.is_in_doubt else MOST_IN_FLIGHT
        slow_at = sorted(at for item in self._requests if (at := item.sent_at + SLOW_SECONDS) > now)
        return slow_at[-most] if len(slow_at) >= most else now

    async def _read(self, item: PolledRun | TaskPages) -> None:
        """Send a request and act on the response. A bug in here affects the item, and no others."""
        try:
            if isinstance(item, PolledRun):
                await self._read_run(item)
            else:
                await self._read_page(item)
        except Exception as error:  # noqa: BLE001
            self._give_up(item, error)
        finally:
            del self._requests[item]
            self._wake.set()

    def _give_up(self, item: PolledRun | TaskPages, error: Exception) -> None:
        """After an unexpected error, end the waits for a run, or read the runs of a task by their IDs."""
        item.in_flight = False
        outcome = "ends the waits for one run" if isinstance(item, PolledRun) else "disables one task's pages"
        log.warning("An unexpected error %s: %s: %s", outcome, type(error).__name__, error)
        if isinstance(item, TaskPages):
            self._end_round(item, use_ids=True)
        elif item.waits:
            self._fail(item, wait_policy.run_unreachable(item.run_id, error))

    def _queue_up(self, item: PolledRun | TaskPages, at: float) -> None:
        if self._queue.put(item, at):
            self._wake.set()

    def _queue_by_id(self, run: PolledRun, at: float) -> None:
        run.due, run.by_id, run.ticket = at, True, 0
        self._queue_up(run, at)

    def _deliver(
        self, run: PolledRun, found: responses.TaskRun, source: PolledRun | TaskPages, due_after: float
    ) -> None:
        """Hand a run to its waits, and schedule the next read after this part of its interval."""
        waits = run.waits
        if found.is_over:
            run.waits = []
            self._forget(run)
        else:
            # A page may show a run before it is due.
            run.was_late = max(0.0, self._lateness(run, source.sent_at))
            run.due = self._loop.time() + due_after * run.interval
            run.failures, run.trouble = 0, None
            run.rejections.clear()
            if not run.in_flight:
                run.ticket, run.by_id = 0, run.task_id is None
            if run.by_id:
                self._queue_up(run, run.due)
            elif run.task_id is not None and (task := self._tasks[run.task_id]).missing is None:
                self._queue_up(task, run.due)
        for wait in waits:
            wait.deliver(found)

    def _endpoint_failed(self, error: exceptions.CallError, sent_at: float) -> None:
        """Act on an error that says nothing about a single run."""
        if isinstance(error, exceptions.RateLimited):
            self._budget.rate_limited(self._loop.time(), sent_at=sent_at)
        if self.endpoint.failed(error, sent_at=sent_at):
            for run in list(self._runs.values()):
                self._fail(run, wait_policy.run_unreachable(run.run_id, error, wait_policy.REJECTED_SECONDS))

    # -- Reading a run by its ID. --

    async def _read_run(self, run: PolledRun) -> None:
        try:
            found = await self._session.send(calls.get_task_run(run.run_id))
        except exceptions.CallError as error:
            run.in_flight = False
            if run.waits:
                # The traceback would keep the response in memory.
                self._run_failed(run, error.with_traceback(None))
            return
        run.in_flight = False
        self.endpoint.responded()
        if run.waits:
            self._assign(run, found.task_id or run.task_id)
            self._deliver(run, found, run, random.uniform(EARLIEST, 1.0))  # noqa: S311

    def _run_failed(self, run: PolledRun, error: exceptions.CallError) -> None:
        now, first = self._loop.time(), FIRST_PAUSE
        run.failures += 1
        if wait_policy.connection_may_have_changed(error):
            self._on_settings_doubtful()
        if isinstance(error, wait_policy.REJECTIONS):
            run.rejections.add(now)
        else:
            run.rejections.clear()
        if isinstance(error, REFUSED_RUN):
            run.trouble, first = str(error), FIRST_REJECTED_PAUSE
            self.endpoint.responded()
        else:
            self._endpoint_failed(error, run.sent_at)
        if run.waits and run.rejections.end_wait(now):
            self._fail(run, wait_policy.run_unreachable(run.run_id, error, now - run.rejections.since))
        elif run.waits:
            pause = wait_policy.backoff(run.failures, first=first, longest=LONGEST_PAUSE)
            self._queue_by_id(run, now + pause)

    # -- Reading the pages of a task. --

    def _begin_round(self, task: TaskPages) -> bool:
        """Start a round of pages; return False if the runs that are due are read by their IDs instead."""
        now = self._loop.time()
        if not task.prefers_ids(now):
            task.begin_round(now)
            return True
        for run in task.listed():
            if run.due <= now:
                self._queue_by_id(run, run.due)
        self._queue_task(task)
        return False

    def _queue_task(self, task: TaskPages) -> None:
        """Queue a task that is between two rounds for the first of its runs that is due."""
        if listed := task.listed():
            self._queue_up(task, min(run.due for run in listed))

    async def _read_page(self, task: TaskPages) -> None:
        try:
            call = calls.skim_task_runs(task.task_id, self._runs, cursor=task.cursor)
            page = await self._session.send(call)
        except exceptions.CallError as error:
            task.in_flight = False
            self._page_failed(task, error)
            return
        except ValueError:  # the task's ID, which may come from a response, can't be part of a URL
            task.in_flight = False
            self._end_round(task, use_ids=True)
            return
        self.endpoint.responded()
        due_after = random.uniform(EARLIEST, 1.0)  # noqa: S311
        for number, found in enumerate(page.items, 1):
            if number % DELIVERED_AT_ONCE == 0:
                await asyncio.sleep(0)
            run = self._runs.get(found.id)
            if run is not None:
                try:
                    self._assign(run, task.task_id)
                    self._deliver(run, found, task, due_after)
                except Exception as error:  # noqa: BLE001  the other runs of the page are still delivered
                    self._give_up(run, error)
        task.in_flight = False
        if task.add_page({found.id for found in page.items}, page.next_cursor):
            self._queue_up(task, task.at)
        else:
            self._end_round(task)

    def _end_round(self, task: TaskPages, *, use_ids: bool = False) -> None:
        """Read the runs that the pages did not show by their IDs, and wait for the next round."""
        now = self._loop.time()
        for run_id in task.end_round(now, use_ids=use_ids):
            run = task.runs[run_id]
            if not run.by_id:
                self._queue_by_id(run, min(run.due, now))
        self._queue_task(task)
        self._forget_task_if_unused(task)

    def _page_failed(self, task: TaskPages, error: exceptions.CallError) -> None:
        now, is_list_at_fault = self._loop.time(), isinstance(error, REFUSED)
        if wait_policy.connection_may_have_changed(error):
            self._on_settings_doubtful()
        if is_list_at_fault:
            self.endpoint.responded()
        else:
            self._endpoint_failed(error, task.sent_at)
            if not isinstance(error, exceptions.RateLimited):
                if task.failing_since is None:
                    task.failing_since = now
                elif self.endpoint.responded_at > task.failing_since:
                    is_list_at_fault = True
                elif listed := task.listed():
                    # Read one run, to find out whether only the list fails.
                    self._queue_by_id(listed[0], now)
        if is_list_at_fault or not task.runs:
            self._end_round(task, use_ids=is_list_at_fault)
        else:
            self._queue_up(task, now)


class EndpointState:
    """What the responses to all requests say about one endpoint and key."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._loop = asyncio.get_running_loop()
        self.trouble: str | None = None
        self.paused_until = float("-inf")
        self.responded_at = float("-inf")
        self._paused_at = float("-inf")
        self._failures = 0
        self._rejections = wait_policy.Rejections()

    @property
    def is_in_doubt(self) -> bool:
        """Whether the last response said nothing about the run that was asked for."""
        return self._failures > 0

    def responded(self) -> None:
        """Record a response: the endpoint works."""
        if self.is_in_doubt:
            log.info("%s responds again.", self._url)
        self._failures = 0
        self._rejections.clear()
        self.trouble = None
        self.responded_at = self._loop.time()

    def failed(self, error: exceptions.CallError, *, sent_at: float) -> bool:
        """Pause all requests after an error that concerns no run in particular.

        :param sent_at: when the request was sent. If that was before the last pause began, the error doesn't
            make the pause longer.
        :return: whether requests have been rejected for so long that the waits end.
        """
        now = self._loop.time()
        if sent_at >= self._paused_at or not self._failures:
            self._failures += 1
            self._paused_at = now
            if isinstance(error, wait_policy.REJECTIONS):
                self._rejections.add(now)
            else:
                self._rejections.clear()
        first, longest = FIRST_PAUSE, LONGEST_PAUSE
        if isinstance(error, exceptions.RateLimited):
            first, longest = wait_policy.FIRST_RATE_LIMIT_PAUSE, LONGEST_RATE_LIMIT_PAUSE
        elif isinstance(error, exceptions.AuthenticationFailed):
            first = FIRST_REJECTED_PAUSE
        seconds = wait_policy.backoff(self._failures, first=first, longest=longest)
        if (
            isinstance(error, exceptions.RateLimited | exceptions.Unavailable)
            and error.retry_after is not None
        ):
            seconds = min(max(error.retry_after, FIRST_PAUSE), wait_policy.LONGEST_RETRY_AFTER)
        self.paused_until = max(self.paused_until, now + seconds)
        if self.trouble is None:
            log.warning("Waits pause for %.0f s and then continue: %s", seconds, error)
        self.trouble = str(error)
        return self._rejections.end_wait(now)
