"""Schedule DAGs when a run of an online task finishes, even if others started it."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncGenerator, AsyncIterator, Hashable, Iterator, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_provider_online_tasks._defaults import DEFAULT_CONN_ID
from airflow_provider_online_tasks.api.responses import RunStatus
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.inputs import arguments

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.responses import TaskRun
    from airflow_provider_online_tasks.runs.finished_runs import Found, Memory

FINISHED = [status.value for status in RunStatus if status.is_over]
# Airflow stores an event within a second or two. Runs whose event was not stored must be reported again.
STORED_AFTER_SECONDS = 5.0
# Keep the event after a long absence at a size that Airflow can handle.
MOST_BYTES = 60_000
# How far a restarted triggerer has to go back at most if nothing was reported.
REMEMBER_EVERY = timedelta(hours=1)
# Longer than Airflow takes to read or write the state store. A lost reply must not end a watcher.
STORE_SECONDS = 30.0


class FinishedRunsTrigger(BaseEventTrigger):
    """Report every finished run of a task, started from Airflow, in the Arize UI or continuously.

    For an :class:`~airflow.sdk.AssetWatcher`::

        evaluated = Asset(
            "evaluated_answers",
            watchers=[AssetWatcher(name="runs", trigger=FinishedRunsTrigger(online_task_id="T25s…"))],
        )

        with DAG("act_on_labels", schedule=[evaluated]): ...

    One event reports the runs that one poll found: ``event.extra["payload"]["runs"]`` of
    ``triggering_asset_events`` holds their summaries with ``run_id``, ``status``, counts, window and times.

    The trigger starts with the runs that finish after its first start. With Airflow 3.3 or later it keeps in
    the asset's state store what it reported. After a restart of the triggerer, it reports the runs that
    finished meanwhile. It reports no run twice, except those of an event that it sent within five seconds
    before the triggerer was killed. Before Airflow 3.3, it starts again with each restart.

    Watchers of one task with the same connection and ``poll_interval`` share one poll (Airflow 3.3 or later),
    which counts towards the connection's ``requests_per_minute``. If Arize can't be reached or rejects a
    request, the trigger polls again later and reports what finished meanwhile.

    :param online_task_id: global ID of the task. Must be known when the DAG is parsed.
    :param conn_id: Airflow connection of type ``arize_online_tasks``.
    :param statuses: statuses to report: ``COMPLETED``, ``FAILED``, ``CANCELLED``. Default: all.
    :param poll_interval: seconds between two polls. Default: 60.
    :raises InvalidInput: an argument is not valid.
    """

    @arguments.suggests_names
    def __init__(
        self,
        *,
        online_task_id: str,
        conn_id: str = DEFAULT_CONN_ID,
        statuses: Sequence[str] | None = None,
        poll_interval: float = 60.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        arguments.check_literal(online_task_id, "online_task_id")
        arguments.check_literal(conn_id, "conn_id")
        self.online_task_id = arguments.read_id(online_task_id, "online_task_id")
        self.conn_id = arguments.read_name(conn_id, "conn_id")
        names: Any = FINISHED if statuses is None else [statuses] if isinstance(statuses, str) else statuses
        wanted = {name.upper() for name in arguments.read_names(names, "statuses", such_as=str(FINISHED))}
        if not wanted or not wanted <= set(FINISHED):
            raise InvalidInput(f"statuses must be some of {', '.join(FINISHED)}, not {statuses!r}.")
        self.statuses = [status for status in FINISHED if status in wanted]
        self.poll_interval = arguments.positive_seconds(poll_interval, "poll_interval")
        self._memory: Memory | None = None
        self._stored_since: datetime | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and arguments with which a triggerer creates this trigger again."""
        names = ("online_task_id", "conn_id", "statuses", "poll_interval")
        path = f"{FinishedRunsTrigger.__module__}.{FinishedRunsTrigger.__qualname__}"
        return path, {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event whenever runs have finished. Never ends."""
        async with aclosing(self.open_shared_stream(self.serialize()[1])) as polls:
            async for event in self.filter_shared_stream(polls):
                yield event

    # Airflow 3.3 and later: one poll for several watchers.

    def shared_stream_key(self) -> Hashable:
        """Return a key that is equal for watchers that can share a poll."""
        return ("online_task_runs", self.conn_id, self.online_task_id, self.poll_interval)

    @classmethod
    async def open_shared_stream(
        cls, kwargs: dict[str, Any], memory: Memory | None = None
    ) -> AsyncGenerator[Found, None]:
        """Poll for all watchers with the same key."""
        from airflow_provider_online_tasks.runs.finished_runs import poll_finished_runs

        polls = poll_finished_runs(
            kwargs["conn_id"], kwargs["online_task_id"], poll_interval=kwargs["poll_interval"], memory=memory
        )
        async with aclosing(polls):
            async for found in polls:
                yield found

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Found]) -> AsyncIterator[TriggerEvent]:
        """Yield an event whenever the shared poll has found runs that this watcher has not reported."""
        stored = await self._recall()
        async for found in shared_stream:
            if self._memory is not None:
                news = found.without(self._memory.reported)
            elif stored is not None:
                # The shared poll doesn't know what happened before it started. Poll once from where this
                # watcher was, after the first result of the shared poll, so that there is no gap.
                async with aclosing(self.open_shared_stream(self.serialize()[1], stored)) as polls:
                    news = await anext(polls)
            else:
                # Other watchers may have started long ago. This one starts now.
                news = dataclasses.replace(found, finished=())
            async for event in self._report(news):
                yield event

    async def _report(self, found: Found) -> AsyncIterator[TriggerEvent]:
        """Yield the events for the result of a poll, then remember that they were sent."""
        # Airflow passes an event to the DAG run that it queues. Events that follow at once would be passed to
        # the next DAG run only, so one event reports as many runs as possible.
        reported = [run for run in found.finished if run.status.value in self.statuses]
        for summaries in split_summaries(reported):
            yield TriggerEvent({"online_task_id": self.online_task_id, "runs": summaries})  # type: ignore[no-untyped-call]
            await asyncio.sleep(STORED_AFTER_SECONDS)
        self._memory = memory = found.memory
        stored = self._stored_since
        if not found.finished and stored is not None and memory.since - stored <= REMEMBER_EVERY:
            return
        try:
            async with asyncio.timeout(STORE_SECONDS):
                for store in self._stores():
                    await store.aset(self._key, memory.model_dump(mode="json"))
        except Exception as error:  # noqa: BLE001  the next poll tries again
            self.log.warning("The reported runs could not be stored and may be reported again: %r", error)
        else:
            self._stored_since = memory.since

    def _stores(self) -> list[Any]:
        store = getattr(self, "asset_state_store", None)
        if store is None:
            return []
        # Assets with equal watchers share a trigger. Airflow has no public way to list their stores.
        shared = [*getattr(store, "_by_name", {}).values(), *getattr(store, "_by_uri", {}).values()]
        return shared or [store]

    @property
    def _key(self) -> str:
        # An asset may have several watchers.
        return "online_task_runs:" + json.dumps([self.conn_id, self.online_task_id, self.statuses])

    async def _recall(self) -> Memory | None:
        """Return the newest memory in the stores; wait until they can be read."""
        from airflow_provider_online_tasks.runs.finished_runs import Memory

        while True:
            try:
                async with asyncio.timeout(STORE_SECONDS):
                    stored = [Memory.from_json(await store.aget(self._key)) for store in self._stores()]
            except Exception as error:  # noqa: BLE001  starting without the memory would miss runs
                self.log.warning("The reported runs can't be read from the state store: %r", error)
                await asyncio.sleep(min(self.poll_interval, STORED_AFTER_SECONDS))
            else:
                memories = [memory for memory in stored if memory is not None]
                return max(memories, key=lambda memory: memory.since, default=None)


def split_summaries(runs: Sequence[TaskRun]) -> Iterator[list[dict[str, Any]]]:
    """Yield the summaries of runs, as many at a time as one event can hold."""
    summaries: list[dict[str, Any]] = []
    total = 0
    for run in runs:
        summary = run.summary()
        size = len(json.dumps(summary)) + 2
        if summaries and total + size > MOST_BYTES:
            yield summaries
            summaries, total = [], 0
        summaries.append(summary)
        total += size
    if summaries:
        yield summaries
