"""Finds the poller of an Airflow connection: there is one for each event loop, Arize and key."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import weakref
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from asgiref.sync import sync_to_async

from airflow_provider_online_tasks.exceptions import InvalidConnection
from airflow_provider_online_tasks.runs.cancellation import Kills
from airflow_provider_online_tasks.runs.polling.budget import Budget, Share
from airflow_provider_online_tasks.runs.polling.poller import Poller

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.responses.runs import TaskRun
    from airflow_provider_online_tasks.api.settings import Settings
    from airflow_provider_online_tasks.runs.polling.schedule import Wait

log = logging.getLogger(__name__)

# A connection may be out of reach for a moment, when the API server or the secrets backend restarts.
LOOK_UP_DELAYS = (1.0, 3.0)
# A key that is refused may have been rotated: its connections are looked up again, this often at most.
RENEW_SECONDS = 10.0
# Watchers take this share of a budget at most, so that waits are never left without.
WATCHERS_SHARE = 1 / 3


@dataclass(slots=True, eq=False, weakref_slot=True)
class _Loop:
    """What an event loop's waits share.

    :param settings: what connections said, by ID; relied on while a poller uses it.
    :param look_ups: connections being looked up, by ID.
    :param budgets: what may be asked, by host, key and limit; outlives pollers, as the server's count does.
    :param shares: what watchers may ask of that.
    :param kills: what cancels runs, by host, key and limit.
    :param renewing: settings whose key was refused, with what looks their connections up again.
    """

    pollers: dict[Settings, Poller] = field(default_factory=dict)
    settings: dict[str, Settings] = field(default_factory=dict)
    look_ups: dict[str, asyncio.Task[Settings]] = field(default_factory=dict)
    budgets: dict[tuple[str, str, int], Budget] = field(default_factory=dict)
    shares: dict[tuple[str, str, int], Share] = field(default_factory=dict)
    kills: dict[tuple[str, str, int], Kills] = field(default_factory=dict)
    renewing: dict[Settings, asyncio.Task[None]] = field(default_factory=dict)

    def poller(self, settings: Settings) -> Poller:
        """Return the poller of an Arize and key."""
        poller = self.pollers.get(settings)
        if poller is None:
            poller = Poller(
                settings,
                self.budget(settings),
                closed=lambda: self._forget(settings),
                key_refused=lambda: self._renew(settings),
            )
            self.pollers[settings] = poller
        return poller

    def budget(self, settings: Settings) -> Budget:
        """Return what may be asked of an Arize with a key."""
        return self.budgets.setdefault(_shared(settings), Budget(settings.requests_per_minute))

    def share(self, settings: Settings) -> Share:
        """Return what watchers may ask of an Arize with a key."""
        return self.shares.setdefault(_shared(settings), Share(self.budget(settings), WATCHERS_SHARE))

    def kill(self, settings: Settings) -> Kills:
        """Return what cancels runs of an Arize with a key."""
        return self.kills.setdefault(_shared(settings), Kills(settings, self.budget(settings)))

    def _forget(self, settings: Settings) -> None:
        del self.pollers[settings]
        # Its next use looks the connection up again, and so meets a key that was changed.
        self.settings = {conn_id: known for conn_id, known in self.settings.items() if known != settings}

    def _renew(self, settings: Settings) -> None:
        """Look the connections of a key that is refused up again, and move their waits to what they say."""
        if settings not in self.renewing:
            # In a context of its own, since the triggerer attributes what is logged by context.
            task = asyncio.create_task(self._move_waits(settings), context=contextvars.Context())
            self.renewing[settings] = task

    async def _move_waits(self, old: Settings) -> None:
        try:
            for conn_id in [conn_id for conn_id, known in self.settings.items() if known == old]:
                try:
                    new = await _look_up(conn_id)
                except Exception as error:  # noqa: BLE001  it is tried again, and waits go on meanwhile
                    log.warning("Connection %s cannot be read again: %s", conn_id, error)
                    continue
                poller = self.pollers.get(old)
                if new != old and poller is not None:
                    log.info("Connection %s was changed: its waits use it as it is now.", conn_id)
                    self.settings[conn_id] = new
                    poller.move(conn_id, self.poller(new))
            await asyncio.sleep(RENEW_SECONDS)
        finally:
            del self.renewing[old]

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


def _shared(settings: Settings) -> tuple[str, str, int]:
    return settings.endpoint.rest_url, settings.api_key, settings.requests_per_minute


_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Loop] = weakref.WeakKeyDictionary()


def _this_loop() -> _Loop:
    return _loops.setdefault(asyncio.get_running_loop(), _Loop())


async def _look_up(conn_id: str) -> Settings:
    from airflow_provider_online_tasks import _airflow
    from airflow_provider_online_tasks.hooks.connection import read_settings

    for delay in (*LOOK_UP_DELAYS, None):
        try:
            connection, extra = await _airflow.read_connection(conn_id)
            # Masking the key sends it to the supervisor and waits for an answer. Before Airflow 3.3 the
            # triggerer's connection to it belongs to this event loop: only a thread of asgiref's can use it.
            return await sync_to_async(read_settings)(connection, extra)
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
) -> AsyncIterator[Wait]:
    """Have a run polled for as long as the context lasts.

    :raises InvalidConnection: the connection cannot be used.
    """
    loop = _this_loop()
    poller = loop.poller(await loop.look_up(conn_id))
    wait = poller.add(run_id, online_task_id, conn_id=conn_id, poll_interval=poll_interval)
    try:
        yield wait
    finally:
        wait.close()


async def look_up(conn_id: str) -> tuple[Settings, Share]:
    """Return what a connection says, and what all watchers that use it may ask together.

    :raises InvalidConnection: the connection cannot be used.
    """
    loop = _this_loop()
    settings = await loop.look_up(conn_id)
    return settings, loop.share(settings)


async def cancel_run(conn_id: str, run_id: str, *, until: float) -> TaskRun:
    """Cancel a run, before anything else is asked of its Arize.

    :param until: when to give up, by the event loop's clock.
    :return: the run as it is afterwards: cancelled, or as it ended before.
    :raises NotInTime: it could not be done until then.
    :raises CallError: the subclass that fits what happened.
    """
    loop = _this_loop()
    settings = await loop.look_up(conn_id)
    return await loop.kill(settings).cancel(run_id, until=until)
