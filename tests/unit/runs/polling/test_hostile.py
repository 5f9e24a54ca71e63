"""Whatever an answer holds, it harms at most the wait it is about, and Airflow can encode every event."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_online_tasks.api.async_client import AsyncClient
from airflow_provider_online_tasks.api.responses.runs import RunStatus, TaskRun
from airflow_provider_online_tasks.runs.polling import poller as polling
from airflow_provider_online_tasks.runs.polling.schedule import Wait
from airflow_provider_online_tasks.triggers import task_runs
from airflow_provider_online_tasks.triggers.events import ERROR, FINISHED, TIMEOUT, RunEvent, read_event
from tests.support import quick_time
from tests.support.event_encoding import sent
from tests.support.random_examples import examples
from tests.support.servers import RecordingServer, Reply, Seen
from tests.support.waits import CONN_ID, answer_slowly, create_task, eventually, trigger

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator

pytest.importorskip("airflow.sdk.execution_time.comms", reason="Airflow 3.0")

SURROGATE = "bad \ud800"
HOSTILE = {
    "surrogate": SURROGATE,
    "nul": "a\0b",
    "huge text": "x" * 200_000,
    "huge integer": 2**64,
    "very huge integer": 10**400,
    "NaN": float("nan"),
    "infinity": float("-inf"),
    "deep": json.loads("[" * 200 + "]" * 200),
    "wide": list(range(100_000)),
    "bytes": b"\xff",
    "an object": object(),
    "a bad key": {SURROGATE: 1, 2: 3, None: 4},
}


# Events


@pytest.mark.promise("poll-ends-retryable")
@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("where", ["payload", "error", "reason", "status", "count", "deep in the payload"])
def test_every_event_can_be_sent_and_stored(value: Any, where: str) -> None:
    run = TaskRun(
        id="run-1",
        status=RunStatus.FAILED,
        status_text=value if where == "status" and isinstance(value, str) else "FAILED",
        failure_reason=value if where == "reason" else None,
        num_successes=value if where == "count" and isinstance(value, int) else 1,
    )
    event = RunEvent(
        outcome=ERROR if where == "error" else FINISHED,
        run_id="run-1",
        run=None if where == "error" else run,
        error_type="Unavailable" if where == "error" else None,
        error_message=str(value) if where == "error" else None,
        payload={"payload": {"here": value}, "deep in the payload": {"a": [{"b": value}]}}.get(where, {}),
    )

    stored = sent(event.to_json())

    if where not in ("status", "reason"):
        assert read_event(stored).outcome == event.outcome


def test_an_event_that_cannot_be_made_small_enough_is_an_error() -> None:
    crowd = {f"key {number}": "x" * 300 for number in range(1000)}

    stored = sent(RunEvent(outcome=TIMEOUT, run_id="run-1", payload={"a": crowd, "b": crowd}).to_json())

    assert read_event(stored).outcome == ERROR
    assert "too large" in str(read_event(stored).error_message)


def test_what_is_harmless_stays_as_it_is() -> None:
    payload = {"a": [1, 2.5, None, True, "Grüße,\n日本 🎉"], "url": "https://app.arize.com/" + "a" * 2000}

    assert RunEvent(outcome=TIMEOUT, run_id="run-1", payload=payload).to_json()["payload"] == payload


def test_the_watchers_events_hold_as_many_runs_as_fit() -> None:
    runs = [
        TaskRun(
            id=f"run-{number}",
            status=RunStatus.FAILED,
            status_text="FAILED",
            failure_reason=SURROGATE + "x" * 5000,
            num_errors=2**70,
        )
        for number in range(250)
    ]

    parts = [sent({"online_task_id": "task", "runs": part})["runs"] for part in task_runs._split(runs)]

    assert [run["run_id"] for part in parts for run in part] == [run.id for run in runs]
    assert 3 <= len(parts) < 10


# Waits


class Arize(RecordingServer):
    """An Arize that answers about one run what it is told, and about others that they end in a while."""

    def __init__(self) -> None:
        self.about_bad: Callable[[], Reply] = Reply
        self.reads: dict[str, int] = {}
        self.task_of_good = "task"
        super().__init__(self._answer)

    def _good(self, run_id: str) -> dict[str, Any]:
        self.reads[run_id] = self.reads.get(run_id, 0) + 1
        return {
            "id": run_id,
            "task_id": self.task_of_good,
            "status": "COMPLETED" if self.reads[run_id] > 2 else "RUNNING",
            "num_successes": 1,
        }

    def _answer(self, seen: Seen) -> Reply:
        path = seen.target.partition("?")[0]
        if path == "/v2/task-runs/bad":
            return self.about_bad()
        if path.startswith("/v2/task-runs/"):
            return Reply.of(self._good(path.rpartition("/")[2]))
        if path == "/v2/tasks/task/runs":
            body = self.about_bad().body
            try:
                bad = json.loads(body)
            except (ValueError, RecursionError):
                bad = None
            listed = [bad, self._good("good-1"), self._good("good-2")]
            return Reply.of({"task_runs": listed, "pagination": {"has_more": False}})
        return Reply(404)


@pytest.fixture(scope="module")
def hostile() -> Any:
    with Arize() as server:
        yield server


@pytest.fixture
def connection(hostile: Arize, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"conn_type": "arize_online_tasks", "host": hostile.url, "password": "ak"}
    extra = {"requests_per_minute": 600, "timeout": 5}
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps({**fields, "extra": extra}))


async def payload(waiting: Any) -> Any:
    [event] = [event.payload async for event in waiting.run()]
    return event


def wait_beside(hostile: Arize) -> RunEvent:
    """Wait for the bad run beside good ones; return its event, having seen theirs."""
    import time

    hostile.reads.clear()

    async def together() -> list[Any]:
        good = [trigger(run, "task", poll_interval=5.0) for run in ("good-1", "good-2")]
        bad = trigger("bad", None, poll_interval=5.0, deadline=time.time() + 200)
        async with asyncio.timeout(100_000):
            return await asyncio.gather(*map(payload, [*good, bad]))

    *good, bad = [read_event(sent(event)) for event in quick_time.run(together())]
    assert {event.outcome for event in good} == {FINISHED}
    return bad


@pytest.mark.parametrize(
    "task_id",
    ["", ".", "..", "...", "none", "a b", "a/../b", SURROGATE, "x" * 100_000, "\n", 1, None, ["task"]],
    ids=repr,
)
def test_a_run_of_a_task_that_cannot_be_harms_no_neighbour(
    hostile: Arize, connection: None, task_id: Any, caplog: pytest.LogCaptureFixture
) -> None:
    reads = iter(range(1000))

    def answer() -> Reply:
        status = "COMPLETED" if next(reads) > 6 else "RUNNING"
        return Reply.of({"id": "bad", "status": status, "task_id": task_id})

    hostile.about_bad = answer

    assert wait_beside(hostile).outcome in (FINISHED, ERROR, TIMEOUT)
    assert "unexpected error" not in caplog.text


@pytest.mark.parametrize("task_id", ["...", "none", "a b"])
def test_runs_of_a_task_that_has_no_address_are_read_by_their_own_ids(
    hostile: Arize,
    connection: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    task_id: str,
) -> None:
    monkeypatch.setattr(hostile, "task_of_good", task_id)
    hostile.reads.clear()

    async def together() -> list[Any]:
        return await asyncio.gather(*(payload(trigger(run)) for run in ("good-1", "good-2")))

    assert {read_event(sent(event)).outcome for event in quick_time.run(together())} == {FINISHED}
    assert "unexpected error" not in caplog.text


@pytest.mark.parametrize("value", list(HOSTILE.values())[:9], ids=list(HOSTILE)[:9])
@pytest.mark.parametrize(
    "field", ["failure_reason", "num_successes", "num_errors", "status", "created_at", "task_id", "id"]
)
def test_a_field_that_holds_anything_harms_no_neighbour(
    hostile: Arize, connection: None, field: str, value: Any
) -> None:
    run = {"id": "bad", "status": "COMPLETED", "num_successes": 1, field: value}
    hostile.about_bad = lambda: Reply.of(run)

    assert wait_beside(hostile).outcome in (FINISHED, ERROR, TIMEOUT)


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
FIELDS = ("task_id", "num_successes", "num_errors", "failure_reason", "run_finished_at", "created_at")
RUNS = st.fixed_dictionaries(
    {"id": st.just("bad") | ANYTHING, "status": STATUS_WORDS | ANYTHING},
    optional=dict.fromkeys(FIELDS, ANYTHING),
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
def test_any_answer_harms_at_most_its_own_wait(hostile: Arize, connection: None, reply: Reply) -> None:
    hostile.about_bad = lambda: reply

    assert wait_beside(hostile).outcome in (FINISHED, ERROR, TIMEOUT)


def test_an_error_in_the_poller_about_one_run_ends_its_waits_alone(
    hostile: Arize, connection: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = Wait.deliver

    def breaks(self: Wait, run: TaskRun) -> None:
        if run.id == "bad":
            raise ZeroDivisionError("planted")
        really(self, run)

    monkeypatch.setattr(Wait, "deliver", breaks)
    hostile.about_bad = lambda: Reply.of({"id": "bad", "status": "RUNNING", "task_id": "task"})

    event = wait_beside(hostile)

    assert (event.outcome, event.error_type) == (ERROR, "OnlineTaskRunUnreachable")
    assert "planted" in str(event.error_message)


def test_an_error_in_the_poller_about_a_list_leaves_the_runs_to_be_read_by_their_ids(
    hostile: Arize, connection: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: Any) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(polling.Poller, "_page_read", breaks)
    hostile.about_bad = lambda: Reply.of({"id": "bad", "status": "COMPLETED", "task_id": "task"})

    assert wait_beside(hostile).outcome == FINISHED


# Slow answers


@pytest.mark.promise("poll-slow-response")
def test_slow_answers_do_not_take_all_places(
    arize: Emulator, connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(arize, timeout=20)
    answer_slowly(monkeypatch, 30.0, to="get task run", times=9)
    slow = [(arize.create_runs(task, 1)[0], task) for task in (create_task(arize, f"{n}") for n in range(9))]
    quick = create_task(arize, "quick")
    [run] = arize.create_runs(quick, 1, (0.0, 0.0))

    async def wait() -> float:
        waits = [asyncio.create_task(anext(trigger(run, task).run())) for run, task in slow]
        await eventually(lambda: len(arize.requests("rest.get_task_run")) == 8)
        began = asyncio.get_running_loop().time()
        await asyncio.gather(asyncio.create_task(anext(trigger(run, quick).run())))
        for each in waits:
            each.cancel()
        return asyncio.get_running_loop().time() - began

    # The ninth slow one comes first.
    assert quick_time.run(wait()) < 10


@pytest.mark.promise("poll-slow-response")
def test_an_answer_that_trickles_in_is_given_up_after_the_time_of_a_whole_one(
    connect: Callable[..., str], arize: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(arize, timeout=0.5)
    really, held = AsyncClient.exchange, []

    async def trickles(self: AsyncClient, call: Any) -> Any:
        if not held:
            held.append(call)
            await asyncio.sleep(3600)  # what each part of it in time amounts to
        return await really(self, call)

    monkeypatch.setattr(AsyncClient, "exchange", trickles)
    task = create_task(arize)
    [run] = arize.create_runs(task, 1, (0.0, 0.0))

    [event] = quick_time.run(_events(trigger(run, task)))

    assert event.payload["outcome"] == FINISHED


async def _events(waiting: Any) -> list[Any]:
    return [event async for event in waiting.run()]
