"""Cancels runs whose tasks were ended: one, or a thousand at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from airflow_provider_online_tasks.exceptions import (
    BadRequest,
    OnlineTasksError,
    RateLimited,
    Unavailable,
)
from airflow_provider_online_tasks.runs.polling.budget import Allowance
from airflow_provider_online_tasks.runs.polling.in_flight import open_client

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_online_tasks.api.async_client import AsyncClient
    from airflow_provider_online_tasks.api.responses.runs import TaskRun
    from airflow_provider_online_tasks.api.settings import Settings
    from airflow_provider_online_tasks.runs.polling.budget import Budget

# Cancellations are mutations, of which Arize documents 300 a minute; for reads the budget is by default 60.
MUTATIONS_FOR_A_READ = 5
AT_ONCE = 8
FIRST_DELAY, LONGEST_DELAY = 0.5, 8.0


class NotInTime(OnlineTasksError):
    """A run could not be cancelled in the time there was."""


class Kills:
    """Cancels runs of one Arize and key over one session, before anything else is asked of it.

    :param settings: where and how to ask.
    :param reads: the budget of what waits meanwhile.
    """

    def __init__(self, settings: Settings, reads: Budget) -> None:
        self._settings = settings
        self._reads = reads
        self._allowance = Allowance(MUTATIONS_FOR_A_READ * settings.requests_per_minute)
        self._turn = asyncio.Lock()
        self._places = asyncio.Semaphore(AT_ONCE)
        self._paused_until = float("-inf")
        self._pending = 0
        self._opened: asyncio.Task[AsyncClient] | None = None

    async def cancel(self, run_id: str, *, until: float) -> TaskRun:
        """Cancel a run.

        :param until: when to give up, by the event loop's clock.
        :return: the run as it is afterwards: cancelled, or as it ended before.
        :raises NotInTime: it could not be done until then.
        :raises CallError: the subclass that fits what happened.
        """
        self._pending += 1
        self._reads.held += 1
        try:
            async with asyncio.timeout_at(until):
                return await self._cancel(run_id, until)
        except TimeoutError:
            raise NotInTime(f"No answer came in time. {self._most}") from None
        finally:
            self._reads.held -= 1
            self._pending -= 1
            if not self._pending:
                await self._close()

    @property
    def _most(self) -> str:
        return f"{MUTATIONS_FOR_A_READ * self._settings.requests_per_minute} cancellations a minute are sent."

    async def _cancel(self, run_id: str, until: float) -> TaskRun:
        from airflow_provider_online_tasks.api import calls

        call, attempt = calls.cancel_task_run(run_id), 0
        client = await self._client()
        while True:
            await self._wait_for_turn(until)
            try:
                async with self._places:
                    # Another may have been refused since.
                    await self._wait_for(lambda: self._paused_until, until)
                    return await client.send(call)
            except BadRequest:
                # It was over, or was cancelled by a request whose answer was lost.
                run = await client.send(calls.get_task_run(run_id))
                if run.is_over:
                    return run
                raise
            except (RateLimited, Unavailable) as error:
                delay = min(LONGEST_DELAY, FIRST_DELAY * 2.0**attempt)
                attempt += 1
                now = asyncio.get_running_loop().time()
                again_at = now + (delay if error.retry_after is None else error.retry_after)
                if isinstance(error, RateLimited):
                    self._paused_until = max(self._paused_until, again_at)
                if again_at >= until:
                    raise
                await asyncio.sleep(again_at - now)

    async def _wait_for_turn(self, until: float) -> None:
        """Wait until one more cancellation may be sent.

        :raises NotInTime: that is too late.
        """
        self._check(self._next_turn(), until)
        async with self._turn:
            await self._wait_for(self._next_turn, until)
            self._allowance.take(asyncio.get_running_loop().time())

    def _next_turn(self) -> float:
        return max(self._allowance.ready_at(), self._paused_until)

    async def _wait_for(self, moment: Callable[[], float], until: float) -> None:
        """Wait for a moment, which may be put off meanwhile.

        :raises NotInTime: that is too late.
        """
        loop = asyncio.get_running_loop()
        while (pause := moment() - loop.time()) > 0:
            self._check(moment(), until)
            await asyncio.sleep(pause)

    def _check(self, moment: float, until: float) -> None:
        if moment >= until:
            raise NotInTime(f"Too many runs are to be cancelled at once. {self._most}")

    async def _client(self) -> AsyncClient:
        if self._opened is None:
            opening = asyncio.to_thread(open_client, self._settings)
            self._opened = asyncio.get_running_loop().create_task(opening)
        return await asyncio.shield(self._opened)

    async def _close(self) -> None:
        opened, self._opened = self._opened, None
        if opened is None:
            return
        if opened.done() and opened.exception() is None:
            await opened.result().close()
        else:
            opened.add_done_callback(_close_late)


def _close_late(opened: asyncio.Task[AsyncClient]) -> None:
    if not opened.cancelled() and opened.exception() is None:
        asyncio.get_running_loop().create_task(opened.result().close())
