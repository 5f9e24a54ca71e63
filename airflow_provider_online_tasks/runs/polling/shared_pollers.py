"""Poll and cancel runs with Airflow connections. This is the entry point of the package.

Everything in one event loop that uses the same Arize endpoint and key shares one poller, one request budget
and one session for cancellations.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import weakref
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from asgiref.sync import sync_to_async

from airflow_provider_online_tasks import _airflow
from airflow_provider_online_tasks.exceptions import InvalidConnection
from airflow_provider_online_tasks.hooks.online_tasks import read_settings
from airflow_provider_online_tasks.runs.cancellation import Cancellations
from airflow_provider_online_tasks.runs.polling.budget import Budget, Share
from airflow_provider_online_tasks.runs.polling.poller import Poller

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.responses import TaskRun
    from airflow_provider_online_tasks.api.settings import Settings
    from airflow_provider_online_tasks.runs.polling.schedule import Wait

log = logging.getLogger(__name__)

# The API server or the secrets backend may be away for a moment while it restarts.
READ_DELAYS = (1.0, 3.0)
# A rejected key may have been rotated, and a host may have moved: the connections are read again, at most
# this often.
RENEW_SECONDS = 10.0
# Watchers get at most this share of a budget, so that waits always get the rest.
WATCHERS_SHARE = 1 / 3


@contextlib.asynccontextmanager
async def poll_run(
    conn_id: str, run_id: str, *, online_task_id: str | None, poll_interval: float
) -> AsyncIterator[Wait]:
    """Poll a run while the context lasts: together with other runs of its task if the task is known."""
    shared = this_loop()
    poller = shared.poller(await shared.settings_of(conn_id))
    wait = poller.add(run_id, online_task_id, conn_id=conn_id, poll_interval=poll_interval)
    try:
        yield wait
    finally:
        wait.close()


async def cancel_run(conn_id: str, run_id: str, *, until: float) -> TaskRun:
    """Cancel a run before any other request is sent to its endpoint; see :meth:`Cancellations.cancel`."""
    shared = this_loop()
    settings = await shared.settings_of(conn_id)
    return await shared.cancellations(settings).cancel(run_id, until=until)


class SharedEndpoint:
    """What everything that uses an endpoint and key shares. It outlives pollers, as Arize's count does."""

    def __init__(self, settings: Settings) -> None:
        self.budget = Budget(settings.requests_per_minute)
        self.watchers_share = Share(self.budget, WATCHERS_SHARE)


class SharedByLoop:
    """What is shared in one event loop."""

    def __init__(self) -> None:
        self.pollers: dict[Settings, Poller] = {}
        self._endpoints: dict[tuple[str, str, int], SharedEndpoint] = {}
        self._cancellations: dict[Settings, Cancellations] = {}
        # By connection ID, as they were read last.
        self._settings: dict[str, Settings] = {}
        self._reads: dict[str, asyncio.Task[Settings]] = {}
        self._renewals: dict[Settings, asyncio.Task[None]] = {}

    def poller(self, settings: Settings) -> Poller:
        """Return the poller of an endpoint and key, and start it if necessary."""
        poller = self.pollers.get(settings)
        if poller is None:
            poller = self.pollers[settings] = Poller(
                settings,
                self.endpoint(settings).budget,
                on_closed=lambda: self._forget(settings),
                on_settings_doubtful=lambda: self._renew(settings),
            )
        return poller

    def endpoint(self, settings: Settings) -> SharedEndpoint:
        """Return what is shared by everything that uses an endpoint and key."""
        key = settings.endpoint.rest_url, settings.api_key, settings.requests_per_minute
        if key not in self._endpoints:
            self._endpoints[key] = SharedEndpoint(settings)
        return self._endpoints[key]

    def cancellations(self, settings: Settings) -> Cancellations:
        """Return what cancels runs with these settings."""
        if settings not in self._cancellations:
            self._cancellations[settings] = Cancellations(settings, self.endpoint(settings).budget)
        return self._cancellations[settings]

    async def settings_of(self, conn_id: str) -> Settings:
        """Read a connection, once for all that ask at the same time, and return its settings.

        If it has changed, its waits move to the new settings. While Airflow can't read it, the settings that
        its waits use are returned.
        """
        if conn_id not in self._reads:
            reading = self._reads[conn_id] = asyncio.create_task(_read(conn_id))
            reading.add_done_callback(lambda _: self._reads.pop(conn_id))
        known = self._settings.get(conn_id)
        try:
            # Shielded: the others still need it if one of them is cancelled.
            settings = await asyncio.shield(self._reads[conn_id])
        except (InvalidConnection, _airflow.AirflowNotFoundException):
            raise
        except Exception as error:
            if known not in self.pollers:
                raise
            log.warning("Connection %s can't be read again: %s", conn_id, error)
            return known
        self._move_waits(conn_id, settings)
        return settings

    def _move_waits(self, conn_id: str, settings: Settings) -> None:
        known, self._settings[conn_id] = self._settings.get(conn_id), settings
        if known not in (None, settings) and known in self.pollers:
            log.info("Connection %s has changed. Its waits use the new settings.", conn_id)
            self.pollers[known].move(conn_id, lambda: self.poller(settings))

    def _forget(self, settings: Settings) -> None:
        del self.pollers[settings]
        self._settings = {conn_id: known for conn_id, known in self._settings.items() if known != settings}

    def _renew(self, settings: Settings) -> None:
        """Read the connections with these settings again, which Arize rejects or can't be reached with."""
        if settings not in self._renewals:
            # In its own context, because the triggerer attributes log lines to triggers by context.
            task = asyncio.create_task(self._read_again(settings), context=contextvars.Context())
            self._renewals[settings] = task

    async def _read_again(self, old: Settings) -> None:
        try:
            for conn_id in [conn_id for conn_id, settings in self._settings.items() if settings == old]:
                try:
                    await self.settings_of(conn_id)
                except Exception as error:  # noqa: BLE001  it is read again after the next rejection
                    log.warning("Connection %s can't be read again: %s", conn_id, error)
            await asyncio.sleep(RENEW_SECONDS)
        finally:
            del self._renewals[old]


_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, SharedByLoop] = weakref.WeakKeyDictionary()


def this_loop() -> SharedByLoop:
    """Return what is shared in the running event loop."""
    return _loops.setdefault(asyncio.get_running_loop(), SharedByLoop())


async def _read(conn_id: str) -> Settings:
    delays = iter(READ_DELAYS)
    while True:
        try:
            connection = await _airflow.read_connection(conn_id)
            # Masking the key sends it to the supervisor and waits for the reply. Before Airflow 3.3 the
            # triggerer's line to it belongs to this event loop: only a thread of asgiref can use it.
            return await sync_to_async(read_settings)(connection)
        except Exception as error:
            delay = next(delays, None)
            if delay is None or isinstance(error, InvalidConnection):
                raise
        await asyncio.sleep(delay)
