"""Tests of a process that Airflow ends: its run is cancelled only if the task ended."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks._airflow import AirflowFailException, AirflowTaskTimeout
from airflow_provider_online_tasks.emulator import Fault
from airflow_provider_online_tasks.exceptions import OnlineTasksError
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.runs import task_fate
from tests.support.key_rotation import NEW_KEY, rotate
from tests.support.tries import HANG, Execution, Killed, Time, start_run

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator

WAIT = {"wait_for_completion": True, "deferrable": False}


@pytest.fixture
def waiting(execution: Execution, emulator: Emulator, time: Time) -> Callable[..., str]:
    """``waiting(then)``: wait for a run, do something during the wait, kill the process; return the run's
    status."""

    def wait(then: Callable[[], object], **arguments: Any) -> str:
        def amid() -> None:
            then()
            raise Killed

        emulator.next_run(HANG)
        time.on_sleep = amid
        with pytest.raises(Killed):
            execution.next_try(**{**WAIT, **arguments})
        time.on_sleep = lambda: None
        (run,) = emulator.runs()
        return str(run["status"])

    return wait


@pytest.mark.promise("ended-by-user")
@pytest.mark.parametrize("state", ["failed", "success", "skipped", "restarting", "removed", None])
def test_kill_of_ended_task_cancels_run(
    execution: Execution, waiting: Callable[..., str], state: str | None
) -> None:
    execution.state = lambda: state
    assert waiting(execution.kill) == "CANCELLED"


@pytest.mark.promise("api-server-away")
@pytest.mark.parametrize("state", sorted(task_fate.RESUMED_AFTER_WORKER))
def test_kill_of_resumed_task_leaves_run_to_next_try(
    execution: Execution,
    emulator: Emulator,
    waiting: Callable[..., str],
    caplog: pytest.LogCaptureFixture,
    state: str,
) -> None:
    execution.state = lambda: state
    assert waiting(execution.kill) == "RUNNING"
    assert emulator.requests("rest.cancel_task_run") == []
    assert logging.WARNING in {record.levelno for record in caplog.records}

    (run,) = emulator.runs()
    emulator.set_run(run["id"], status="COMPLETED", num_successes=3)
    assert execution.next_try(**WAIT) == run["id"]


@pytest.mark.promise("deleted-while-waiting")
def test_kill_of_deleted_task_cancels_run(execution: Execution, emulator: Emulator, time: Time) -> None:
    for states in ({}, {"manual": {}}, {"manual": {"another_task": "running"}}):
        emulator.next_run(HANG)
        deleted = Execution(execution.online_task_id)

        def kill(killed: Execution = deleted, states: Any = states) -> None:
            killed.context["ti"].get_task_states = lambda **_: states
            killed.kill()
            raise Killed

        time.on_sleep = kill
        with pytest.raises(Killed):
            deleted.next_try(**WAIT)

    assert [run["status"] for run in emulator.runs()] == ["CANCELLED"] * 3


def test_kill_of_mapped_task_uses_state_of_its_instance(
    execution: Execution, emulator: Emulator, time: Time
) -> None:
    emulator.next_run(HANG)

    def kill() -> None:
        ti = execution.context["ti"]
        ti.map_index = 2
        ti.get_task_states = lambda **_: {"manual": {"run": "running", "run_1": "running", "run_2": "failed"}}
        execution.kill()
        raise Killed

    time.on_sleep = kill
    with pytest.raises(Killed):
        execution.next_try(**WAIT)

    assert [run["status"] for run in emulator.runs()] == ["CANCELLED"]


def test_kill_before_start_starts_no_run(execution: Execution, emulator: Emulator) -> None:
    name = emulator.tasks()[0]["name"]
    operator = execution.begin_try(**WAIT, online_task_id=None, online_task=name)
    find_task = OnlineTasksHook.find_task

    def killed_amid(hook: OnlineTasksHook, name: str) -> Any:
        execution.kill()
        return find_task(hook, name)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(OnlineTasksHook, "find_task", killed_amid)
        with pytest.raises(OnlineTasksError):
            operator.execute(execution.context)

    assert emulator.runs() == []


def test_every_airflow_state_is_classified() -> None:
    from airflow.utils.state import TaskInstanceState

    ended = {"failed", "removed", "restarting", "skipped", "success", "upstream_failed"}
    assert {state.value for state in TaskInstanceState} <= ended | task_fate.RESUMED_AFTER_WORKER


@pytest.mark.promise("api-server-away")
def test_kill_without_answer_of_airflow_cancels_nothing(
    execution: Execution,
    emulator: Emulator,
    waiting: Callable[..., str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def away() -> str:
        raise ConnectionError("the API server is down")

    execution.state = away
    assert waiting(execution.kill) == "RUNNING"
    assert emulator.requests("rest.cancel_task_run") == []
    assert logging.WARNING in {record.levelno for record in caplog.records}


def test_kill_with_slow_answer_of_airflow_cancels_nothing(
    execution: Execution, waiting: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_fate, "WORKER_SECONDS", 0.2)
    answer = threading.Event()

    def slow() -> str:
        answer.wait(30)
        return "failed"

    execution.state = slow
    assert waiting(execution.kill) == "RUNNING"
    answer.set()


def test_kill_during_call_to_airflow_asks_again(execution: Execution, emulator: Emulator, time: Time) -> None:
    # The handler gets no answer because the interrupted call holds a lock.
    answers = ["no answer", "failed"]

    def state() -> str:
        answer = answers.pop(0)
        if answer == "no answer":
            raise TimeoutError
        return answer

    execution.state = state
    emulator.next_run(HANG)
    time.on_sleep = execution.kill

    with pytest.raises(OnlineTasksError):
        execution.next_try(**WAIT)

    assert [run["status"] for run in emulator.runs()] == ["CANCELLED"]


def test_killed_process_raises_retryable_error(execution: Execution, emulator: Emulator, time: Time) -> None:
    execution.state = lambda: "running"
    emulator.next_run(HANG)
    time.on_sleep = execution.kill

    with pytest.raises(OnlineTasksError) as caught:
        execution.next_try(**WAIT)

    assert not isinstance(caught.value, AirflowFailException)
    assert [run["status"] for run in emulator.runs()] == ["RUNNING"]


def test_execution_timeout_cancels_run_of_running_task(
    execution: Execution, waiting: Callable[..., str]
) -> None:
    def time_out() -> None:
        try:
            raise AirflowTaskTimeout
        except AirflowTaskTimeout:  # as Airflow's task runner does
            execution.kill()

    execution.state = lambda: "running"
    assert waiting(time_out) == "CANCELLED"


def test_kill_without_wait_for_completion_cancels_nothing(execution: Execution, emulator: Emulator) -> None:
    emulator.next_run(HANG)
    execution.next_try()

    execution.kill()

    assert [run["status"] for run in emulator.runs()] == ["RUNNING"]


def test_kill_after_key_rotation_cancels_with_new_key(
    execution: Execution,
    emulator: Emulator,
    time: Time,
    connect: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    emulator.next_run(HANG)
    polls: list[float] = []

    def act() -> None:
        polls.append(time.passed)
        if len(polls) == 1:
            rotate(emulator, monkeypatch)
            connect(password=NEW_KEY)
        elif emulator.requests("rest.get_task_run")[-1]["status"] == 200:  # the wait uses the new key
            execution.kill()
            raise Killed

    time.on_sleep = act
    with pytest.raises(Killed):
        execution.next_try(**WAIT)

    assert [run["status"] for run in emulator.runs()] == ["CANCELLED"]


def test_kill_after_restart_cancels_new_run(execution: Execution, emulator: Emulator, time: Time) -> None:
    """The cancellation of a clear comes late, this try starts a second run, and is killed as well."""
    emulator.next_run(HANG)

    def kill_first_try() -> None:
        raise Killed

    time.on_sleep = kill_first_try
    with pytest.raises(Killed):
        execution.next_try(**WAIT)

    def act() -> None:
        first, *others = emulator.runs()
        if not others:
            emulator.set_run(first["id"], status="CANCELLED")
        else:
            execution.kill()
            raise Killed

    time.on_sleep = act
    with pytest.raises(Killed):
        execution.next_try(**WAIT)

    assert [run["status"] for run in emulator.runs()] == ["CANCELLED", "CANCELLED"]
    assert len(emulator.requests("rest.cancel_task_run")) == 1


def test_two_killed_tasks_cancel_their_own_runs(execution: Execution, emulator: Emulator, time: Time) -> None:
    emulator.next_run(HANG)
    other = Execution(execution.online_task_id)

    def kill_first() -> None:
        execution.kill()
        raise Killed

    def wait_second() -> None:
        time.on_sleep = kill_first
        with pytest.raises(Killed):
            execution.next_try(**WAIT)
        raise Killed

    time.on_sleep = wait_second
    with pytest.raises(Killed):
        other.next_try(**WAIT)

    by_status = {run["id"]: run["status"] for run in emulator.runs()}
    assert by_status[execution.pushed["run_id"]] == "CANCELLED"
    assert by_status[other.pushed["run_id"]] == "RUNNING"


# -- A kill before the response to runOnlineTask. --


@pytest.fixture
def killed_amid_request(execution: Execution, emulator: Emulator) -> Callable[..., None]:
    """``killed_amid_request()``: end the process after Arize executed the request, before the response."""
    really = OnlineTasksHook.run_online_task

    def amid(hook: OnlineTasksHook, run: Any) -> str:
        really(hook, run)
        execution.kill()
        raise Killed

    def kill(**arguments: Any) -> None:
        emulator.next_run(HANG)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(OnlineTasksHook, "run_online_task", amid)
            with pytest.raises(Killed):
                execution.next_try(**{**WAIT, **arguments})

    return kill


@pytest.mark.promise("killed-during-request")
@pytest.mark.parametrize("arguments", [WAIT, {"wait_for_completion": False}])
def test_kill_during_request_cancels_run(
    emulator: Emulator, killed_amid_request: Callable[..., None], arguments: dict[str, Any]
) -> None:
    killed_amid_request(**arguments)
    assert [run["status"] for run in emulator.runs()] == ["CANCELLED"]


@pytest.mark.promise("killed-during-request")
def test_kill_during_request_of_resumed_task_leaves_run_to_next_try(
    execution: Execution,
    emulator: Emulator,
    killed_amid_request: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    execution.state = lambda: "running"
    killed_amid_request()
    (run,) = emulator.runs()
    assert run["status"] == "RUNNING"
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert any(execution.online_task_id in line for line in warnings)

    emulator.set_run(run["id"], status="COMPLETED", num_successes=3)
    assert execution.next_try(**WAIT) == run["id"]


@pytest.mark.promise("killed-during-request")
def test_kill_during_request_that_is_not_executed_yet_is_logged(
    execution: Execution, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    def amid(hook: OnlineTasksHook, run: Any) -> str:
        execution.kill()
        raise Killed

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(OnlineTasksHook, "run_online_task", amid)
        with pytest.raises(Killed):
            execution.next_try(**WAIT)

    assert emulator.runs() == []
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert any(execution.online_task_id in line for line in warnings)


def test_kill_during_request_ignores_run_that_existed_before(
    execution: Execution, emulator: Emulator, killed_amid_request: Callable[..., None]
) -> None:
    emulator.next_run(HANG)
    existed = start_run(execution.online_task_id)

    killed_amid_request()

    cancelled = [run["id"] for run in emulator.runs() if run["status"] == "CANCELLED"]
    assert len(emulator.runs()) == 2
    assert existed not in cancelled
    assert len(cancelled) == 1


def test_kill_during_search_for_lost_response_cancels_run(
    execution: Execution, emulator: Emulator, time: Time
) -> None:
    emulator.next_run(HANG)
    emulator.add_fault(Fault("graphql.runOnlineTask", "drop_before"))

    def executed_late() -> None:
        start_run(execution.online_task_id)
        execution.kill()
        raise Killed

    time.on_sleep = executed_late
    with pytest.raises(Killed):
        execution.next_try(**WAIT)

    assert [run["status"] for run in emulator.runs()] == ["CANCELLED"]


@pytest.mark.promise("ended-by-user")
def test_kill_while_earlier_run_is_read_cancels_it(
    execution: Execution, emulator: Emulator, waiting: Callable[..., str]
) -> None:
    def die() -> None:
        raise Killed

    waiting(die)

    def amid(hook: OnlineTasksHook, run_id: str) -> Any:
        execution.kill()
        raise Killed

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(OnlineTasksHook, "get_task_run", amid)
        with pytest.raises(Killed):
            execution.next_try(**WAIT)

    assert [run["status"] for run in emulator.runs()] == ["CANCELLED"]


def test_execution_timeout_during_request_cancels_run(
    execution: Execution, emulator: Emulator, killed_amid_request: Callable[..., None]
) -> None:
    execution.state = lambda: "running"
    really = execution.kill

    def time_out() -> None:
        try:
            raise AirflowTaskTimeout
        except AirflowTaskTimeout:  # as Airflow's task runner does
            really()

    execution.kill = time_out  # type: ignore[method-assign]
    killed_amid_request()
    assert [run["status"] for run in emulator.runs()] == ["CANCELLED"]
