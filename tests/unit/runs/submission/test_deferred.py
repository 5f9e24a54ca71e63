"""Tests of the deferred operator: what it does with each event of its trigger."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks import _clock
from airflow_provider_online_tasks._airflow import AirflowFailException, AirflowSkipException, TaskDeferred
from airflow_provider_online_tasks.emulator import Fault
from airflow_provider_online_tasks.exceptions import (
    OnlineTaskRunCancelled,
    OnlineTaskRunFailed,
    OnlineTaskRunTimeout,
    OnlineTaskRunUnreachable,
    OnlineTasksError,
)
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.triggers.events import ERROR, FINISHED, TIMEOUT, RunEvent
from tests.support.tries import HANG, Execution, Killed, Time
from tests.support.waits import event_of

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.responses import TaskRun
    from airflow_provider_online_tasks.emulator import Emulator
    from airflow_provider_online_tasks.triggers.runs import OnlineTaskRunTrigger

WAIT = {"wait_for_completion": True, "deferrable": True}


class Deferred:
    """A try that waits in the triggerer."""

    def __init__(self, execution: Execution, **arguments: Any) -> None:
        self._execution = execution
        with pytest.raises(TaskDeferred) as caught:
            execution.next_try(**{**WAIT, **arguments})
        assert caught.value.method_name == "execute_complete"
        assert caught.value.timeout is None
        self.trigger: OnlineTaskRunTrigger = caught.value.trigger
        self.kwargs = dict(caught.value.kwargs or {})

    @property
    def run(self) -> TaskRun:
        with OnlineTasksHook() as hook:
            return hook.get_task_run(self.trigger.run_id)

    def event(self, outcome: str, **event: Any) -> dict[str, Any]:
        return RunEvent(
            outcome=outcome,
            **{"run_id": self.trigger.run_id, "run": self.run, "payload": self.trigger.payload, **event},
        ).model_dump()

    def resume(self, outcome: str, **event: Any) -> Any:
        """Resume with an event of the trigger."""
        seen = self.event(outcome, **event)
        operator = self._execution.operator
        assert operator is not None
        return operator.execute_complete(self._execution.context, seen)


@pytest.fixture
def deferred(execution: Execution, emulator: Emulator, time: Time) -> Deferred:
    emulator.next_run(HANG)
    return Deferred(execution)


def test_finished_event_successful_run_succeeds(
    execution: Execution, emulator: Emulator, deferred: Deferred
) -> None:
    run_id = deferred.trigger.run_id
    emulator.set_run(run_id, status="COMPLETED", num_successes=3)

    assert deferred.resume(FINISHED) == run_id
    assert execution.pushed["run"]["num_successes"] == 3
    assert execution.store is not None
    assert execution.store.record is not None
    assert execution.store.record["succeeded_at"] == execution.max_tries


def test_links_run_ended_in_triggerer_are_looked_up_by_worker(
    execution: Execution, emulator: Emulator, deferred: Deferred
) -> None:
    emulator.set_run(deferred.trigger.run_id, status="COMPLETED", num_successes=3)

    deferred.resume(FINISHED)

    assert execution.operator is not None
    assert execution.operator.links.spans
    assert execution.operator.links.project


FIRST_AIRFLOW_THAT_RESUMES_RETRIES = "3.0"  # to 3.0.6; 3.1 forgets the next method when a try fails


@pytest.mark.promise("older-deferred-retry")
@pytest.mark.parametrize(
    "kept", [True, False], ids=["Airflow 3.3", f"Airflow {FIRST_AIRFLOW_THAT_RESUMES_RETRIES}"]
)
def test_retry_with_event_of_earlier_try_starts_new_run(
    execution: Execution, emulator: Emulator, time: Time, kept: bool
) -> None:
    if not kept:
        execution.store = None
    deferred = Deferred(execution)
    first = deferred.trigger.run_id
    emulator.set_run(first, status="FAILED")
    event = {"event": deferred.event(FINISHED), **deferred.kwargs}

    operator = execution.operator
    assert operator is not None
    with pytest.raises(OnlineTaskRunFailed):
        operator.resume_execution("execute_complete", dict(event), execution.context)
    operator = execution.begin_try(**WAIT)
    with pytest.raises(TaskDeferred) as again:
        operator.resume_execution("execute_complete", dict(event), execution.context)

    assert again.value.trigger.run_id != first
    assert (again.value.kwargs or {})["deferred"]["try_number"] == 2
    assert len(emulator.runs()) == 2


@pytest.mark.parametrize(
    ("status", "kind"), [("FAILED", OnlineTaskRunFailed), ("CANCELLED", OnlineTaskRunCancelled)]
)
def test_finished_event_unsuccessful_run_raises(
    execution: Execution, emulator: Emulator, deferred: Deferred, status: str, kind: type[Exception]
) -> None:
    emulator.set_run(deferred.trigger.run_id, status=status)
    with pytest.raises(kind) as caught:
        deferred.resume(FINISHED)
    assert not isinstance(caught.value, AirflowFailException)


def test_finished_event_nothing_evaluated_skips(emulator: Emulator, deferred: Deferred) -> None:
    emulator.set_run(deferred.trigger.run_id, status="COMPLETED", num_successes=0)
    with pytest.raises(AirflowSkipException):
        deferred.resume(FINISHED)


@pytest.mark.promise("older-no-kill-hook", "deadline")
def test_timeout_event_cancels_run(emulator: Emulator, deferred: Deferred) -> None:
    with pytest.raises(OnlineTaskRunTimeout):
        deferred.resume(TIMEOUT)
    assert [run["status"] for run in emulator.runs()] == ["CANCELLED"]


@pytest.mark.promise("deadline")
def test_run_cancelled_by_trigger_is_not_cancelled_again(emulator: Emulator, deferred: Deferred) -> None:
    emulator.set_run(deferred.trigger.run_id, status="CANCELLED")
    with pytest.raises(OnlineTaskRunTimeout):
        deferred.resume(TIMEOUT)
    assert emulator.requests("rest.cancel_task_run") == []


@pytest.mark.promise("deadline")
def test_trigger_of_operator_cancels_at_deadline(
    execution: Execution, emulator: Emulator, time: Time
) -> None:
    emulator.next_run(HANG)
    waiting = Deferred(execution, timeout=1, cancel_on_kill=False).trigger
    waiting.in_process = True

    event = asyncio.run(event_of(waiting))

    assert event.outcome == TIMEOUT
    assert [run["status"] for run in emulator.runs()] == ["CANCELLED"]


def test_timeout_event_run_finished_meanwhile_succeeds(emulator: Emulator, deferred: Deferred) -> None:
    late = deferred.run
    emulator.set_run(deferred.trigger.run_id, status="COMPLETED", num_successes=3)
    assert deferred.resume(TIMEOUT, run=late) == deferred.trigger.run_id


@pytest.mark.promise("poll-ends-retryable")
@pytest.mark.parametrize(
    ("name", "kind"),
    [("OnlineTaskRunUnreachable", OnlineTaskRunUnreachable), ("ValueError", OnlineTasksError)],
)
def test_error_event_leaves_run_to_retry(
    execution: Execution, emulator: Emulator, deferred: Deferred, name: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind) as caught:
        deferred.resume(ERROR, run=None, error_type=name, error_message="it broke")
    assert not isinstance(caught.value, AirflowFailException)
    assert [run["status"] for run in emulator.runs()] == ["RUNNING"]

    assert Deferred(execution).trigger.run_id == deferred.trigger.run_id


def test_event_with_unusable_payload_raises(emulator: Emulator, deferred: Deferred) -> None:
    emulator.set_run(deferred.trigger.run_id, status="COMPLETED", num_successes=3)
    payload = deferred.trigger.payload
    for unusable in ({}, {**payload, "outcome": "?"}, {**payload, "since": None}, {**payload, "run": {}}):
        with pytest.raises(OnlineTasksError):
            deferred.resume(FINISHED, payload=unusable)


def test_late_cancellation_of_own_run_fails(emulator: Emulator, deferred: Deferred, time: Time) -> None:
    """Only a resumed run may have been cancelled by the clear that ended the earlier try."""
    emulator.set_run(deferred.trigger.run_id, status="CANCELLED")
    with pytest.raises(OnlineTaskRunCancelled):
        deferred.resume(FINISHED)
    assert len(emulator.runs()) == 1


@pytest.mark.parametrize(("limits", "seconds"), [((600, 60), 60), ((60, 600), 60), ((None, 60), 60)])
def test_deadline_is_shorter_limit(
    execution: Execution, emulator: Emulator, time: Time, limits: tuple[int | None, int], seconds: int
) -> None:
    emulator.next_run(HANG)
    timeout, execution_timeout = limits
    deferred = Deferred(execution, timeout=timeout, execution_timeout=timedelta(seconds=execution_timeout))
    assert deferred.trigger.deadline == pytest.approx(_clock.epoch() + seconds, abs=5)


@pytest.mark.promise("cleared-while-waiting")
def test_cancellation_after_resume_starts_new_run(
    execution: Execution, emulator: Emulator, time: Time
) -> None:
    emulator.next_run(HANG)

    def reached(now: str) -> None:
        if now == "push:before":
            raise Killed

    execution.reached = reached
    with pytest.raises(Killed):
        execution.next_try(**WAIT)
    execution.reached = lambda now: None
    again = Deferred(execution)
    emulator.set_run(again.trigger.run_id, status="CANCELLED")

    with pytest.raises(TaskDeferred) as caught:
        again.resume(FINISHED)

    first, second = (run["id"] for run in emulator.runs())
    assert (again.trigger.run_id, caught.value.trigger.run_id) == (first, second)


def test_cancellation_long_after_resume_fails(execution: Execution, emulator: Emulator, time: Time) -> None:
    emulator.next_run(HANG)
    Deferred(execution)
    again = Deferred(execution)
    emulator.set_run(again.trigger.run_id, status="CANCELLED")
    time.advance(91)

    with pytest.raises(OnlineTaskRunCancelled):
        again.resume(FINISHED)


def test_two_deferred_tasks_keep_their_runs(execution: Execution, emulator: Emulator, time: Time) -> None:
    emulator.next_run(HANG)
    first, second = Deferred(execution), Deferred(Execution(execution.online_task_id))
    runs = [first.trigger.run_id, second.trigger.run_id]
    assert len(set(runs)) == 2
    for run in runs:
        emulator.set_run(run, status="COMPLETED", num_successes=3)

    assert [second.resume(FINISHED), first.resume(FINISHED)] == runs[::-1]


def test_each_step_uses_one_session_and_reads_connection_once(
    execution: Execution, emulator: Emulator, deferred: Deferred, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_online_tasks.api import client

    reads, sessions = [], []
    get, init = OnlineTasksHook.get_connection, client.Client.__init__
    monkeypatch.setattr(
        OnlineTasksHook,
        "get_connection",
        classmethod(lambda _, conn_id: reads.append(conn_id) or get(conn_id)),
    )
    monkeypatch.setattr(
        client.Client, "__init__", lambda self, *args, **more: sessions.append(1) or init(self, *args, **more)
    )
    ended = deferred.run
    reads.clear()
    sessions.clear()
    with pytest.raises(OnlineTaskRunTimeout):
        deferred.resume(TIMEOUT, run=ended)
    assert (len(reads), len(sessions)) == (2, 2)  # one of them for the look in this test

    reads.clear()
    sessions.clear()
    Execution(execution.online_task_id).next_try()
    assert (len(reads), len(sessions)) == (1, 1)


@pytest.mark.parametrize("names", [True, False], ids=["connection names the space", "it does not"])
def test_many_submissions_take_two_requests_each(
    execution: Execution, emulator: Emulator, connect: Any, names: bool
) -> None:
    connect(extra={} if names else {"organization_id": None, "space_id": None})
    for _ in range(10):
        Execution(execution.online_task_id).next_try()
    asked = [request["operation"] for request in emulator.requests()]
    assert asked == ["rest.list_task_runs", "graphql.runOnlineTask"] * 10


def test_links_connection_with_project_are_pushed_at_start(
    execution: Execution, emulator: Emulator, connect: Any
) -> None:
    connect(extra={"model_id": emulator.project_id})
    execution.next_try()
    assert emulator.project_id in execution.pushed["run_url"]
    assert len(emulator.requests()) == 2


def test_lost_response_costs_one_more_request(execution: Execution, emulator: Emulator) -> None:
    emulator.add_fault(Fault("graphql.runOnlineTask", "drop_after"))
    execution.next_try()
    assert len(emulator.requests()) == 3
