"""Wait for many runs on one event loop, as a triggerer does; tell when each end was noticed, and the cost."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from typing import TYPE_CHECKING, Any

from telling import memory, tell, told

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger

given = told()
SAMPLED_EVERY = 0.1
MEMORY_EVERY = 5
# How long the sampling is measured alone: what it takes is not what the waits take.
ALONE_SECONDS = given["poll_interval"] / 2


def make(run_id: str, task_id: str) -> Any:
    told = {"run_id": run_id, "conn_id": given["conn_id"], "poll_interval": given["poll_interval"]}
    if given["kind"] == "yardstick":
        return OneRequestPerPollTrigger(**told)
    return OnlineTaskRunTrigger(online_task_id=task_id, **told)


if given["kind"] == "yardstick":
    from yardstick import OneRequestPerPollTrigger
else:
    from airflow_provider_online_tasks.triggers.runs import OnlineTaskRunTrigger


async def noticed(trigger: BaseTrigger, run_id: str, at: dict[str, float]) -> None:
    async for _ in trigger.run():
        at[run_id] = time.time()


async def sample(delays: list[float], peak: list[int]) -> None:
    """Note how late the event loop wakes a sleeper, and the most memory."""
    count = 0
    while True:
        asked_at = time.perf_counter()
        await asyncio.sleep(SAMPLED_EVERY)
        delays.append(max(0.0, time.perf_counter() - asked_at - SAMPLED_EVERY))
        count += 1
        if count % MEMORY_EVERY == 0:
            peak[0] = max(peak[0], memory())


async def sampling_alone() -> float:
    """Return the CPU seconds that a second of sampling takes."""
    before = time.process_time()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ALONE_SECONDS):
            await sample([], [0])
    return (time.process_time() - before) / ALONE_SECONDS


async def wait() -> dict[str, Any]:
    # What a triggerer loads and makes with its first waits, by ID and by list, is not counted.
    await asyncio.gather(*(noticed(make(*run), "before", {}) for run in given["before"]))
    sampled = await sampling_alone()
    gc.collect()
    before, began_at, cpu_before = memory(), time.monotonic(), time.process_time()
    at: dict[str, float] = {}
    delays: list[float] = []
    peak = [before]
    sampling = asyncio.create_task(sample(delays, peak))
    waits = []
    for run_id, task_id in given["runs"]:
        waits.append(asyncio.create_task(noticed(make(run_id, task_id), run_id, at)))
        await asyncio.sleep(0)  # as the triggerer does between two triggers
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(given["most_seconds"]):
            await asyncio.gather(*waits)
    cpu = time.process_time() - cpu_before - sampled * (time.monotonic() - began_at)
    if not delays:
        await asyncio.sleep(2 * SAMPLED_EVERY)
    sampling.cancel()
    return {
        "noticed_at": at,
        "cpu_seconds": cpu,
        "memory_before": before,
        "memory_peak": max(peak[0], memory()),
        "loop_delays": delays,
    }


tell(asyncio.run(wait()))
