"""Reads all the runs that a process waits for at one Arize, in as few requests as it can.

What is asked
    Runs of one task are read together, a page of the task's list at a time. The order of that list is not
    documented, so a run that a page does not show is looked for on the next page, or read by its ID,
    whichever is expected to need fewer requests; a task whose pages save nothing is read by IDs for a while.
    A run that is alone on its task, or whose task is not known yet, is read by its ID, which also names its
    task; then the task's list is searched for more of the runs whose task is not known.

When
    A run is read at once, and then again before ``poll_interval`` has passed, jitter making it up to a tenth
    earlier. So the end of a run is noticed within ``poll_interval`` while the budget suffices. When it does
    not, whoever has been due longest goes first, so every interval gets longer by the same time.

What goes wrong
    An answer that says nothing of a single run (rate limit, no answer, a refused key) pauses everything. Any
    other concerns the run it is about: it ends that run's waits if nothing else comes for minutes, and no
    other's. An error in here that is about one run or task ends the waits of that run or task alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import random
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_online_tasks.exceptions import (
    AuthenticationFailed,
    BadRequest,
    CallError,
    NotFound,
    PermissionDenied,
    RateLimited,
    Unavailable,
    UnexpectedResponse,
)
from airflow_provider_online_tasks.runs.polling.endpoint_state import (
    FIRST_PAUSE,
    FIRST_REFUSED_PAUSE,
    LONGEST_PAUSE,
    EndpointState,
    doubled,
)
from airflow_provider_online_tasks.runs.polling.in_flight import InFlight, open_client
from airflow_provider_online_tasks.runs.polling.registry import Registry
from airflow_provider_online_tasks.runs.polling.schedule import (
    LONGEST_BY_ID,
    Queue,
    Run,
    Shortage,
    Task,
    Wait,
)
from airflow_provider_online_tasks.runs.wait_policy import REJECTED_SECONDS, run_unreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_online_tasks.api.async_client import AsyncClient
    from airflow_provider_online_tasks.api.calls import Page, RestCall
    from airflow_provider_online_tasks.api.responses.runs import TaskRun
    from airflow_provider_online_tasks.api.settings import Settings
    from airflow_provider_online_tasks.runs.polling.budget import Budget

T = TypeVar("T")
log = logging.getLogger(__name__)

# Waits that begin together, as after a restart of the triggerer, are read together.
GATHERING_SECONDS = 0.05
EARLIEST = 0.9
# A round reads along what would soon be due: it makes the runs of a task come due together.
AHEAD = 0.25
SHORTEST_INTERVAL = 0.05
# While cancellations wait for their answers, nothing else is asked.
HELD_SECONDS = 0.2
# Those who wait for the runs of a page wake up in groups, between which the event loop serves others.
DELIVERED_AT_ONCE = 25

LONGEST_RUN_BACK_OFF = 60.0


class Poller:
    """Serves all waits of one event loop that share an Arize and a key.

    It ends with its last wait. It works in a context of its own, since the triggerer attributes what is
    logged by context.

    :param settings: where and how to ask.
    :param budget: how often.
    :param closed: called when the last wait is gone, and no new one is accepted any more.
    :param key_refused: called when the key is refused; it may move waits to another poller.
    """

    _client: AsyncClient

    def __init__(
        self,
        settings: Settings,
        budget: Budget,
        closed: Callable[[], None],
        key_refused: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings = settings
        self.budget = budget
        self._closed = closed
        self._report_refused_key = key_refused
        self._open = True
        self._loop = asyncio.get_running_loop()
        self._endpoint = EndpointState(settings.endpoint.rest_url)
        self._registry = Registry()
        self._explored: set[str] = set()
        self._queue = Queue()
        self._in_flight = InFlight()
        self._wake = asyncio.Event()
        self._work = self._loop.create_task(
            self._serve(), name="online-tasks-poller", context=contextvars.Context()
        )

    # Waits come and go -------------------------------------------------------------------------------------

    @property
    def trouble(self) -> str | None:
        """Why nothing is being read at the moment, if so."""
        return self._endpoint.trouble

    def count_waits(self) -> int:
        """Return how many waits there are."""
        return sum(len(run.waits) for run in self._registry.runs.values())

    def shortage(self, run: Run) -> Shortage:
        """Return how late a run is read because of the request budget."""
        overdue = 0.0
        if not run.asking and self._endpoint.trouble is None:
            overdue = self._loop.time() - max(run.due, self._endpoint.paused_until)
        return Shortage(max(run.was_late, overdue), self.budget.rate, self.count_waits())

    def add(
        self,
        run_id: str,
        task_id: str | None,
        *,
        conn_id: str = "",
        poll_interval: float,
    ) -> Wait:
        """Begin a wait. The run is read at once."""
        run = self._registry.run(run_id)
        # In this order, it takes NaN for the shortest interval too.
        interval = max(SHORTEST_INTERVAL, poll_interval)
        wait = Wait(self, run, conn_id=conn_id, poll_interval=interval)
        self._begin(wait, task_id)
        return wait

    def move(self, conn_id: str, other: Poller) -> None:
        """Have the waits that were begun with a connection served by another poller from now on."""
        moved = [
            wait for run in self._registry.runs.values() for wait in run.waits if wait.conn_id == conn_id
        ]
        for wait in moved:
            task_id = wait.run.task_id
            self.discard(wait)
            wait.server, wait.run = other, other._registry.run(wait.run_id)
            other._begin(wait, task_id)

    def _begin(self, wait: Wait, task_id: str | None) -> None:
        run = wait.run
        run.waits.append(wait)
        if run.task_id is None and task_id is not None and self._registry.can_list(task_id):
            run.by_id, run.ticket = run.asking, 0
            self._registry.assign(run, task_id)
        self._hasten(run)

    def _hasten(self, run: Run) -> None:
        run.due = now = self._loop.time()
        if run.by_id or run.task_id is None:
            self._queue_up(run, now)
        else:
            self._queue_up(self._registry.tasks[run.task_id], now + GATHERING_SECONDS)

    def hasten(self, wait: Wait) -> None:
        """Read a wait's run at once."""
        run = self._registry.runs.get(wait.run_id)
        if run is not None:
            self._hasten(run)

    def discard(self, wait: Wait) -> None:
        """End a wait, and nothing else."""
        run = self._registry.runs.get(wait.run_id)
        if run is not None and wait in run.waits:
            run.waits.remove(wait)
            if not run.waits:
                self._remove(run)

    def _remove(self, run: Run) -> None:
        self._registry.remove(run)
        if not self._registry.runs:
            self._close()

    def _close(self) -> None:
        """Accept no more waits, and stop."""
        if self._open:
            self._open = False
            self._closed()
            self._wake.set()

    def _fail(self, run: Run, error: Exception) -> None:
        waits, run.waits = run.waits, []
        self._remove(run)
        for wait in waits:
            wait.fail(error)

    def _fail_all(self, error: Exception) -> None:
        for run in list(self._registry.runs.values()):
            self._fail(run, error)

    # The queue ---------------------------------------------------------------------------------------------

    def _queue_up(self, item: Run | Task, at: float) -> None:
        if self._queue.put(item, at):
            self._wake.set()

    def _queue_up_task(self, task: Task) -> None:
        """Put a task that is between two rounds into the queue for the first of its runs that is due."""
        due = [run.due for run in task.runs.values() if not run.by_id]
        if due:
            self._queue_up(task, min(due))

    def _queue_up_run(self, run: Run, due: float) -> None:
        """Have a run read by its ID."""
        run.due, run.by_id, run.ticket = due, True, 0
        self._queue_up(run, due)

    # Asking ------------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        try:
            self._client = await asyncio.to_thread(open_client, self.settings)
            try:
                while self._registry.runs:
                    await self._ask_next()
            finally:
                await self._in_flight.cancel()
                await self._client.close()
        except Exception as error:  # noqa: BLE001  a poller that ends otherwise would leave its waits hanging
            self._fail_all(error)
        finally:
            self._close()

    async def _ask_next(self) -> None:
        """Ask about the next item, or wait until that may be done or anything has changed."""
        self._wake.clear()
        item, wait, now = self._queue.first(), None, self._loop.time()
        if item is not None:
            free_since = max(
                self._endpoint.paused_until,
                self._in_flight.place_free_at(now, in_doubt=self._endpoint.is_in_doubt),
            )
            budget_at = self.budget.ready_at()
            if self.budget.held:
                budget_at = max(budget_at, now + HELD_SECONDS)
            wait = max(item.at, free_since, budget_at) - now
            if wait <= 0:
                self._queue.pop()
                is_short = budget_at > max(item.at, self._endpoint.paused_until)
                item.free_since = self._endpoint.paused_until if is_short else None
                self._ask(item)
                return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if wait == float("inf") else wait):
                await self._wake.wait()

    def _ask(self, item: Run | Task) -> None:
        """Ask about an item that is due. An error in here ends what it is about, and nothing else."""
        try:
            if isinstance(item, Run):
                read = self._read_run(item)
            elif self._begin_round(item):
                read = self._read_page(item)
            else:
                return
        except Exception as error:  # noqa: BLE001
            self._give_up(item, error)
            return
        item.asking, item.sent_at = True, self._loop.time()
        self.budget.take(item.sent_at)
        request = self._loop.create_task(read)
        self._in_flight.add(request, item)
        request.add_done_callback(self._asked)

    def _asked(self, request: asyncio.Task[None]) -> None:
        item = self._in_flight.pop(request)
        self._wake.set()
        if not request.cancelled() and (error := request.exception()) is not None:
            self._give_up(item, error)

    def _give_up(self, item: Run | Task, error: BaseException) -> None:
        """End the waits for a run; have the runs of a task read by their IDs."""
        item.asking = False
        outcome = "ended one wait" if isinstance(item, Run) else "has runs read one by one"
        log.warning("An unexpected error %s; the others go on: %s: %s", outcome, type(error).__name__, error)
        if isinstance(item, Run):
            if self._registry.has(item):
                self._fail(item, run_unreachable(item.run_id, error))
            return
        try:
            self._end_round(item, by_id_intervals=LONGEST_BY_ID)
        except Exception as again:  # noqa: BLE001
            for run in list(item.runs.values()):
                self._fail(run, run_unreachable(run.run_id, again))

    async def _send(self, call: RestCall[T]) -> T:
        try:
            # No answer takes longer, however slowly its parts come.
            async with asyncio.timeout(self.settings.timeout):
                return await self._client.send(call)
        except TimeoutError:
            host, bound = self.settings.endpoint.rest_url, self.settings.timeout
            raise Unavailable(f"{call.name} at {host}: no whole answer within {bound:g} s") from None
        except CallError:
            raise
        except Exception as error:  # noqa: BLE001  nothing that one call meets may end the others
            host = self.settings.endpoint.rest_url
            raise UnexpectedResponse(f"{call.name} at {host}: {type(error).__name__}: {error}") from None

    # A run by its ID ---------------------------------------------------------------------------------------

    async def _read_run(self, run: Run) -> None:
        from airflow_provider_online_tasks.api import calls

        found = problem = None
        try:
            found = await self._send(calls.get_task_run(run.run_id))
        except CallError as error:
            # Its traceback would hold this call, and the answer with it.
            found, problem = None, error.with_traceback(None)
        run.asking = False
        if found is not None:
            self._endpoint.answered()
        if not self._registry.has(run):
            return
        if found is not None:
            self._run_read(run, found)
        elif problem is not None:
            self._run_not_read(run, problem)

    def _run_read(self, run: Run, found: TaskRun) -> None:
        task_id = found.task_id
        if task_id is not None and self._registry.can_list(task_id):
            self._registry.assign(run, task_id)
            task = self._registry.task(task_id)
            if task.unseen is not None:
                task.unseen.discard(run.run_id)
            if self._registry.taskless and task_id not in self._explored:
                # The list of a task that was not known may show more of the runs whose task is not known.
                self._explored.add(task_id)
                task.exploring = True
                self._queue_up(task, float("-inf"))
        if not self._registry.taskless:
            self._explored.clear()
        self._deliver(run, found, random.uniform(EARLIEST, 1.0), asked=run)  # noqa: S311

    def _run_not_read(self, run: Run, error: CallError) -> None:
        now = self._loop.time()
        run.count_failure(error, now)
        if isinstance(error, NotFound | PermissionDenied | BadRequest):
            self._endpoint.answered()
            self._run_in_trouble(run, error, now + doubled(FIRST_REFUSED_PAUSE, run.failures, LONGEST_PAUSE))
        elif isinstance(error, UnexpectedResponse):
            self._run_in_trouble(run, error, now + doubled(run.interval, run.failures, LONGEST_RUN_BACK_OFF))
        else:
            self._unanswered(error, run.sent_at)
            if self._registry.has(run):
                is_no_answer = not isinstance(error, AuthenticationFailed | RateLimited)
                delay = doubled(FIRST_PAUSE, run.failures, LONGEST_PAUSE) if is_no_answer else 0.0
                self._queue_up_run(run, now + delay)

    def _run_in_trouble(self, run: Run, error: CallError, again_at: float) -> None:
        """Read a run again later; when it has been in the same trouble for long, end its waits."""
        run.trouble = str(error)
        now = self._loop.time()
        # When nothing else can be read either, an unreadable answer is no fault of this run.
        certain = (
            not isinstance(error, UnexpectedResponse)
            or self._endpoint.answered_at > run.rejections.since
            or len(self._registry.runs) == 1
        )
        if certain and run.rejections.end_wait(now):
            self._fail(run, run_unreachable(run.run_id, error, now - run.rejections.since))
        else:
            self._queue_up_run(run, again_at)

    def _unanswered(self, error: CallError, sent_at: float) -> None:
        """Act on an answer that says nothing of what was asked."""
        if isinstance(error, AuthenticationFailed):
            since_long = self._endpoint.refused(error, sent_at)
            self._report_refused_key()
            if since_long:
                for run in list(self._registry.runs.values()):
                    self._fail(run, run_unreachable(run.run_id, error, REJECTED_SECONDS))
            return
        if isinstance(error, RateLimited):
            self.budget.refused(self._loop.time(), sent_at=sent_at)
        self._endpoint.pause(error, sent_at)

    def _deliver(self, run: Run, found: TaskRun, jitter: float, *, asked: Run | Task) -> None:
        """Hand a run that was read to all who wait for it, and set when it is read again."""
        if found.is_over:
            waits, run.waits = run.waits, []
            self._remove(run)
        else:
            now = self._loop.time()
            waits = run.waits
            run.was_late = 0.0 if asked.free_since is None else asked.late(run.due)
            run.due = now + run.interval * jitter
            run.latest, run.read_at = found, now
            run.clear_failures()
            if not run.asking:
                run.ticket, run.by_id = 0, run.task_id is None
            if run.by_id:
                self._queue_up(run, run.due)
            elif run.task_id is not None and (task := self._registry.tasks[run.task_id]).unseen is None:
                self._queue_up(task, run.due)
        for wait in waits:
            wait.deliver(found)

    # The runs of a task ------------------------------------------------------------------------------------

    def _begin_round(self, task: Task) -> bool:
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
        due = {run.run_id for run in read_together if run.due <= now + AHEAD * run.interval}
        task.begin_round(due, random.uniform(EARLIEST, 1.0))  # noqa: S311
        return True

    async def _read_page(self, task: Task) -> None:
        from airflow_provider_online_tasks.api.async_client import skim_task_runs

        try:
            page = await self._send(skim_task_runs(task.task_id, self._registry.runs, cursor=task.cursor))
        except CallError as error:
            task.asking = False
            self._page_not_read(task, error)
        else:
            self._endpoint.answered()
            await self._page_read(task, page)

    async def _page_read(self, task: Task, page: Page[TaskRun]) -> None:
        unseen = task.unseen or set()
        before, explored = len(unseen), 0
        for number, found in enumerate(page.items, 1):
            if number % DELIVERED_AT_ONCE == 0:
                await asyncio.sleep(0)
            run = self._registry.runs.get(found.id)
            if run is not None:
                explored += run.task_id is None
                unseen.discard(found.id)
                try:
                    self._registry.assign(run, task.task_id)
                    self._deliver(run, found, task.jitter, asked=task)
                except Exception as error:  # noqa: BLE001  it must not hide its neighbours
                    self._give_up(run, error)
        task.asking = False
        awaited = before - len(unseen)
        task.count_page(len(page.items), awaited=awaited, explored=explored, next_cursor=page.next_cursor)
        if task.wants_next_page(taskless=self._registry.taskless):
            task.cursors.add(task.cursor)
            self._queue_up(task, task.at)
        else:
            self._end_round(task)

    def _end_round(self, task: Task, *, by_id_intervals: int = 0) -> None:
        """Have the runs that the pages did not show read by their IDs, and wait for the next round."""
        now = self._loop.time()
        for run_id in task.end_round(now, by_id_intervals=by_id_intervals):
            run = task.runs[run_id]
            if not run.by_id:
                self._queue_up_run(run, min(run.due, now))
        self._queue_up_task(task)
        self._registry.drop_if_idle(task)

    def _page_not_read(self, task: Task, error: CallError) -> None:
        now = self._loop.time()
        delay = 0.0
        if isinstance(error, NotFound | PermissionDenied | BadRequest):
            self._endpoint.answered()
            self._end_round(task, by_id_intervals=LONGEST_BY_ID)
            return
        self._unanswered(error, task.sent_at)
        if not isinstance(error, AuthenticationFailed | RateLimited):
            fails_again = task.count_list_failure(now)
            delay = doubled(FIRST_PAUSE, task.list_failures, LONGEST_PAUSE)
            if fails_again and self._endpoint.answered_at > task.list_failing_since:
                self._end_round(task, by_id_intervals=task.by_id_next)
                return
            # If one run can be read by its ID, it is the list that is at fault.
            probe = next((run for run in task.runs.values() if not run.by_id), None)
            if fails_again and probe is not None:
                self._queue_up_run(probe, now)
        if task.runs:
            self._queue_up(task, now + delay)
        else:
            self._end_round(task)
