"""How far the list of a task's runs is read, and what is logged when it cannot be."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks.api.responses.runs import RunStatus, TaskRun
from airflow_provider_online_tasks.emulator import Fault
from airflow_provider_online_tasks.exceptions import Unavailable
from airflow_provider_online_tasks.runs import finished_runs
from airflow_provider_online_tasks.runs.finished_runs import go_back_beyond
from airflow_provider_online_tasks.runs.polling.shared_pollers import poll_run
from tests.support import quick_time
from tests.support.waits import CONN_ID, create_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_online_tasks.emulator import Emulator
    from airflow_provider_online_tasks.runs.polling.schedule import Wait

SINCE = datetime(2026, 1, 10, tzinfo=UTC)


def run(day: float | None) -> TaskRun:
    """A run that was created so many days after the time that is to be reached."""
    created_at = None if day is None else SINCE + timedelta(days=day)
    status = RunStatus.COMPLETED
    return TaskRun(id=f"run {day}", status=status, status_text=status.value, created_at=created_at)


@pytest.mark.parametrize(
    ("days", "is_reached"),
    [
        ([], False),
        ([1, -1], True),
        ([3, 2, 1], False),
        ([1, 0], False),  # one of that very moment may have others behind it
        ([-1, 1], False),  # oldest first
        ([-1, -1], False),  # created together: nobody knows the order
        ([2, -1, 1, -2], False),  # in no order
        ([1, None, -1], False),  # one may have been created at any time
        ([None], False),
    ],
    ids=str,
)
def test_newest_first_is_read_back_to_a_time(days: list[float | None], is_reached: bool) -> None:
    assert go_back_beyond([run(day) for day in days], SINCE) is is_reached


def messages_of_looks_that_fail(
    error: Exception, seconds: float, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> list[str]:
    """What is logged within some seconds of a watch whose every look fails."""

    async def fails(conn_id: str) -> AsyncIterator[finished_runs.Exchange]:
        raise error
        yield

    async def watch() -> None:
        async with asyncio.timeout(seconds):
            async for _ in finished_runs.poll_finished_runs("arize", "task", poll_interval=60.0):
                pytest.fail("there is nothing to see")

    monkeypatch.setattr(finished_runs, "_open_session", contextlib.asynccontextmanager(fails))
    with pytest.raises(TimeoutError):
        quick_time.run(watch())
    return [one.getMessage() for one in caplog.records]


@pytest.mark.parametrize(
    ("error", "said"),
    [(Unavailable("Arize gave no answer."), "Arize gave no answer."), (KeyError("lost"), "KeyError: 'lost'")],
)
def test_why_a_look_failed_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception, said: str
) -> None:
    [logged] = messages_of_looks_that_fail(error, 1.0, monkeypatch, caplog)
    assert logged.startswith("Finished runs of task task could not be looked up. The next attempt is in ")
    assert logged.endswith(f" s: {said}")


def test_what_goes_on_failing_is_tried_less_and_less_often(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    logged = messages_of_looks_that_fail(KeyError("lost"), 3_000.0, monkeypatch, caplog)
    pauses = [re.search(r" in (\d+) s: ", one) for one in logged]
    assert [int(pause[1]) for pause in pauses if pause] == [120, 240, 480, 900, 900, 900]


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
        watcher = asyncio.create_task(consume(finished_runs.poll_finished_runs(CONN_ID, task, poll_interval=600.0)))
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
