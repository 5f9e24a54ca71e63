"""A thousand and ten thousand waits in one process, in real time, within the documented limit."""

from __future__ import annotations

import asyncio
import gc
import math
import resource
import time
from typing import TYPE_CHECKING, Any

import pytest
from waits import create_task, event_of, trigger

from airflow_provider_online_tasks.emulator import EmulatorProcess, EmulatorSettings
from airflow_provider_online_tasks.triggers._events import OVER
from airflow_provider_online_tasks.waiting.budget import Budget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_online_tasks.triggers._events import RunEvent

pytestmark = pytest.mark.slow

PER_MINUTE = 60
POLL_INTERVAL = 10.0


@pytest.fixture
def limited_arize(connect: Callable[..., str]) -> Iterator[EmulatorProcess]:
    """An emulator in a process of its own, with the documented limit, and the default budget towards it."""
    with EmulatorProcess(EmulatorSettings(queries_per_minute=100)) as emulator:
        connect(emulator, requests_per_minute=PER_MINUTE)
        yield emulator


def most_in_a_minute(times: list[float]) -> int:
    """Return the largest number of requests in any 60 seconds."""
    most = first = 0
    for last, at in enumerate(times):
        while times[first] <= at - 60:
            first += 1
        most = max(most, last - first + 1)
    return most


async def noticed(waiting: Any) -> tuple[float, RunEvent]:
    event = await event_of(waiting)
    return time.time(), event


def lags(results: list[tuple[float, RunEvent]]) -> list[float]:
    """Return the sorted times from a run's end to its event, in seconds."""
    return sorted(
        at - event.run.run_finished_at.timestamp()
        for at, event in results
        if event.run is not None and event.run.run_finished_at is not None
    )


def request_times(emulator: EmulatorProcess) -> list[float]:
    requests = emulator.requests()
    assert {request["status"] for request in requests} == {200}
    return sorted(request["time"] for request in requests if request["operation"].startswith("rest."))


def test_a_thousand_waits_on_ten_tasks(
    limited_arize: EmulatorProcess, record_property: Callable[[str, object], None]
) -> None:
    tasks = [create_task(limited_arize, f"task {number}") for number in range(10)]
    runs = [(run, task) for task in tasks for run in limited_arize.create_runs(task, 100, (60.0, 90.0))]
    limited_arize.clear_requests()

    async def wait_for_all() -> list[tuple[float, RunEvent]]:
        async with asyncio.timeout(180):
            waits = (noticed(trigger(run, task, poll_interval=POLL_INTERVAL)) for run, task in runs)
            return await asyncio.gather(*waits)

    results = asyncio.run(wait_for_all())

    assert [event.outcome for _, event in results] == [OVER] * 1000
    times = request_times(limited_arize)
    # Each task takes a request a round; at worst, all of them come due together.
    stretch = len(tasks) * Budget(PER_MINUTE).gap
    found = lags(results)
    record_property("most requests in a minute", most_in_a_minute(times))
    record_property("seconds from end to event: median", found[500])
    record_property("seconds from end to event: most", found[-1])
    assert len(found) == 1000
    assert most_in_a_minute(times) <= PER_MINUTE
    assert found[-1] <= POLL_INTERVAL + stretch


def test_ten_thousand_waits_on_a_hundred_tasks(
    limited_arize: EmulatorProcess, record_property: Callable[[str, object], None]
) -> None:
    tasks = [create_task(limited_arize, f"task {number}") for number in range(100)]
    # A round of a hundred pages takes 109 seconds at 55 requests a minute.
    runs = [(run, task) for task in tasks for run in limited_arize.create_runs(task, 100, (60.0, 150.0))]
    limited_arize.clear_requests()
    delays: list[float] = []

    async def measure_delays() -> None:
        while True:
            asked_at = time.perf_counter()
            await asyncio.sleep(0.01)
            delays.append(time.perf_counter() - asked_at - 0.01)

    async def wait_for_all() -> tuple[list[tuple[float, RunEvent]], float]:
        async with asyncio.timeout(400):
            gc.collect()
            before = memory()
            measuring = asyncio.create_task(measure_delays())
            waits = []
            for run, task in runs:
                waiting = trigger(run, task, poll_interval=POLL_INTERVAL)
                waits.append(asyncio.create_task(noticed(waiting)))
                await asyncio.sleep(0)  # as the triggerer does between two triggers
            await asyncio.sleep(50)
            per_wait = (memory() - before) / len(runs)
            results = await asyncio.gather(*waits)
            measuring.cancel()
            return results, per_wait

    results, per_wait = asyncio.run(wait_for_all())

    assert [event.outcome for _, event in results] == [OVER] * 10_000
    times = request_times(limited_arize)
    stretch = len(tasks) * Budget(PER_MINUTE).gap
    found = lags(results)
    delay = sorted(delays)[math.ceil(len(delays) * 0.99) - 1]
    record_property("bytes a wait", per_wait)
    record_property("event loop delay, 99th percentile", delay)
    record_property("seconds from end to event: most", found[-1])
    assert len(found) == 10_000
    assert most_in_a_minute(times) <= PER_MINUTE
    assert found[-1] <= POLL_INTERVAL + stretch
    assert per_wait < 10_000
    assert delay < 0.050


def memory() -> int:
    """Return the bytes this process holds in memory."""
    with open("/proc/self/statm") as statm:  # noqa: PTH123
        return int(statm.read().split()[1]) * resource.getpagesize()
