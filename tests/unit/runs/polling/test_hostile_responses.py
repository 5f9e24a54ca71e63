"""A response harms at most the wait it is about, and Airflow can send and store the events."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_online_tasks.api.responses import TaskRun
from airflow_provider_online_tasks.runs.polling.schedule import TaskPages, Wait
from airflow_provider_online_tasks.triggers import task_runs
from airflow_provider_online_tasks.triggers.events import ERROR, FINISHED, TIMEOUT, RunEvent, read_event
from tests.support import quick_time
from tests.support.event_encoding import send_and_store
from tests.support.random_examples import examples
from tests.support.servers import RecordingServer, Reply, Seen
from tests.support.waits import CONN_ID, count_reads, create_task, delay_responses, eventually, trigger

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator

pytest.importorskip("airflow.sdk.execution_time.comms", reason="Airflow 3.0")

SURROGATE = "bad \ud800"
HOSTILE = {
    "surrogate": SURROGATE,
    "NUL": "a\0b",
    "huge text": "x" * 200_000,
    "integer of 65 bits": 2**64,
    "huge integer": 10**400,
    "NaN": float("nan"),
    "infinity": float("-inf"),
    "deep list": json.loads("[" * 200 + "]" * 200),
    "long list": list(range(100_000)),
}
GOOD = ("good-1", "good-2")


def test_watcher_many_large_runs_reports_all_in_few_events() -> None:
    wire = {"status": "FAILED", "failure_reason": SURROGATE + "x" * 5000, "num_errors": 3}
    runs = [TaskRun.from_wire({"id": f"run-{number}", **wire}) for number in range(250)]

    parts = [
        send_and_store({"online_task_id": "task", "runs": part})["runs"]
        for part in task_runs.split_summaries(runs)
    ]

    assert [run["run_id"] for part in parts for run in part] == [run.id for run in runs]
    assert 3 <= len(parts) <= 12


# -- Responses. --


class Arize(RecordingServer):
    """Sends given replies about bad runs. The two good runs finish at the third read."""

    def __init__(self) -> None:
        self.replies: dict[str, Callable[[], Reply]] = {}
        self.reads: dict[str, int] = {}
        self.task_of_good: Any = "task"
        super().__init__(self._respond)

    def reset(self, replies: dict[str, Callable[[], Reply]], *, task_of_good: Any = "task") -> None:
        """Start again, with replies by the ID of the bad run."""
        self.replies, self.task_of_good = replies, task_of_good
        self.reads.clear()

    def _good(self, run_id: str) -> dict[str, Any]:
        self.reads[run_id] = self.reads.get(run_id, 0) + 1
        return {
            "id": run_id,
            "task_id": self.task_of_good,
            "status": "COMPLETED" if self.reads[run_id] > 2 else "RUNNING",
            "num_successes": 1,
        }

    def _respond(self, seen: Seen) -> Reply:
        path = seen.target.partition("?")[0]
        run_id = path.rpartition("/")[2]
        if path.startswith("/v2/task-runs/"):
            return self.replies[run_id]() if run_id in self.replies else Reply.of(self._good(run_id))
        if path == "/v2/tasks/task/runs":
            listed = [*map(_read_json, self.replies.values()), *map(self._good, GOOD)]
            return Reply.of({"task_runs": listed, "pagination": {"has_more": False}})
        return Reply(404)


def _read_json(reply: Callable[[], Reply]) -> Any:
    try:
        return json.loads(reply().body)
    except (ValueError, RecursionError):
        return None


@pytest.fixture(scope="module")
def hostile() -> Any:
    with Arize() as server:
        yield server


@pytest.fixture
def connection(hostile: Arize, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"conn_type": "arize_online_tasks", "host": hostile.url, "password": "ak"}
    extra = {"requests_per_minute": 6000, "timeout": 5}
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps({**fields, "extra": extra}))


async def event_payload(waiting: Any) -> Any:
    [event] = [event.payload async for event in waiting.run()]
    return event


def wait_for_bad_and_good(*bad: str) -> list[RunEvent]:
    """Wait for bad runs next to good ones, which must finish; return the events of the bad ones."""

    async def wait() -> list[Any]:
        deadline = time.time() + 200
        waits = [trigger(run, "task", poll_interval=5.0) for run in GOOD]
        waits += [trigger(run, None, poll_interval=5.0, deadline=deadline) for run in bad]
        async with asyncio.timeout(100_000):
            return await asyncio.gather(*map(event_payload, waits))

    events = [read_event(send_and_store(event)) for event in quick_time.run(wait())]
    assert {event.outcome for event in events[: len(GOOD)]} == {FINISHED}
    assert {event.outcome for event in events[len(GOOD) :]} <= {FINISHED, ERROR, TIMEOUT}
    return events[len(GOOD) :]


@pytest.mark.slow
def test_task_id_unusable_harms_no_other_run(
    hostile: Arize, connection: None, caplog: pytest.LogCaptureFixture
) -> None:
    task_ids = [
        "",
        ".",
        "..",
        "...",
        "none",
        "a b",
        "a/../b",
        SURROGATE,
        "x" * 100_000,
        "\n",
        1,
        None,
        ["task"],
    ]
    hostile.reset({f"bad-{number}": finished_at_read(7, task_id) for number, task_id in enumerate(task_ids)})

    wait_for_bad_and_good(*hostile.replies)

    assert not any(record.exc_info for record in caplog.records)


def finished_at_read(number: int, task_id: Any) -> Callable[[], Reply]:
    """Return replies about a run that finishes."""
    reads = itertools.count(1)

    def reply() -> Reply:
        status = "COMPLETED" if next(reads) >= number else "RUNNING"
        return Reply.of({"id": "bad", "status": status, "task_id": task_id})

    return reply


@pytest.mark.parametrize("task_id", ["...", "none", "a b"])
def test_task_id_without_list_reads_runs_by_id(
    hostile: Arize, connection: None, caplog: pytest.LogCaptureFixture, task_id: str
) -> None:
    hostile.reset({}, task_of_good=task_id)

    async def wait() -> list[Any]:
        return await asyncio.gather(*(event_payload(trigger(run)) for run in GOOD))

    assert {read_event(event).outcome for event in quick_time.run(wait())} == {FINISHED}
    assert not any(record.exc_info for record in caplog.records)


FIELDS = ["failure_reason", "num_successes", "num_errors", "status", "created_at", "task_id", "id"]


@pytest.mark.slow
def test_field_with_hostile_value_harms_no_other_run(hostile: Arize, connection: None) -> None:
    replies: dict[str, Callable[[], Reply]] = {}
    for number, (field, value) in enumerate(itertools.product(FIELDS, HOSTILE.values())):
        run_id = f"bad-{number}"
        reply = Reply.of({"id": run_id, "status": "COMPLETED", "num_successes": 1, field: value})
        replies[run_id] = lambda reply=reply: reply  # type: ignore[misc]
    hostile.reset(replies)

    wait_for_bad_and_good(*replies)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats()
    | st.text(st.characters(codec=None), max_size=30)
    | st.sampled_from([SURROGATE, "..", "", "x" * 100_000]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
STATUS_WORDS = st.sampled_from(["PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED", "completed"])
RUNS = st.fixed_dictionaries(
    {"id": st.just("bad") | ANYTHING, "status": STATUS_WORDS | ANYTHING},
    optional=dict.fromkeys(FIELDS[:3] + FIELDS[4:6] + ["run_finished_at"], ANYTHING),
)
HEADERS = st.lists(
    st.sampled_from(
        [
            ("Content-Type", "application/json"),
            ("Content-Encoding", "gzip"),
            ("Content-Encoding", "br"),
            ("Retry-After", "1e400"),
            ("Retry-After", "99999999999999999999"),
            ("Retry-After", "Thu, 01 Jan 0001 00:00:00 GMT"),
            ("Date", "never"),
            ("Location", "http://192.0.2.1/"),
        ]
    ),
    max_size=3,
)
REPLIES = st.builds(
    Reply,
    st.sampled_from([200, 200, 200, 201, 204, 301, 400, 401, 403, 404, 408, 418, 429, 500, 503]),
    st.binary(max_size=200)
    | RUNS.map(lambda run: json.dumps(run).encode())
    | ANYTHING.map(json.dumps).map(str.encode),
    HEADERS.map(tuple),
)


@pytest.mark.promise("poll-run-unreadable", "poll-ends-retryable")
@settings(
    max_examples=examples(40, locally=10),
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)
@given(reply=REPLIES)
def test_random_response_harms_no_other_run(hostile: Arize, connection: None, reply: Reply) -> None:
    hostile.reset({"bad": lambda: reply})

    wait_for_bad_and_good("bad")


def test_bug_about_one_run_ends_its_waits_only(
    hostile: Arize, connection: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = Wait.deliver

    def fail(self: Wait, run: TaskRun) -> None:
        if run.id == "bad":
            raise ZeroDivisionError("planted")
        really(self, run)

    monkeypatch.setattr(Wait, "deliver", fail)
    hostile.reset({"bad": lambda: Reply.of({"id": "bad", "status": "RUNNING", "task_id": "task"})})

    [event] = wait_for_bad_and_good("bad")

    assert (event.outcome, event.error_type) == (ERROR, "OnlineTaskRunUnreachable")
    assert "planted" in str(event.error_message)


def test_bug_about_pages_reads_runs_by_id(
    hostile: Arize, connection: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(TaskPages, "add_page", fail)
    hostile.reset({"bad": lambda: Reply.of({"id": "bad", "status": "COMPLETED", "task_id": "task"})})

    [event] = wait_for_bad_and_good("bad")

    assert event.outcome == FINISHED


def test_bug_in_the_poller_ends_all_waits_with_its_error(
    arize: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(TaskPages, "begin_round", fail)
    task = create_task(arize)
    runs = arize.create_runs(task, 2, (0.0, 0.0))

    async def wait() -> list[Any]:
        return await asyncio.gather(*(event_payload(trigger(run, task)) for run in runs))

    events = [read_event(event) for event in quick_time.run(wait())]
    assert {(event.outcome, event.error_type) for event in events} == {(ERROR, "ZeroDivisionError")}


# -- Slow responses. --


@pytest.mark.promise("poll-slow-response")
def test_slow_responses_do_not_delay_another_run(
    arize: Emulator, connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(arize, timeout=20)
    delay_responses(monkeypatch, 30.0, to="get task run", times=9)
    slow = [(arize.create_runs(task, 1)[0], task) for task in (create_task(arize, f"{n}") for n in range(9))]
    quick = create_task(arize, "quick")
    [run] = arize.create_runs(quick, 1, (0.0, 0.0))

    async def wait() -> float:
        waits = [asyncio.create_task(anext(trigger(run, task).run())) for run, task in slow]
        await eventually(lambda: count_reads(arize)["rest.get_task_run"] == 8)
        began = asyncio.get_running_loop().time()
        await event_payload(trigger(run, quick))
        for each in waits:
            each.cancel()
        return asyncio.get_running_loop().time() - began

    # The ninth slow response comes first.
    assert quick_time.run(wait()) < 10


@pytest.mark.promise("poll-slow-response")
def test_response_that_trickles_in_is_given_up_after_the_timeout(
    connect: Callable[..., str], arize: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(arize, timeout=0.5)
    # An hour is what many parts, each within the timeout, add up to.
    delay_responses(monkeypatch, 3600.0, times=1)
    task = create_task(arize)
    [run] = arize.create_runs(task, 1, (0.0, 0.0))

    event = quick_time.run(event_payload(trigger(run, task)))

    assert event["outcome"] == FINISHED
    assert len(arize.requests("rest.get_task_run")) == 2
