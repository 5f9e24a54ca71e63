"""From an Airflow connection to the poller that serves it: one for each event loop, Arize and key."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from asgiref.sync import sync_to_async

from airflow_provider_online_tasks.exceptions import InvalidConnection
from airflow_provider_online_tasks.waiting.budget import Budget
from airflow_provider_online_tasks.waiting.poller import Poller, Wait, open_client

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.runs import TaskRun
    from airflow_provider_online_tasks.api.settings import Settings

# A connection may be out of reach for a moment, when the API server or the secrets backend restarts.
LOOK_UP_DELAYS = (1.0, 3.0)


@dataclass(slots=True, eq=False, weakref_slot=True)
class _Loop:
    """What an event loop's waits share.

    :param settings: what connections said, by ID; relied on while a poller uses it.
    :param look_ups: connections being looked up, by ID.
    :param budgets: what may be asked, by host, key and limit; outlives pollers, as the server's count does.
    """

    pollers: dict[Settings, Poller] = field(default_factory=dict)
    settings: dict[str, Settings] = field(default_factory=dict)
    look_ups: dict[str, asyncio.Task[Settings]] = field(default_factory=dict)
    budgets: dict[tuple[str, str, int], Budget] = field(default_factory=dict)

    def poller(self, settings: Settings) -> Poller:
        """Return the poller of an Arize and key."""
        poller = self.pollers.get(settings)
        if poller is None:
            poller = Poller(settings, self.budget(settings), closed=lambda: self._forget(settings))
            self.pollers[settings] = poller
        return poller

    def budget(self, settings: Settings) -> Budget:
        """Return what may be asked of an Arize with a key."""
        limit = settings.requests_per_minute
        return self.budgets.setdefault((settings.endpoint.rest_url, settings.api_key, limit), Budget(limit))

    def _forget(self, settings: Settings) -> None:
        del self.pollers[settings]
        # Its next use looks the connection up again, and so meets a key that was changed.
        self.settings = {conn_id: known for conn_id, known in self.settings.items() if known != settings}

    async def look_up(self, conn_id: str) -> Settings:
        """Return what a connection says, asking for it once for all that come at the same time."""
        known = self.settings.get(conn_id)
        if known is not None and known in self.pollers:
            return known
        look_up = self.look_ups.get(conn_id)
        if look_up is None:
            look_up = self.look_ups[conn_id] = asyncio.create_task(_look_up(conn_id))
            look_up.add_done_callback(lambda done: self._looked_up(conn_id, done))
        return await asyncio.shield(look_up)

    def _looked_up(self, conn_id: str, done: asyncio.Task[Settings]) -> None:
        del self.look_ups[conn_id]
        if not done.cancelled() and done.exception() is None:
            self.settings[conn_id] = done.result()


_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Loop] = weakref.WeakKeyDictionary()


def _this_loop() -> _Loop:
    return _loops.setdefault(asyncio.get_running_loop(), _Loop())


async def _look_up(conn_id: str) -> Settings:
    from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson

    from airflow_provider_online_tasks.hooks.online_tasks import settings_of

    for delay in (*LOOK_UP_DELAYS, None):
        try:
            connection = await get_async_connection(conn_id)
            extra = await get_async_extra_dejson(connection)
            # Masking the key tells the supervisor and waits for it. Before Airflow 3.3 the triggerer's line
            # to it belongs to this event loop, to which only a thread of asgiref's finds back.
            return await sync_to_async(settings_of)(connection, extra)
        except InvalidConnection:
            raise
        except Exception:
            if delay is None:
                raise
            await asyncio.sleep(delay)
    raise AssertionError("the last attempt returns or raises")


@contextlib.asynccontextmanager
async def watch(
    conn_id: str,
    *,
    run_id: str,
    online_task_id: str | None,
    poll_interval: float,
    max_spans: int | None = None,
) -> AsyncIterator[Wait]:
    """Have a run polled for as long as the context lasts.

    :raises InvalidConnection: the connection cannot be used.
    """
    loop = _this_loop()
    poller = loop.poller(await loop.look_up(conn_id))
    wait = poller.add(run_id, online_task_id, poll_interval=poll_interval, max_spans=max_spans)
    try:
        yield wait
    finally:
        poller.discard(wait)


async def look_up(conn_id: str) -> tuple[Settings, Budget]:
    """Return what a connection says, and the budget that all who use it share.

    :raises InvalidConnection: the connection cannot be used.
    """
    loop = _this_loop()
    settings = await loop.look_up(conn_id)
    return settings, loop.budget(settings)


async def cancel_run(conn_id: str, run_id: str) -> TaskRun:
    """Cancel a run, apart from what is being polled.

    :raises InputRefused: the run is over.
    :raises CallError: the subclass that fits what happened.
    """
    from airflow_provider_online_tasks.api import calls
    from airflow_provider_online_tasks.api.retry import RetryPolicy

    settings = await _this_loop().look_up(conn_id)
    client = await asyncio.to_thread(open_client, settings)
    try:
        return await client.send(calls.cancel_task_run(run_id), retry=RetryPolicy(max_delay=10.0))
    finally:
        await client.close()
