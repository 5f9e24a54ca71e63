"""Cancel the runs of tasks that a user ended: one run, or a thousand at once."""

from __future__ import annotations

import asyncio
import collections
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from airflow_provider_online_tasks.api import calls, responses
from airflow_provider_online_tasks.api.async_client import AsyncClient
from airflow_provider_online_tasks.exceptions import BadRequest, OnlineTasksError, RateLimited, Unavailable
from airflow_provider_online_tasks.runs.polling.budget import WINDOW_SECONDS, Budget
from airflow_provider_online_tasks.runs.wait_policy import backoff

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.settings import Settings

# Arize documents 300 mutations per minute. The default budget is 60 reads per minute.
CANCELLATIONS_PER_READ = 5
MOST_IN_FLIGHT = 8
FIRST_DELAY, LONGEST_DELAY = 0.5, 8.0


class NotInTime(OnlineTasksError):
    """A run could not be cancelled before the time limit."""


class Cancellations:
    """Cancels runs of one endpoint and key over one session, while polls wait."""

    def __init__(self, settings: Settings, polls: Budget) -> None:
        self._settings = settings
        self._polls = polls
        self._per_minute = CANCELLATIONS_PER_READ * settings.requests_per_minute
        # When the last cancellations were sent: as many as may be sent in a minute.
        self._sent = collections.deque([float("-inf")] * self._per_minute, maxlen=self._per_minute)
        self._places = asyncio.Semaphore(MOST_IN_FLIGHT)
        self._turn = asyncio.Lock()
        self._paused_until = float("-inf")
        self._session: AsyncClient | None = None
        self._session_users = 0
        self._opening = asyncio.Lock()

    async def cancel(self, run_id: str, *, until: float) -> responses.TaskRun:
        """Cancel a run, and return it afterwards: cancelled, or finished before.

        :param until: when to give up and raise :class:`NotInTime`, on the event loop's clock.
        """
        with self._polls.hold():
            try:
                async with asyncio.timeout_at(until), self._shared_session() as session:
                    return await self._cancel(session, run_id, until)
            except TimeoutError:
                raise NotInTime(
                    "Arize did not confirm the cancellation in time. At most "
                    f"{self._per_minute} cancellations per minute are sent."
                ) from None

    async def _cancel(self, session: AsyncClient, run_id: str, until: float) -> responses.TaskRun:
        loop, failures = asyncio.get_running_loop(), 0
        while True:
            try:
                async with self._places:
                    await self._wait_for_turn()
                    try:
                        return await session.send(calls.cancel_task_run(run_id))
                    except BadRequest:
                        # The run has finished, or was cancelled by a request whose response was lost.
                        run = await session.send(calls.get_task_run(run_id))
                        if run.is_over:
                            return run
                        raise
            except (RateLimited, Unavailable) as error:
                failures += 1
                delay = error.retry_after
                if delay is None:
                    delay = backoff(failures, first=FIRST_DELAY, longest=LONGEST_DELAY)
                retry_at = loop.time() + delay
                if isinstance(error, RateLimited):
                    self._paused_until = max(self._paused_until, retry_at)
                if retry_at >= until:
                    raise
                await asyncio.sleep(delay)

    async def _wait_for_turn(self) -> None:
        loop = asyncio.get_running_loop()
        async with self._turn:
            while True:
                pause = max(self._sent[0] + WINDOW_SECONDS, self._paused_until) - loop.time()
                if pause <= 0:
                    self._sent.append(loop.time())
                    return
                await asyncio.sleep(pause)  # a rate limit may postpone the turn meanwhile

    @contextlib.asynccontextmanager
    async def _shared_session(self) -> AsyncIterator[AsyncClient]:
        """Open a session for the first user, and close it after the last one."""
        self._session_users += 1
        try:
            async with self._opening:
                if self._session is None:
                    self._session = await AsyncClient.open(self._settings)
            yield self._session
        finally:
            self._session_users -= 1
            if not self._session_users and self._session is not None:
                session, self._session = self._session, None
                with contextlib.suppress(Exception):  # the cancellations have ended, and keep their results
                    await session.close()
