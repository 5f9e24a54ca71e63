"""What the operator does with each event of its trigger."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks import _clock
from airflow_provider_online_tasks._airflow import AirflowFailException, AirflowSkipException, TaskDeferred
from airflow_provider_online_tasks.emulator import Fault, RunFate
from airflow_provider_online_tasks.exceptions import (
    OnlineTaskRunCancelled,
    OnlineTaskRunFailed,
    OnlineTaskRunTimeout,
    OnlineTaskRunUnreachable,
    OnlineTasksError,
)
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.triggers.events import ERROR, OVER, TIMEOUT, RunEvent
from tests.support.tries import Execution, Killed, Time

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.responses.runs import TaskRun
    from airflow_provider_online_tasks.emulator import Emulator
    from airflow_provider_online_tasks.triggers.runs import OnlineTaskRunTrigger

WAIT = {"wait_for_completion": True, "deferrable": True}
HANG = RunFate("hang", times=None, pending_seconds=0)


class Deferred:
    """A try that waits in the triggerer.

    :param trigger: the trigger it left.
    """

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
        ).to_json()

    def resume(self, outcome: str, **event: Any) -> Any:
        """Resume with an event of the trigger, in an operator made anew."""
        seen = self.event(outcome, **event)
        operator = self._execution.operator
        assert operator is not None
        operator._run_id = None
        return operator.execute_complete(self._execution.context, seen)


@pytest.fixture
def deferred(execution: Execution, emulator: Emulator, time: Time) -> Deferred:
    emulator.next_run(HANG)
    return Deferred(execution)


def test_a_run_that_is_over_well(execution: Execution, emulator: Emulator, deferred: Deferred) -> None:
    run_id = deferred.trigger.run_id
    emulator.set_run(run_id, status="COMPLETED", num_successes=3)

    assert deferred.resume(OVER) == run_id
    assert execution.pushed["run"]["num_successes"] == 3
    assert execution.store is not None
    assert execution.store.record is not None
    assert execution.store.record["succeeded_at"] == execution.max_tries


def test_links_run_ended_in_triggerer_are_looked_up_by_worker(
    execution: Execution, emulator: Emulator, deferred: Deferred
) -> None:
    emulator.set_run(deferred.trigger.run_id, status="COMPLETED", num_successes=3)

    deferred.resume(OVER)

    assert execution.operator is not None
    assert execution.operator.links.spans
    assert execution.operator.links.project


FIRST_AIRFLOW_THAT_RESUMES_RETRIES = "3.0"  # to 3.0.6; 3.1 forgets the next method when a try fails


@pytest.mark.promise("older-deferred-retry")
@pytest.mark.parametrize(
    "kept", [True, False], ids=["Airflow 3.3", f"Airflow {FIRST_AIRFLOW_THAT_RESUMES_RETRIES}"]
)
def test_a_retry_that_is_resumed_with_the_event_of_the_try_before_starts_a_new_run(
    execution: Execution, emulator: Emulator, time: Time, kept: bool
) -> None:
    if not kept:
        execution.store = None
    deferred = Deferred(execution)
    first = deferred.trigger.run_id
    emulator.set_run(first, status="FAILED")
    event = {"event": deferred.event(OVER), **deferred.kwargs}

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
def test_a_run_that_is_over_badly(
    execution: Execution, emulator: Emulator, deferred: Deferred, status: str, kind: type[Exception]
) -> None:
    emulator.set_run(deferred.trigger.run_id, status=status)
    with pytest.raises(kind) as caught:
        deferred.resume(OVER)
    assert not isinstance(caught.value, AirflowFailException)


def test_a_run_that_evaluated_nothing(emulator: Emulator, deferred: Deferred) -> None:
    emulator.set_run(deferred.trigger.run_id, status="COMPLETED", num_successes=0)
    with pytest.raises(AirflowSkipException):
        deferred.resume(OVER)


@pytest.mark.promise("older-no-kill-hook", "deadline")
def test_a_deadline_that_passed_cancels_the_run(emulator: Emulator, deferred: Deferred) -> None:
    with pytest.raises(OnlineTaskRunTimeout):
        deferred.resume(TIMEOUT)
    assert [run["status"] for run in emulator.runs()] == ["CANCELLED"]


def test_a_run_that_ended_just_before_the_deadline_counts(emulator: Emulator, deferred: Deferred) -> None:
    late = deferred.run
    emulator.set_run(deferred.trigger.run_id, status="COMPLETED", num_successes=3)
    assert deferred.resume(TIMEOUT, run=late) == deferred.trigger.run_id


@pytest.mark.promise("poll-ends-retryable")
@pytest.mark.parametrize(
    ("name", "kind"),
    [("OnlineTaskRunUnreachable", OnlineTaskRunUnreachable), ("ValueError", OnlineTasksError)],
)
def test_a_wait_that_failed_leaves_the_run_to_a_retry(
    execution: Execution, emulator: Emulator, deferred: Deferred, name: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match="it broke") as caught:
        deferred.resume(ERROR, run=None, error_type=name, error_message="it broke")
    assert not isinstance(caught.value, AirflowFailException)
    assert [run["status"] for run in emulator.runs()] == ["RUNNING"]

    assert Deferred(execution).trigger.run_id == deferred.trigger.run_id


def test_an_event_about_another_run_is_not_believed(
    execution: Execution, emulator: Emulator, deferred: Deferred
) -> None:
    other = Deferred(Execution(execution.online_task_id))
    emulator.set_run(other.trigger.run_id, status="COMPLETED", num_successes=3)

    with pytest.raises(OnlineTasksError, match=f"about run {other.trigger.run_id}, not"):
        deferred.resume(OVER, run_id=other.trigger.run_id, run=other.run)


@pytest.mark.parametrize(("limits", "seconds"), [((600, 60), 60), ((60, 600), 60), ((None, 60), 60)])
def test_the_shorter_limit_is_the_triggers_deadline(
    execution: Execution, emulator: Emulator, time: Time, limits: tuple[int | None, int], seconds: int
) -> None:
    emulator.next_run(HANG)
    timeout, execution_timeout = limits
    deferred = Deferred(execution, timeout=timeout, execution_timeout=timedelta(seconds=execution_timeout))
    assert deferred.trigger.deadline == pytest.approx(_clock.epoch() + seconds, abs=5)


@pytest.mark.promise("cleared-while-waiting")
def test_a_clear_whose_cancellation_comes_late_starts_a_new_run(
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
        again.resume(OVER)

    first, second = (run["id"] for run in emulator.runs())
    assert (again.trigger.run_id, caught.value.trigger.run_id) == (first, second)


def test_one_session_and_one_read_of_the_connection_for_each_step(
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
def test_a_crowd_of_submissions_takes_two_requests_each(
    execution: Execution, emulator: Emulator, connect: Any, names: bool
) -> None:
    connect(extra={} if names else {"organization_id": None, "space_id": None})
    for _ in range(10):
        Execution(execution.online_task_id).next_try()
    asked = [request["operation"] for request in emulator.requests()]
    assert asked == ["rest.list_task_runs", "graphql.runOnlineTask"] * 10


def test_links_are_known_from_the_start_if_the_connection_names_the_project(
    execution: Execution, emulator: Emulator, connect: Any
) -> None:
    connect(extra={"model_id": emulator.project_id})
    execution.next_try()
    assert emulator.project_id in execution.pushed["run_url"]
    assert len(emulator.requests()) == 2


def test_a_lost_answer_to_a_submission_is_searched_for_in_one_more_request(
    execution: Execution, emulator: Emulator
) -> None:
    emulator.add_fault(Fault("graphql.runOnlineTask", "drop_after"))
    execution.next_try()
    assert len(emulator.requests()) == 3
