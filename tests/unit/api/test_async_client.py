"""The asynchronous client reads the same values and protects the key as the blocking one does."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.async_client import AsyncClient
from airflow_provider_online_tasks.emulator import Emulator, Fault
from airflow_provider_online_tasks.exceptions import (
    AuthenticationFailed,
    BadRequest,
    CallError,
    NotFound,
    PermissionDenied,
    RateLimited,
    Unavailable,
    UnexpectedResponse,
)
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from tests.support.examples import RUN, run_of
from tests.support.servers import (
    RecordingServer,
    Reply,
    closed_port,
    forward,
    full_port,
    self_signed,
    silent_port,
)

T = TypeVar("T")
HookOn = Callable[..., OnlineTasksHook]
SHORT = {"timeout": 0.2}


def send(hook: OnlineTasksHook, call: calls.RestCall[T]) -> T:
    async def main() -> T:
        client = AsyncClient(hook.settings)
        try:
            return await client.send(call)
        finally:
            await client.close()

    return asyncio.run(main())


def test_async_client_reads_the_same_values(hook: OnlineTasksHook, emulator: Emulator, task_id: str) -> None:
    run_id = hook.run_online_task(run_of(task_id))
    for call in (
        calls.get_task_run(run_id),
        calls.list_task_runs(task_id),
        calls.get_task(task_id),
        calls.list_tasks(project_id=emulator.project_id),
        calls.get_project_space(emulator.project_id),
        calls.get_space_organization(emulator.space_id),
    ):
        assert send(hook, call) == hook.client.send(call)
    (live,) = emulator.create_runs(task_id, 1, (3600, 3600))
    assert send(hook, calls.cancel_task_run(live)).id == live
    assert all(request["key_ok"] for request in emulator.requests())


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"kind": "unauthorized"}, AuthenticationFailed),
        ({"kind": "forbidden"}, PermissionDenied),
        ({"kind": "not_found"}, NotFound),
        ({"kind": "rate_limited", "retry_after": 7}, RateLimited),
        ({"kind": "status_before", "status": 503}, Unavailable),
        ({"kind": "status_before", "status": 400}, BadRequest),
        ({"kind": "drop_before"}, Unavailable),
        ({"kind": "drop_after"}, Unavailable),
        ({"kind": "truncated"}, Unavailable),
        ({"kind": "garbage"}, UnexpectedResponse),
        ({"kind": "not_object"}, UnexpectedResponse),
        ({"kind": "missing_field", "field": "status"}, UnexpectedResponse),
        ({"kind": "null_field", "field": "id"}, UnexpectedResponse),
    ],
)
def test_async_response_gives_its_exception(
    hook: OnlineTasksHook, emulator: Emulator, task_id: str, fault: dict[str, Any], kind: type[CallError]
) -> None:
    run_id = hook.run_online_task(run_of(task_id))
    emulator.add_fault(Fault("rest.get_task_run", **fault))

    with pytest.raises(CallError) as caught:
        send(hook, calls.get_task_run(run_id))

    assert type(caught.value) is kind
    assert f"get task run at {emulator.url}: " in str(caught.value)
    assert len(str(caught.value)) < 500
    assert not caught.value.may_have_executed
    if isinstance(caught.value, RateLimited):
        assert caught.value.retry_after == 7


def test_async_no_response_is_unavailable(hook_on: HookOn, tmp_path: Path) -> None:
    tls, certificate = self_signed(tmp_path)
    with (
        closed_port() as closed,
        silent_port() as silent,
        full_port() as full,
        RecordingServer(lambda _: Reply.of({"id": RUN, "status": "RUNNING"}), tls=tls) as arize,
    ):
        for host in (closed, silent, full, arize.url, "https://arize.invalid"):
            with pytest.raises(Unavailable, match=f"get task run at {host}: "):
                send(hook_on(host=host, extra=SHORT), calls.get_task_run(RUN))
        assert arize.seen == []
        for extra in ({"ca_bundle": str(certificate)}, {"verify": False}):
            assert send(hook_on(host=arize.url, extra=extra), calls.get_task_run(RUN)).id == RUN
    assert len(arize.seen) == 2


def test_async_send_is_not_repeated(hook: OnlineTasksHook, emulator: Emulator, task_id: str) -> None:
    emulator.add_fault(Fault("rest.get_task", "drop_before"))
    with pytest.raises(Unavailable):
        send(hook, calls.get_task(task_id))
    assert len(emulator.requests("rest.get_task")) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(hook_on: HookOn, status: int) -> None:
    with RecordingServer(lambda _: Reply.of({"id": RUN, "status": "RUNNING"})) as other:
        moved = Reply(status, b"moved", (("Location", other.url),))
        with RecordingServer(lambda _: moved) as arize, pytest.raises(BadRequest):
            send(hook_on(host=arize.url), calls.get_task_run(RUN))
    assert other.seen == []


@pytest.mark.parametrize("told_by", ["the connection", "the environment"])
def test_async_proxy_is_used(hook_on: HookOn, monkeypatch: pytest.MonkeyPatch, told_by: str) -> None:
    with (
        RecordingServer(lambda _: Reply.of({"id": RUN, "status": "RUNNING"})) as arize,
        RecordingServer(forward) as proxy,
    ):
        if told_by == "the environment":
            monkeypatch.setenv("http_proxy", proxy.url)
            hook = hook_on(host=arize.url, password="ak-1")
        else:
            hook = hook_on(host=arize.url, password="ak-1", extra={"proxy": proxy.url})
        assert send(hook, calls.get_task_run(RUN)).id == RUN
    assert len(proxy.seen) == 1
    assert [seen.headers["authorization"] for seen in arize.seen] == ["Bearer ak-1"]


def test_netrc_does_not_replace_the_key(
    hook_on: HookOn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with RecordingServer(lambda _: Reply.of({"id": RUN, "status": "RUNNING"})) as arize:
        send(hook_on(host=arize.url, password="ak-1"), calls.get_task_run(RUN))
    assert [seen.headers["authorization"] for seen in arize.seen] == ["Bearer ak-1"]


def test_async_key_is_not_shown(hook_on: HookOn, caplog: pytest.LogCaptureFixture) -> None:
    key = "ak-0123456789abcdef-NeverShown"
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore.connection", "httpcore.http11"):
        caplog.set_level(logging.DEBUG, logger=name)
    told: list[str] = []
    with RecordingServer(lambda _: Reply.of({"detail": "no"}, 403)) as arize, closed_port() as closed:
        for host in (arize.url, closed):
            hook = hook_on(host=host, password=key)
            with pytest.raises(CallError) as caught:
                send(hook, calls.get_task_run(RUN))
            told += [repr(caught.value), str(caught.value), repr(vars(caught.value))]
            told.append(repr(AsyncClient(hook.settings)))
    assert [seen.headers["authorization"] for seen in arize.seen] == [f"Bearer {key}"]
    for text in [*told, caplog.text, *(repr(record.__dict__) for record in caplog.records)]:
        assert key not in text


def test_async_only_a_sent_request_may_have_executed(hook_on: HookOn) -> None:
    cancel = dataclasses.replace(calls.cancel_task_run(RUN), repeatable=False)
    with closed_port() as closed, silent_port() as silent:
        for host, was_sent in ((closed, False), (silent, True)):
            with pytest.raises(Unavailable) as caught:
                send(hook_on(host=host, extra=SHORT), cancel)
            assert caught.value.may_have_executed is was_sent, host


def test_async_close_closes_the_connections(hook_on: HookOn) -> None:
    with RecordingServer(lambda _: Reply.of({"id": RUN, "status": "RUNNING"})) as arize:
        hook = hook_on(host=arize.url)

        async def main() -> None:
            client = AsyncClient(hook.settings)
            for _ in range(3):
                await client.send(calls.get_task_run(RUN))
            assert arize.open_connections == 1
            await client.close()
            for _ in range(6000):
                if not arize.open_connections:
                    return
                await asyncio.sleep(0.01)
            pytest.fail("the connection is still open")

        asyncio.run(main())


def test_async_send_can_be_cancelled(hook_on: HookOn) -> None:
    async def main() -> None:
        client = AsyncClient(hook.settings)
        waiting = asyncio.create_task(client.send(calls.get_task_run(RUN)))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await client.close()

    with silent_port() as silent:
        hook = hook_on(host=silent)
        asyncio.run(main())
