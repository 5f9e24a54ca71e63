"""Hundreds to ten thousand waits in one process, within the documented limit.

The clocks of the event loop and of the emulator stand still while a request is in flight, and jump in
between, so the results don't depend on the machine. ``make bench ONLY=growth`` measures how long the event
loop is blocked.
"""

from __future__ import annotations

import asyncio
import gc
import resource
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks.emulator import EmulatorProcess, EmulatorSettings
from airflow_provider_online_tasks.runs.polling.budget import Budget
from airflow_provider_online_tasks.runs.polling.poller import DELIVERED_AT_ONCE
from airflow_provider_online_tasks.triggers.events import FINISHED
from tests.support import quick_time
from tests.support.waits import create_task, event_of, trigger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_online_tasks.triggers.events import RunEvent

pytestmark = pytest.mark.no_cover

PER_MINUTE = 60
POLL_INTERVAL = 10.0


@pytest.fixture
def limited_arize(connect: Callable[..., str]) -> Iterator[EmulatorProcess]:
    """An emulator in a separate process, with the documented limit; the connection has the default budget."""
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


class Waits:
    """Many waits and their events.

    :param runs: IDs of the runs and of their tasks.
    """

    def __init__(self, runs: list[tuple[str, str]]) -> None:
        self.runs = runs
        self.events: list[RunEvent] = []
        self.noticed_at: list[float] = []
        self.woken_up: Counter[int] = Counter()
        self.bytes_each = 0.0

    async def wait(self) -> None:
        """Start them as a triggerer does, and wait for all events."""
        async with asyncio.timeout(400):
            gc.collect()
            before = memory()
            waits = []
            for run, task in self.runs:
                waits.append(asyncio.create_task(self._notice(run, task)))
                await asyncio.sleep(0)  # as the triggerer between two triggers
            await asyncio.sleep(50)
            self.bytes_each = (memory() - before) / len(self.runs)
            await asyncio.gather(*waits)

    async def _notice(self, run: str, task: str) -> None:
        event = await event_of(trigger(run, task, poll_interval=POLL_INTERVAL))
        loop: Any = asyncio.get_running_loop()
        self.events.append(event)
        self.noticed_at.append(loop.time())
        self.woken_up[loop.turns] += 1

    def lags(self, began: float) -> list[float]:
        """Return the sorted seconds from a run's end to its event.

        :param began: the emulator's time when the event loop's clock started.
        """
        return sorted(
            began + at - event.run.run_finished_at.timestamp()
            for at, event in zip(self.noticed_at, self.events, strict=True)
            if event.run is not None and event.run.run_finished_at is not None
        )


def request_times(emulator: EmulatorProcess) -> list[float]:
    requests = emulator.requests()
    assert {request["status"] for request in requests} == {200}
    return sorted(request["time"] for request in requests if request["operation"].startswith("rest."))


@pytest.mark.promise("scale")
@pytest.mark.parametrize(
    ("count", "seconds", "requests"),
    [
        pytest.param(3, (60.0, 90.0), 33, id="300_waits_on_3_tasks"),
        pytest.param(10, (60.0, 90.0), 110, id="1000_waits_on_10_tasks", marks=pytest.mark.slow),
        # A round of a hundred pages takes 109 seconds at 55 requests per minute.
        pytest.param(100, (60.0, 150.0), 300, id="10000_waits_on_100_tasks", marks=pytest.mark.slow),
    ],
)
def test_hundred_waits_per_task_stay_within_limit_and_interval(
    limited_arize: EmulatorProcess,
    count: int,
    seconds: tuple[float, float],
    requests: int,
    record_property: Callable[[str, object], None],
) -> None:
    tasks = [create_task(limited_arize, f"task {number}") for number in range(count)]
    waits = Waits([(run, task) for task in tasks for run in limited_arize.create_runs(task, 100, seconds)])
    began = limited_arize.requests()[0]["time"]
    limited_arize.clear_requests()

    quick_time.run(waits.wait())

    assert [event.outcome for event in waits.events] == [FINISHED] * len(waits.runs)
    times = request_times(limited_arize)
    most = most_in_a_minute(times)
    # Each task takes one request per round. At worst, all of them are due together.
    stretch = len(tasks) * Budget(PER_MINUTE).gap
    lags = waits.lags(began)
    record_property("requests", len(times))
    record_property("most requests in a minute", most)
    record_property("seconds from end to event: median", lags[len(lags) // 2])
    record_property("seconds from end to event: most", lags[-1])
    record_property("bytes per wait", waits.bytes_each)
    record_property("most woken up at once", max(waits.woken_up.values()))
    assert len(lags) == len(waits.runs)
    assert len(times) <= requests
    assert most <= PER_MINUTE
    assert lags[0] >= -0.001
    assert lags[-1] <= POLL_INTERVAL + stretch
    # What all waits share counts little among many.
    assert count < 100 or waits.bytes_each < 10_000
    # Between the events of a page, the event loop serves others.
    assert max(waits.woken_up.values()) <= DELIVERED_AT_ONCE


def memory() -> int:
    """Return the bytes of memory that this process uses."""
    with open("/proc/self/statm") as statm:  # noqa: PTH123
        return int(statm.read().split()[1]) * resource.getpagesize()
