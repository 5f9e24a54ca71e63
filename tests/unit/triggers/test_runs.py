"""Tests of OnlineTaskRunTrigger: it waits for one run and sends one event."""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import json
import logging
import time
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks.api.responses import RunStatus
from airflow_provider_online_tasks.emulator import Fault, RunFate
from airflow_provider_online_tasks.runs.polling import poller, shared_pollers
from airflow_provider_online_tasks.triggers import runs as trigger_module
from airflow_provider_online_tasks.triggers.runs import (
    EARLIEST_EVENT_SECONDS,
    ERROR,
    FINISHED,
    TIMEOUT,
    OnlineTaskRunTrigger,
)
from tests.support import quick_time
from tests.support.waits import create_task, delay_responses, event_of, eventually, trigger, wait_for

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator

KEY = "ak-emulator-0000"


@pytest.fixture
def task_log(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What triggers write into the logs of their tasks."""
    monkeypatch.setattr(OnlineTaskRunTrigger, "log", logging.getLogger("task"))
    caplog.set_level(logging.INFO, logger="task")
    caplog.set_level(logging.INFO, logger=poller.__name__)
    return caplog


def a_run(arize: Emulator, seconds: float = 0.5, **fate: Any) -> tuple[str, str]:
    """Start a run, and return its ID and its task's."""
    task = create_task(arize)
    [run] = arize.create_runs(task, 1, (seconds, seconds), fate=RunFate(**fate))
    return run, task


# How a wait ends


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        ("complete", RunStatus.COMPLETED),
        ("nothing", RunStatus.COMPLETED),
        ("fail", RunStatus.FAILED),
        ("cancel", RunStatus.CANCELLED),
    ],
)
@pytest.mark.parametrize("spelling", ["upper", "lower"])
def test_finished_run_ends_wait(arize: Emulator, outcome: str, status: RunStatus, spelling: str) -> None:
    arize.configure(status_case=spelling)
    run, task = a_run(arize, outcome=outcome)

    [event] = wait_for(trigger(run, task, payload={"max_error_rate": 0.1}))

    assert event.outcome == FINISHED
    assert event.run is not None
    assert (event.run.id, event.run.status) == (run, status)
    assert event.payload == {"max_error_rate": 0.1}


@pytest.mark.promise("deadline")
@pytest.mark.parametrize("in_process", [False, True])
def test_event_comes_after_5_seconds(arize: Emulator, in_process: bool) -> None:
    run, task = a_run(arize)
    arize.set_run(run, seconds=0.0)

    async def wait() -> float:
        began = asyncio.get_running_loop().time()
        event = await event_of(trigger(run, task, in_process=in_process))
        assert event.outcome == FINISHED
        return asyncio.get_running_loop().time() - began

    seconds = quick_time.run(wait())

    assert seconds < 2 if in_process else seconds >= EARLIEST_EVENT_SECONDS


def test_unknown_status_counts_as_running(arize: Emulator, task_log: pytest.LogCaptureFixture) -> None:
    run, task = a_run(arize)
    arize.set_run(run, status="PAUSED")

    async def wait() -> Any:
        event = asyncio.create_task(event_of(trigger(run, task)))
        await eventually(lambda: "'PAUSED'" in task_log.text)
        arize.set_run(run, status="COMPLETED")
        return await event

    event = quick_time.run(wait())

    assert event.run.status is RunStatus.COMPLETED
    assert task_log.text.count("unknown status") == 1


@pytest.mark.promise("deadline", "older-no-kill-hook")
@pytest.mark.parametrize("seconds", [30.0, -3600.0])
def test_running_run_is_cancelled_at_deadline(arize: Emulator, seconds: float) -> None:
    run, task = a_run(arize, outcome="hang")

    [event] = wait_for(trigger(run, task, deadline=time.time() + seconds))

    assert event.outcome == TIMEOUT
    assert event.run is not None
    assert event.run.status is RunStatus.CANCELLED
    assert [each["status"] for each in arize.runs()] == ["CANCELLED"]


@pytest.mark.promise("sensor")
def test_run_without_cancel_at_deadline_continues(arize: Emulator) -> None:
    run, task = a_run(arize, outcome="hang")

    [event] = wait_for(trigger(run, task, deadline=time.time() + 30.0, cancel_at_deadline=False))

    assert event.outcome == TIMEOUT
    assert event.run is not None
    assert event.run.status is RunStatus.RUNNING
    assert arize.requests("rest.cancel_task_run") == []


@pytest.mark.promise("deadline")
@pytest.mark.parametrize("kind", ["status_before", "drop_before", "rate_limited"])
def test_cancellation_at_deadline_is_repeated(arize: Emulator, kind: str) -> None:
    arize.add_fault(Fault("rest.cancel_task_run", kind, times=2, retry_after=2))
    run, task = a_run(arize, outcome="hang")

    [event] = wait_for(trigger(run, task, deadline=time.time() + 30.0))

    assert event.outcome == TIMEOUT
    assert [each["status"] for each in arize.runs()] == ["CANCELLED"]


@pytest.mark.parametrize("kind", ["status_before", "forbidden"])
def test_failed_cancellation_at_deadline_sends_event(arize: Emulator, kind: str) -> None:
    arize.add_fault(Fault("rest.cancel_task_run", kind, times=None))
    run, task = a_run(arize, outcome="hang")

    [event] = wait_for(trigger(run, task, deadline=time.time() + 30.0), within=90)

    assert event.outcome == TIMEOUT
    assert event.run is not None
    assert event.run.status is RunStatus.RUNNING


def test_run_that_finishes_before_cancellation_is_finished(
    arize: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The polls fail until after the deadline, so only the cancellation finds out."""
    monkeypatch.setattr(trigger_module, "LAST_POLL_SECONDS", 0.5)
    run, task = a_run(arize, seconds=0.0)
    arize.add_fault(Fault("rest.get_task_run", "status_before"))

    [event] = wait_for(trigger(run, task, deadline=time.time() - 1.0))

    assert event.outcome == FINISHED
    assert event.run is not None
    assert event.run.status is RunStatus.COMPLETED


def test_suspended_triggerer_leaves_cancellation_to_task(
    arize: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another triggerer may have taken over, and the next try may wait for the same run."""
    run, task = a_run(arize, outcome="hang")
    right = time.time

    async def wait() -> Any:
        event = asyncio.create_task(event_of(trigger(run, task, deadline=time.time() + 30.0)))
        await asyncio.sleep(0.3)
        monkeypatch.setattr(time, "time", lambda: right() + 3600)
        return await event

    assert quick_time.run(wait()).outcome == TIMEOUT
    assert arize.requests("rest.cancel_task_run") == []


@pytest.mark.promise("deadline")
def test_deadline_polls_once_more(arize: Emulator) -> None:
    run, task = a_run(arize, seconds=1.0)

    [event] = wait_for(trigger(run, task, poll_interval=600.0, deadline=time.time() + 30.0))

    assert event.outcome == FINISHED


@pytest.mark.parametrize(("outcome", "expected"), [("complete", FINISHED), ("hang", TIMEOUT)])
def test_past_deadline_polls_once(arize: Emulator, outcome: str, expected: str) -> None:
    run, task = a_run(arize, seconds=0.0, outcome=outcome)

    [event] = wait_for(trigger(run, task, deadline=time.time() - 3600))

    assert event.outcome == expected
    assert len(arize.requests("rest.get_task_run")) == 1


@pytest.mark.promise("poll-outage")
def test_deadline_during_outage_is_kept(arize: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trigger_module, "LAST_POLL_SECONDS", 1.0)
    monkeypatch.setattr(trigger_module, "CANCEL_SECONDS", 1.0)
    arize.add_fault(Fault("rest.*", "status_before", times=None))
    run, task = a_run(arize)

    [event] = wait_for(trigger(run, task, deadline=time.time() + 0.5, in_process=True), within=5)

    assert (event.outcome, event.run) == (TIMEOUT, None)


def test_deadline_wall_clock_set_back_is_kept(arize: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    run, task = a_run(arize, outcome="hang")
    right = time.time

    async def wait() -> Any:
        event = asyncio.create_task(event_of(trigger(run, task, deadline=time.time() + 1.0)))
        await asyncio.sleep(0.3)
        monkeypatch.setattr(time, "time", lambda: right() - 3600)
        async with asyncio.timeout(5):
            return await event

    assert quick_time.run(wait()).outcome == TIMEOUT


def test_wrong_server_clock_does_not_end_wait(arize: Emulator) -> None:
    arize.set_clock_offset(-86_400)
    run, task = a_run(arize)

    [event] = wait_for(trigger(run, task, deadline=time.time() + 60))

    assert event.outcome == FINISHED


# What cannot be waited for


def test_missing_connection_sends_error(
    online_tasks_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_pollers, "READ_DELAYS", (0.1,))

    [event] = wait_for(trigger("run-1", conn_id="nowhere", payload={"url": "here"}))

    assert event.outcome == ERROR
    assert "nowhere" in str(event.error_message)
    assert event.payload == {"url": "here"}


def test_connection_lookup_failure_is_retried(arize: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_online_tasks import _airflow

    really, looked_up = _airflow.read_connection, []

    async def late(conn_id: str) -> Any:
        looked_up.append(asyncio.get_running_loop().time())
        if len(looked_up) < 3:
            raise ConnectionError("the secrets backend restarts")
        return await really(conn_id)

    monkeypatch.setattr(_airflow, "read_connection", late)
    run, task = a_run(arize)

    assert wait_for(trigger(run, task))[0].outcome == FINISHED
    first, second, third = looked_up
    assert (round(second - first), round(third - second)) == shared_pollers.READ_DELAYS


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"host": "https://app.arize.com"}, "no API key"),
        ({"password": KEY, "extra": {"ca_bundle": __file__}}, "CA bundle"),
    ],
)
def test_unusable_connection_sends_error(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], problem: str
) -> None:
    connection = {"conn_type": "arize_online_tasks", **fields}
    monkeypatch.setenv("AIRFLOW_CONN_ARIZE_WAITING", json.dumps(connection))

    [event] = wait_for(trigger("run-1"))

    assert (event.outcome, event.error_type) == (ERROR, "InvalidConnection")
    assert problem in str(event.error_message)
    assert KEY not in str(event)


# What the triggerer stores


def test_trigger_survives_serialization(arize: Emulator) -> None:
    from airflow.serialization.serialized_objects import BaseSerialization

    run, task = a_run(arize)
    stored = trigger(
        run,
        task,
        deadline=time.time() + 60,
        cancel_on_kill=False,
        cancel_at_deadline=False,
        payload={"max_error_rate": 0.1, "labels": ["a"], "nothing": None},
    )
    path, kwargs = stored.serialize()
    assert kwargs == {
        "run_id": run,
        "online_task_id": task,
        "conn_id": stored.conn_id,
        "poll_interval": 0.2,
        "deadline": stored.deadline,
        "cancel_on_kill": False,
        "cancel_at_deadline": False,
        "payload": {"max_error_rate": 0.1, "labels": ["a"], "nothing": None},
        "in_process": False,
    }

    text = json.dumps({name: BaseSerialization.serialize(value) for name, value in kwargs.items()})
    read = {name: BaseSerialization.deserialize(value) for name, value in json.loads(text).items()}
    module, _, name = path.rpartition(".")
    restored = getattr(importlib.import_module(module), name)(**read)

    assert restored.serialize() == (path, kwargs)
    assert wait_for(restored)[0].outcome == FINISHED


def test_trigger_event_and_log_have_no_key(arize: Emulator, task_log: pytest.LogCaptureFixture) -> None:
    arize.add_fault(Fault("rest.*", "unauthorized", times=1))
    run, task = a_run(arize, seconds=0.2)
    waiting = trigger(run, task, payload={"run_id": run})

    [event] = wait_for(waiting)

    assert event.outcome == FINISHED
    assert KEY not in f"{waiting!r} {waiting.serialize()} {event} {task_log.text}"
    assert arize.requests("rest.*")[-1]["key_ok"]


# What a person reads


def test_progress_is_logged_in_context_of_its_trigger(
    arize: Emulator, task_log: pytest.LogCaptureFixture
) -> None:
    """The triggerer sorts log lines by the context they are written in."""
    whose = contextvars.ContextVar("whose", default="nobody's")
    lines: list[tuple[str, str, str]] = []

    def sort(record: logging.LogRecord) -> bool:
        lines.append((whose.get(), record.name, record.getMessage()))
        return True

    arize.add_fault(Fault("rest.*", "status_before"))
    task = create_task(arize)
    runs = arize.create_runs(task, 3, (0.5, 1.0))

    async def named(run: str) -> None:
        whose.set(run)
        await event_of(trigger(run, task))

    async def wait() -> None:
        await asyncio.gather(*map(named, runs))

    task_log.handler.addFilter(sort)
    quick_time.run(wait())

    for run in runs:
        # Airflow and the HTTP client log in that context as well.
        own = [line for owner, name, line in lines if owner == run and name == "task"]
        assert any("is COMPLETED" in line for line in own)
        assert all(run in line for line in own)
    of_poller = [(owner, line) for owner, name, line in lines if name == poller.__name__]
    assert [owner for owner, _ in of_poller] == ["nobody's"] * 2


def test_outage_is_logged_in_task_log(
    arize: Emulator, monkeypatch: pytest.MonkeyPatch, task_log: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(trigger_module, "QUIET_SECONDS", 0.5)
    arize.add_fault(Fault("rest.*", "status_before", times=2))
    run, task = a_run(arize)

    [event] = wait_for(trigger(run, task))

    assert event.outcome == FINISHED
    assert any(run in line and "HTTP 502" in line for line in task_log.messages)


# When a person ends the task


def test_on_kill_cancels_run(arize: Emulator, task_log: pytest.LogCaptureFixture) -> None:
    run, task = a_run(arize, outcome="hang")

    quick_time.run(trigger(run, task).on_kill())

    assert arize.runs()[0]["status"] == "CANCELLED"


def test_on_kill_lost_response_is_retried(arize: Emulator) -> None:
    arize.add_fault(Fault("rest.cancel_task_run", "drop_before"))
    run, task = a_run(arize, outcome="hang")

    quick_time.run(trigger(run, task).on_kill())

    assert arize.runs()[0]["status"] == "CANCELLED"


def test_on_kill_finished_run_stays_as_it_is(arize: Emulator, task_log: pytest.LogCaptureFixture) -> None:
    run, task = a_run(arize, seconds=0.0)

    quick_time.run(trigger(run, task).on_kill())

    assert arize.runs()[0]["status"] == "COMPLETED"
    assert "COMPLETED" in task_log.text


@pytest.mark.promise("kill-off")
def test_on_kill_with_cancel_on_kill_false_leaves_run(
    arize: Emulator, task_log: pytest.LogCaptureFixture
) -> None:
    run, task = a_run(arize, outcome="hang")

    quick_time.run(trigger(run, task, cancel_on_kill=False).on_kill())

    assert arize.requests("rest.*") == []
    assert "cancel_on_kill" in task_log.text


def test_on_kill_slow_cancellation_ends_in_time(
    arize: Emulator, monkeypatch: pytest.MonkeyPatch, task_log: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(trigger_module, "CANCEL_SECONDS", 1.0)
    delay_responses(monkeypatch, 5.0, to="cancel task run")
    run, task = a_run(arize, outcome="hang")

    async def kill() -> None:
        async with asyncio.timeout(1.1):
            await trigger(run, task).on_kill()

    quick_time.run(kill())

    assert f"Run {run} was not cancelled" in task_log.text


def test_triggerer_cancels_run_only_on_user_action(arize: Emulator) -> None:
    job_runner = pytest.importorskip("airflow.jobs.triggerer_job_runner")
    if not hasattr(job_runner, "_USER_ACTION_CANCEL_MSG"):
        pytest.skip("Triggers have on_kill from Airflow 3.3 on.")
    task = create_task(arize)
    killed, left = arize.create_runs(task, 2, (60.0, 60.0))

    async def triggerer() -> None:
        runner = job_runner.TriggerRunner()
        running = []
        for number, run in enumerate((killed, left)):
            runner.triggers[number] = {"task": None, "is_watcher": False, "name": run, "events": 0}
            running.append(asyncio.create_task(runner.run_trigger(number, trigger(run, task))))
        await eventually(lambda: len(arize.requests("rest.*")) > 0)
        running[0].cancel(job_runner._USER_ACTION_CANCEL_MSG)
        running[1].cancel()
        for ended in await asyncio.gather(*running, return_exceptions=True):
            assert isinstance(ended, asyncio.CancelledError)

    quick_time.run(triggerer())

    cancelled = [run["id"] for run in arize.runs() if run["status"] == "CANCELLED"]
    assert cancelled == [killed]
