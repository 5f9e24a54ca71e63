"""A watch that receives a bad list or a slow response logs it and continues with the next poll."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks.api.async_client import AsyncClient
from airflow_provider_online_tasks.emulator import Fault
from airflow_provider_online_tasks.runs import finished_runs
from airflow_provider_online_tasks.runs.polling.shared_pollers import poll_run
from airflow_provider_online_tasks.triggers import task_runs
from tests.support import quick_time
from tests.support.quick_time import Clocks
from tests.support.watches import AssetStore, Watch, trigger, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_online_tasks.emulator import Emulator

LIST = "rest.list_task_runs"


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch, arize: Emulator) -> Callable[..., None]:
    """``connect(requests_per_minute=…)``: set the connection; waiting takes virtual time."""
    monkeypatch.setattr(task_runs, "STORED_AFTER_SECONDS", 0.05)
    clocks = Clocks()
    clocks.add(arize)
    monkeypatch.setattr(AsyncClient, "_request", clocks.ask())

    def connect(**extra: Any) -> None:
        fields = {**json.loads(arize.connection_json), "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT", json.dumps(fields))

    return connect


def page(*runs: dict[str, Any], cursor: str | None) -> str:
    """Return a page of a list."""
    pagination = {"has_more": cursor is not None, "next_cursor": cursor}
    return json.dumps({"task_runs": list(runs), "pagination": pagination})


async def watched_once_more(arize: Emulator, online_task_id: str, fault: Fault) -> list[str]:
    """Watch through one fault; return the finished runs that were reported after it."""
    store = AssetStore()
    async with Watch(trigger(online_task_id, store, poll_interval=3.0)) as watched:
        await until(lambda: store.values)
        await asyncio.sleep(2)
        arize.add_fault(fault)
        finished = arize.create_runs(online_task_id, 1, seconds=(0, 0))
        arize.clear_requests()
        assert await watched.until(1) == finished
        return finished


@pytest.mark.promise("watch")
def test_repeated_cursor_is_followed_once(
    arize: Emulator,
    online_task_id: str,
    connect: Callable[..., None],
) -> None:
    connect(requests_per_minute=600)
    old = {"id": "old", "status": "RUNNING", "created_at": "2026-01-01T00:00:00Z"}
    new = {"id": "new", "status": "RUNNING", "created_at": "2026-01-02T00:00:00Z"}
    # Oldest first, so that the look does not end with the first page.
    fault = Fault(LIST, "garbage", body=page(old, new, cursor="again"), times=2)

    quick_time.run(watched_once_more(arize, online_task_id, fault))

    assert len(arize.requests(LIST)) <= 6


@pytest.mark.promise("watch")
def test_endless_list_ends_the_poll(
    arize: Emulator,
    online_task_id: str,
    connect: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    connect(requests_per_minute=600)
    assert finished_runs.MOST_PAGES == 100
    monkeypatch.setattr(finished_runs, "MOST_PAGES", 5)
    old = {"id": "old", "status": "RUNNING", "created_at": "2026-01-01T00:00:00Z"}
    new = {"id": "new", "status": "RUNNING", "created_at": "2026-01-02T00:00:00Z"}

    async def watch() -> None:
        store = AssetStore()
        async with Watch(trigger(online_task_id, store, poll_interval=3.0)) as watched:
            await until(lambda: store.values)
            await asyncio.sleep(2)
            finished = arize.create_runs(online_task_id, 1, seconds=(0, 0))
            for number in range(5):
                arize.add_fault(Fault(LIST, "garbage", body=page(old, new, cursor=f"page {number}")))
            arize.clear_requests()
            assert await watched.until(1) == finished

    quick_time.run(watch())

    assert logging.WARNING in {record.levelno for record in caplog.records}
    assert len(arize.requests(LIST)) <= 8


@pytest.mark.promise("watch")
def test_missing_response_times_out_and_is_logged(
    arize: Emulator,
    online_task_id: str,
    connect: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    connect(requests_per_minute=600, timeout=0.5)
    really, held = AsyncClient._request, []

    async def trickles(self: AsyncClient, call: Any, host: str) -> Any:
        if arize.requests(LIST) and not held:
            held.append(call)
            await asyncio.sleep(3600)  # what each part of it in time amounts to
        return await really(self, call, host)

    monkeypatch.setattr(AsyncClient, "_request", trickles)

    quick_time.run(watched_once_more(arize, online_task_id, Fault("graphql.*", "delay")))

    assert held
    assert logging.WARNING in {record.levelno for record in caplog.records}


def test_run_with_invalid_id_hides_no_other_run(
    arize: Emulator, online_task_id: str, connect: Callable[..., None]
) -> None:
    connect(requests_per_minute=600)
    now = (datetime.now(UTC) + timedelta(seconds=120)).isoformat()
    over = {"status": "COMPLETED", "run_finished_at": now, "created_at": now}
    bad = [{**over, "id": name} for name in ("\ud800", "a\0b", "good")]

    async def watch() -> None:
        store = AssetStore()
        async with Watch(trigger(online_task_id, store, poll_interval=10.0)) as watched:
            await until(lambda: store.values)
            arize.add_fault(Fault(LIST, "garbage", body=page(*bad, cursor=None)))
            assert await watched.until(1) == ["good"]
            await until(lambda: "good" in str(store.values))
            assert "\\ud800" not in str(store.values)

    quick_time.run(watch())


@pytest.mark.promise("watch")
def test_watchers_leave_two_thirds_of_the_budget_to_waits(
    arize: Emulator, online_task_id: str, connect: Callable[..., None]
) -> None:
    """Watchers of ten tasks that want more than the budget, next to a wait for a run."""
    connect(requests_per_minute=60)
    [run] = arize.create_runs(online_task_id, 1, seconds=(3600, 3600))

    async def watch() -> None:
        watches = [Watch(trigger(online_task_id, poll_interval=1.0 + number)) for number in range(10)]
        for each in watches:
            await each.__aenter__()
        async with poll_run(
            "arize_online_tasks_default", run, online_task_id=None, poll_interval=2.0
        ) as wait:
            await wait.next()
            arize.clear_requests()
            began = asyncio.get_running_loop().time()
            while asyncio.get_running_loop().time() < began + 300:
                await wait.next()
        for each in watches:
            await each.__aexit__()

    quick_time.run(watch())

    asked = [request["operation"] for request in arize.requests("rest.*")]
    assert asked.count(LIST) <= 5 * 20 + 5
    assert asked.count("rest.get_task_run") >= 5 * 25
