"""Triggers DAGs whenever a run of a task has finished, no matter who started it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Hashable, Iterator, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_provider_online_tasks._defaults import DEFAULT_CONN_ID
from airflow_provider_online_tasks.api.responses.runs import RunStatus
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.inputs import read_id
from airflow_provider_online_tasks.inputs.arguments import check_literal, positive_seconds
from airflow_provider_online_tasks.inputs.values import read_name, read_names
from airflow_provider_online_tasks.triggers.plain import plain, size

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.responses.runs import TaskRun
    from airflow_provider_online_tasks.runs.finished_runs import Look, Memory

ENDED = tuple(status.value for status in RunStatus if status.is_over)
DEFAULT_POLL_INTERVAL = 60.0
# Airflow writes an event down within a second or two; what was not written must be reported again.
SETTLE_SECONDS = 5.0
# Keeps an event of a long absence at a size that can be handled.
MOST_RUNS = 100
MOST_BYTES = 60_000
LONGEST_TEXT = 1_000
# How far back a restarted triggerer has to look at most when nothing was reported.
REMEMBER_AGAIN = timedelta(hours=1)
# Longer than Airflow takes to read or write what is kept: an answer of it that is lost must not end a watch.
STORE_SECONDS = 30.0


class FinishedRunsTrigger(BaseEventTrigger):
    """Reports every finished run of a task, started from Airflow, from the Arize UI or continuously.

    For an :class:`~airflow.sdk.AssetWatcher`::

        judged = Asset(
            "judged_answers",
            watchers=[AssetWatcher(name="runs", trigger=FinishedRunsTrigger(online_task_id="T25s…"))],
        )

        with DAG("act_on_labels", schedule=[judged]): ...

    The runs found at one look are reported by one event: ``event.extra["payload"]["runs"]`` of
    ``triggering_asset_events`` holds their summaries with ``run_id``, ``status``, counts, window and times.

    It begins with the runs that finish after it was first started. With Airflow 3.3 or later it remembers in
    the asset's state store what it reported: after a restart of the triggerer it reports what finished
    meanwhile, and nothing twice, except a run that was being reported within the few seconds before the
    triggerer was killed. Before Airflow 3.3 it remembers in memory, and begins anew with each restart.

    Watchers of one task with the same connection and ``poll_interval`` share one poll (Airflow 3.3 or later),
    which takes from the connection's ``requests_per_minute``. While Arize cannot be reached, or refuses, the
    poll goes on, and what finished is reported afterwards.

    :param online_task_id: global ID of the task. It has to be known when the DAG is parsed.
    :param conn_id: Airflow connection of type ``arize_online_tasks``.
    :param statuses: which endings are reported: ``COMPLETED``, ``FAILED``, ``CANCELLED``. Default: all.
    :param poll_interval: seconds between two looks. Default 60.
    :raises InvalidInput: an argument is wrong.
    """

    def __init__(
        self,
        *,
        online_task_id: str,
        conn_id: str = DEFAULT_CONN_ID,
        statuses: Sequence[str] | None = None,
        poll_interval: float = DEFAULT_POLL_INTERVAL,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        for name, value in (("online_task_id", online_task_id), ("conn_id", conn_id)):
            check_literal(value, name)
        self.online_task_id = read_id(online_task_id, "online_task_id")
        self.conn_id = read_name(conn_id, "conn_id")
        self.statuses = _read_statuses(statuses)
        self.poll_interval = positive_seconds(poll_interval, "poll_interval")
        self._remembered: Memory | None = None
        self._kept_since: datetime | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what a triggerer needs to make this trigger again."""
        return (
            f"{FinishedRunsTrigger.__module__}.{FinishedRunsTrigger.__qualname__}",
            {
                "online_task_id": self.online_task_id,
                "conn_id": self.conn_id,
                "statuses": self.statuses,
                "poll_interval": self.poll_interval,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event whenever runs have finished, for ever."""
        from airflow_provider_online_tasks.runs.finished_runs import looks

        memory = await self._recall()
        polled = looks(self.conn_id, self.online_task_id, poll_interval=self.poll_interval, memory=memory)
        async with aclosing(polled):
            async for found in polled:
                async for event in self._report(found):
                    yield event

    # One poll for several watchers -------------------------------------------------------------------------

    def shared_stream_key(self) -> Hashable:
        """Return what watchers have in common that share a poll."""
        return ("online_task_runs", self.conn_id, self.online_task_id, self.poll_interval)

    @classmethod
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncIterator[Look]:
        """Poll, for all watchers of a task."""
        from airflow_provider_online_tasks.runs.finished_runs import looks

        polled = looks(kwargs["conn_id"], kwargs["online_task_id"], poll_interval=kwargs["poll_interval"])
        async with aclosing(polled):
            async for found in polled:
                yield found

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Look]) -> AsyncIterator[TriggerEvent]:
        """Yield an event whenever runs have finished, out of what the shared poll finds."""
        memory = await self._recall()
        async for found in shared_stream:
            if self._remembered is None and memory is None:
                # The others may have been watching for long; this one begins now.
                mine = _but_not_finished(found)
            elif self._remembered is None:
                # The shared poll knows nothing of before it began: what was missed is looked for once, after
                # its first look, so that there is no gap in between.
                mine = await self._catch_up(memory)
            else:
                mine = _but_not_reported(found, self._remembered)
            async for event in self._report(mine):
                yield event

    async def _catch_up(self, memory: Memory | None) -> Look:
        from airflow_provider_online_tasks.runs.finished_runs import looks

        polled = looks(self.conn_id, self.online_task_id, poll_interval=self.poll_interval, memory=memory)
        async with aclosing(polled):
            return await anext(polled)

    # What is reported, and remembered ----------------------------------------------------------------------

    async def _report(self, found: Look) -> AsyncIterator[TriggerEvent]:
        is_first = self._remembered is None
        # Airflow gives a DAG run no event that came after the one that queued it: it would be read with the
        # next event only. So what was found together is reported together.
        for together in _parts([run for run in found.finished if run.status.value in self.statuses]):
            yield TriggerEvent({"online_task_id": plain(self.online_task_id), "runs": together})  # type: ignore[no-untyped-call]
            await asyncio.sleep(SETTLE_SECONDS)
        self._remembered = found.memory
        kept = self._kept_since
        if is_first or found.finished or kept is None or found.memory.since - kept > REMEMBER_AGAIN:
            await self._remember(found.memory)

    @property
    def _key(self) -> str:
        """Under which this trigger remembers; an asset may have several."""
        return "online_task_runs:" + json.dumps([self.conn_id, self.online_task_id, self.statuses])

    def _accessors(self) -> list[Any]:
        store = getattr(self, "asset_state_store", None)
        if store is None:
            return []
        # Assets whose watchers are the same share a trigger, and Airflow has no public way to name them then.
        named = [*getattr(store, "_by_name", {}).values(), *getattr(store, "_by_uri", {}).values()]
        return named or [store]

    async def _recall(self) -> Memory | None:
        from airflow_provider_online_tasks.runs.finished_runs import Memory

        while True:
            try:
                async with asyncio.timeout(STORE_SECONDS):
                    kept = [Memory.from_json(await store.aget(self._key)) for store in self._accessors()]
            except Exception as error:  # noqa: BLE001  to begin anew would lose what finished meanwhile
                self.log.warning("What was reported cannot be recalled yet: %s", _said(error))
                await asyncio.sleep(min(self.poll_interval, SETTLE_SECONDS))
                continue
            return max((one for one in kept if one is not None), key=lambda one: one.since, default=None)

    async def _remember(self, memory: Memory) -> None:
        try:
            async with asyncio.timeout(STORE_SECONDS):
                for store in self._accessors():
                    await store.aset(self._key, memory.to_json())
        except Exception as error:  # noqa: BLE001  the next time may go well, and the watch must go on
            self.log.warning(
                "What was reported could not be stored, and may be reported again: %s", _said(error)
            )
        else:
            self._kept_since = memory.since


def _said(error: Exception) -> str:
    return f"no answer of Airflow in {STORE_SECONDS:g} s" if isinstance(error, TimeoutError) else str(error)


def _parts(runs: Sequence[TaskRun]) -> Iterator[list[dict[str, Any]]]:
    """Yield the summaries of runs, as many at a time as an event can hold."""
    together: list[dict[str, Any]] = []
    taken = 0
    for run in runs:
        summary = plain(run.summary(), longest_text=LONGEST_TEXT)
        needed = size(summary) + 2
        if together and (len(together) == MOST_RUNS or taken + needed > MOST_BYTES):
            yield together
            together, taken = [], 0
        together.append(summary)
        taken += needed
    if together:
        yield together


def _but_not_finished(found: Look) -> Look:
    from airflow_provider_online_tasks.runs.finished_runs import Look

    return Look(finished=(), memory=found.memory)


def _but_not_reported(found: Look, remembered: Memory) -> Look:
    from airflow_provider_online_tasks.runs.finished_runs import Look

    return Look(
        finished=tuple(run for run in found.finished if run.id not in remembered.reported),
        memory=found.memory.with_reported(remembered.reported),
    )


def _read_statuses(statuses: Sequence[str] | None) -> list[str]:
    if statuses is None:
        return list(ENDED)
    given = [statuses] if isinstance(statuses, str) else statuses
    read = [word.upper() for word in read_names(given, "statuses", such_as=str(list(ENDED)))]
    if not read or not set(read) <= set(ENDED):
        raise InvalidInput(f"statuses must be some of {', '.join(ENDED)}, not {statuses!r}.")
    return [word for word in ENDED if word in read]
