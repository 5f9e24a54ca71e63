"""Any bytes as a response, in any parts and at any times, harm at most the wait they are about."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from airflow_provider_online_tasks.triggers.events import ERROR, FINISHED, TIMEOUT, RunEvent, read_event
from tests.support import quick_time
from tests.support.event_encoding import send_and_store
from tests.support.random_examples import examples
from tests.support.waits import CONN_ID, trigger

pytest.importorskip("airflow.sdk.execution_time.comms", reason="Airflow 3.0")

MOST_MEMORY = 16 * 1024 * 1024
# The connection's timeout.
TIMEOUT_SECONDS = 0.5
# How many responses of an example stall, so that it ends soon.
STALLS = 1
STALL = 3600.0
GOOD = ("good-1", "good-2")


@dataclass(frozen=True)
class Bytes:
    """A response as it comes over the wire.

    :param parts: the parts, each with the seconds before it.
    :param keeps: whether the connection stays open afterwards.
    """

    parts: tuple[tuple[float, bytes], ...]
    keeps: bool = False


class RawArize:
    """Responds about one run with bytes, and about others that they finish at the third read."""

    def __init__(self) -> None:
        self.about_bad = Bytes(())
        self.reads: dict[str, int] = {}
        self._stalls = 0
        self._done = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._done.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def reset(self, about_bad: Bytes) -> None:
        """Start again, with other bytes about the bad run."""
        self.about_bad, self._stalls = about_bad, STALLS
        self.reads.clear()

    def _accept(self) -> None:
        while not self._done.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(60)
            received = b""
            while not self._done.is_set():
                while b"\r\n\r\n" not in received:
                    if not (came := connection.recv(65536)):
                        return
                    received += came
                head, _, received = received.partition(b"\r\n\r\n")
                path = head.split(b" ")[1].decode().partition("?")[0]
                if path.endswith("/bad"):
                    if not self._send_bad(connection):
                        return
                else:
                    connection.sendall(self._good(path))

    def _send_bad(self, connection: socket.socket) -> bool:
        response = self.about_bad
        for pause, part in response.parts:
            if pause >= STALL:
                self._stalls -= 1
                if self._stalls < 0:
                    return False
                # The client gives up before this ends.
                self._done.wait(10 * TIMEOUT_SECONDS)
                return False
            self._done.wait(pause)
            connection.sendall(part)
        return response.keeps

    def _good(self, path: str) -> bytes:
        run_id = path.rpartition("/")[2]
        if run_id == "runs":
            body = {"task_runs": [self._run(one) for one in GOOD], "pagination": {"has_more": False}}
        else:
            body = self._run(run_id)
        return message([("Content-Type", "application/json")], json.dumps(body).encode())

    def _run(self, run_id: str) -> dict[str, Any]:
        self.reads[run_id] = self.reads.get(run_id, 0) + 1
        status = "COMPLETED" if self.reads[run_id] > 2 else "RUNNING"
        return {"id": run_id, "task_id": "task", "status": status, "num_successes": 1}


def message(headers: list[tuple[str, str]], body: bytes, status: bytes = b"HTTP/1.1 200 OK") -> bytes:
    """Return a response in HTTP's format."""
    lines = [*headers, ("Content-Length", str(len(body)))]
    head = b"".join(f"{name}: {text}\r\n".encode() for name, text in lines)
    return status + b"\r\n" + head + b"\r\n" + body


@pytest.fixture(scope="module")
def raw() -> Iterator[RawArize]:
    server = RawArize()
    yield server
    server.close()


@pytest.fixture
def connection(raw: RawArize, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"conn_type": "arize_online_tasks", "host": raw.url, "password": "ak"}
    extra = {"requests_per_minute": 600, "timeout": TIMEOUT_SECONDS}
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps({**fields, "extra": extra}))


# -- Random bytes. --


def bomb(size: int) -> bytes:
    """Return spaces, compressed.

    :param size: number of spaces.
    """
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = b" " * 1_000_000
    return b"".join(compressor.compress(block) for _ in range(size // len(block))) + compressor.flush()


BOMB = bomb(100_000_000)
LARGE = b'{"id": "bad", "status": "' + b"x" * 5_000_000 + b'"}'
MANY = b'{"id": "bad", "status": [' + b"{}," * 900_000 + b"0]}"
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
words = st.sampled_from(["RUNNING", "COMPLETED", "FAILED", "CANCELLED", "bad \ud800", "x" * 100_000])
runs = st.fixed_dictionaries(
    {"id": st.just("bad") | anything, "status": words | anything},
    optional={
        "task_id": st.sampled_from(["task", "..", "", "\ud800"]) | anything,
        "num_successes": st.just(2**64) | anything,
        "failure_reason": words | anything,
        "created_at": anything,
    },
)
bodies = (
    runs.map(json.dumps).map(str.encode)
    | st.binary(max_size=300)
    | st.sampled_from([LARGE, MANY, b"[" * 1_000_000])
)
statuses = st.sampled_from([200, 200, 200, 200, 204, 301, 400, 401, 403, 404, 429, 500, 503]).map(
    lambda status: b"HTTP/1.1 %d OK" % status
) | st.sampled_from([b"HTTP/1.1 100 Continue", b"HTTP/9.9 200", b"HTTP/1.1 99999 X", b"ICY 200 OK", b""])
headers = st.lists(
    st.sampled_from(
        [
            b"Content-Type: application/json",
            b"Content-Encoding: br",
            b"Retry-After: 1e400",
            b"Retry-After: 99999999999999999999",
            b"Retry-After: 1",
            b"Date: never",
            b"Location: http://192.0.2.1/",
            b"X: " + b"y" * 70_000,
            b"no colon",
            b": no name",
            b"Connection: close",
        ]
    )
    | st.binary(max_size=30),
    max_size=4,
)


@st.composite
def responses(draw: st.DrawFn) -> Bytes:
    """Draw a response: a body, its compression and framing, and the parts and times in which it comes."""
    body, extra = draw(bodies), []
    match draw(
        st.sampled_from(["plain", "plain", "gzip", "deflate", "cut off", "bomb", "only said to be gzip"])
    ):
        case "gzip":
            body, extra = gzip.compress(body, 1), [b"Content-Encoding: gzip"]
        case "deflate":
            body, extra = zlib.compress(body, 1), [b"Content-Encoding: deflate"]
        case "cut off":
            body, extra = gzip.compress(body, 1)[: draw(st.integers(1, 30))], [b"Content-Encoding: gzip"]
        case "bomb":
            body, extra = BOMB, [b"Content-Encoding: gzip"]
        case "only said to be gzip":
            extra = [b"Content-Encoding: gzip"]
    match draw(st.sampled_from(["length", "length", "no length", "chunks", "odd chunks", "wrong length"])):
        case "length":
            extra = [*extra, b"Content-Length: %d" % len(body)]
        case "wrong length":
            wrong = draw(st.sampled_from([b"-1", b"1", b"99999999999999999999", b"many", b"1000"]))
            extra = [*extra, b"Content-Length: " + wrong]
        case "chunks":
            size = draw(st.sampled_from([7, 1000, 100_000]))
            cut = [body[at : at + size] for at in range(0, min(len(body), 2000 * size), size)]
            body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in cut) + b"0\r\n\r\n"
            extra = [*extra, b"Transfer-Encoding: chunked"]
        case "odd chunks":
            odd = draw(
                st.sampled_from([b"ffffffffffffffff\r\n", b"-1\r\n", b"xyz\r\n", b"1" * 70_000, b"\r\n"])
            )
            body, extra = odd + body, [*extra, b"Transfer-Encoding: chunked"]
    head = b"\r\n".join([draw(statuses), *draw(headers), *extra])
    whole = head + b"\r\n\r\n" + body
    parts, at = [], 0
    for length in draw(st.lists(st.integers(1, 400), max_size=4)):
        pause = draw(st.sampled_from([0.0, 0.0, 0.002, 0.01, STALL]))
        parts.append((pause, whole[at : at + length]))
        at += length
    return Bytes((*parts, (0.0, whole[at:])), keeps=draw(st.booleans()))


def wait_for_bad_and_good(raw: RawArize, response: Bytes) -> tuple[RunEvent, int]:
    """Wait for the bad run and good ones; return its event, and the peak of memory."""
    raw.reset(response)

    async def event_of(waiting: Any) -> Any:
        [event] = [event.payload async for event in waiting.run()]
        return event

    async def wait() -> list[Any]:
        import asyncio

        waits = [trigger(run, "task", poll_interval=5.0) for run in GOOD]
        waits.append(trigger("bad", None, poll_interval=5.0, deadline=time.time() + 60))
        async with asyncio.timeout(100_000):
            return await asyncio.gather(*map(event_of, waits))

    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        events = quick_time.run(wait(), still=False)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    *good, bad = [read_event(send_and_store(event)) for event in events]
    assert {event.outcome for event in good} == {FINISHED}
    return bad, peak


def drip(whole: bytes, times: int) -> Bytes:
    """Return a response that comes byte by byte, and then stalls."""
    return Bytes((*((0.0, whole[at : at + 1]) for at in range(times)), (STALL, whole[times:])))


RUNNING = message([], b'{"id": "bad", "status": "RUNNING"}')


@settings(
    max_examples=examples(30, locally=8),
    # An example takes up to a second, so looking for a smaller one would take many minutes.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
    ],
)
@given(response=responses())
@example(response=Bytes(((0.0, message([("Content-Encoding", "gzip")], BOMB)),)))
@example(response=Bytes(((0.0, message([], LARGE)),)))
@example(response=Bytes(((0.0, message([], MANY)),), keeps=True))
@example(response=Bytes(((0.0, message([], b"{}", b"HTTP/1.1 500 X" + b"\r\nX: y" * 50_000)),)))
@example(response=Bytes(((0.0, message([], MANY, b"HTTP/1.1 403 X")),)))
@example(response=drip(RUNNING, 40))
@example(response=Bytes(((0.0, RUNNING), (0.0, RUNNING)), keeps=True))
def test_random_bytes_harm_no_other_run(raw: RawArize, connection: None, response: Bytes) -> None:
    event, peak = wait_for_bad_and_good(raw, response)

    assert event.outcome in (FINISHED, ERROR, TIMEOUT)
    assert event.run_id == "bad"
    assert peak < MOST_MEMORY
