"""Wait for many runs on one event loop, as a triggerer does."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from typing import TYPE_CHECKING, Any

from probe_io import memory, read_arguments, write_result

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger

arguments = read_arguments()
SAMPLE_SECONDS = 0.1
SAMPLES_PER_MEMORY = 5
# How long to measure the sampling alone, whose CPU time is subtracted.
SAMPLING_SECONDS = arguments["poll_interval"] / 2

if arguments["kind"] == "yardstick":
    from yardstick import OneRequestPerPollTrigger
else:
    from airflow_provider_online_tasks.triggers.runs import OnlineTaskRunTrigger


def create(run_id: str, task_id: str) -> Any:
    fields = {
        "run_id": run_id,
        "conn_id": arguments["conn_id"],
        "poll_interval": arguments["poll_interval"],
    }
    if arguments["kind"] == "yardstick":
        return OneRequestPerPollTrigger(**fields)
    return OnlineTaskRunTrigger(online_task_id=task_id, **fields)


async def notice(trigger: BaseTrigger, run_id: str, noticed_at: dict[str, float]) -> None:
    async for _ in trigger.run():
        noticed_at[run_id] = time.time()


async def sample(delays: list[float], peak: list[int]) -> None:
    """Record how late the event loop wakes a sleeping task, and the most memory."""
    count = 0
    while True:
        began = time.perf_counter()
        await asyncio.sleep(SAMPLE_SECONDS)
        delays.append(max(0.0, time.perf_counter() - began - SAMPLE_SECONDS))
        count += 1
        if count % SAMPLES_PER_MEMORY == 0:
            peak[0] = max(peak[0], memory())


async def cpu_per_second_of_sampling() -> float:
    before = time.process_time()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SAMPLING_SECONDS):
            await sample([], [0])
    return (time.process_time() - before) / SAMPLING_SECONDS


async def wait() -> dict[str, Any]:
    # What a triggerer imports and creates with its first waits is not counted.
    await asyncio.gather(*(notice(create(*run), "warm-up", {}) for run in arguments["warm_up"]))
    sampling_cpu = await cpu_per_second_of_sampling()
    gc.collect()
    before, began, cpu_before = memory(), time.monotonic(), time.process_time()
    noticed_at: dict[str, float] = {}
    delays: list[float] = []
    peak = [before]
    sampling = asyncio.create_task(sample(delays, peak))
    waits = []
    for run_id, task_id in arguments["runs"]:
        waits.append(asyncio.create_task(notice(create(run_id, task_id), run_id, noticed_at)))
        await asyncio.sleep(0)  # as the triggerer does between two triggers
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(arguments["max_seconds"]):
            await asyncio.gather(*waits)
    cpu = time.process_time() - cpu_before - sampling_cpu * (time.monotonic() - began)
    if not delays:
        await asyncio.sleep(2 * SAMPLE_SECONDS)
    sampling.cancel()
    return {
        "noticed_at": noticed_at,
        "cpu_seconds": cpu,
        "memory": max(peak[0], memory()) - before,
        "loop_delay_p99": sorted(delays)[int(0.99 * len(delays))],
    }


write_result(asyncio.run(wait()))
