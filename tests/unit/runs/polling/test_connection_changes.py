"""A connection that changes while runs are waited for: new and running waits, and cancellations, use it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from airflow_provider_online_tasks import _airflow
from airflow_provider_online_tasks.emulator import Emulator, Fault, RunFate
from airflow_provider_online_tasks.exceptions import InvalidConnection
from airflow_provider_online_tasks.runs.polling.shared_pollers import cancel_run, poll_run, this_loop
from tests.support import quick_time
from tests.support.servers import RecordingServer, Reply, closed_port, forward
from tests.support.waits import CONN_ID, create_task, eventually

pytestmark = pytest.mark.promise("connection-changed")
HANG = RunFate("hang")
INTERVAL: dict[str, Any] = {"online_task_id": None, "poll_interval": 10.0}


def set_connection(monkeypatch: pytest.MonkeyPatch, host: str, conn_id: str = CONN_ID, **fields: Any) -> None:
    connection = {"conn_type": "arize_online_tasks", "password": "ak-emulator", "host": host, **fields}
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))


@pytest.fixture
def run(arize: Emulator, monkeypatch: pytest.MonkeyPatch) -> str:
    """A hanging run; the connection points to another server in the tests."""
    [run_id] = arize.create_runs(create_task(arize), 1, fate=HANG)
    return run_id


def test_host_changed_new_wait_and_earlier_waits_use_the_new_host(
    arize: Emulator, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RecordingServer(lambda seen: Reply.of({"id": run, "status": "RUNNING"})) as old:
        set_connection(monkeypatch, old.url)

        async def wait() -> None:
            async with poll_run(CONN_ID, run, **INTERVAL) as first:
                await first.next()
                set_connection(monkeypatch, arize.url, password=arize.api_key)
                async with poll_run(CONN_ID, run, **INTERVAL) as second:
                    await second.next()
                    arize.set_run(run, status="COMPLETED")
                    assert (await second.next()).is_over
                    assert (await first.next()).is_over

        quick_time.run(wait())
        assert len(old.seen) <= 2


@pytest.mark.parametrize("status", [401, 403, 404, 502])
def test_old_host_rejects_waits_continue_on_the_new_host(
    arize: Emulator, run: str, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    with RecordingServer(lambda _: Reply.of({"title": "no"}, status)) as old:
        set_connection(monkeypatch, old.url)

        async def wait() -> None:
            async with asyncio.timeout(120), poll_run(CONN_ID, run, **INTERVAL) as waiting:
                await eventually(lambda: waiting.trouble is not None)
                set_connection(monkeypatch, arize.url, password=arize.api_key)
                assert not (await waiting.next()).is_over

        quick_time.run(wait())


def test_old_host_is_down_waits_continue_on_the_new_host(
    arize: Emulator, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closed_port() as old:
        set_connection(monkeypatch, old)

        async def wait() -> None:
            async with asyncio.timeout(120), poll_run(CONN_ID, run, **INTERVAL) as waiting:
                await eventually(lambda: waiting.trouble is not None)
                set_connection(monkeypatch, arize.url, password=arize.api_key)
                assert not (await waiting.next()).is_over

        quick_time.run(wait())


def test_host_changed_cancellation_uses_the_new_host(
    arize: Emulator, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RecordingServer(lambda _: Reply.of({"id": run, "status": "RUNNING"})) as old:
        set_connection(monkeypatch, old.url)

        async def wait() -> None:
            async with poll_run(CONN_ID, run, **INTERVAL) as waiting:
                await waiting.next()
                set_connection(monkeypatch, arize.url, password=arize.api_key)
                await cancel_run(CONN_ID, run, until=asyncio.get_running_loop().time() + 30)
                assert (await waiting.next()).is_over

        quick_time.run(wait())
        assert not [seen for seen in old.seen if seen.method == "POST"]
    assert [each["status"] for each in arize.runs()] == ["CANCELLED"]


def test_proxy_changed_cancellation_uses_the_new_proxy(
    arize: Emulator, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host and the key are the same, so both share the request budget."""
    with RecordingServer(forward) as proxy:

        async def cancel(extra: dict[str, str]) -> None:
            set_connection(monkeypatch, arize.url, password=arize.api_key, extra=extra)
            await cancel_run(CONN_ID, run, until=asyncio.get_running_loop().time() + 30)

        async def cancel_twice() -> None:
            await cancel({})
            assert proxy.seen == []
            await cancel({"proxy": proxy.url})
            assert [seen.method for seen in proxy.seen][:1] == ["POST"]

        quick_time.run(cancel_twice())


def test_wait_starts_though_the_connection_cannot_be_read_again(
    arize: Emulator, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_connection(monkeypatch, arize.url, password=arize.api_key)

    async def unreadable(_: str) -> Any:
        raise ConnectionError("the secrets backend restarts")

    async def wait() -> None:
        async with poll_run(CONN_ID, run, **INTERVAL) as first:
            await first.next()
            monkeypatch.setattr(_airflow, "read_connection", unreadable)
            async with poll_run(CONN_ID, run, **INTERVAL) as second:
                await second.next()
        await eventually(lambda: not this_loop().pollers)
        with pytest.raises(ConnectionError):
            async with poll_run(CONN_ID, run, **INTERVAL):
                pass

    quick_time.run(wait())


def test_invalid_connection_ends_a_new_wait_only(
    arize: Emulator, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_connection(monkeypatch, arize.url, password=arize.api_key)

    async def wait() -> None:
        async with poll_run(CONN_ID, run, **INTERVAL) as first:
            await first.next()
            set_connection(monkeypatch, "arize.exa\nmple")
            with pytest.raises(InvalidConnection):
                async with poll_run(CONN_ID, run, **INTERVAL):
                    pass
            await first.next()

    quick_time.run(wait())


@pytest.mark.parametrize("by", ["a wait", "a rejected key"])
def test_changed_connection_without_waits_can_be_waited_on_later(
    arize: Emulator, run: str, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """A connection that shared the poller of another one, and has no wait when its change is noticed."""
    for conn_id in ("one", "two"):
        set_connection(monkeypatch, arize.url, conn_id, password=arize.api_key)
    with RecordingServer(lambda _: Reply.of({"id": run, "status": "COMPLETED"})) as new:

        async def wait() -> None:
            async with poll_run("one", run, **INTERVAL) as one:
                async with poll_run("two", run, **INTERVAL):
                    await one.next()
                set_connection(monkeypatch, new.url, "two")
                if by == "a rejected key":
                    arize.add_fault(Fault("rest.*", "unauthorized"))
                    await asyncio.sleep(60)
                async with asyncio.timeout(60), poll_run("two", run, **INTERVAL) as two:
                    assert (await two.next()).is_over
                assert one.trouble is None

        quick_time.run(wait())
        assert len(new.seen) == 1
