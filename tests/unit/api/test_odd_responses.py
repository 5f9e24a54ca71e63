"""Responses that are unusual but harmless are accepted, and those that claim nothing are not."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.responses import RunStatus
from airflow_provider_online_tasks.exceptions import Unavailable, UnexpectedResponse
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.inputs.windows import DataWindow
from tests.support.examples import END, RUN, START, run_of
from tests.support.servers import RecordingServer, Reply

HookOn = Callable[..., OnlineTasksHook]
EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"


@contextmanager
def server_that_sends(before: bytes) -> Iterator[str]:
    """Yield the URL of a server that sends some bytes before each response."""
    value = {"id": RUN, "status": "RUNNING", "data": {"runOnlineTask": {"result": {"runId": RUN}}}}
    body = json.dumps(value).encode()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while self.request.recv(65_536):
                head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                self.request.sendall(before + head + body)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join(10)


@pytest.mark.parametrize("count", [1, 3])
def test_early_hints_before_a_response_are_skipped(hook_on: HookOn, count: int) -> None:
    with server_that_sends(count * EARLY_HINTS) as url:
        hook = hook_on(host=url)
        for _ in range(2):
            assert hook.get_task_run(RUN).id == RUN
            assert hook.run_online_task(run_of()) == RUN
        hook.close()


def test_endless_early_hints_end_with_an_error(hook_on: HookOn) -> None:
    with server_that_sends(200_000 * EARLY_HINTS) as url, pytest.raises(Unavailable):
        hook_on(host=url).get_task_run(RUN)


@pytest.mark.parametrize("field", ["run_started_at", "run_finished_at"])
@pytest.mark.parametrize("time", ["yesterday", 1_728_345_701, "", {"seconds": 1}, "2024-13-45"])
def test_time_that_decides_nothing_may_have_any_form(hook_on: HookOn, field: str, time: Any) -> None:
    with RecordingServer(lambda _: Reply.of({"id": RUN, "status": "COMPLETED", field: time})) as arize:
        run = hook_on(host=arize.url).get_task_run(RUN)
    assert run.status is RunStatus.COMPLETED
    assert getattr(run, field) is None


@pytest.mark.parametrize("field", ["created_at", "data_start_time", "data_end_time"])
def test_time_that_identifies_a_run_must_be_readable(hook_on: HookOn, field: str) -> None:
    reply = Reply.of({"id": RUN, "status": "RUNNING", field: "yesterday"})
    with RecordingServer(lambda _: reply) as arize, pytest.raises(UnexpectedResponse):
        hook_on(host=arize.url).get_task_run(RUN)


@pytest.mark.parametrize(
    ("status", "was_finished"),
    [("CANCELLED", False), ("RUNNING", False), ("COMPLETED", True), ("FAILED", True)],
)
def test_cancellation_answered_with_another_end_is_not_a_cancellation(
    hook_on: HookOn, status: str, was_finished: bool
) -> None:
    with RecordingServer(lambda _: Reply.of({"id": RUN, "status": status})) as arize:
        assert hook_on(host=arize.url).end_task_run(RUN)[1] is was_finished


@pytest.mark.parametrize("value", [{}, {"record_sources": None}, {"record_sources": "spans"}])
def test_queue_that_confirms_nothing_has_not_added_the_spans(hook_on: HookOn, value: Any) -> None:
    window = DataWindow(start=START, end=END)
    call = calls.add_queue_records("Q", project_id="P", window=window, kind="span", ids=["a"])
    with (
        RecordingServer(lambda _: Reply.of(value, 201)) as arize,
        pytest.raises(UnexpectedResponse) as caught,
    ):
        hook_on(host=arize.url).client.send(call)
    assert caught.value.may_have_executed
