"""Poll all runs that a process waits for at one Arize endpoint, with as few requests as possible.

What is read
    Runs of one task are read together, by pages of the task's list (see
    :mod:`~airflow_provider_online_tasks.runs.polling.task_pages`). A run that the pages don't show, that is
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

from airflow_provider_online_tasks.exceptions import (
    AuthenticationFailed,
    BadRequest,
    CallError,
    NotFound,
    PermissionDenied,
    RateLimited,
    UnexpectedResponse,
)
from airflow_provider_online_tasks.runs.backoff import backoff
from airflow_provider_online_tasks.runs.polling.endpoint_state import (
    FIRST_PAUSE,
    FIRST_REJECTED_PAUSE,
    LONGEST_PAUSE,
    EndpointState,
)
from airflow_provider_online_tasks.runs.polling.schedule import PolledRun, Queue, Shortage, Wait
from airflow_provider_online_tasks.runs.polling.session import Session
from airflow_provider_online_tasks.runs.polling.task_pages import TaskPages
from airflow_provider_online_tasks.runs.wait_policy import REJECTED_SECONDS, run_unreachable

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.calls import Page
    from airflow_provider_online_tasks.api.responses import TaskRun
    from airflow_provider_online_tasks.api.settings import Settings
    from airflow_provider_online_tasks.runs.polling.budget import Budget

log = logging.getLogger(__name__)

# Waits that begin together, as after a restart of the triggerer, are read together.
GATHERING_SECONDS = 0.05
EARLIEST = 0.9
SHORTEST_INTERVAL = 0.05
# How often to look whether cancellations, which go first, have ended.
HELD_SECONDS = 0.2
# The waits for the runs of a page wake up in groups, so that the event loop serves others in between.
DELIVERED_AT_ONCE = 25

# A request that takes long makes room for another, so that slow responses don't stop everything.
MOST_IN_FLIGHT = 8
SLOW_SECONDS = 3.0
MOST_WITH_SLOW = 64


class Poller:
    """Serves the waits of one event loop for one endpoint and key, and ends with the last wait.

    It works in its own context, because the triggerer attributes log lines to triggers by context.

    :param settings: where and how to send.
    :param budget: how many requests may be sent.
    :param on_closed: called when the last wait has ended, and no new one is accepted.
    :param on_key_rejected: called when the key is rejected. It may move waits to another poller.
    """

    def __init__(
        self,
        settings: Settings,
        budget: Budget,
        *,
        on_closed: Callable[[], None],
        on_key_rejected: Callable[[], None],
    ) -> None:
        self.settings = settings
        self._budget = budget
        self._endpoint = EndpointState(settings.endpoint.rest_url)
        self._on_closed = on_closed
        self._on_key_rejected = on_key_rejected
        self._is_open = True
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
        """Start a wait. Its run is read at once.

        :param task_id: the run's task if it is known.
        """
        # In this order, NaN becomes the shortest interval too.
        interval = max(SHORTEST_INTERVAL, poll_interval)
        wait = Wait(self, self._run(run_id), conn_id=conn_id, poll_interval=interval)
        self._attach(wait, task_id)
        return wait

    def move(self, conn_id: str, other: Poller) -> None:
        """Move the waits that use a connection to another poller."""
        for wait in [wait for run in self._runs.values() for wait in run.waits if wait.conn_id == conn_id]:
            task_id = wait.run.task_id
            self.discard(wait)
            wait.server, wait.run = other, other._run(wait.run_id)
            other._attach(wait, task_id)

    def discard(self, wait: Wait) -> None:
        """End a wait, but not its run."""
        run = wait.run
        if wait in run.waits:
            run.waits.remove(wait)
            if not run.waits:
                self._forget(run)

    @property
    def trouble(self) -> str | None:
        """Why no run is read at the moment; None if runs are read."""
        return self._endpoint.trouble

    def count_waits(self) -> int:
        """Return the number of waits."""
        return sum(len(run.waits) for run in self._runs.values())

    def shortage(self, run: PolledRun) -> Shortage:
        """Return how late a run is read because of the request budget."""
        late = run.was_late
        if not run.in_flight and self._endpoint.trouble is None:
            late = max(late, self._loop.time() - max(run.due, self._endpoint.paused_until))
        return Shortage(late, self._budget.rate, self.count_waits())

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
        if run.task_id is None and task_id is not None and self._assign(run, task_id):
            run.by_id, run.ticket = run.in_flight, 0
        self.hasten(wait)

    def _fail(self, run: PolledRun, error: Exception) -> None:
        """End all waits for a run."""
        waits, run.waits = run.waits, []
        self._forget(run)
        for wait in waits:
            wait.fail(error)

    # -- Runs and their tasks. --

    def _run(self, run_id: str) -> PolledRun:
        return self._runs.setdefault(run_id, PolledRun(run_id=run_id))

    def _is_polled(self, run: PolledRun) -> bool:
        return self._runs.get(run.run_id) is run

    def _assign(self, run: PolledRun, task_id: str) -> bool:
        """Record the task of a run. Return False if the task's ID can't be part of a URL."""
        if run.task_id == task_id:
            return True
        task = self._tasks.get(task_id)
        if task is None:
            if not _can_list(task_id):
                return False
            task = self._tasks[task_id] = TaskPages(task_id=task_id)
        self._leave_task(run)
        run.task_id = task_id
        task.runs[run.run_id] = run
        return True

    def _leave_task(self, run: PolledRun) -> None:
        if run.task_id is not None:
            task = self._tasks[run.task_id]
            task.remove(run)
            self._forget_task_if_unused(task)

    def _forget_task_if_unused(self, task: TaskPages) -> None:
        if not task.runs and not task.in_flight and self._tasks.get(task.task_id) is task:
            task.ticket = 0
            del self._tasks[task.task_id]

    def _forget(self, run: PolledRun) -> None:
        """Stop reading a run, and close the poller if that was the last one."""
        del self._runs[run.run_id]
        run.ticket = 0
        self._leave_task(run)
        if not self._runs:
            self._close()

    def _close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._on_closed()
            self._wake.set()

    # -- The loop. --

    async def _serve(self) -> None:
        try:
            self._session = await Session.open(self.settings)
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
        finally:
            self._close()

    async def _send_next(self) -> None:
        """Send the next request, or wait until it may be sent or something has changed."""
        self._wake.clear()
        item, now, pause = self._queue.first(), self._loop.time(), None
        if item is not None:
            budget_at = self._budget.ready_at()
            if self._budget.is_held:
                budget_at = max(budget_at, now + HELD_SECONDS)
            ready_at = max(item.at, self._endpoint.paused_until)
            pause = max(ready_at, budget_at, self._place_free_at(now)) - now
            if pause <= 0:
                self._queue.pop()
                item.late = now - ready_at if budget_at > ready_at else 0.0
                if isinstance(item, PolledRun) or item.missing is not None or self._begin_round(item):
                    self._send(item)
                return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if pause == float("inf") else pause):
                await self._wake.wait()

    def _place_free_at(self, now: float) -> float:
        """Return when one more request may be in flight."""
        if len(self._requests) >= MOST_WITH_SLOW:
            return float("inf")
        # While it is in doubt whether the endpoint responds, one request is enough to find out.
        most = 1 if self._endpoint.is_in_doubt else MOST_IN_FLIGHT
        slow_at = sorted(item.sent_at + SLOW_SECONDS for item in self._requests)
        quick = [at for at in slow_at if at > now]
        return quick[-most] if len(quick) >= most else float("-inf")

    def _send(self, item: PolledRun | TaskPages) -> None:
        item.in_flight, item.sent_at = True, self._loop.time()
        self._budget.take(item.sent_at)
        self._requests[item] = self._loop.create_task(self._read(item))

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
        elif self._is_polled(item):
            self._fail(item, run_unreachable(item.run_id, error))

    def _queue_up(self, item: PolledRun | TaskPages, at: float) -> None:
        if self._queue.put(item, at):
            self._wake.set()

    def _queue_by_id(self, run: PolledRun, at: float) -> None:
        run.due, run.by_id, run.ticket = at, True, 0
        self._queue_up(run, at)

    def _queue_task(self, task: TaskPages) -> None:
        """Queue a task that is between two rounds for the first of its runs that is due."""
        if listed := task.listed():
            self._queue_up(task, min(run.due for run in listed))

    # -- Reading a run by its ID. --

    async def _read_run(self, run: PolledRun) -> None:
        from airflow_provider_online_tasks.api import calls

        found = problem = None
        try:
            found = await self._session.send(calls.get_task_run(run.run_id))
        except CallError as error:
            problem = error.with_traceback(None)  # which would keep the response in memory
        run.in_flight = False
        if found is not None:
            self._endpoint.responded()
        if not self._is_polled(run):
            return
        if problem is not None:
            self._run_failed(run, problem)
        elif found is not None:
            if found.task_id is not None:
                self._assign(run, found.task_id)
            self._deliver(run, found, _jitter(), source=run)

    def _run_failed(self, run: PolledRun, error: CallError) -> None:
        now = self._loop.time()
        run.count_failure(error, now)
        if isinstance(error, NotFound | PermissionDenied | BadRequest | UnexpectedResponse):
            run.trouble = str(error)
            if not isinstance(error, UnexpectedResponse):
                self._endpoint.responded()
            if run.rejections.end_wait(now) and self._is_fault_of(run, error):
                self._fail(run, run_unreachable(run.run_id, error, now - run.rejections.since))
                return
            first = FIRST_REJECTED_PAUSE
        else:
            self._endpoint_failed(error, run.sent_at)
            if not self._is_polled(run):
                return
            first = FIRST_PAUSE
        self._queue_by_id(run, now + backoff(run.failures, first=first, longest=LONGEST_PAUSE))

    def _is_fault_of(self, run: PolledRun, error: CallError) -> bool:
        """Return whether an error concerns one run. Unreadable responses may come for all of them."""
        return (
            not isinstance(error, UnexpectedResponse)
            or self._endpoint.responded_at > run.rejections.since
            or len(self._runs) == 1
        )

    def _endpoint_failed(self, error: CallError, sent_at: float) -> None:
        """Act on an error that says nothing about a single run."""
        if isinstance(error, RateLimited):
            self._budget.rate_limited(self._loop.time(), sent_at=sent_at)
        key_stays_rejected = self._endpoint.failed(error, sent_at=sent_at)
        if isinstance(error, AuthenticationFailed):
            self._on_key_rejected()
        if key_stays_rejected:
            for run in list(self._runs.values()):
                self._fail(run, run_unreachable(run.run_id, error, REJECTED_SECONDS))

    def _deliver(
        self, run: PolledRun, found: TaskRun, jitter: float, *, source: PolledRun | TaskPages
    ) -> None:
        """Hand a run to its waits, and schedule the next read.

        :param source: what the request was for.
        """
        waits = run.waits
        if found.is_over:
            run.waits = []
            self._forget(run)
        else:
            now = self._loop.time()
            # A page may show a run before it is due.
            run.was_late = max(0.0, min(source.late, source.sent_at - run.due))
            run.due = now + run.interval * jitter
            run.read_at = now
            run.clear_failures()
            if not run.in_flight:
                run.ticket, run.by_id = 0, run.task_id is None
            if run.by_id:
                self._queue_up(run, run.due)
            elif run.task_id is not None and (task := self._tasks[run.task_id]).missing is None:
                self._queue_up(task, run.due)
        for wait in waits:
            wait.deliver(found)

    # -- Reading the pages of a task. --

    def _begin_round(self, task: TaskPages) -> bool:
        """Start a round of pages; return False if the runs that are due are read by their IDs instead."""
        now = self._loop.time()
        if not task.prefers_ids(now):
            task.begin_round(now, _jitter())
            return True
        for run in task.listed():
            if run.due <= now:
                self._queue_by_id(run, run.due)
        self._queue_task(task)
        return False

    async def _read_page(self, task: TaskPages) -> None:
        from airflow_provider_online_tasks.api.calls import skim_task_runs

        try:
            page = await self._session.send(skim_task_runs(task.task_id, self._runs, cursor=task.cursor))
        except CallError as error:
            task.in_flight = False
            self._page_failed(task, error)
        else:
            self._endpoint.responded()
            await self._page_read(task, page)

    async def _page_read(self, task: TaskPages, page: Page[TaskRun]) -> None:
        for number, found in enumerate(page.items, 1):
            if number % DELIVERED_AT_ONCE == 0:
                await asyncio.sleep(0)
            run = self._runs.get(found.id)
            if run is not None:
                try:
                    self._assign(run, task.task_id)
                    self._deliver(run, found, task.jitter, source=task)
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

    def _page_failed(self, task: TaskPages, error: CallError) -> None:
        if isinstance(error, NotFound | PermissionDenied | BadRequest):
            self._endpoint.responded()
            self._end_round(task, use_ids=True)
            return
        now, delay = self._loop.time(), 0.0
        self._endpoint_failed(error, task.sent_at)
        if not isinstance(error, AuthenticationFailed | RateLimited):
            task.page_failed(now)
            if task.failures > 1 and self._endpoint.responded_at > task.failing_since:
                # Other requests succeed, so the list is at fault.
                self._end_round(task, use_ids=True)
                return
            if task.failures > 1 and (listed := task.listed()):
                # Read one run, to find out whether only the list fails.
                self._queue_by_id(listed[0], now)
            delay = backoff(task.failures, first=FIRST_PAUSE, longest=LONGEST_PAUSE)
        if task.runs:
            self._queue_up(task, now + delay)
        else:
            self._end_round(task)


def _can_list(task_id: str) -> bool:
    """Return whether a task's runs can be listed: the ID may come from a response."""
    from airflow_provider_online_tasks.api import calls

    try:
        calls.list_task_runs(task_id)
    except ValueError:
        return False
    return True


def _jitter() -> float:
    return random.uniform(EARLIEST, 1.0)  # noqa: S311
