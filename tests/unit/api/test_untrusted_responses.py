"""Responses are untrusted: about the requested object, bounded, one line when logged, without the key."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.async_client import AsyncClient
from airflow_provider_online_tasks.api.fields import (
    LONGEST_NAME,
    LONGEST_REASON,
    identifier,
    line,
    name,
)
from airflow_provider_online_tasks.api.responses import TaskRun
from airflow_provider_online_tasks.api.retry import NO_RETRY
from airflow_provider_online_tasks.exceptions import CallError, OnlineTasksError, UnexpectedResponse
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskPatch
from tests.support.examples import PROJECT, RUN, TASK, run_of
from tests.support.servers import RecordingServer, Reply

HookOn = Callable[..., OnlineTasksHook]
KEY = "ak-0123/456+789_abcdef-NeverShown="


def blocking(hook: OnlineTasksHook, call: Any) -> Any:
    return hook.client.send(call, retry=NO_RETRY)


def waiting(hook: OnlineTasksHook, call: Any) -> Any:
    async def main() -> Any:
        client = AsyncClient(hook.settings)
        try:
            return await client.send(call)
        finally:
            await client.close()

    return asyncio.run(main())


both = pytest.mark.parametrize("send", [blocking, waiting])


# About what was asked for


@both
@pytest.mark.parametrize(
    "call",
    [
        calls.get_task_run(RUN),
        calls.cancel_task_run(RUN),
        calls.get_task(TASK),
        calls.get_project_space(PROJECT),
        calls.get_space_organization("S"),
    ],
    ids=lambda call: call.name,
)
def test_response_about_another_object_is_rejected(hook_on: HookOn, send: Any, call: Any) -> None:
    value = {"id": "SOMEONE-ELSES", "status": "COMPLETED", "name": "n"}
    value |= {"space_id": "S", "organization_id": "O"}
    with (
        RecordingServer(lambda _: Reply.of(value)) as server,
        pytest.raises(UnexpectedResponse, match="SOMEONE-ELSES"),
    ):
        send(hook_on(host=server.url), call)


def test_patch_response_about_another_task_is_rejected(hook_on: HookOn) -> None:
    found = {"data": {"patchEvalTask": {"evalTask": {"id": "SOMEONE-ELSES", "name": "n"}}}}
    call = calls.patch_eval_task(EvalTaskPatch(online_task_id=TASK, name="n"), "fraction")
    with (
        RecordingServer(lambda _: Reply.of(found)) as server,
        pytest.raises(UnexpectedResponse, match="SOMEONE-ELSES"),
    ):
        blocking(hook_on(host=server.url), call)


# Bounded

hostile = st.text(max_size=50) | st.just("bad \ud800 \x1b[31m\r\nnext") | st.just("é" * 6_000_000)


@given(st.one_of(hostile, st.integers(), st.lists(st.integers(), max_size=3)))
def test_line_is_one_bounded_line(value: Any) -> None:
    found = line(value)
    assert len(found) <= LONGEST_REASON
    assert len(found.splitlines()) <= 1
    assert "\x1b" not in found
    found.encode()


@given(hostile)
def test_name_is_bounded_and_printable_text_unchanged(value: str) -> None:
    found = name(value)
    assert len(found) <= LONGEST_NAME
    assert "\x1b" not in found
    found.encode()
    if value.isprintable() and len(value) <= LONGEST_NAME:
        assert found == value


@pytest.mark.parametrize("value", ["", ".", "..", " ", "a\ud800", "a\n", "x" * 513, 2**64, True, None, 1.5])
def test_identifier_wrong_value_is_rejected(value: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  the message is of the field
        identifier(value)


def test_run_with_hostile_texts_has_a_short_summary() -> None:
    reason = "bad \ud800 \x1b[31m\n" + "y" * 5_000_000
    run = TaskRun.from_wire({"id": RUN, "status": "FA\nILED" * 99, "failure_reason": reason})
    written = json.dumps(run.summary(), ensure_ascii=False).encode()
    assert len(written) < 8_000
    assert run.failure_reason is not None
    assert run.failure_reason.startswith("bad [31m yyy")


# Without the key


@contextmanager
def saying(answer: bytes) -> Iterator[str]:
    """A server that answers every request with these bytes."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        assert error.__cause__ is None
        error = error.__context__


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize("ask", [blocking, waiting, "graphql"])
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(f"{KEY}\r\n\r\n".encode(), id="instead of a status line"),
        pytest.param(f"HTTP/1.1 abc {KEY}\r\n\r\n".encode(), id="in the status"),
        pytest.param(f"HTTP/1.1 400 {KEY}\r\nContent-Length: 0\r\n\r\n".encode(), id="in the reason"),
        pytest.param(OK + f"Content-Length: {KEY}\r\n\r\n".encode(), id="as the length"),
        pytest.param(
            OK + f"Transfer-Encoding: chunked\r\n\r\n{KEY}\r\n".encode(), id="as the length of a chunk"
        ),
        pytest.param(OK + f"X {KEY}\r\n\r\n".encode(), id="as a header"),
        pytest.param(OK + f"Content-Encoding: {KEY}\r\n\r\n".encode(), id="as the encoding"),
        pytest.param(f"HTTP/1.1 302 Found\r\nLocation: /{KEY}\r\n\r\n".encode(), id="in the location"),
        pytest.param(OK + b"\r\n" + json.dumps({"id": KEY}).encode(), id="in the body"),
    ],
)
def test_exception_chain_has_no_key(hook_on: HookOn, ask: Any, answer: bytes) -> None:
    with saying(answer) as url:
        hook = hook_on(host=url, password=KEY)
        with pytest.raises(OnlineTasksError) as caught:
            if ask == "graphql":
                blocking(hook, calls.run_online_task(run_of()))
            else:
                ask(hook, calls.get_task_run(RUN))
    for error in chain(caught.value):
        assert isinstance(error, OnlineTasksError)
        for spelling in (KEY, json.dumps(KEY)[1:-1]):
            assert spelling not in "".join(traceback.format_exception(error))
            assert spelling not in repr(vars(error))


@both
@pytest.mark.parametrize("spell", [str, lambda key: "".join(f"\\u{ord(sign):04x}" for sign in key)])
def test_key_in_a_value_is_hidden(hook_on: HookOn, send: Any, spell: Any) -> None:
    key = KEY.replace('"', "")
    body = f'{{"id": "{RUN}", "status": "FAILED", "failure_reason": "header {spell(key)} rejected"}}'
    with RecordingServer(lambda _: Reply(200, body.encode())) as server:
        run = send(hook_on(host=server.url, password=key), calls.get_task_run(RUN))
    assert run.failure_reason == "header *** rejected"
    assert key not in json.dumps(run.summary())


@pytest.mark.parametrize(
    ("host", "warned"),
    [
        ("http://arize.invalid", True),
        ("https://arize.invalid", False),
        ("http://127.0.0.1:1", False),
        ("http://localhost:1", False),
        ("http://[::1]:1", False),
    ],
)
def test_unencrypted_key_is_warned_about(
    hook_on: HookOn, caplog: pytest.LogCaptureFixture, host: str, warned: bool
) -> None:
    warnings = hook_on(host=host).settings.warnings
    assert bool(warnings) is warned
    assert caplog.messages == warnings
    message = hook_on(host=host, extra={"timeout": 0.1}).test_connection()[1]
    assert all(warning in message for warning in warnings)


@both
def test_html_response_names_the_host_field_and_shows_no_html(hook_on: HookOn, send: Any) -> None:
    for status in (200, 404):
        page = Reply(status, b"<!DOCTYPE html><title>Grafana</title>", (("Content-Type", "text/html"),))
        with (
            RecordingServer(lambda _, page=page: page) as server,
            pytest.raises(CallError) as caught,
        ):
            send(hook_on(host=server.url), calls.get_task_run(RUN))
        assert server.url in str(caught.value)
        assert "Grafana" not in str(caught.value)
        assert "<" not in str(caught.value)
