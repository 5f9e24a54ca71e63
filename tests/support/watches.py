"""Watching a task as a triggerer does, and an asset's state store as Airflow 3.3 has one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_online_tasks.triggers.task_runs import FinishedRunsTrigger
from tests.support.quick_time import QuickLoop

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator

PATIENCE = 90.0


class AssetStore:
    """What is kept of an asset. Values go through JSON, as in a database."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.failures = 0
        self.lost_answers = 0

    async def aget(self, key: str) -> Any:
        self._fail()
        await self._lose()
        return json.loads(self.values.get(key, "null"))

    async def aset(self, key: str, value: Any) -> None:
        self._fail()
        await self._lose()
        self.values[key] = json.dumps(value)

    async def _lose(self) -> None:
        if self.lost_answers:
            self.lost_answers -= 1
            await asyncio.Event().wait()

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise RuntimeError("the API server is away")


class SharedAssetStore:
    """The stores of several assets that have the same watcher, as a trigger gets to see them."""

    def __init__(self, **stores: AssetStore) -> None:
        self._by_name = stores


class Watch:
    """A trigger at work. ``async with`` starts and, as a triggerer does, cancels it."""

    def __init__(
        self,
        trigger: FinishedRunsTrigger,
        events: Callable[[], AsyncIterator[Any]] | None = None,
    ) -> None:
        self.trigger = trigger
        self.reported: list[dict[str, Any]] = []
        self.events = 0
        self._events = events or trigger.run

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._work())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        assert self._task.cancelled(), self._task.exception()

    async def _work(self) -> None:
        async for event in self._events():
            # As the database stores it.
            self.reported += json.loads(json.dumps(event.payload))["runs"]
            self.events += 1

    @property
    def runs(self) -> list[str]:
        """IDs of the runs that were reported, in order."""
        return [run["run_id"] for run in self.reported]

    async def until(self, count: int) -> list[str]:
        """Return the reported runs once there are so many."""
        return await until(lambda: self.runs if len(self.runs) >= count else None)


async def until(look: Callable[[], Any]) -> Any:
    """Return what ``look`` returns once that is true."""
    async with asyncio.timeout(PATIENCE):
        while not (seen := look()):
            assert seen is not NotImplemented
            await asyncio.sleep(0.02)
    return seen


async def pass_time(arize: Emulator, seconds: float) -> None:
    """Let time pass, here and at the emulator."""
    await asyncio.sleep(seconds)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, QuickLoop)
    owed, loop.owed = loop.owed, 0.0
    arize.advance(owed)


def trigger(online_task_id: str, store: Any = None, **arguments: Any) -> FinishedRunsTrigger:
    """A trigger that looks often, made again from what is serialised of it, with the store of its asset."""
    given = FinishedRunsTrigger(online_task_id=online_task_id, **{"poll_interval": 0.1, **arguments})
    _, kwargs = given.serialize()
    made = FinishedRunsTrigger(**json.loads(json.dumps(kwargs)))
    made.asset_state_store = store
    return made
