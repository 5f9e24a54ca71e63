"""What polling does after errors: which waits end, which continue, and how it recovers."""

from __future__ import annotations

import asyncio
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
from airflow_provider_online_tasks.exceptions import OnlineTaskRunUnreachable
from airflow_provider_online_tasks.runs import wait_policy
from airflow_provider_online_tasks.runs.polling import poller as poller_module
from airflow_provider_online_tasks.runs.polling.shared_pollers import poll_run, this_loop
from airflow_provider_online_tasks.triggers.events import ERROR, FINISHED, RunEvent
from tests.support import quick_time
from tests.support.waits import (
    CONN_ID,
    count_outcomes,
    count_reads,
    create_task,
    delay_responses,
    event_of,
    eventually,
    poller_of,
    trigger,
    wait_for,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_online_tasks.runs.polling.schedule import Wait

HANG = RunFate("hang")
LIST, GET = "rest.list_task_runs", "rest.get_task_run"
UNREACHABLE = (ERROR, "OnlineTaskRunUnreachable")


def run_alone(arize: Emulator, name: str = "alone", **fate: Any) -> str:
    """Return a run that is the only one of its task, and hangs by default."""
    [run] = arize.create_runs(create_task(arize, name), 1, **(fate or {"fate": HANG}))
    return run


# -- Errors about one run. --


@pytest.mark.promise("poll-run-refused")
def test_run_missing_for_five_minutes_ends_its_waits_only(arize: Emulator) -> None:
    task = create_task(arize)
    runs = arize.create_runs(task, 2, (3.0, 3.0))
    missing = "VGFza1J1bjo5OTk5OTpxUndY"

    *events, bad = wait_for(*(trigger(run, task) for run in (*runs, missing)))

    assert count_outcomes(events) == {FINISHED: 2}
    assert (bad.outcome, bad.error_type) == UNREACHABLE
    times = [request["time"] for request in arize.requests(GET) if request["status"] == 404]
    assert times[-1] - times[0] >= 300
    # 2 s after the first one, doubling to 30 s.
    pauses = [round(later - earlier) for earlier, later in pairwise(times)]
    assert pauses[:6] == [2, 4, 8, 16, 30, 30]


@pytest.mark.promise("wait-refused", "poll-run-refused")
@pytest.mark.parametrize("kind", ["forbidden", "not_found"])
def test_run_rejected_ends_its_waits_only(arize: Emulator, kind: str) -> None:
    arize.add_fault(Fault(GET, kind, times=None))
    task = create_task(arize)
    runs = arize.create_runs(task, 2, (8.0, 8.0))
    rejected = run_alone(arize)

    async def wait() -> tuple[RunEvent, list[RunEvent]]:
        events = [asyncio.create_task(event_of(trigger(run, task))) for run in runs]
        bad = await event_of(trigger(rejected))
        arize.clear_faults()
        return bad, await asyncio.gather(*events)

    bad, events = quick_time.run(wait())

    assert (bad.outcome, bad.error_type) == UNREACHABLE
    assert count_outcomes(events) == {FINISHED: 2}


@pytest.mark.promise("poll-run-unreadable")
@pytest.mark.parametrize("seconds", [3.0, 600.0])
def test_run_unreadable_ends_its_waits_only(arize: Emulator, seconds: float) -> None:
    task = create_task(arize)
    *runs, malformed = arize.create_runs(task, 3, (seconds, seconds))
    arize.set_run(malformed, status="RUNNING", num_successes=-1)

    *events, bad = wait_for(*(trigger(run, task, poll_interval=20.0) for run in (*runs, malformed)))

    assert count_outcomes(events) == {FINISHED: 2}
    assert (bad.outcome, bad.error_type) == UNREACHABLE
    assert "num_successes" in str(bad.error_message)


@pytest.mark.parametrize("kind", ["not_found", "forbidden", "garbage"])
def test_run_readable_again_clears_trouble_and_counts_five_minutes_again(arize: Emulator, kind: str) -> None:
    run, task = run_alone(arize), create_task(arize)
    listed = arize.create_runs(task, 2, fate=HANG)

    async def wait() -> list[str | None]:
        troubles = []
        async with (
            poll_run(CONN_ID, run, online_task_id=None, poll_interval=10.0) as bad,
            poll_run(CONN_ID, listed[0], online_task_id=task, poll_interval=10.0),
            poll_run(CONN_ID, listed[1], online_task_id=task, poll_interval=10.0),
        ):
            for _ in range(3):
                await bad.next()
                troubles.append(bad.trouble)
                arize.add_fault(Fault(GET, kind, times=None))
                await asyncio.sleep(290)
                troubles.append(bad.trouble)
                arize.clear_faults()
                await asyncio.sleep(40)
            return troubles

    troubles = quick_time.run(wait())
    assert troubles[::2] == [None] * 3
    assert all(troubles[1::2])


def test_two_waits_for_a_rejected_run_both_end_and_a_retry_waits_again(arize: Emulator) -> None:
    run = run_alone(arize)

    async def wait() -> Any:
        arize.add_fault(Fault(GET, "not_found", times=None))
        async with (
            poll_run(CONN_ID, run, online_task_id=None, poll_interval=10.0) as first,
            poll_run(CONN_ID, run, online_task_id=None, poll_interval=10.0) as second,
        ):
            ends = await asyncio.gather(first.next(), second.next(), return_exceptions=True)
        arize.clear_faults()
        async with poll_run(CONN_ID, run, online_task_id=None, poll_interval=10.0) as again:
            return *ends, await again.next()

    *ends, found = quick_time.run(wait())
    assert [type(end) for end in ends] == [OnlineTaskRunUnreachable] * 2
    assert found.id == run


@pytest.mark.promise("wait-refused", "poll-401", "poll-run-refused", "poll-run-unreadable")
@pytest.mark.parametrize("of_run", ["garbage", "forbidden", "unauthorized"])
@pytest.mark.parametrize("of_list", ["garbage", "forbidden", "unauthorized"])
def test_all_responses_rejected_or_unreadable_end_all_waits_after_five_minutes(
    arize: Emulator, of_list: str, of_run: str
) -> None:
    task = create_task(arize)
    listed = arize.create_runs(task, 20, fate=HANG)
    alone = [run_alone(arize, f"task {number}") for number in range(2)]
    arize.add_fault(Fault(LIST, of_list, times=None))
    arize.add_fault(Fault(GET, of_run, times=None))

    async def wait() -> list[tuple[float, RunEvent]]:
        async def one(run: str, task: str | None = None) -> tuple[float, RunEvent]:
            event = await event_of(trigger(run, task, poll_interval=10.0))
            return asyncio.get_running_loop().time() - began, event

        began = asyncio.get_running_loop().time()
        async with asyncio.timeout(1200):
            return await asyncio.gather(*(one(run, task) for run in listed), *map(one, alone))

    ends = quick_time.run(wait())

    assert {(event.outcome, event.error_type) for _, event in ends} == {UNREACHABLE}
    assert all(300 <= seconds < 450 for seconds, _ in ends)


def test_responses_unreadable_for_less_than_five_minutes_end_no_wait(arize: Emulator) -> None:
    runs = [run_alone(arize, f"task {number}", seconds=(1.0, 1.0)) for number in range(2)]
    arize.add_fault(Fault("rest.*", "garbage", times=None))

    async def wait() -> list[RunEvent]:
        waits = [asyncio.create_task(event_of(trigger(run, poll_interval=10.0))) for run in runs]
        await asyncio.sleep(290)
        arize.clear_faults()
        return await asyncio.gather(*waits)

    assert count_outcomes(quick_time.run(wait())) == {FINISHED: 2}
    # 2 s after the first one, doubling to 30 s.
    assert len(arize.requests(GET)) <= 2 * (5 + 290 / 30)


# -- Errors about a task's list. --


@pytest.mark.parametrize(
    "kind", ["not_found", "forbidden", "garbage", "not_object", "missing_field", "status_before"]
)
def test_list_unreadable_reads_runs_by_id(arize: Emulator, kind: str) -> None:
    arize.add_fault(Fault(LIST, kind, times=None))
    task = create_task(arize)
    runs = arize.create_runs(task, 3, (1.0, 2.0))

    assert count_outcomes(wait_for(*(trigger(run, task) for run in runs))) == {FINISHED: 3}


@pytest.mark.parametrize("kind", ["forbidden", "garbage", "status_before"])
def test_list_readable_again_reads_runs_by_pages_again(arize: Emulator, kind: str) -> None:
    task, alone = create_task(arize), run_alone(arize)
    runs = arize.create_runs(task, 20, fate=HANG)

    async def wait() -> None:
        poller = poller_of(arize)
        waits = [poller.add(run, task, conn_id=CONN_ID, poll_interval=10.0) for run in runs]
        waits.append(poller.add(alone, None, conn_id=CONN_ID, poll_interval=10.0))
        await asyncio.sleep(30)
        arize.add_fault(Fault(LIST, kind, times=None))
        await asyncio.sleep(60)
        arize.clear_requests()
        await asyncio.sleep(60)
        assert count_reads(arize)[GET] >= 21 * 5
        arize.clear_faults()
        await asyncio.sleep(200)
        arize.clear_requests()
        await asyncio.sleep(60)
        assert count_reads(arize)[GET] <= 8
        assert 5 <= count_reads(arize)[LIST] <= 8
        for each in waits:
            each.close()

    quick_time.run(wait())


def test_list_unreadable_once_is_read_again(arize: Emulator) -> None:
    task = create_task(arize)
    runs = arize.create_runs(task, 20, fate=HANG)

    async def wait() -> None:
        poller = poller_of(arize)
        waits = [poller.add(run, task, conn_id=CONN_ID, poll_interval=10.0) for run in runs]
        for each in waits:
            await each.next()
        arize.add_fault(Fault(LIST, "garbage"))
        for each in waits:
            await each.next()
            each.close()

    quick_time.run(wait())
    assert count_reads(arize) == {LIST: 3}


# -- Errors about the endpoint. --


@pytest.mark.parametrize(
    "kind",
    ["drop_before", "drop_after", "status_before", "status_after", "truncated", "garbage", "null_field"],
)
def test_two_bad_responses_are_tolerated(arize: Emulator, kind: str) -> None:
    arize.add_fault(Fault("rest.*", kind, times=2))
    task = create_task(arize)
    runs = arize.create_runs(task, 2, (1.0, 1.0))
    run = run_alone(arize, seconds=(1.0, 1.0))

    assert count_outcomes(wait_for(*(trigger(each, task) for each in runs), trigger(run))) == {FINISHED: 3}


def in_three_seconds() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=3.9), usegmt=True)


@pytest.mark.promise("poll-rate-limited")
@pytest.mark.parametrize("retry_after", [lambda: 3, in_three_seconds])
def test_rate_limit_pauses_all_requests_for_retry_after(
    arize: Emulator, retry_after: Callable[[], Any]
) -> None:
    runs = [run_alone(arize, f"task {number}", seconds=(1.0, 1.0)) for number in range(3)]
    arize.add_fault(Fault("rest.*", "rate_limited", skip=3, retry_after=retry_after()))

    events = wait_for(*map(trigger, runs))

    assert count_outcomes(events) == {FINISHED: 3}
    requests = [(request["time"], request["status"]) for request in arize.requests("rest.*")]
    [limited_at] = [at for at, status in requests if status == 429]
    # Requests that were in flight are not counted.
    assert not [at for at, _ in requests if limited_at + 0.3 < at < limited_at + 2.7]


def test_rate_limit_without_retry_after_pauses_longer_each_time(
    arize: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wait_policy, "FIRST_RATE_LIMIT_PAUSE", 0.5)
    arize.add_fault(Fault("rest.*", "rate_limited", times=3))
    run = run_alone(arize, seconds=(0.0, 0.0))

    assert count_outcomes(wait_for(trigger(run))) == {FINISHED: 1}
    times = [request["time"] for request in arize.requests("rest.*")]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert all(pause >= least for pause, least in zip(pauses, [0.5, 1.0, 2.0], strict=True))


def recover(arize: Emulator, fault: Fault, seconds: float) -> tuple[str | None, str | None, Counter[str]]:
    """Let requests fail for a time; return the trouble then, the trouble later, and the reads in a minute.

    :param seconds: how long they fail.
    """
    task = create_task(arize)
    runs = arize.create_runs(task, 20, fate=HANG)

    async def wait() -> tuple[str | None, str | None, Counter[str]]:
        poller = poller_of(arize)
        waits: list[Wait] = [poller.add(run, task, conn_id=CONN_ID, poll_interval=10.0) for run in runs]
        await asyncio.sleep(30)
        arize.add_fault(fault)
        await asyncio.sleep(seconds)
        during = waits[0].trouble
        arize.clear_faults()
        await asyncio.sleep(200)
        arize.clear_requests()
        await asyncio.sleep(60)
        reads, afterwards = count_reads(arize), waits[0].trouble
        assert all(each.run.due > asyncio.get_running_loop().time() - 1 for each in waits)
        for each in waits:
            each.close()
        return during, afterwards, reads

    return quick_time.run(wait())


@pytest.mark.parametrize(
    "kind", ["status_before", "drop_before", "unauthorized", "rate_limited", "garbage", "forbidden"]
)
@pytest.mark.parametrize("seconds", [20.0, 200.0])
def test_endpoint_recovers_clears_trouble_and_polls_as_before(
    arize: Emulator, kind: str, seconds: float
) -> None:
    during, afterwards, reads = recover(arize, Fault("rest.*", kind, times=None), seconds)
    assert during
    assert afterwards is None
    assert set(reads) == {LIST}
    assert 5 <= reads[LIST] <= 8


@pytest.mark.promise("wait-refused", "poll-401")
def test_key_rejected_for_five_minutes_ends_its_waits_only(
    arize: Emulator, connect: Callable[..., str]
) -> None:
    arize.add_fault(Fault("rest.*", "unauthorized", times=None))
    runs = [run_alone(arize, f"task {number}") for number in range(5)]
    with Emulator(EmulatorSettings(queries_per_minute=None)) as other_arize:
        connect(other_arize, "other_arize")
        run = run_alone(other_arize, seconds=(1.0, 1.0))
        *events, other = wait_for(*map(trigger, runs), trigger(run, conn_id="other_arize"))

    assert {(event.outcome, event.error_type) for event in events} == {UNREACHABLE}
    assert {"HTTP 401" in str(event.error_message) for event in events} == {True}
    assert other.outcome == FINISHED
    times = [request["time"] for request in arize.requests("rest.*task_run*")]
    assert times[-1] - times[0] >= 300
    assert len(times) <= 20


def test_key_rejected_retry_waits_for_five_minutes_again(arize: Emulator) -> None:
    run = run_alone(arize, seconds=(800.0, 800.0))

    async def wait_and_retry() -> list[RunEvent]:
        arize.add_fault(Fault("rest.*", "unauthorized", times=None))
        first = await event_of(trigger(run))
        retry = asyncio.create_task(event_of(trigger(run)))
        await asyncio.sleep(200)
        arize.clear_faults()
        return [first, await retry]

    events = quick_time.run(wait_and_retry())
    assert [event.outcome for event in events] == [ERROR, FINISHED]


# -- Slow responses and outages. --


def test_slow_responses_are_awaited_in_parallel(arize: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    delay_responses(monkeypatch, 1.0)
    runs = [run_alone(arize, f"task {number}", seconds=(0.5, 0.5)) for number in range(8)]

    events = wait_for(*(trigger(run, in_process=True) for run in runs), within=3.0)

    assert count_outcomes(events) == {FINISHED: 8}


def test_slow_responses_make_room_for_other_requests_up_to_64(
    arize: Emulator, connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(arize, timeout=300)
    delay_responses(monkeypatch, 200.0)
    runs = [run_alone(arize, f"task {number}") for number in range(70)]
    counts: list[int] = []

    async def wait() -> None:
        poller = poller_of(arize)
        waits = [poller.add(run, None, conn_id=CONN_ID, poll_interval=10.0) for run in runs]
        for _ in range(28):
            await asyncio.sleep(1)
            counts.append(count_reads(arize).total())
        for each in waits:
            each.close()

    quick_time.run(wait())
    assert (counts[0], counts[-1]) == (8, 64)


def test_response_that_never_ends_is_given_up_after_the_timeout(
    arize: Emulator, connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(arize, timeout=1)
    delay_responses(monkeypatch, 3600.0, times=1)
    run = run_alone(arize, seconds=(0.0, 0.0))

    assert count_outcomes(wait_for(trigger(run, in_process=True), within=4.0)) == {FINISHED: 1}
    assert len(arize.requests("rest.*")) == 2


@pytest.mark.promise("poll-outage")
def test_outage_ends_no_wait(connect: Callable[..., str], tmp_path: Any) -> None:
    settings = EmulatorSettings(database=tmp_path / "arize.db", queries_per_minute=None)
    with EmulatorProcess(settings) as arize:
        connect(arize)
        task = create_task(arize)
        runs = arize.create_runs(task, 20, (2.0, 8.0))

        async def wait() -> list[RunEvent]:
            waits = [asyncio.create_task(event_of(trigger(run, task))) for run in runs]
            await eventually(lambda: count_reads(arize).total() > 2)
            arize.kill()
            await asyncio.sleep(5)
            assert not any(each.done() and each.exception() for each in waits)
            await asyncio.to_thread(arize.start)
            async with asyncio.timeout(20):
                return await asyncio.gather(*waits)

        assert count_outcomes(quick_time.run(wait())) == {FINISHED: 20}


# -- Everything at random. --


@pytest.mark.parametrize("seed", range(3))
def test_random_waits_cancellations_and_faults_end_every_wait_well(
    arize: Emulator, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(poller_module, "LONGEST_PAUSE", 1.0)
    chance = random.Random(seed)
    arize.configure(runs_order=chance.choice(["newest", "oldest", "shuffled"]))
    tasks = [create_task(arize, f"task {number}") for number in range(4)]
    runs = [(run, task) for task in tasks for run in arize.create_runs(task, 40, (0.0, 6.0))]
    faults = ("drop_before", "drop_after", "status_after", "truncated", "garbage", "null_field", "not_object")

    async def wait() -> list[RunEvent]:
        waits = []
        for _ in range(200):
            run, task = chance.choice(runs)
            known = chance.choice([task, task, None, tasks[0]])
            waits.append(asyncio.create_task(event_of(trigger(run, known))))
            if chance.random() < 0.2:
                chance.choice(waits).cancel()
            if chance.random() < 0.05:
                fault = Fault(chance.choice([GET, LIST]), chance.choice(faults))
                await asyncio.to_thread(arize.add_fault, fault)
            await asyncio.sleep(chance.random() * 0.02)
        [poller] = this_loop().pollers.values()
        async with asyncio.timeout(3600):
            ended = await asyncio.gather(*waits, return_exceptions=True)
        await eventually(poller.work.done)
        assert poller.count_runs() == 0
        assert {type(each) for each in ended} == {RunEvent, asyncio.CancelledError}
        return [event for event in ended if isinstance(event, RunEvent)]

    events = quick_time.run(wait())

    assert len(events) > 120
    assert {event.outcome for event in events} == {FINISHED}
