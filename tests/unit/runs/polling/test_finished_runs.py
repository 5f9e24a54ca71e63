"""Polling a task for finished runs: how far its list is read, which runs are news, when it polls again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.calls import Page
from airflow_provider_online_tasks.api.responses import RunStatus, TaskRun
from airflow_provider_online_tasks.emulator import Fault
from airflow_provider_online_tasks.exceptions import NotFound, RateLimited, Unavailable, UnexpectedResponse
from airflow_provider_online_tasks.runs import finished_runs
from airflow_provider_online_tasks.runs.finished_runs import (
    LATENESS,
    Memory,
    find_finished_runs,
    poll_finished_runs,
)
from airflow_provider_online_tasks.runs.polling.shared_pollers import poll_run
from tests.support import quick_time
from tests.support.waits import CONN_ID, create_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_online_tasks.emulator import Emulator
    from airflow_provider_online_tasks.runs.polling.schedule import Wait

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
RUNNING, COMPLETED = RunStatus.RUNNING, RunStatus.COMPLETED


def run(
    run_id: str, status: RunStatus = COMPLETED, *, created: float | None = -1.0, ended: float | None = 0.0
) -> TaskRun:
    """Return a run whose times are minutes after `NOW`."""
    return TaskRun(
        id=run_id,
        status=status,
        status_text=status.value,
        created_at=None if created is None else NOW + timedelta(minutes=created),
        run_finished_at=None if ended is None or not status.is_over else NOW + timedelta(minutes=ended),
    )


class FakeArize:
    """A task's list of runs.

    :param pages: the pages of the list.
    """

    def __init__(self, *pages: list[TaskRun]) -> None:
        self.pages = list(pages)
        self.unlisted: dict[str, TaskRun] = {}
        self.now = NOW
        self.sent: list[str] = []

    async def exchange(self, call: Any) -> Any:
        """Respond to a call."""
        self.sent.append(call.name)
        response = type("Response", (), {"date": self.now})
        query = dict(call.query)
        if call.name == "get task run":
            run_id = call.path.rpartition("/")[2]
            if run_id not in self.unlisted:
                raise NotFound("no such run")
            return self.unlisted[run_id], response
        if "status" in query:
            listed = [*(one for page in self.pages for one in page), *self.unlisted.values()]
            items = tuple(one for one in listed if one.status_text == query["status"])
            return Page(items=items, next_cursor=None), response
        number = int(query.get("cursor", 0))
        cursor = str(number + 1) if number + 1 < len(self.pages) else None
        return Page(items=tuple(self.pages[number]), next_cursor=cursor), response

    def poll(self, memory: Memory | None) -> tuple[list[str], Memory]:
        """Poll once; return the IDs of the runs that are reported, and the memory afterwards."""
        found = asyncio.run(find_finished_runs("task", memory, self.exchange))
        return [one.id for one in found.finished], found.memory


# -- How far the list is read. --


@pytest.mark.parametrize(
    ("days", "is_beyond"),
    [
        ([], False),
        ([1, -1], True),
        ([3, 2, 1], False),
        ([1, 0], False),  # other runs of that moment may follow
        ([-1, 1], False),  # oldest first
        ([-1, -1], False),  # equal timestamps have no defined order
        ([2, -1, 1, -2], False),  # no order
        ([1, None, -1], False),  # one may have been created at any time
        ([None], False),
    ],
    ids=str,
)
def test_go_back_beyond_only_if_newest_first_and_older(days: list[float | None], is_beyond: bool) -> None:
    runs = [run(str(day), created=None if day is None else day * 1440) for day in days]
    assert calls.go_back_beyond(runs, NOW) is is_beyond


def test_find_newest_first_stops_at_the_first_old_run() -> None:
    arize = FakeArize(
        [run("new", created=2), run("old", created=-60, ended=-50)], [run("older", created=-70)]
    )
    assert arize.poll(Memory(since=NOW))[0] == ["new"]
    assert len(arize.sent) == 1


def test_find_oldest_first_reads_to_the_end() -> None:
    arize = FakeArize(
        [run("old", created=-70, ended=-60), run("2", created=-60, ended=-50)], [run("new", created=2)]
    )
    assert arize.poll(Memory(since=NOW))[0] == ["new"]
    assert len(arize.sent) == 2


# -- Which runs are news. --


def test_find_first_poll_reports_nothing_and_remembers_unfinished_runs() -> None:
    arize = FakeArize([run("done"), run("listed", RUNNING)])
    arize.unlisted["elsewhere"] = run("elsewhere", RUNNING)
    reported, memory = arize.poll(None)
    assert reported == []
    assert set(memory.unfinished) == {"listed", "elsewhere"}
    assert memory.since == NOW


def test_find_polled_again_reports_each_run_once_by_end_time() -> None:
    arize = FakeArize([run("2", ended=2), run("1", ended=1), run("3", ended=3)])
    reported, memory = arize.poll(Memory(since=NOW))
    assert reported == ["1", "2", "3"]
    assert arize.poll(memory)[0] == []


def test_find_run_finished_long_before_reported_only_if_unfinished() -> None:
    arize = FakeArize([run("awaited", ended=-600), run("other", ended=-600)])
    assert arize.poll(Memory(since=NOW, unfinished=("awaited",)))[0] == ["awaited"]


def test_find_run_listed_then_unlisted_is_reported_when_it_ends() -> None:
    arize = FakeArize([run("moved", RUNNING)])
    _, memory = arize.poll(Memory(since=NOW))
    arize.pages, arize.unlisted["moved"] = [[]], run("moved", RUNNING)
    for _ in range(2):
        reported, memory = arize.poll(memory)
        assert (reported, memory.unfinished) == ([], ("moved",))
    arize.unlisted["moved"] = run("moved", ended=30)
    reported, memory = arize.poll(memory)
    assert (reported, memory.unfinished) == (["moved"], ())
    assert arize.poll(memory)[0] == []


def test_find_unlisted_run_is_deleted_forgets_it_and_reports_others() -> None:
    arize = FakeArize([run("other")])
    reported, memory = arize.poll(Memory(since=NOW, unfinished=("deleted", "other")))
    assert (reported, memory.unfinished) == (["other"], ())


def test_find_unlisted_run_that_cannot_be_read_is_kept_and_others_are_reported() -> None:
    arize = FakeArize([run("listed")])
    arize.unlisted["ended"] = run("ended")

    async def exchange(call: Any) -> Any:
        if call.path.endswith("/odd"):
            raise UnexpectedResponse("not a run")
        return await arize.exchange(call)

    memory = Memory(since=NOW - timedelta(minutes=5), unfinished=("odd", "ended"))
    found = asyncio.run(find_finished_runs("T", memory, exchange))
    assert {one.id for one in found.finished} == {"listed", "ended"}
    assert found.memory.unfinished == ("odd",)


def test_find_many_unlisted_runs_reads_only_the_finished_one() -> None:
    arize = FakeArize([])
    arize.unlisted = {str(number): run(str(number), RUNNING) for number in range(50)}
    memory = Memory(since=NOW, unfinished=tuple(arize.unlisted))
    arize.unlisted["7"] = run("7", ended=20)
    reported, memory = arize.poll(memory)
    assert reported == ["7"]
    assert len(memory.unfinished) == 49
    assert arize.sent.count("get task run") == 1


def test_find_server_clock_set_back_reports_nothing_twice() -> None:
    arize = FakeArize([run("1", ended=1)])
    reported, memory = arize.poll(Memory(since=NOW))
    arize.now = NOW - timedelta(hours=3)
    later, after = arize.poll(memory)
    assert (reported, later) == (["1"], [])
    assert after.since == memory.since


def test_find_time_passes_forgets_reported_runs_but_not_too_early() -> None:
    arize = FakeArize([run("1", ended=1)])
    _, memory = arize.poll(Memory(since=NOW))
    arize.now = NOW + LATENESS
    reported, memory = arize.poll(memory)
    assert (reported, set(memory.reported)) == ([], {"1"})
    arize.now = NOW + LATENESS + timedelta(minutes=2)
    reported, memory = arize.poll(memory)
    assert (reported, set(memory.reported)) == ([], set())
    assert arize.poll(memory)[0] == []


def test_find_run_shown_as_finished_late_is_reported() -> None:
    arize = FakeArize([])
    arize.now = NOW + timedelta(minutes=5)
    _, memory = arize.poll(Memory(since=NOW))
    arize.pages = [[run("late", ended=1)]]
    assert arize.poll(memory)[0] == ["late"]


def test_two_watchers_of_one_poll_report_what_each_has_not_reported() -> None:
    arize = FakeArize([run("1", ended=1), run("2", ended=2)])
    found = asyncio.run(find_finished_runs("task", Memory(since=NOW), arize.exchange))
    early, late = found.without({}), found.without({"1": NOW + timedelta(minutes=1)})
    assert [one.id for one in early.finished] == ["1", "2"]
    assert [one.id for one in late.finished] == ["2"]
    assert set(late.memory.reported) == {"1", "2"}


# -- When it polls again. --


def poll_times(
    monkeypatch: pytest.MonkeyPatch, *errors: Exception | None, poll_interval: float = 60.0
) -> list[float]:
    """Return when each poll starts, if the polls end with errors; None is a success."""
    times: list[float] = []

    async def open_session(conn_id: str) -> AsyncIterator[finished_runs.Exchange]:
        yield FakeArize([]).exchange

    async def find(*_: Any) -> finished_runs.Found:
        times.append(round(asyncio.get_running_loop().time(), 1))
        if (error := errors[len(times) - 1]) is not None:
            raise error
        return finished_runs.Found(finished=(), memory=Memory(since=NOW))

    async def watch() -> None:
        with contextlib.suppress(IndexError):
            async for _ in poll_finished_runs("arize", "task", poll_interval=poll_interval):
                if len(times) == len(errors):
                    return

    with monkeypatch.context() as patch:
        patch.setattr(finished_runs, "_open_session", contextlib.asynccontextmanager(open_session))
        patch.setattr(finished_runs, "find_finished_runs", find)
        quick_time.run(watch())
    return [later - earlier for earlier, later in pairwise(times)]


def test_poll_fails_again_doubles_pause_to_15_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [KeyError("bug")] * 6
    assert poll_times(monkeypatch, *failures, None) == [120, 240, 480, 900, 900, 900]


def test_poll_succeeds_after_failures_resets_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    failure = KeyError("bug")
    assert poll_times(monkeypatch, failure, failure, None, failure, None) == [120, 240, 60, 120]


@pytest.mark.parametrize("kind", [RateLimited, Unavailable])
def test_poll_endpoint_unavailable_polls_after_retry_after_at_most_15_minutes(
    monkeypatch: pytest.MonkeyPatch, kind: type[RateLimited | Unavailable]
) -> None:
    errors = [kind("later", retry_after=seconds) for seconds in (None, 5.0, 300.0, 86_400.0)]
    assert poll_times(monkeypatch, *errors, None) == [60, 60, 300, 900]


def test_poll_interval_longer_than_15_minutes_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    assert poll_times(monkeypatch, KeyError("bug"), None, None, poll_interval=3600.0) == [3600, 3600]


@pytest.mark.parametrize("error", [Unavailable("Arize sent no response"), KeyError("bug")])
def test_poll_fails_logs_the_reason(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    poll_times(monkeypatch, error, None)
    assert str(error) in caplog.text


def test_watcher_rate_limited_lowers_budget_of_waits(arize: Emulator, connect: Callable[..., str]) -> None:
    connect(arize, requests_per_minute=60)
    task, other = create_task(arize), create_task(arize, "another")
    [waited_for] = arize.create_runs(other, 1, (3600.0, 3600.0))
    sent_per_minute: list[int] = []

    async def wait_next_to_watcher() -> None:
        async def count_reads(wait: Wait) -> int:
            arize.clear_requests()
            until = loop.time() + 60
            while loop.time() < until:
                await wait.next()
            return len(arize.requests("rest.get_task_run"))

        loop = asyncio.get_running_loop()
        polls = poll_finished_runs(CONN_ID, task, poll_interval=600.0)
        watcher = asyncio.create_task(consume(polls))
        async with poll_run(CONN_ID, waited_for, online_task_id=other, poll_interval=0.2) as wait:
            await asyncio.sleep(300)
            sent_per_minute.append(await count_reads(wait))
            arize.add_fault(Fault("rest.list_task_runs", "rate_limited", retry_after=1))
            await asyncio.sleep(400)
            assert arize.requests("rest.list_task_runs")[-1]["status"] == 429
            sent_per_minute.append(await count_reads(wait))
        watcher.cancel()

    quick_time.run(wait_next_to_watcher())
    before, after = sent_per_minute
    assert after < 0.9 * before


async def consume(items: AsyncGenerator[Any, None]) -> None:
    """Read all items."""
    async for _ in items:
        pass
