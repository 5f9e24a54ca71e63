"""Wait in the triggerer until a run finishes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import time
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_online_tasks._defaults import DEFAULT_POLL_INTERVAL
from airflow_provider_online_tasks._text import on_one_line
from airflow_provider_online_tasks.api.responses import RunStatus, TaskRun
from airflow_provider_online_tasks.exceptions import InvalidInput, OnlineTasksError
from airflow_provider_online_tasks.inputs.arguments import suggests_names
from airflow_provider_online_tasks.runs.wait_policy import QUIET_SECONDS, ProgressLog
from airflow_provider_online_tasks.triggers.events import ERROR, FINISHED, TIMEOUT, Outcome, RunEvent

if TYPE_CHECKING:
    from airflow_provider_online_tasks.runs.polling.schedule import Wait

# Airflow fails a deferred task whose event comes before its scheduler has noted that the worker is done.
EARLIEST_EVENT_SECONDS = 5.0
# The task's log reports polls that are later than this because of the request budget.
LATE_SECONDS = 10.0
# Maximum length of the last poll, after the deadline.
LAST_POLL_SECONDS = 30.0
# Airflow gives on_kill 30 seconds. The outcome has to be logged within them.
CANCEL_SECONDS = 24.0
# Airflow passes the triggers of a triggerer that is silent for 30 seconds to another one.
REPLACED_SECONDS = 60.0
ASK_AGAIN_SECONDS = 2.0
# The message with which Airflow cancels a trigger after a user ended its task, before it calls on_kill.
USER_ACTION = "__airflow_user_action__"
MAX_PAYLOAD_BYTES = 16_000
ARGUMENTS = (
    "run_id",
    "online_task_id",
    "conn_id",
    "poll_interval",
    "deadline",
    "cancel_at_deadline",
    "cancel_on_kill",
    "payload",
)


class OnlineTaskRunTrigger(BaseTrigger):
    """Wait until a run finishes, and send one event.

    All triggers of a process with the same Arize and key share one poller and its request budget; see
    :mod:`airflow_provider_online_tasks.runs.polling.poller`.

    :param run_id: the run.
    :param online_task_id: the run's task, so that runs of one task are polled together. Default: the first
        poll finds it.
    :param conn_id: Airflow connection.
    :param poll_interval: seconds between two polls, while the request budget suffices. Default 10.
    :param deadline: time at which the wait ends, in seconds since the epoch. It is absolute, so that it
        survives a restart of the triggerer. Default: none.
    :param cancel_at_deadline: whether the run is cancelled at the deadline, even if the task can't resume
        because its DAG is paused or no worker is free. Default True.
    :param cancel_on_kill: whether the run is cancelled when a user clears the waiting task or marks it as
        failed or successful (Airflow 3.3 and later). Default True.
    :param payload: JSON values that the event returns to the task, at most 16 kB. No secrets.
    :param in_process: whether the task and the trigger run in one process, as in ``airflow dags test``. The
        trigger finds out when it is stored.
    :raises InvalidInput: the payload is too large.
    """

    @suggests_names
    def __init__(
        self,
        *,
        run_id: str,
        online_task_id: str | None = None,
        conn_id: str,
        poll_interval: float = DEFAULT_POLL_INTERVAL,
        deadline: float | None = None,
        cancel_at_deadline: bool = True,
        cancel_on_kill: bool = True,
        payload: Mapping[str, Any] | None = None,
        in_process: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.run_id = run_id
        self.online_task_id = online_task_id
        self.conn_id = conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.cancel_at_deadline = cancel_at_deadline
        self.cancel_on_kill = cancel_on_kill
        self.payload = dict(payload or {})
        self.in_process = in_process
        self._last_seen: TaskRun | None = None
        self._killing: asyncio.Task[None] | None = None
        if len(json.dumps(self.payload)) > MAX_PAYLOAD_BYTES:
            raise InvalidInput(f"payload must be at most {MAX_PAYLOAD_BYTES} bytes of JSON.")

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and the arguments that a triggerer needs to create this trigger again."""
        from airflow_provider_online_tasks.runs.task_fate import runs_in_process

        return (
            f"{OnlineTaskRunTrigger.__module__}.{OnlineTaskRunTrigger.__qualname__}",
            {
                **{name: getattr(self, name) for name in ARGUMENTS},
                "in_process": self.in_process or runs_in_process(),
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event: the run finished, the deadline passed, or the run can't be read."""
        loop = asyncio.get_running_loop()
        earliest = loop.time() + (0.0 if self.in_process else EARLIEST_EVENT_SECONDS)
        try:
            event = await self._wait()
            await asyncio.sleep(max(0.0, earliest - loop.time()))
        except asyncio.CancelledError as cancelled:
            # If Airflow cancels many triggers at once, it doesn't call on_kill of all of them: it cancels
            # them again every second, and an early second cancellation replaces the call.
            if cancelled.args[:1] == (USER_ACTION,):
                self._start_kill()
            raise
        yield TriggerEvent(event.model_dump())  # type: ignore[no-untyped-call]

    async def _wait(self) -> RunEvent:
        from airflow_provider_online_tasks.runs.polling.shared_pollers import poll_run

        # On the loop's clock from here: a wall clock that is set back must not extend the wait.
        loop, began = asyncio.get_running_loop(), time.time()
        left = math.inf if self.deadline is None else self.deadline - began
        deadline = loop.time() + left
        error: Exception | None = None
        last_poll = asyncio.timeout(None if self.deadline is None else max(left, 0.0) + LAST_POLL_SECONDS)
        try:
            async with (
                last_poll,
                poll_run(
                    self.conn_id,
                    self.run_id,
                    online_task_id=self.online_task_id,
                    poll_interval=self.poll_interval,
                ) as wait,
            ):
                run = await self._follow(wait, deadline)
                outcome = FINISHED if run.is_over else TIMEOUT
        except Exception as exception:  # noqa: BLE001  an exception in run() would lose the run and its payload
            if last_poll.expired():
                outcome = TIMEOUT
            else:
                outcome, error = ERROR, exception
        # A triggerer that was suspended may have been replaced: the task, which Airflow checks, cancels then.
        was_suspended = time.time() - began - max(left, 0.0) > REPLACED_SECONDS
        if outcome == TIMEOUT and self.cancel_at_deadline and not was_suspended:
            outcome = await self._cancel_at_deadline()
        return RunEvent(
            outcome=outcome,
            run_id=self.run_id,
            run=self._last_seen,
            error_type=type(error).__name__ if error else None,
            error_message=str(error) if error else None,
            payload=self.payload,
        )

    async def _follow(self, wait: Wait, deadline: float) -> TaskRun:
        """Log the progress of the run; return it when it is finished, or at the first poll after the
        deadline (on the event loop's clock).
        """
        now = asyncio.get_running_loop().time
        progress = ProgressLog(self.run_id)
        # Airflow's structlog logger is created again for each line unless it is bound.
        log = self.log.bind() if hasattr(self.log, "bind") else self.log
        # Most polls of many have no news and need not wake this trigger up.
        wait.has_news = lambda run: now() >= deadline or progress.has_news(run, now())
        while True:
            is_late, report_at = now() >= deadline, now() + QUIET_SECONDS
            try:
                async with asyncio.timeout_at(report_at if is_late else min(report_at, deadline)):
                    run = self._last_seen = await wait.next()
            except TimeoutError:
                if not is_late and now() >= deadline:
                    wait.hasten()
                elif wait.trouble and (line := progress.problem_line(wait.trouble, now())):
                    log.warning("%s", line)
            else:
                if line := progress.line(run, now()):
                    log.info("%s", line)
                if run.is_over or now() >= deadline:
                    return run
            if wait.seconds_late > LATE_SECONDS:
                log.info(
                    "Polls of run %s are %.0f s late: %d runs share %.0f requests per minute.",
                    self.run_id,
                    wait.seconds_late,
                    wait.server.count_runs(),
                    wait.server.requests_per_minute,
                )

    async def _cancel_at_deadline(self) -> Outcome:
        """Cancel the run. If that fails, the task tries again when it resumes."""
        until = asyncio.get_running_loop().time() + CANCEL_SECONDS
        try:
            run = self._last_seen = await self._cancel(until, "its deadline has passed")
        except Exception as error:  # noqa: BLE001  the event must be sent in any case
            self._log_not_cancelled(error, "Its task cancels it when it resumes.")
            return TIMEOUT
        return FINISHED if run.is_over and run.status is not RunStatus.CANCELLED else TIMEOUT

    async def _cancel(self, until: float, reason: str) -> TaskRun:
        from airflow_provider_online_tasks.runs.polling.shared_pollers import cancel_run

        run = await cancel_run(self.conn_id, self.run_id, until=until)
        if run.is_over and run.status is not RunStatus.CANCELLED:
            self.log.info("Run %s finished before the cancellation: %s.", self.run_id, run.status.value)
        else:
            self.log.info("Cancelled run %s because %s: %s.", self.run_id, reason, run.counts)
        return run

    def _log_not_cancelled(self, error: Exception, advice: str) -> None:
        self.log.warning(
            "Run %s was not cancelled and may still be running: %s: %s %s",
            self.run_id,
            type(error).__name__,
            on_one_line(str(error)),
            advice,
        )

    async def on_kill(self) -> None:
        """Cancel the run if a user ended the task."""
        killing = self._start_kill()
        # Airflow cancels this coroutine again every second, so the work is done in another task.
        while not killing.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([killing])

    def _start_kill(self) -> asyncio.Task[None]:
        if self._killing is None:
            self._killing = asyncio.create_task(self._kill())
        return self._killing

    async def _kill(self) -> None:
        until = asyncio.get_running_loop().time() + CANCEL_SECONDS
        try:
            reason = await self._reason_to_cancel(until)
            if reason is not None:
                await self._cancel(until, reason)
        except Exception as error:  # noqa: BLE001  a failed cancellation must not delay the end of the task
            self._log_not_cancelled(
                error,
                "If its task ended, cancel it with CancelOnlineTaskRunOperator or in the Arize UI.",
            )

    async def _reason_to_cancel(self, until: float) -> str | None:
        """Return why the run is cancelled, or None if it isn't. Raise if Airflow doesn't answer."""
        from airflow_provider_online_tasks.runs.task_fate import TaskFate, trigger_task_fate

        if not self.cancel_on_kill:
            self.log.info("Run %s is not cancelled: cancel_on_kill is False.", self.run_id)
            return None
        if self.in_process:
            self.log.info(
                "Run %s is not cancelled: its task waits for it in its own process, as in `airflow dags "
                "test`.",
                self.run_id,
            )
            return None
        if self.task_instance is None:
            return "its task ended"
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout_at(until):
                    fate, state = await trigger_task_fate(self.task_instance)
                break
            except Exception as error:
                if loop.time() + ASK_AGAIN_SECONDS >= until:
                    raise OnlineTasksError(
                        f"Airflow doesn't answer whether its task ended ({type(error).__name__}: {error})."
                    ) from error
                await asyncio.sleep(ASK_AGAIN_SECONDS)
        if fate is TaskFate.ENDED:
            return f"its task ended (state: {state})"
        self.log.info("Run %s is not cancelled: another process waits for it.", self.run_id)
        return None
