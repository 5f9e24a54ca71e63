"""A proxy that is dead, or that rejects its user, is named as the cause, without its password."""

from __future__ import annotations

import asyncio
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.async_client import AsyncClient
from airflow_provider_online_tasks.api.retry import NO_RETRY
from airflow_provider_online_tasks.exceptions import BadRequest, CallError, Unavailable
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from tests.support.examples import RUN, run_of
from tests.support.servers import closed_port

HookOn = Callable[..., OnlineTasksHook]
ARIZE = ["http://arize.example", "https://arize.example"]


def rest(hook: OnlineTasksHook) -> Any:
    return hook.client.send(calls.get_task_run(RUN), retry=NO_RETRY)


def graphql(hook: OnlineTasksHook) -> Any:
    return hook.client.send(calls.run_online_task(run_of()), retry=NO_RETRY)


def asynchronous(hook: OnlineTasksHook) -> Any:
    async def send() -> Any:
        client = await AsyncClient.open(hook.settings)
        try:
            return await client.send(calls.get_task_run(RUN))
        finally:
            await client.close()

    return asyncio.run(send())


ASK = [rest, graphql, asynchronous]


@contextmanager
def proxy_that_answers(status: str) -> Iterator[str]:
    """Yield the URL of a proxy that answers every request with a status."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65_536)
            self.request.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join(10)


def check(error: CallError, proxy: str) -> None:
    assert not error.may_have_executed
    assert proxy in str(error)
    assert "pr0xy" not in repr(error)


@pytest.mark.parametrize("ask", ASK)
@pytest.mark.parametrize("host", ARIZE)
@pytest.mark.parametrize("told_by", ["connection", "environment"])
def test_dead_proxy_is_named(
    hook_on: HookOn, monkeypatch: pytest.MonkeyPatch, told_by: str, host: str, ask: Callable[..., Any]
) -> None:
    with closed_port() as proxy:
        url = proxy.replace("://", "://someone:pr0xy@")
        if told_by == "environment":
            monkeypatch.setenv("http_proxy", url)
            monkeypatch.setenv("https_proxy", url)
        hook = hook_on(host=host, extra={"proxy": url} if told_by == "connection" else {})
        with pytest.raises(Unavailable) as caught:
            ask(hook)
    check(caught.value, proxy)


@pytest.mark.parametrize("ask", ASK)
@pytest.mark.parametrize("host", ARIZE)
def test_proxy_that_rejects_its_user_is_named(hook_on: HookOn, host: str, ask: Callable[..., Any]) -> None:
    with proxy_that_answers("407 Proxy Authentication Required") as proxy:
        hook = hook_on(host=host, extra={"proxy": proxy.replace("://", "://someone:pr0xy@")})
        with pytest.raises(BadRequest) as caught:
            ask(hook)
    check(caught.value, proxy)
    assert "407" in str(caught.value)


@pytest.mark.parametrize("ask", ASK)
def test_proxy_that_cannot_reach_arize_is_retried(hook_on: HookOn, ask: Callable[..., Any]) -> None:
    with proxy_that_answers("503 pr0xy") as proxy:
        hook = hook_on(host="https://arize.example", extra={"proxy": proxy})
        with pytest.raises(Unavailable) as caught:
            ask(hook)
    check(caught.value, proxy)


def test_host_without_proxy_names_none(hook_on: HookOn) -> None:
    with closed_port() as url, pytest.raises(Unavailable) as caught:
        rest(hook_on(host=url))
    assert "proxy" not in str(caught.value)
