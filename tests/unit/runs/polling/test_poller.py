"""All waits of a process for one endpoint and key share a poller: what it reads, when, and who shares it."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest

from airflow_provider_online_tasks.emulator import Emulator, EmulatorSettings, RunFate
from airflow_provider_online_tasks.runs.polling.poller import DELIVERED_AT_ONCE
from airflow_provider_online_tasks.runs.polling.shared_pollers import poll_run, this_loop
from airflow_provider_online_tasks.triggers.events import FINISHED
from tests.support import quick_time
from tests.support.waits import (
    CONN_ID,
    Sessions,
    count_outcomes,
    count_reads,
    create_task,
    delay_responses,
    event_of,
    eventually,
    poller_of,
    read_connections,
    trigger,
    wait_for,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_online_tasks.runs.polling.poller import Poller
    from airflow_provider_online_tasks.triggers.events import RunEvent

HANG = RunFate("hang")
LIST, GET = "rest.list_task_runs", "rest.get_task_run"


def pollers() -> list[Poller]:
    """Return the pollers of this event loop."""
    return list(this_loop().pollers.values())


@pytest.fixture
def other_arize(connect: Callable[..., str]) -> Iterator[Emulator]:
    """A second Arize, with the connection ``other_arize``."""
    with Emulator(EmulatorSettings(queries_per_minute=None)) as emulator:
        connect(emulator, "other_arize")
        yield emulator


# -- What is read. --


@pytest.mark.promise("shared-poller")
def test_runs_of_one_task_are_read_by_pages(arize: Emulator) -> None:
    task = create_task(arize)
    runs = arize.create_runs(task, 100, (0.5, 1.0))

    events = wait_for(*(trigger(run, task) for run in runs))

    assert count_outcomes(events) == {FINISHED: 100}
    # One page every fifth of a second, for a second.
    assert count_reads(arize)[LIST] <= 10
    assert count_reads(arize).total() <= 15


def test_waits_started_shortly_after_each_other_read_together(arize: Emulator) -> None:
    task = create_task(arize)
    runs = arize.create_runs(task, 4, (0.0, 0.0))

    async def wait() -> list[bool]:
        poller, waits = poller_of(arize), []
        for run in runs:
            waits.append(poller.add(run, task, conn_id=CONN_ID, poll_interval=10.0))
            await asyncio.sleep(0.01)
        return [(await each.next()).is_over for each in waits]

    assert quick_time.run(wait()) == [True] * 4
    assert count_reads(arize) == {LIST: 1}


def test_waits_for_the_runs_of_a_page_wake_up_in_groups(arize: Emulator) -> None:
    task = create_task(arize)
    runs = arize.create_runs(task, 100, (0.0, 0.0))
    done: list[int] = [0]

    async def wait() -> None:
        poller = poller_of(arize)
        waits = [poller.add(run, task, conn_id=CONN_ID, poll_interval=10.0) for run in runs]
        reads = [asyncio.create_task(each.next()) for each in waits]
        while done[-1] < len(runs):
            await asyncio.sleep(0)
            done.append(sum(each.done() for each in reads))

    quick_time.run(wait())
    assert max(later - earlier for earlier, later in pairwise(done)) <= DELIVERED_AT_ONCE


def test_single_run_of_a_task_is_read_by_id(arize: Emulator) -> None:
    task = create_task(arize)
    [run] = arize.create_runs(task, 1, (0.5, 0.5))

    wait_for(trigger(run, task))

    assert set(count_reads(arize)) == {GET}


@pytest.mark.parametrize("order", ["newest", "oldest", "shuffled"])
def test_runs_on_several_pages_are_noticed_in_any_order(arize: Emulator, order: str) -> None:
    arize.configure(runs_order=order)
    task = create_task(arize)
    runs = arize.create_runs(task, 250, (1.0, 2.0))

    events = wait_for(*(trigger(run, task) for run in runs))

    assert count_outcomes(events) == {FINISHED: 250}
    assert count_reads(arize).total() < 100


def test_few_runs_behind_a_long_history_are_read_by_id(arize: Emulator) -> None:
    arize.configure(runs_order="oldest")
    task = create_task(arize)
    arize.create_runs(task, 1000, (0.0, 0.0))
    runs = arize.create_runs(task, 3, (2.0, 2.0))

    events = wait_for(*(trigger(run, task) for run in runs))

    assert count_outcomes(events) == {FINISHED: 3}
    # Now and then, the poller tries whether the pages show the runs.
    assert count_reads(arize)[LIST] < count_reads(arize)[GET] / 2


def test_many_runs_behind_a_long_history_are_read_by_pages(arize: Emulator) -> None:
    arize.configure(runs_order="oldest")
    task = create_task(arize)
    arize.create_runs(task, 300, (0.0, 0.0))
    runs = arize.create_runs(task, 100, (1.0, 1.5))

    events = wait_for(*(trigger(run, task) for run in runs))

    assert count_outcomes(events) == {FINISHED: 100}
    assert count_reads(arize)[GET] < 20


def test_run_moving_between_pages_read_every_round(arize: Emulator) -> None:
    task = create_task(arize)
    runs = arize.create_runs(task, 2, fate=HANG)

    async def wait() -> None:
        loop = asyncio.get_running_loop()
        async with (
            poll_run(CONN_ID, runs[0], online_task_id=task, poll_interval=10.0) as first,
            poll_run(CONN_ID, runs[1], online_task_id=task, poll_interval=10.0) as second,
        ):
            # Newer runs push both off the first page. In the other order they are on it again.
            for order, newer, operation in (("newest", 0, LIST), ("newest", 300, GET), ("oldest", 0, LIST)):
                arize.configure(runs_order=order)
                if newer:
                    await asyncio.to_thread(arize.create_runs, task, newer, (0.0, 0.0))
                await asyncio.sleep(300)
                arize.clear_requests()
                await asyncio.sleep(100)
                assert min(first.run.due, second.run.due) >= loop.time() - 1
                assert count_reads(arize).most_common(1)[0][0] == operation

    quick_time.run(wait())


def test_runs_of_unknown_task_are_read_by_id_once_and_then_by_pages(arize: Emulator) -> None:
    runs = [
        run
        for number in range(2)
        for run in arize.create_runs(create_task(arize, f"task {number}"), 50, (2.0, 3.0))
    ]

    events = wait_for(*map(trigger, runs))

    assert count_outcomes(events) == {FINISHED: 100}
    assert count_reads(arize)[GET] <= 100 + 6
    assert count_reads(arize)[LIST] <= 2 * 20


def test_run_whose_task_is_named_by_a_second_wait_is_read_by_pages(arize: Emulator) -> None:
    task = create_task(arize)
    first, second = arize.create_runs(task, 2, (0.0, 0.0))

    async def wait() -> list[bool]:
        poller = poller_of(arize)
        waits = [
            poller.add(run, task_id, conn_id=CONN_ID, poll_interval=10.0)
            for run, task_id in ((first, None), (first, task), (second, task))
        ]
        return [(await each.next()).is_over for each in waits]

    assert quick_time.run(wait()) == [True] * 3
    assert count_reads(arize) == {LIST: 1}


def test_wrong_task_id_is_corrected(arize: Emulator) -> None:
    task, other = create_task(arize), create_task(arize, "another")
    runs = arize.create_runs(task, 2, (20.0, 20.0))
    missing = "T25saW5lVGFzazo5OTk5OnFSd1g="

    events = wait_for(*(trigger(run, wrong) for run in runs for wrong in (other, missing)))

    assert count_outcomes(events) == {FINISHED: 4}
    # Once the responses have named their task, both runs are read together, and no other task.
    paths = Counter(unquote(request["path"]) for request in arize.requests(LIST))
    assert paths[f"/v2/tasks/{task}/runs"] > 10
    assert paths[f"/v2/tasks/{other}/runs"] + paths[f"/v2/tasks/{missing}/runs"] <= 4
    assert count_reads(arize)[LIST] > count_reads(arize)[GET]


def test_runs_moved_to_their_task_are_not_read_with_the_wrong_one(arize: Emulator) -> None:
    task, other = create_task(arize), create_task(arize, "another")
    runs = arize.create_runs(task, 2, fate=HANG)
    [alone] = arize.create_runs(other, 1, fate=HANG)

    async def wait() -> None:
        poller = poller_of(arize)
        waits = [poller.add(run, other, conn_id=CONN_ID, poll_interval=2.0) for run in (*runs, alone)]
        await asyncio.sleep(60)
        arize.clear_requests()
        await asyncio.sleep(60)
        for each in waits:
            each.close()

    quick_time.run(wait())
    # The only run that is left to the other task is read by its ID.
    paths = {unquote(request["path"]) for request in arize.requests("rest.*")}
    assert paths == {f"/v2/tasks/{task}/runs", f"/v2/task-runs/{alone}"}


def test_task_without_waits_is_not_read_any_more(arize: Emulator) -> None:
    task, other = create_task(arize), create_task(arize, "other")
    runs = arize.create_runs(task, 3, fate=HANG)
    others = arize.create_runs(other, 2, fate=HANG)

    async def wait() -> None:
        poller = poller_of(arize)
        ended = [poller.add(run, task, conn_id=CONN_ID, poll_interval=10.0) for run in runs]
        waits = [poller.add(run, other, conn_id=CONN_ID, poll_interval=10.0) for run in others]
        await asyncio.sleep(25)
        for each in ended:
            each.close()
        arize.clear_requests()
        await asyncio.sleep(50)
        for each in waits:
            each.close()

    quick_time.run(wait())
    assert {request["path"] for request in arize.requests("rest.*")} == {f"/v2/tasks/{other}/runs"}


# -- When it is read. --


@pytest.mark.promise("shared-poller")
def test_first_read_is_at_once_and_the_next_within_the_interval(arize: Emulator) -> None:
    task = create_task(arize)
    [run] = arize.create_runs(task, 1, (2.5, 2.5))
    began = arize.requests()[-1]["time"]

    wait_for(trigger(run, task, poll_interval=1.0))

    times = [request["time"] for request in arize.requests(GET)]
    assert times[0] - began < 0.1
    for earlier, later in pairwise(times):
        assert 0.79 < later - earlier < 1.01


def test_first_read_does_not_wait_for_another_run_of_the_task(arize: Emulator) -> None:
    task = create_task(arize)
    first, second = arize.create_runs(task, 2, (60.0, 0.0))

    async def wait() -> RunEvent:
        waiting = asyncio.create_task(event_of(trigger(first, task, poll_interval=60)))
        await eventually(lambda: count_reads(arize).total() == 1)
        async with asyncio.timeout(2):
            event = await event_of(trigger(second, task, poll_interval=60, in_process=True))
        waiting.cancel()
        return event

    arize.set_run(second, seconds=0.0)
    assert quick_time.run(wait()).outcome == FINISHED


def test_two_waits_for_one_run_share_its_reads(arize: Emulator) -> None:
    task = create_task(arize)
    [run] = arize.create_runs(task, 1, (0.5, 0.5))

    events = wait_for(trigger(run, task), trigger(run))

    assert count_outcomes(events) == {FINISHED: 2}
    assert count_reads(arize).total() <= 6


def test_two_waits_for_one_run_use_shorter_interval(arize: Emulator) -> None:
    task = create_task(arize)
    [run] = arize.create_runs(task, 1, fate=HANG)
    reads: list[int] = []

    async def wait() -> None:
        async def count_in_100_seconds() -> None:
            arize.clear_requests()
            await asyncio.sleep(100)
            reads.append(count_reads(arize).total())

        async with poll_run(CONN_ID, run, online_task_id=task, poll_interval=50.0) as long:
            async with poll_run(CONN_ID, run, online_task_id=task, poll_interval=10.0) as short:
                await count_in_100_seconds()
                assert not (await short.next()).is_over
            await asyncio.sleep(20)
            await count_in_100_seconds()
            assert not (await long.next()).is_over

    quick_time.run(wait())
    assert 9 <= reads[0] <= 13
    assert 1 <= reads[1] <= 3


def test_hasten_reads_at_once_although_the_last_reads_failed(arize: Emulator) -> None:
    from airflow_provider_online_tasks.emulator import Fault

    task = create_task(arize)
    [run] = arize.create_runs(task, 1, fate=HANG)
    reads: list[int] = []

    async def wait() -> None:
        async with poll_run(CONN_ID, run, online_task_id=task, poll_interval=100.0) as each:
            await each.next()
            arize.add_fault(Fault(GET, "garbage", times=None))
            await asyncio.sleep(200)  # the next read is up to 30 s later
            for _ in range(3):
                reads.append(count_reads(arize)[GET])
                each.hasten()
                await asyncio.sleep(0.1)

    quick_time.run(wait())
    assert [later - earlier for earlier, later in pairwise(reads)] == [1, 1]


def test_seconds_late_run_in_flight_is_not_late(arize: Emulator) -> None:
    """A slow response is not the budget's fault."""
    [run] = arize.create_runs(create_task(arize), 1, fate=HANG)

    async def wait() -> list[float]:
        poller, late = poller_of(arize), []
        each = poller.add(run, None, conn_id=CONN_ID, poll_interval=1000.0)
        await each.next()
        await asyncio.sleep(200.0)
        each.run.due = asyncio.get_running_loop().time() - 100.0
        for in_flight in (False, True):
            each.run.in_flight = in_flight
            late.append(round(each.seconds_late))
        each.close()
        return late

    assert quick_time.run(wait()) == [100, 0]


def test_seconds_late_other_waits_end_is_zero_again(arize: Emulator) -> None:
    tasks = [create_task(arize, f"task {number}") for number in range(20)]
    runs = [(arize.create_runs(task, 1, fate=HANG)[0], task) for task in tasks]

    async def wait() -> list[tuple[float, int]]:
        poller, found = poller_of(arize, per_minute=12), []
        first, *others = [poller.add(*run, conn_id=CONN_ID, poll_interval=10.0) for run in runs]
        await asyncio.sleep(400)
        found.append((first.seconds_late, poller.count_runs()))
        for each in others:
            each.close()
        await asyncio.sleep(400)
        found.append((first.seconds_late, poller.count_runs()))
        first.close()
        return found

    (late, waits), (late_alone, waits_alone) = quick_time.run(wait())
    assert late > 30
    assert late_alone < 1
    assert (waits, waits_alone) == (20, 1)


@pytest.mark.parametrize("poll_interval", [0.0, -1.0, 0.001, math.nan])
def test_add_interval_too_short_uses_the_shortest_one(arize: Emulator, poll_interval: float) -> None:
    async def wait() -> float:
        wait = poller_of(arize).add("run", None, conn_id=CONN_ID, poll_interval=poll_interval)
        wait.close()
        return wait.poll_interval

    assert asyncio.run(wait()) == 0.05


def test_budget_too_small_stretches_all_intervals_alike(arize: Emulator, connect: Callable[..., str]) -> None:
    connect(arize, requests_per_minute=300)
    tasks = [create_task(arize, f"task {number}") for number in range(10)]
    runs = [(arize.create_runs(task, 1, (60.0, 60.0))[0], task) for task in tasks]

    async def wait() -> None:
        waits = [asyncio.create_task(event_of(trigger(run, task))) for run, task in runs]
        await asyncio.sleep(15)
        for each in waits:
            each.cancel()

    quick_time.run(wait())

    reads = Counter(request["path"] for request in arize.requests(GET))
    assert len(reads) == 10
    assert max(reads.values()) - min(reads.values()) <= 2
    assert 60 < reads.total() <= 25 + 15 * 5


# -- Who shares what. --


@pytest.mark.promise("shared-poller")
def test_two_endpoints_share_neither_budget_nor_session(
    arize: Emulator, other_arize: Emulator, connect: Callable[..., str]
) -> None:
    connect(arize, requests_per_minute=1)
    busy = create_task(arize)
    [hanging] = arize.create_runs(busy, 1, fate=HANG)
    task = create_task(other_arize)
    runs = other_arize.create_runs(task, 2, (0.5, 1.0))

    async def wait() -> list[RunEvent]:
        first = asyncio.create_task(event_of(trigger(hanging, busy)))
        await eventually(lambda: count_reads(arize).total() == 1)
        async with asyncio.timeout(10):
            events = await asyncio.gather(
                *(event_of(trigger(run, task, conn_id="other_arize")) for run in runs)
            )
        first.cancel()
        return events

    assert count_outcomes(quick_time.run(wait())) == {FINISHED: 2}
    assert count_reads(arize).total() == 1
    assert {request["key_ok"] for request in other_arize.requests("rest.*")} == {True}


@pytest.mark.promise("shared-poller")
def test_two_keys_of_one_endpoint_share_neither_budget_nor_poller(
    arize: Emulator, connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = create_task(arize)
    runs = arize.create_runs(task, 2, fate=HANG)
    wrong_key = {"conn_type": "arize_online_tasks", "host": arize.url, "password": "ak-another"}
    monkeypatch.setenv("AIRFLOW_CONN_WRONG_KEY", json.dumps(wrong_key))

    async def wait() -> None:
        async with (
            poll_run(CONN_ID, runs[0], online_task_id=task, poll_interval=1.0) as one,
            poll_run("wrong_key", runs[1], online_task_id=task, poll_interval=1.0) as two,
        ):
            await one.next()
            await asyncio.sleep(30)
            assert two.trouble is not None
            assert one.trouble is None
            assert len({poller.settings.api_key for poller in pollers()}) == 2

    quick_time.run(wait())


def test_two_connections_with_one_key_share_the_poller_and_its_budget(
    arize: Emulator, connect: Callable[..., str]
) -> None:
    connect(arize, "one", requests_per_minute=60)
    connect(arize, "two", requests_per_minute=60)
    runs = [arize.create_runs(create_task(arize, f"task {n}"), 1, fate=HANG)[0] for n in range(2)]

    async def wait() -> None:
        async with (
            poll_run("one", runs[0], online_task_id=None, poll_interval=0.5) as one,
            poll_run("two", runs[1], online_task_id=None, poll_interval=0.5) as two,
        ):
            await asyncio.gather(one.next(), two.next())
            assert len(pollers()) == 1
            await asyncio.sleep(120)
            arize.clear_requests()
            await asyncio.sleep(60)

    quick_time.run(wait())
    reads = Counter(request["path"] for request in arize.requests(GET))
    assert reads.total() <= 60
    assert max(reads.values()) - min(reads.values()) <= 2


def test_connection_read_again_though_another_one_keeps_the_poller(
    arize: Emulator, connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A poller that was closed and made again by one connection must not hide a change of another one."""
    connect(arize, "one")
    connect(arize, "two")
    [run] = arize.create_runs(create_task(arize), 1, fate=HANG)
    names = read_connections(monkeypatch)

    async def wait() -> None:
        for conn_id in ("one", "two"):
            async with poll_run(conn_id, run, online_task_id=None, poll_interval=10.0) as each:
                await each.next()
            await eventually(lambda: not pollers())
        async with (
            poll_run("two", run, online_task_id=None, poll_interval=10.0),
            poll_run("one", run, online_task_id=None, poll_interval=10.0),
        ):
            pass

    quick_time.run(wait())
    assert names == ["one", "two", "two", "one"]


def test_budget_after_waits_end_still_counts_requests(arize: Emulator, connect: Callable[..., str]) -> None:
    connect(arize, requests_per_minute=12)
    task = create_task(arize)

    async def wait_one_by_one() -> list[float]:
        times = []
        for _ in range(3):
            [run] = await asyncio.to_thread(arize.create_runs, task, 1, (0.0, 0.0))
            began = asyncio.get_running_loop().time()
            await event_of(trigger(run, task, in_process=True))
            times.append(asyncio.get_running_loop().time() - began)
        return times

    first, *later = quick_time.run(wait_one_by_one())

    assert first < 2
    assert all(waited > 3 for waited in later)


def test_waits_that_begin_together_read_the_connection_once(
    arize: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = read_connections(monkeypatch)
    task = create_task(arize)
    runs = arize.create_runs(task, 50, (0.2, 0.5))

    wait_for(*(trigger(run, task) for run in runs))
    assert names == [CONN_ID]

    # The next time, the key may be another.
    wait_for(trigger(runs[0], task))
    assert names == [CONN_ID, CONN_ID]


def test_connection_read_for_two_waits_one_cancelled_continues(
    arize: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = read_connections(monkeypatch, seconds=5.0)
    task = create_task(arize)
    runs = arize.create_runs(task, 2, (0.0, 0.0))

    async def wait() -> RunEvent:
        first, second = [asyncio.create_task(event_of(trigger(run, task))) for run in runs]
        await asyncio.sleep(1)
        first.cancel()
        return await second

    assert quick_time.run(wait()).outcome == FINISHED
    assert names == [CONN_ID]


def test_cancelled_wait_keeps_others_and_last_closes_session(
    arize: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = Sessions(monkeypatch)
    task = create_task(arize)
    runs = arize.create_runs(task, 3, fate=HANG)

    async def wait() -> None:
        waits = [asyncio.create_task(event_of(trigger(run, task))) for run in runs]
        await eventually(lambda: count_reads(arize).total() > 0)

        waits[0].cancel()
        await eventually(waits[0].cancelled)
        before = count_reads(arize).total()
        await eventually(lambda: count_reads(arize).total() > before)
        assert not waits[1].done()

        arize.set_run(runs[1], status="COMPLETED")
        assert (await waits[1]).outcome == FINISHED
        assert sessions.closed == 0

        waits[2].cancel()
        await eventually(lambda: sessions.closed == 1)
        assert pollers() == []
        before = count_reads(arize).total()
        await asyncio.sleep(0.5)
        assert count_reads(arize).total() == before

    quick_time.run(wait())
    assert sessions.opened == 1


def test_last_wait_ends_with_a_request_in_flight_closes_the_session(
    arize: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = create_task(arize)
    [run] = arize.create_runs(task, 1, fate=HANG)
    delay_responses(monkeypatch, 20.0)
    sessions = Sessions(monkeypatch)

    async def wait() -> float:
        waiting = asyncio.create_task(event_of(trigger(run, task)))
        await eventually(lambda: count_reads(arize).total() == 1)
        cancelled_at = asyncio.get_running_loop().time()
        waiting.cancel()
        await eventually(lambda: sessions.closed == 1)
        return asyncio.get_running_loop().time() - cancelled_at

    assert quick_time.run(wait()) < 1
    assert sessions.opened == 1


def test_wait_after_the_last_one_ended_opens_another_session(
    arize: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = create_task(arize)
    runs = arize.create_runs(task, 2, (0.0, 0.0))
    sessions = Sessions(monkeypatch)

    async def wait_one_by_one() -> list[RunEvent]:
        return [await event_of(trigger(run, task)) for run in runs]

    assert count_outcomes(quick_time.run(wait_one_by_one())) == {FINISHED: 2}
    assert (sessions.opened, sessions.closed) == (2, 2)


def test_wait_added_while_last_ends_is_polled(arize: Emulator) -> None:
    task = create_task(arize)
    runs = arize.create_runs(task, 2, (0.0, 0.0))

    async def wait() -> Any:
        async with poll_run(CONN_ID, runs[0], online_task_id=task, poll_interval=10.0) as first:
            await first.next()
        async with poll_run(CONN_ID, runs[1], online_task_id=task, poll_interval=10.0) as second:
            return await second.next()

    assert quick_time.run(wait()).is_over


def test_two_event_loops_have_two_pollers(arize: Emulator) -> None:
    task = create_task(arize)
    runs = arize.create_runs(task, 2, fate=HANG)
    seen: list[Poller] = []

    async def wait() -> None:
        asyncio.create_task(event_of(trigger(runs[0], task)))  # noqa: RUF006  left behind when the loop stops
        await eventually(lambda: count_reads(arize).total() > len(seen))
        seen.extend(pollers())

    quick_time.run(wait())
    quick_time.run(wait())

    assert len(set(map(id, seen))) == 2
    assert all(poller.work.done() for poller in seen)
