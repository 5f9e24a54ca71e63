"""Waits in the triggerer for a run to be over."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_online_tasks._defaults import DEFAULT_POLL_INTERVAL
from airflow_provider_online_tasks._text import on_one_line
from airflow_provider_online_tasks.api.responses.runs import RunStatus
from airflow_provider_online_tasks.runs.progress import QUIET_SECONDS, ProgressLog
from airflow_provider_online_tasks.triggers.events import (
    EARLIEST_EVENT_SECONDS,
    ERROR,
    OVER,
    TIMEOUT,
    RunEvent,
)

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.responses.runs import TaskRun
    from airflow_provider_online_tasks.runs.polling.schedule import Wait

# From when on a task's log says that its reads are late for want of budget.
LATE_SECONDS = 10.0
# Airflow gives on_kill 30 seconds; the outcome has to be logged within them.
ON_KILL_SECONDS = 24.0
# How long the last look at the run may take, once the deadline has passed.
LAST_LOOK_SECONDS = 30.0
# What Airflow cancels a trigger with whose task a person ended, before it calls on_kill.
ENDED_BY_A_PERSON = "__airflow_user_action__"


class OnlineTaskRunTrigger(BaseTrigger):
    """Waits until a run is over, and then sends the one event it ever sends.

    All triggers of a process that use the same Arize and key share one poller, and so its request budget: see
    :mod:`airflow_provider_online_tasks.runs.polling.poller`.

    :param run_id: the run.
    :param online_task_id: the run's task, so that runs of one task are read together; where it is None, the
        first read names it.
    :param conn_id: Airflow connection.
    :param poll_interval: seconds between two reads of the run, while the request budget suffices.
    :param deadline: wall-clock time (seconds since the epoch) until which to wait; None to wait for ever.
        Absolute, so that it outlives a restart of the triggerer.
    :param cancel_on_kill: whether the run is cancelled when a person clears, fails or succeeds the waiting
        task (Airflow 3.3 or later).
    :param max_spans: the run's cap of spans, for its progress, where it is known.
    :param payload: JSON values that the event carries back to the task; no secrets. Texts are cut to 4,000
        characters, and the whole event to 64 kB.
    :param in_process: whether the task runs this trigger in its own process, as ``airflow dags test`` does.
        The trigger finds that out when it is stored.
    """

    def __init__(
        self,
        *,
        run_id: str,
        online_task_id: str | None = None,
        conn_id: str,
        poll_interval: float = DEFAULT_POLL_INTERVAL,
        deadline: float | None = None,
        cancel_on_kill: bool = True,
        max_spans: int | None = None,
        payload: Mapping[str, Any] | None = None,
        in_process: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.run_id = run_id
        self.online_task_id = online_task_id
        self.conn_id = conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.cancel_on_kill = cancel_on_kill
        self.max_spans = max_spans
        self.payload = dict(payload or {})
        self.in_process = in_process
        self._killing: asyncio.Task[None] | None = None
        self._said_late_at = -math.inf

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what a triggerer needs to make this trigger again."""
        from airflow_provider_online_tasks.runs.task_fate import runs_in_process

        # Left out where it does not matter, so that an older version can read what is stored.
        in_process = {"in_process": True} if self.in_process or runs_in_process() else {}
        return (
            f"{OnlineTaskRunTrigger.__module__}.{OnlineTaskRunTrigger.__qualname__}",
            {
                "run_id": self.run_id,
                "online_task_id": self.online_task_id,
                "conn_id": self.conn_id,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                "cancel_on_kill": self.cancel_on_kill,
                "max_spans": self.max_spans,
                "payload": self.payload,
                **in_process,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event when the run is over, the deadline has passed, or the run cannot be followed."""
        loop = asyncio.get_running_loop()
        earliest = loop.time() + (0.0 if self.in_process else EARLIEST_EVENT_SECONDS)
        try:
            event = await self._wait()
            await asyncio.sleep(max(0.0, earliest - loop.time()))
        except asyncio.CancelledError as cancelled:
            # Of many triggers that it cancels at once, Airflow calls on_kill of some only: it cancels them
            # again each second, and a second cancellation that comes early takes the call's place.
            if cancelled.args[:1] == (ENDED_BY_A_PERSON,):
                self._begin_kill()
            raise
        yield TriggerEvent(event.to_json())  # type: ignore[no-untyped-call]

    async def _wait(self) -> RunEvent:
        from airflow_provider_online_tasks.runs.polling.shared_pollers import poll_run

        loop = asyncio.get_running_loop()
        # Counted from here by a clock that nobody sets: a wall clock set back must not make the wait endless.
        left = math.inf if self.deadline is None else self.deadline - time.time()
        ends = loop.time() + left
        bound = asyncio.timeout(None if self.deadline is None else max(left, 0.0) + LAST_LOOK_SECONDS)
        log, progress = _ready(self.log), ProgressLog(self.run_id)
        run: TaskRun | None = None
        try:
            async with (
                bound,
                poll_run(
                    self.conn_id,
                    self.run_id,
                    online_task_id=self.online_task_id,
                    poll_interval=self.poll_interval,
                ) as updates,
            ):
                updates.has_news = partial(self._is_news, updates, progress, ends)
                quiet_since = loop.time()
                while True:
                    until_end = ends - loop.time()
                    pause = quiet_since + QUIET_SECONDS - loop.time()
                    is_last = 0 < until_end < pause
                    try:
                        # One timer for many updates: most of them come long before it.
                        async with asyncio.timeout(until_end if is_last else pause):
                            while True:
                                run = await updates.next()
                                quiet_since = now = loop.time()
                                if line := progress.line(run, now):
                                    log.info(line)
                                if run.is_over or now >= ends:
                                    outcome = OVER if run.is_over else TIMEOUT
                                    return self._event(outcome, run)
                                self._say_late(updates, now)
                    except TimeoutError:
                        now, quiet_since = loop.time(), max(quiet_since, updates.run.read_at)
                        if is_last:
                            updates.hasten()
                        elif now - quiet_since >= QUIET_SECONDS:
                            quiet_since = now
                            self._say_no_news(updates, now)
        except Exception as error:  # noqa: BLE001  what leaves run() would lose the run and its payload
            if bound.expired():
                return self._event(TIMEOUT, run)
            return self._event(ERROR, run, error)

    def _is_news(self, updates: Wait, progress: ProgressLog, ends: float, run: TaskRun) -> bool:
        """Return whether a run as it was just read is worth waking up for: most readings of many are not."""
        now = asyncio.get_running_loop().time()
        return now >= ends or updates.run.was_late > LATE_SECONDS or progress.has_news(run, now)

    def _say_no_news(self, updates: Wait, now: float) -> None:
        if updates.trouble:
            self.log.warning(
                "Run %s cannot be read at the moment: %s", self.run_id, on_one_line(updates.trouble)
            )
        else:
            self._say_late(updates, now)

    def _say_late(self, updates: Wait, now: float) -> None:
        """Say, once a minute at most, that the budget is what makes the reads late, if it is."""
        if now - self._said_late_at < QUIET_SECONDS or updates.shortage.late <= LATE_SECONDS:
            return
        self._said_late_at = now
        short = updates.shortage
        self.log.info(
            "Reads of run %s are %.0f s late: %.0f requests a minute are shared by %d waits.",
            self.run_id,
            short.late,
            short.rate,
            short.waits,
        )

    async def on_kill(self) -> None:
        """Cancel the run, if a person ended the task that waited for it."""
        killing = self._begin_kill()
        # Airflow cancels whoever waits here again each second, so the work is done in a task of its own.
        while not killing.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([killing])

    def _begin_kill(self) -> asyncio.Task[None]:
        if self._killing is None:
            self._killing = asyncio.create_task(self._kill())
        return self._killing

    async def _kill(self) -> None:
        if not self.cancel_on_kill:
            self.log.info("Run %s goes on: cancel_on_kill is off.", self.run_id)
            return
        until = asyncio.get_running_loop().time() + ON_KILL_SECONDS
        try:
            if (why := await self._why_cancel(until)) is not None:
                await self._cancel(why, until)
        except Exception as error:  # noqa: BLE001  the task's end must not wait for a cancellation that fails
            self.log.warning(
                "Run %s could not be cancelled and may go on: %s: %s",
                self.run_id,
                type(error).__name__,
                on_one_line(str(error)),
            )

    async def _why_cancel(self, until: float) -> str | None:
        """Return why the run is to be cancelled; None if its task goes on, whatever Airflow calls that."""
        from airflow_provider_online_tasks.runs.task_fate import ASK_AGAIN_SECONDS, Fate, ask_fate

        if self.in_process:
            self.log.info(
                "Run %s goes on: its task runs in a process of its own, as with `airflow dags test`, and "
                "waits for the run there.",
                self.run_id,
            )
            return None
        if self.task_instance is None:
            return "its task was ended"
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout_at(until):
                    fate, state = await ask_fate(self.task_instance)
                break
            except Exception as error:  # noqa: BLE001  whatever keeps Airflow from answering may pass
                if loop.time() + ASK_AGAIN_SECONDS >= until:
                    self.log.warning(
                        "Run %s goes on: Airflow does not say whether its task was ended (%s: %s). If it "
                        "was, cancel the run with CancelOnlineTaskRunOperator or in the Arize UI.",
                        self.run_id,
                        type(error).__name__,
                        on_one_line(str(error)),
                    )
                    return None
                await asyncio.sleep(ASK_AGAIN_SECONDS)
        if fate is Fate.WAITS:
            self.log.info("Run %s goes on: its task still waits for it, in another process.", self.run_id)
            return None
        return f"its task was ended (it is {state} now)"

    async def _cancel(self, why: str, until: float) -> None:
        from airflow_provider_online_tasks.runs.cancellation import NotInTime
        from airflow_provider_online_tasks.runs.polling.shared_pollers import cancel_run

        try:
            run = await cancel_run(self.conn_id, self.run_id, until=until)
        except NotInTime as error:
            self.log.warning(
                "Run %s was not cancelled and goes on: %s Cancel it with CancelOnlineTaskRunOperator or in "
                "the Arize UI.",
                self.run_id,
                error,
            )
        else:
            if run.status is RunStatus.CANCELLED or not run.is_over:
                self.log.info("Run %s was cancelled, since %s: %s.", self.run_id, why, run.counts)
            else:
                self.log.info(
                    "Run %s was over before it could be cancelled: %s.", self.run_id, run.status.value
                )

    def _event(
        self,
        outcome: str,
        run: TaskRun | None,
        error: BaseException | None = None,
    ) -> RunEvent:
        return RunEvent(
            outcome=outcome,
            run_id=self.run_id,
            run=run,
            error_type=type(error).__name__ if error else None,
            error_message=str(error) if error else None,
            payload=self.payload,
        )


def _ready(log: Any) -> Any:
    """Return a logger that is made once: Airflow's, made of structlog, makes itself anew for each line."""
    return log.bind() if hasattr(log, "bind") else log
