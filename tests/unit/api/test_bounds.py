"""A response has limits of time and memory in both clients."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api._transport import MOST_BODY, Body, UnreadableBody, read_json
from airflow_provider_online_tasks.api.async_client import AsyncClient
from airflow_provider_online_tasks.api.http import Response
from airflow_provider_online_tasks.api.retry import NO_RETRY
from airflow_provider_online_tasks.exceptions import CallError, Unavailable, UnexpectedResponse
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from tests.support.examples import RUN, run_of
from tests.support.servers import RecordingServer, Reply

HookOn = Callable[..., OnlineTasksHook]
Ask = Callable[[OnlineTasksHook], object]
MOST_MEMORY = 16 * 1024 * 1024
JSON = ("Content-Type", "application/json")


def by_rest(hook: OnlineTasksHook) -> object:
    return hook.client.send(calls.get_task_run(RUN), retry=NO_RETRY)


def by_graphql(hook: OnlineTasksHook) -> object:
    return hook.client.send(calls.run_online_task(run_of()), retry=NO_RETRY)


def waiting(hook: OnlineTasksHook) -> object:
    async def main() -> object:
        client = AsyncClient(hook.settings)
        try:
            return await client.send(calls.get_task_run(RUN))
        finally:
            await client.close()

    return asyncio.run(main())


all_clients = pytest.mark.parametrize("ask", [by_rest, by_graphql, waiting])


@contextmanager
def dripping(start: bytes, drop: bytes, pause: float) -> Iterator[str]:
    """Return a server that sends a start at once, and then one small piece after another without end."""
    done = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection:
            connection.recv(65536)
            try:
                connection.sendall(start)
                while not done.wait(pause):
                    connection.sendall(drop)
            except OSError:
                pass

    def accept() -> None:
        while not done.is_set():
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            done.set()
            listening.shutdown(socket.SHUT_RDWR)
    thread.join(10)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@all_clients
@pytest.mark.parametrize(
    ("start", "drop"),
    [
        pytest.param(b"", b"H", id="status line"),
        pytest.param(HEAD + b"X: ", b"x", id="header"),
        pytest.param(HEAD, b"X: y\r\n", id="headers"),
        pytest.param(HEAD + b"Content-Length: 100000\r\n\r\n", b" ", id="body"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", id="chunks"),
        pytest.param(HEAD + b"\r\n", b" ", id="body of no length"),
        pytest.param(b"", b"HTTP/1.1 100 Continue\r\n\r\n", id="interim answers"),
    ],
)
def test_slow_response_ends_at_its_deadline(hook_on: HookOn, ask: Ask, start: bytes, drop: bytes) -> None:
    with dripping(start, drop, 0.05) as url:
        hook = hook_on(host=url, extra={"timeout": 0.3})
        began = time.monotonic()
        with pytest.raises(Unavailable):
            ask(hook)
    # The pieces come much faster than the read timeout, so only the limit on the entire request ends it.
    assert time.monotonic() - began < 60


def peak_of(ask: Ask, hook: OnlineTasksHook) -> tuple[int, CallError | None]:
    error = None
    tracemalloc.start()
    try:
        ask(hook)
    except CallError as caught:
        error = caught
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak, error


def bomb(size: int) -> bytes:
    """So many blanks, compressed."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = b" " * 1_000_000
    return b"".join(compressor.compress(block) for _ in range(size // len(block))) + compressor.flush()


BOMB = bomb(200_000_000)


@all_clients
@pytest.mark.parametrize("status", [200, 500])
def test_compression_bomb_is_rejected_with_bounded_memory(hook_on: HookOn, ask: Ask, status: int) -> None:
    reply = Reply(status, BOMB, (JSON, ("Content-Encoding", "gzip")))
    with RecordingServer(lambda _: reply) as arize:
        hook = hook_on(host=arize.url)
        peak, error = peak_of(ask, hook)
    assert isinstance(error, Unavailable)
    if status == 200:
        assert isinstance(error, UnexpectedResponse)
    assert peak < MOST_MEMORY


@all_clients
@pytest.mark.parametrize("says_so", [True, False])
def test_large_response_is_rejected_with_bounded_memory(hook_on: HookOn, ask: Ask, says_so: bool) -> None:
    def chunked() -> bytes:
        block = b"x" * 100_000
        return b"".join(b"%x\r\n%s\r\n" % (len(block), block) for _ in range(50)) + b"0\r\n\r\n"

    plain = Reply(200, b" " * (MOST_BODY + 1))
    reply = plain if says_so else Reply(200, chunked(), (JSON, ("Transfer-Encoding", "chunked")))
    with RecordingServer(lambda _: reply) as arize:
        peak, error = peak_of(ask, hook_on(host=arize.url))
    assert isinstance(error, UnexpectedResponse)
    assert peak < MOST_MEMORY + (len(reply.body) if not says_so else 0)


OTHER = json.dumps({"detail": "x" * 1_000_000}).encode()


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(Reply(403, OTHER, (JSON,)), id="refused"),
        pytest.param(Reply(200, OTHER, (JSON,)), id="without what is needed"),
        pytest.param(Reply(200, OTHER[:-1], (JSON,)), id="no JSON"),
        pytest.param(Reply(200, OTHER, (JSON, ("Content-Length", "2000000"))), id="cut off"),
    ],
)
def test_response_is_freed_without_the_garbage_collector(hook_on: HookOn, reply: Reply) -> None:
    async def main(hook: OnlineTasksHook) -> list[object]:
        client = AsyncClient(hook.settings)
        gc.collect()
        gc.disable()
        try:
            for _ in range(3):
                with suppress(CallError):
                    await client.send(calls.get_task_run(RUN))
            # `isinstance` would ask others' lazy objects for their class, which loads what they stand for.
            return [each for each in gc.get_objects() if issubclass(type(each), Response | Body)]
        finally:
            gc.enable()
            await client.close()

    with RecordingServer(lambda _: reply) as arize:
        assert asyncio.run(main(hook_on(host=arize.url, extra={"timeout": 0.5}))) == []


@all_clients
def test_endless_headers_are_rejected(hook_on: HookOn, ask: Ask) -> None:
    with dripping(HEAD, b"X-Y: " + b"z" * 30_000 + b"\r\n", 0) as url:
        peak, error = peak_of(ask, hook_on(host=url))
    assert isinstance(error, Unavailable)
    assert peak < MOST_MEMORY


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "x-gzip", "identity"])
@all_clients
def test_compressed_response_is_read(hook_on: HookOn, ask: Ask, encoding: str) -> None:
    result = {"data": {"runOnlineTask": {"result": {"runId": RUN}}}}
    body = json.dumps({"id": RUN, "status": "RUNNING", **result}).encode()
    pack = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress, "identity": bytes}
    reply = Reply(200, pack[encoding](body), (JSON, ("Content-Encoding", encoding)))
    with RecordingServer(lambda _: reply) as arize:
        ask(hook_on(host=arize.url))
    assert arize.seen[0].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("br", b"x"),
        ("gzip", b"no gzip"),
        ("gzip", gzip.compress(b'{"id": 1}', mtime=0)[:-9]),
    ],
)
@all_clients
def test_undecodable_response_is_rejected(hook_on: HookOn, ask: Ask, encoding: str, body: bytes) -> None:
    reply = Reply(200, body, (JSON, ("Content-Encoding", encoding)))
    with RecordingServer(lambda _: reply) as arize, pytest.raises(UnexpectedResponse):
        ask(hook_on(host=arize.url))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[" + b"[]," * (MOST_BODY // 3 - 2) + b"0]", id="lists"),
        pytest.param(b"[" + b"{}," * (MOST_BODY // 3 - 2) + b"0]", id="objects"),
        pytest.param(b"[" + b'{"a":0},' * (MOST_BODY // 8 - 2) + b"0]", id="objects with a field"),
        pytest.param(b"[" + b"1.5," * (MOST_BODY // 4 - 2) + b"0]", id="numbers"),
        pytest.param(b'"' + b"x" * (MOST_BODY - 2) + b'"', id="a text"),
        pytest.param(b'"' + b"x" * (MOST_BODY - 10) + "😀".encode() + b'"', id="a wide text"),
        pytest.param(b'"' + b"x" * (MOST_BODY - 20) + b'\\ud83d\\ude00"', id="an escaped wide text"),
        pytest.param(b'"' + b"x" * (MOST_BODY - 20) + b'\\ud83d"', id="half a pair"),
        pytest.param(b"[" * MOST_BODY, id="depth"),
        pytest.param(b'{"a":' * (MOST_BODY // 5), id="depth of objects"),
        pytest.param(b"9" * MOST_BODY, id="a number of many digits"),
    ],
)
def test_read_json_memory_is_bounded(body: bytes) -> None:
    tracemalloc.start()
    try:
        value = read_json(body)
    except ValueError:
        value = None
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    del value
    assert peak + len(body) < MOST_MEMORY


@pytest.mark.parametrize("escaped", [True, False])
@pytest.mark.parametrize("letter", ["é", "😀"])
def test_read_json_page_of_real_size_is_read(letter: str, escaped: bool) -> None:
    attributes = {f"llm.input_messages.{n}.message.content": "e" for n in range(60)}
    attributes["input.value"] = letter
    page = {"spans": [{"context": {"span_id": f"{n:032x}"}, "attributes": attributes} for n in range(500)]}
    body = json.dumps(page, ensure_ascii=escaped).encode()
    assert 1_000_000 < len(body) < MOST_BODY
    assert read_json(body) == page


def test_read_json_half_a_surrogate_pair_is_read() -> None:
    assert read_json(b'[{"a": "\\ud800"}, {"b": 1}]') == [{"a": "\ud800"}, {"b": 1}]


def test_body_start_is_available_after_rejection() -> None:
    body = Body({})
    with pytest.raises(UnreadableBody):
        for _ in range(100):
            body.add(b"<h1>too much" + b"x" * 50_000)
    assert body.start().startswith(b"<h1>too much")
