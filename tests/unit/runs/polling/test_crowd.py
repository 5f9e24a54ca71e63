"""Several processes share Arize's limit without talking to each other, and a key is rotated meanwhile."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks.api.settings import Settings
from airflow_provider_online_tasks.emulator import Fault, RunFate
from airflow_provider_online_tasks.runs.polling.shared_pollers import poll_run, this_loop
from airflow_provider_online_tasks.runs.wait_policy import pause_after
from airflow_provider_online_tasks.triggers.events import ERROR, FINISHED
from airflow_provider_online_tasks.triggers.runs import OnlineTaskRunTrigger
from tests.support import quick_time
from tests.support.key_rotation import NEW_KEY, rotate
from tests.support.waits import CONN_ID, create_task, event_of, eventually, poller_of, trigger

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_online_tasks.emulator import Emulator

HANG = RunFate("hang")
MINUTES = 10


@pytest.mark.promise("several-triggerers")
def test_two_triggerers_and_ten_sensors_get_at_most_one_429_per_minute(
    arize: Emulator, clocks: quick_time.Clocks
) -> None:
    """Sixty waits, each for a run of a different task, so that no runs can be read together."""
    from airflow_provider_online_tasks.api import calls
    from airflow_provider_online_tasks.api.async_client import AsyncClient
    from airflow_provider_online_tasks.exceptions import RateLimited

    runs = [
        (arize.create_runs(task, 1, (MINUTES * 60.0 + 30, MINUTES * 60.0 + 60))[0], task)
        for task in (create_task(arize, f"task {number}") for number in range(60))
    ]
    [sensed] = arize.create_runs(create_task(arize, "sensed"), 1, fate=HANG)
    arize.configure(queries_per_minute=100)
    settings = Settings.of_connection(host=arize.url, api_key=arize.api_key, extra={}, conn_id="test")

    async def sense(number: int) -> None:
        """Read every ten seconds and pause as a sensor in poke mode."""
        client = AsyncClient(settings)
        try:
            await asyncio.sleep(number)
            while True:
                pause = 10.0
                try:
                    await client.send(calls.get_task_run(sensed))
                except RateLimited as error:
                    pause = max(pause, pause_after(error))
                await asyncio.sleep(pause)
        finally:
            await client.close()

    async def together() -> tuple[list[Any], float]:
        began = asyncio.get_running_loop().time()
        triggerers = [poller_of(arize, per_minute=60) for _ in range(2)]
        sensors = [asyncio.create_task(sense(number)) for number in range(10)]

        async def ended(number: int, run: str, task: str) -> Any:
            wait = triggerers[number % 2].add(run, task, conn_id=CONN_ID, poll_interval=10.0)
            while not (found := await wait.next()).is_over:
                pass
            return found

        found = await asyncio.gather(*(ended(number, *run) for number, run in enumerate(runs)))
        for each in sensors:
            each.cancel()
        await asyncio.wait(sensors)
        return found, began

    found, _ = quick_time.run(together())

    assert len(found) == 60
    requests = arize.requests("rest.*")
    first = requests[0]["time"]
    refused = Counter(int((one["time"] - first) // 60) for one in requests if one["status"] == 429)
    assert refused.total() - refused[0] <= MINUTES
    assert max(refused[minute] for minute in range(2, MINUTES)) <= 3
    # Most of the limit is used.
    assert sum(one["status"] == 200 for one in requests) >= 0.75 * 100 * MINUTES


# -- A budget that is too small. --


@pytest.mark.promise("shared-poller")
def test_budget_too_small_is_logged_once_per_minute(
    arize: Emulator,
    connect: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(OnlineTaskRunTrigger, "log", logging.getLogger("task"))
    caplog.set_level(logging.INFO, logger="task")
    connect(arize, requests_per_minute=12)
    tasks = [create_task(arize, f"task {number}") for number in range(8)]
    runs = [(arize.create_runs(task, 1, (300.0, 300.0))[0], task) for task in tasks]

    async def wait() -> None:
        await asyncio.gather(*(event_of(trigger(run, task, poll_interval=5.0)) for run, task in runs))

    quick_time.run(wait())

    late = [record.args for record in caplog.records if record.name == "task" and 12.0 in record.args]
    assert any({runs[0][0], 8} <= set(args) for args in late)
    assert max(Counter(args[0] for args in late).values()) <= 9  # per minute and status change


def test_budget_sufficient_is_not_blamed_for_a_pause(
    arize: Emulator,
    connect: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(OnlineTaskRunTrigger, "log", logging.getLogger("task"))
    caplog.set_level(logging.INFO, logger="task")
    connect(arize, requests_per_minute=60)
    task = create_task(arize)
    [run] = arize.create_runs(task, 1, (300.0, 300.0))
    arize.add_fault(Fault("rest.*", "rate_limited", retry_after=100, skip=2))

    quick_time.run(event_of(trigger(run, task, poll_interval=5.0)))

    assert not any(60.0 in record.args for record in caplog.records if record.name == "task")
    assert "HTTP 429" in caplog.text


# -- A rotated key. --


@pytest.mark.promise("wait-key-rotated", "poll-401")
def test_key_rotated_waits_use_the_new_key(
    arize: Emulator, connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    task, other = create_task(arize), create_task(arize, "another")
    runs = [(run, task) for run in arize.create_runs(task, 3, (300.0, 400.0))]
    [late] = arize.create_runs(other, 1, (300.0, 400.0))

    async def wait() -> list[Any]:
        waits = [asyncio.create_task(event_of(trigger(run, of, poll_interval=10.0))) for run, of in runs]
        await asyncio.sleep(60)
        rotate(arize, monkeypatch)
        await asyncio.sleep(60)
        assert not any(each.done() for each in waits)
        # The key in Airflow is changed a minute later than the one at Arize.
        fields = {"conn_type": "arize_online_tasks", "host": arize.url, "password": NEW_KEY}
        monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps(fields))
        waits.append(asyncio.create_task(event_of(trigger(late, other, poll_interval=10.0))))
        return await asyncio.gather(*waits)

    events = quick_time.run(wait())

    assert Counter(event.outcome for event in events) == {FINISHED: 4}
    assert {one["status"] for one in arize.requests("rest.*task_run*")} == {200, 401}


@pytest.mark.promise("poll-401")
def test_key_stays_rejected_connection_is_read_at_most_every_ten_seconds(
    arize: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_online_tasks import _airflow

    looked_up: list[float] = []
    really = _airflow.read_connection

    async def counted(conn_id: str) -> Any:
        looked_up.append(asyncio.get_running_loop().time())
        return await really(conn_id)

    monkeypatch.setattr(_airflow, "read_connection", counted)
    arize.add_fault(Fault("rest.*", "unauthorized", times=None))
    task = create_task(arize)
    runs = arize.create_runs(task, 20, fate=HANG)

    async def wait() -> list[Any]:
        return await asyncio.gather(*(event_of(trigger(run, task)) for run in runs))

    events = quick_time.run(wait())

    assert {(event.outcome, event.error_type) for event in events} == {(ERROR, "OnlineTaskRunUnreachable")}
    assert 5 <= len(looked_up) <= 32
    assert min(later - earlier for earlier, later in pairwise(looked_up[1:])) >= 10


def test_connection_changed_moves_its_waits_only(arize: Emulator, connect: Callable[..., str]) -> None:
    task = create_task(arize)
    runs = arize.create_runs(task, 4, fate=HANG)

    async def wait() -> list[int]:
        closed: list[str] = []
        old = poller_of(arize, api_key="one", on_closed=lambda: closed.append("old"))
        new = poller_of(arize, on_closed=lambda: closed.append("new"))
        keep = old.add(runs[0], task, conn_id="one", poll_interval=5.0)
        moved = [old.add(run, task, conn_id="two", poll_interval=5.0) for run in runs]
        old.move("two", lambda: new)
        counts = [old.count_runs(), new.count_runs()]
        assert not (await moved[0].next()).is_over
        for each in moved:
            each.close()
        await eventually(lambda: closed == ["new"])
        keep.close()
        assert closed == ["new", "old"]
        return counts

    assert quick_time.run(wait()) == [1, 4]


def test_two_connections_with_one_key_only_the_changed_one_moves(
    arize: Emulator, connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(arize, "one")
    connect(arize, "two")
    task = create_task(arize)
    runs = arize.create_runs(task, 2, fate=HANG)

    async def wait() -> None:
        async with (
            poll_run("one", runs[0], online_task_id=task, poll_interval=10.0) as one,
            poll_run("two", runs[1], online_task_id=task, poll_interval=10.0) as two,
        ):
            await one.next()
            arize.add_fault(Fault("rest.*", "unauthorized"))
            fields = {"conn_type": "arize_online_tasks", "host": arize.url, "password": "wrong"}
            monkeypatch.setenv("AIRFLOW_CONN_TWO", json.dumps(fields))
            await asyncio.sleep(60)
            assert one.trouble is None
            assert two.trouble is not None

    quick_time.run(wait())


def test_key_rotated_twice_waits_use_the_newest_key(arize: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    task = create_task(arize)
    runs = arize.create_runs(task, 2, fate=HANG)

    def change_connection(key: str) -> None:
        fields = {"conn_type": "arize_online_tasks", "host": arize.url, "password": key}
        monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps(fields))

    async def wait() -> None:
        async with (
            poll_run(CONN_ID, runs[0], online_task_id=task, poll_interval=10.0) as first,
            poll_run(CONN_ID, runs[1], online_task_id=task, poll_interval=10.0) as second,
        ):
            await first.next()
            rejected = Fault("rest.*", "unauthorized", times=None)
            for key in ("ak-wrong", arize.api_key, "ak-other", arize.api_key):
                # The server rejects the old key until the connection has changed.
                arize.add_fault(rejected)
                change_connection(key)
                await asyncio.sleep(60)
                arize.clear_faults()
                await asyncio.sleep(60)
                assert [poller.settings.api_key for poller in this_loop().pollers.values()] == [key]
                assert {wait.trouble is None for wait in (first, second)} == {key == arize.api_key}

    quick_time.run(wait())
