"""All waits of a process share one poller for each Arize and key: few requests, and none in another's way."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks.emulator import (
    Emulator,
    EmulatorProcess,
    EmulatorSettings,
    Fault,
    RunFate,
)
from airflow_provider_online_tasks.runs.polling import endpoint_state
from airflow_provider_online_tasks.runs.polling.shared_pollers import this_loop
from airflow_provider_online_tasks.triggers.events import ERROR, OVER, RunEvent
from tests.support import quick_time
from tests.support.waits import (
    CONN_ID,
    Sessions,
    answer_slowly,
    create_task,
    event_of,
    eventually,
    poller_of,
    trigger,
    wait_for,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_online_tasks.runs.polling.poller import Poller

HANG = RunFate("hang")


def asked(arize: Any) -> Counter[str]:
    """How often each endpoint was asked."""
    return Counter(request["operation"] for request in arize.requests("rest.*task_run*"))


def pollers() -> list[Poller]:
    """The pollers of this event loop."""
    return list(this_loop().pollers.values())


def outcomes(events: list[RunEvent]) -> Counter[str]:
    return Counter(event.outcome for event in events)


@pytest.fixture
def other_arize(connect: Callable[..., str]) -> Iterator[Emulator]:
    """A second Arize, with the connection ``other_arize``."""
    with Emulator(EmulatorSettings(queries_per_minute=None)) as emulator:
        connect(emulator, "other_arize")
        yield emulator


# What is asked


@pytest.mark.promise("shared-poller")
def test_runs_of_one_task_are_read_together(arize: Emulator) -> None:
    task = create_task(arize)
    runs = arize.create_runs(task, 100, (0.5, 1.0))

    events = wait_for(*(trigger(run, task) for run in runs))

    assert outcomes(events) == {OVER: 100}
    # Every fifth of a second a page, for a second.
    assert asked(arize)["rest.list_task_runs"] <= 10
    assert asked(arize).total() <= 15


def test_waits_that_begin_shortly_after_each_other_are_read_together(arize: Emulator) -> None:
    task = create_task(arize)
    runs = arize.create_runs(task, 4, (0.0, 0.0))

    async def wait() -> list[bool]:
        poller, waits = poller_of(arize), []
        for run in runs:
            waits.append(poller.add(run, task, poll_interval=10.0, conn_id=CONN_ID))
            await asyncio.sleep(0.01)
        return [(await each.next()).is_over for each in waits]

    assert quick_time.run(wait()) == [True] * 4
    assert asked(arize) == {"rest.list_task_runs": 1}


def test_those_who_wait_for_the_runs_of_a_page_wake_up_in_groups(arize: Emulator) -> None:
    from airflow_provider_online_tasks.runs.polling.poller import DELIVERED_AT_ONCE

    task = create_task(arize)
    runs = arize.create_runs(task, 100, (0.0, 0.0))
    seen: list[int] = []

    async def wait() -> None:
        poller = poller_of(arize)
        waits = [
            asyncio.create_task(poller.add(run, task, poll_interval=10.0, conn_id=CONN_ID).next())
            for run in runs
        ]
        while not seen or seen[-1] < len(runs):
            await asyncio.sleep(0)
            seen.append(sum(each.done() for each in waits))

    quick_time.run(wait())
    assert max(later - earlier for earlier, later in pairwise([0, *seen])) <= DELIVERED_AT_ONCE


def test_a_run_alone_is_read_by_its_id(arize: Emulator) -> None:
    task = create_task(arize)
    [run] = arize.create_runs(task, 1, (0.5, 0.5))

    wait_for(trigger(run, task))

    assert set(asked(arize)) == {"rest.get_task_run"}


@pytest.mark.parametrize("order", ["newest", "oldest", "shuffled"])
def test_runs_beyond_one_page_are_noticed_whatever_the_order(arize: Emulator, order: str) -> None:
    arize.configure(runs_order=order)
    task = create_task(arize)
    runs = arize.create_runs(task, 250, (1.0, 2.0))

    events = wait_for(*(trigger(run, task) for run in runs))

    assert outcomes(events) == {OVER: 250}
    assert asked(arize).total() < 100


def test_runs_behind_a_long_history_cost_little_more_than_their_own_reads(arize: Emulator) -> None:
    arize.configure(runs_order="oldest")
    task = create_task(arize)
    arize.create_runs(task, 1000, (0.0, 0.0))
    runs = arize.create_runs(task, 3, (2.0, 2.0))

    events = wait_for(*(trigger(run, task) for run in runs))

    assert outcomes(events) == {OVER: 3}
    # The pages show nothing, which is tried again now and then.
    assert asked(arize)["rest.list_task_runs"] < asked(arize)["rest.get_task_run"] / 2


def test_many_runs_behind_a_long_history_are_still_read_by_pages(arize: Emulator) -> None:
    arize.configure(runs_order="oldest")
    task = create_task(arize)
    arize.create_runs(task, 300, (0.0, 0.0))
    runs = arize.create_runs(task, 100, (1.0, 1.5))

    events = wait_for(*(trigger(run, task) for run in runs))

    assert outcomes(events) == {OVER: 100}
    assert asked(arize)["rest.get_task_run"] < 20


def test_runs_of_unknown_task_read_by_id_once_then_together(arize: Emulator) -> None:
    runs = [
        run
        for number in range(2)
        for run in arize.create_runs(create_task(arize, f"task {number}"), 50, (2.0, 3.0))
    ]

    events = wait_for(*map(trigger, runs))

    assert outcomes(events) == {OVER: 100}
    assert asked(arize)["rest.get_task_run"] <= 100 + 6
    assert asked(arize)["rest.list_task_runs"] <= 2 * 20


def test_two_waits_for_one_run_are_one_read(arize: Emulator) -> None:
    task = create_task(arize)
    [run] = arize.create_runs(task, 1, (0.5, 0.5))

    events = wait_for(trigger(run, task), trigger(run))

    assert outcomes(events) == {OVER: 2}
    assert asked(arize).total() <= 6


def test_a_wrong_task_id_does_no_harm(arize: Emulator) -> None:
    task, other = create_task(arize), create_task(arize, "another")
    runs = arize.create_runs(task, 2, (0.5, 0.5))
    nowhere = "T25saW5lVGFzazo5OTk5OnFSd1g="

    events = wait_for(*(trigger(run, wrong) for run in runs for wrong in (other, nowhere)))

    assert outcomes(events) == {OVER: 4}


# When it is asked


@pytest.mark.promise("shared-poller")
def test_the_first_look_is_at_once_and_the_next_after_the_interval(arize: Emulator) -> None:
    task = create_task(arize)
    [run] = arize.create_runs(task, 1, (2.5, 2.5))
    began = arize.requests()[-1]["time"]

    wait_for(trigger(run, task, poll_interval=1.0))

    times = [request["time"] for request in arize.requests("rest.get_task_run")]
    assert times[0] - began < 0.1
    for earlier, later in pairwise(times):
        assert 0.79 < later - earlier < 1.01


def test_the_first_look_does_not_wait_for_the_others(arize: Emulator) -> None:
    task = create_task(arize)
    first, second = arize.create_runs(task, 2, (60.0, 0.0))

    async def wait() -> RunEvent:
        watching_first = asyncio.create_task(event_of(trigger(first, task, poll_interval=60)))
        await eventually(lambda: asked(arize).total() == 1)
        async with asyncio.timeout(2):
            event = await event_of(trigger(second, task, poll_interval=60, in_process=True))
        watching_first.cancel()
        return event

    arize.set_run(second, seconds=0.0)
    assert quick_time.run(wait()).outcome == OVER


def test_a_run_whose_answer_was_nonsense_is_read_at_once_when_that_is_asked_for(arize: Emulator) -> None:
    task = create_task(arize)
    [run] = arize.create_runs(task, 1, fate=HANG)
    reads: list[int] = []

    async def wait() -> None:
        poller = poller_of(arize)
        each = poller.add(run, task, poll_interval=100.0, conn_id=CONN_ID)
        await each.next()
        arize.add_fault(Fault("rest.get_task_run", "garbage", times=None))
        await asyncio.sleep(200)  # the next read is up to 30 s later
        for _ in range(3):
            reads.append(asked(arize)["rest.get_task_run"])
            each.hasten()
            await asyncio.sleep(0.1)
        each.close()

    quick_time.run(wait())
    assert [later - earlier for earlier, later in pairwise(reads)] == [1, 1]


def test_a_run_that_is_being_read_is_not_late(arize: Emulator) -> None:
    """However long the answer takes, it is not the budget that makes it late."""
    [run] = arize.create_runs(create_task(arize), 1, fate=HANG)

    async def wait() -> list[float]:
        poller, late = poller_of(arize), []
        each = poller.add(run, None, poll_interval=1000.0, conn_id=CONN_ID)
        await each.next()
        await asyncio.sleep(200.0)
        each.run.due = asyncio.get_running_loop().time() - 100.0
        for in_flight in (False, True):
            each.run.in_flight = in_flight
            late.append(round(each.shortage.late))
        each.close()
        return late

    assert quick_time.run(wait()) == [100, 0]


@pytest.mark.parametrize("poll_interval", [0.0, -1.0, 0.001, math.nan])
def test_no_run_is_read_without_a_pause(arize: Emulator, poll_interval: float) -> None:
    async def wait() -> float:
        wait = poller_of(arize).add(
            "VGFza1J1bjoxOnFSd1g=", None, poll_interval=poll_interval, conn_id=CONN_ID
        )
        wait.close()
        return wait.poll_interval

    assert asyncio.run(wait()) == 0.05


def test_a_short_budget_stretches_all_intervals_alike(arize: Emulator, connect: Callable[..., str]) -> None:
    connect(arize, requests_per_minute=300)
    tasks = [create_task(arize, f"task {number}") for number in range(10)]
    runs = [(arize.create_runs(task, 1, (60.0, 60.0))[0], task) for task in tasks]

    async def wait() -> None:
        waits = [asyncio.create_task(event_of(trigger(run, task))) for run, task in runs]
        await asyncio.sleep(15)
        for each in waits:
            each.cancel()

    quick_time.run(wait())

    reads = Counter(request["path"] for request in arize.requests("rest.get_task_run"))
    assert len(reads) == 10
    assert max(reads.values()) - min(reads.values()) <= 2
    assert 60 < reads.total() <= 25 + 15 * 5


# Who shares what


@pytest.mark.promise("shared-poller")
def test_two_arizes_share_neither_budget_nor_session(
    arize: Emulator, other_arize: Emulator, connect: Callable[..., str]
) -> None:
    connect(arize, requests_per_minute=1)
    busy = create_task(arize)
    [hanging] = arize.create_runs(busy, 1, fate=HANG)
    task = create_task(other_arize)
    runs = other_arize.create_runs(task, 2, (0.5, 1.0))

    async def wait() -> list[RunEvent]:
        first = asyncio.create_task(event_of(trigger(hanging, busy)))
        await eventually(lambda: asked(arize).total() == 1)
        async with asyncio.timeout(10):
            events = await asyncio.gather(
                *(event_of(trigger(run, task, conn_id="other_arize")) for run in runs)
            )
        first.cancel()
        return events

    assert outcomes(quick_time.run(wait())) == {OVER: 2}
    assert asked(arize).total() == 1
    assert {request["key_ok"] for request in other_arize.requests("rest.*")} == {True}


@pytest.mark.promise("shared-poller")
def test_two_keys_of_one_host_do_not_share_either(
    arize: Emulator, connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = create_task(arize)
    runs = arize.create_runs(task, 2, fate=HANG)
    with Emulator(EmulatorSettings(api_key="ak-another")) as other:
        connect(other, "other_key")
        arize_url = arize.url
        monkeypatch.setattr(type(other), "url", property(lambda self: arize_url))
        connect(other, "other_key")

        async def wait() -> int:
            waits = [
                asyncio.create_task(event_of(trigger(run, task, conn_id=conn_id)))
                for run, conn_id in zip(runs, (CONN_ID, "other_key"), strict=True)
            ]
            await eventually(lambda: len(pollers()) == 2)
            count = len({poller.settings.api_key for poller in pollers()})
            for each in waits:
                each.cancel()
            return count

        assert quick_time.run(wait()) == 2


def test_a_budget_outlives_the_waits_that_spent_it(arize: Emulator, connect: Callable[..., str]) -> None:
    connect(arize, requests_per_minute=12)
    task = create_task(arize)

    async def one_after_the_other() -> list[float]:
        times = []
        for _ in range(3):
            [run] = await asyncio.to_thread(arize.create_runs, task, 1, (0.0, 0.0))
            began = asyncio.get_running_loop().time()
            await event_of(trigger(run, task, in_process=True))
            times.append(asyncio.get_running_loop().time() - began)
        return times

    first, *later = quick_time.run(one_after_the_other())

    assert first < 2
    assert all(waited > 3 for waited in later)


def test_waits_that_begin_together_look_the_connection_up_once(
    arize: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_online_tasks import _airflow

    looked_up = []
    really = _airflow.read_connection

    async def counted(conn_id: str) -> Any:
        looked_up.append(conn_id)
        return await really(conn_id)

    monkeypatch.setattr(_airflow, "read_connection", counted)
    task = create_task(arize)
    runs = arize.create_runs(task, 50, (0.2, 0.5))

    wait_for(*(trigger(run, task) for run in runs))
    assert looked_up == [CONN_ID]

    # The next time, its key may be another.
    wait_for(trigger(runs[0], task))
    assert looked_up == [CONN_ID, CONN_ID]


def test_the_session_is_closed_though_a_request_is_under_way(
    arize: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = create_task(arize)
    [run] = arize.create_runs(task, 1, fate=HANG)
    answer_slowly(monkeypatch, 20.0)
    sessions = Sessions(monkeypatch)

    async def wait() -> None:
        waiting = asyncio.create_task(event_of(trigger(run, task)))
        await eventually(lambda: asked(arize).total() == 1)
        [poller] = pollers()
        waiting.cancel()
        await eventually(poller.work.done)

    quick_time.run(wait())
    assert (sessions.opened, sessions.closed) == (1, 1)


def test_cancelling_one_wait_leaves_the_others_alone_and_the_last_one_closes_up(
    arize: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = Sessions(monkeypatch)
    task = create_task(arize)
    runs = arize.create_runs(task, 3, fate=HANG)

    async def wait() -> None:
        waits = [asyncio.create_task(event_of(trigger(run, task))) for run in runs]
        await eventually(lambda: asked(arize).total() > 0)
        [poller] = pollers()

        waits[0].cancel()
        await eventually(waits[0].cancelled)
        before = asked(arize).total()
        await eventually(lambda: asked(arize).total() > before)
        assert not waits[1].done()

        arize.set_run(runs[1], status="COMPLETED")
        assert (await waits[1]).outcome == OVER

        waits[2].cancel()
        await eventually(poller.work.done)
        assert pollers() == []
        assert (sessions.opened, sessions.closed) == (1, 1)
        before = asked(arize).total()
        await asyncio.sleep(0.5)
        assert asked(arize).total() == before

    quick_time.run(wait())


def test_a_new_event_loop_gets_a_new_poller(arize: Emulator) -> None:
    task = create_task(arize)
    runs = arize.create_runs(task, 2, fate=HANG)
    seen: list[Poller] = []

    async def wait() -> None:
        asyncio.create_task(event_of(trigger(runs[0], task)))  # noqa: RUF006  left behind, as a loop that stops does
        await eventually(lambda: asked(arize).total() > len(seen))
        seen.extend(pollers())

    quick_time.run(wait())
    quick_time.run(wait())

    assert len(set(map(id, seen))) == 2
    assert all(poller.work.done() for poller in seen)


# Bad runs


@pytest.mark.promise("poll-run-refused")
def test_a_run_that_does_not_exist_ends_its_own_wait_alone(arize: Emulator) -> None:
    task = create_task(arize)
    runs = arize.create_runs(task, 2, (3.0, 3.0))
    missing = "VGFza1J1bjo5OTk5OTpxUndY"

    *events, bad = wait_for(*(trigger(run, task) for run in (*runs, missing)))

    assert outcomes(events) == {OVER: 2}
    assert (bad.outcome, bad.error_type) == (ERROR, "OnlineTaskRunUnreachable")
    assert "HTTP 404" in str(bad.error_message)
    [first, *_, last] = [one["time"] for one in arize.requests("rest.get_task_run") if one["status"] == 404]
    assert last - first >= 300


def test_a_run_that_appears_late_is_no_missing_one(arize: Emulator) -> None:
    arize.add_fault(Fault("rest.get_task_run", "not_found", times=1))
    task = create_task(arize)
    [run] = arize.create_runs(task, 1, (0.5, 0.5))

    assert outcomes(wait_for(trigger(run, task))) == {OVER: 1}


@pytest.mark.promise("wait-refused", "poll-run-refused")
def test_a_run_that_may_not_be_read_ends_its_own_wait_alone(arize: Emulator) -> None:
    arize.add_fault(Fault("rest.get_task_run", "forbidden", times=None))
    task, forbidden = create_task(arize), create_task(arize, "forbidden")
    runs = arize.create_runs(task, 2, (8.0, 8.0))
    [run] = arize.create_runs(forbidden, 1, (1.0, 1.0))

    async def wait() -> tuple[RunEvent, list[RunEvent]]:
        events = [asyncio.create_task(event_of(trigger(each, task))) for each in runs]
        bad = await event_of(trigger(run, forbidden))
        arize.clear_faults()
        return bad, await asyncio.gather(*events)

    bad, events = quick_time.run(wait())

    assert (bad.outcome, bad.error_type) == (ERROR, "OnlineTaskRunUnreachable")
    assert outcomes(events) == {OVER: 2}


@pytest.mark.promise("poll-run-unreadable")
def test_a_malformed_run_ends_its_own_wait_alone(arize: Emulator) -> None:
    task = create_task(arize)
    *runs, malformed = arize.create_runs(task, 3, (3.0, 3.0))
    arize.set_run(malformed, status="RUNNING", num_successes=-1)

    *events, bad = wait_for(*(trigger(run, task) for run in (*runs, malformed)))

    assert outcomes(events) == {OVER: 2}
    assert (bad.outcome, bad.error_type) == (ERROR, "OnlineTaskRunUnreachable")
    assert "num_successes" in str(bad.error_message)


def test_a_malformed_run_ends_its_own_wait_while_the_others_go_on(arize: Emulator) -> None:
    task = create_task(arize)
    *runs, malformed = arize.create_runs(task, 3, (600.0, 600.0))
    arize.set_run(malformed, status="RUNNING", num_successes=-1)

    async def wait() -> tuple[RunEvent, list[RunEvent]]:
        waits = [asyncio.create_task(event_of(trigger(run, task, poll_interval=20.0))) for run in runs]
        bad = await event_of(trigger(malformed, task, poll_interval=20.0))
        assert not any(each.done() for each in waits)
        return bad, await asyncio.gather(*waits)

    bad, events = quick_time.run(wait())

    assert (bad.outcome, outcomes(events)) == (ERROR, {OVER: 2})


def test_nonsense_from_the_whole_host_is_no_fault_of_a_run(arize: Emulator) -> None:
    tasks = [create_task(arize, f"task {number}") for number in range(2)]
    runs = [(arize.create_runs(task, 1, (1.0, 1.0))[0], task) for task in tasks]
    arize.add_fault(Fault("rest.*", "garbage", times=None))

    async def wait() -> list[RunEvent]:
        waits = [asyncio.create_task(event_of(trigger(run, task, poll_interval=10.0))) for run, task in runs]
        await asyncio.sleep(1800)
        assert not any(each.done() for each in waits)
        arize.clear_faults()
        return await asyncio.gather(*waits)

    assert outcomes(quick_time.run(wait())) == {OVER: 2}
    assert len(arize.requests("rest.get_task_run")) <= 2 * (1800 / 30 + 8)


@pytest.mark.parametrize(
    "kind", ["not_found", "forbidden", "garbage", "not_object", "missing_field", "status_before"]
)
def test_a_list_that_cannot_be_read_is_done_without(arize: Emulator, kind: str) -> None:
    arize.add_fault(Fault("rest.list_task_runs", kind, times=None))
    task = create_task(arize)
    runs = arize.create_runs(task, 3, (1.0, 2.0))

    assert outcomes(wait_for(*(trigger(run, task) for run in runs))) == {OVER: 3}


def test_a_list_that_could_be_read_before_is_read_again(arize: Emulator) -> None:
    task = create_task(arize)
    runs = arize.create_runs(task, 20, fate=HANG)

    async def wait() -> None:
        poller = poller_of(arize)
        waits = [poller.add(run, task, poll_interval=10.0, conn_id=CONN_ID) for run in runs]
        for each in waits:
            await each.next()
        arize.add_fault(Fault("rest.list_task_runs", "garbage"))
        for each in waits:
            await each.next()
            each.close()

    quick_time.run(wait())
    assert asked(arize) == {"rest.list_task_runs": 3}


# Bad times


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_every_wait_ends_right(
    arize: Emulator, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Waits come, go and are cancelled at random, while answers are spoilt at random."""
    monkeypatch.setattr(endpoint_state, "LONGEST_PAUSE", 1.0)
    chance = random.Random(seed)
    arize.configure(runs_order=chance.choice(["newest", "oldest", "shuffled"]))
    tasks = [create_task(arize, f"task {number}") for number in range(4)]
    runs = [(run, task) for task in tasks for run in arize.create_runs(task, 60, (0.0, 6.0))]
    faults = ("drop_before", "drop_after", "status_after", "truncated", "garbage", "null_field", "not_object")

    async def wait() -> list[RunEvent]:
        waits = []
        for _ in range(300):
            run, task = chance.choice(runs)
            known = chance.choice([task, task, None, tasks[0]])
            waits.append(asyncio.create_task(event_of(trigger(run, known))))
            if chance.random() < 0.2:
                chance.choice(waits).cancel()
            if chance.random() < 0.05:
                fault = Fault(
                    chance.choice(["rest.get_task_run", "rest.list_task_runs"]), chance.choice(faults)
                )
                await asyncio.to_thread(arize.add_fault, fault)
            await asyncio.sleep(chance.random() * 0.02)
        [poller] = pollers()
        async with asyncio.timeout(3600):
            ended = await asyncio.gather(*waits, return_exceptions=True)
        await eventually(poller.work.done)
        assert poller.count_waits() == 0
        assert {type(each) for each in ended} == {RunEvent, asyncio.CancelledError}
        return [event for event in ended if isinstance(event, RunEvent)]

    events = quick_time.run(wait())

    assert len(events) > 200
    assert {event.outcome for event in events} == {OVER}


@pytest.mark.parametrize(
    "kind",
    ["drop_before", "drop_after", "status_before", "status_after", "truncated", "garbage", "null_field"],
)
def test_a_bad_answer_now_and_then_is_tolerated(arize: Emulator, kind: str) -> None:
    arize.add_fault(Fault("rest.*", kind, times=2))
    task, alone = create_task(arize), create_task(arize, "alone")
    runs = arize.create_runs(task, 2, (1.0, 1.0))
    [run] = arize.create_runs(alone, 1, (1.0, 1.0))

    assert outcomes(wait_for(*(trigger(each, task) for each in runs), trigger(run, alone))) == {OVER: 3}


def in_three_seconds() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=3.9), usegmt=True)


@pytest.mark.promise("poll-rate-limited")
@pytest.mark.parametrize("retry_after", [lambda: 3, in_three_seconds])
def test_a_rate_limit_pauses_everything_for_as_long_as_it_asks(
    arize: Emulator, retry_after: Callable[[], Any]
) -> None:
    tasks = [create_task(arize, f"task {number}") for number in range(3)]
    runs = [(arize.create_runs(task, 1, (1.0, 1.0))[0], task) for task in tasks]
    arize.add_fault(Fault("rest.*", "rate_limited", skip=3, retry_after=retry_after()))

    events = wait_for(*(trigger(run, task) for run, task in runs))

    assert outcomes(events) == {OVER: 3}
    answers = [(request["time"], request["status"]) for request in arize.requests("rest.*")]
    [limited_at] = [at for at, status in answers if status == 429]
    # What was under way already is no new request.
    assert not [at for at, _ in answers if limited_at + 0.3 < at < limited_at + 2.7]


def test_a_rate_limit_that_does_not_say_how_long_pauses_longer_each_time(
    arize: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint_state, "FIRST_RATE_LIMIT_PAUSE", 0.5)
    arize.add_fault(Fault("rest.*", "rate_limited", times=3))
    task = create_task(arize)
    [run] = arize.create_runs(task, 1, (0.0, 0.0))

    assert outcomes(wait_for(trigger(run, task))) == {OVER: 1}
    times = [request["time"] for request in arize.requests("rest.*")]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert [pause >= least for pause, least in zip(pauses, [0.5, 1.0, 2.0], strict=True)] == [True] * 3


@pytest.mark.promise("wait-refused", "poll-401")
def test_a_refused_key_ends_all_its_waits_once_it_is_certain(arize: Emulator, other_arize: Emulator) -> None:
    arize.add_fault(Fault("rest.*", "unauthorized", times=None))
    tasks = [create_task(arize, f"task {number}") for number in range(5)]
    runs = [(arize.create_runs(task, 1, fate=HANG)[0], task) for task in tasks]
    elsewhere = create_task(other_arize)
    [run] = other_arize.create_runs(elsewhere, 1, (1.0, 1.0))

    *events, other = wait_for(
        *(trigger(run, task) for run, task in runs), trigger(run, elsewhere, conn_id="other_arize")
    )

    assert {(event.outcome, event.error_type) for event in events} == {(ERROR, "OnlineTaskRunUnreachable")}
    assert {"HTTP 401" in str(event.error_message) for event in events} == {True}
    assert other.outcome == OVER
    times = [request["time"] for request in arize.requests("rest.*task_run*")]
    assert times[-1] - times[0] >= 300
    assert len(times) <= 20


def test_a_server_that_answers_slowly_is_asked_side_by_side(
    arize: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_slowly(monkeypatch, 1.0)
    tasks = [create_task(arize, f"task {number}") for number in range(8)]
    runs = [(arize.create_runs(task, 1, (0.5, 0.5))[0], task) for task in tasks]

    events = wait_for(*(trigger(run, task, in_process=True) for run, task in runs), within=3.0)

    assert outcomes(events) == {OVER: 8}


def test_an_answer_that_never_comes_to_its_end_is_given_up(
    arize: Emulator, connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(arize, timeout=1)
    answer_slowly(monkeypatch, 3600.0, times=1)
    task = create_task(arize)
    [run] = arize.create_runs(task, 1, (0.0, 0.0))

    assert outcomes(wait_for(trigger(run, task, in_process=True), within=4.0)) == {OVER: 1}
    assert len(arize.requests("rest.*")) == 2


@pytest.mark.promise("poll-outage")
def test_a_long_outage_is_sat_out(connect: Callable[..., str], tmp_path: Any) -> None:
    settings = EmulatorSettings(database=tmp_path / "arize.db", queries_per_minute=None)
    with EmulatorProcess(settings) as arize:
        connect(arize)
        task = create_task(arize)
        runs = arize.create_runs(task, 20, (2.0, 8.0))

        async def wait() -> list[RunEvent]:
            waits = [asyncio.create_task(event_of(trigger(run, task))) for run in runs]
            await eventually(lambda: asked(arize).total() > 2)
            arize.kill()
            await asyncio.sleep(5)
            assert not any(each.done() and each.exception() for each in waits)
            await asyncio.to_thread(arize.start)
            async with asyncio.timeout(20):
                return await asyncio.gather(*waits)

        assert outcomes(quick_time.run(wait())) == {OVER: 20}
