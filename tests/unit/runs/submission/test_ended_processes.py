"""A process that Airflow ends: a run is cancelled if somebody ended its task, and only then."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks._airflow import AirflowFailException, AirflowTaskTimeout
from airflow_provider_online_tasks.emulator import RunFate
from airflow_provider_online_tasks.exceptions import OnlineTasksError
from airflow_provider_online_tasks.runs import kill_reason as _kill
from tests.support.rotated_key import NEW_KEY, rotate
from tests.support.tries import Execution, Killed, Time

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator

WAIT = {"wait_for_completion": True, "deferrable": False}
HANG = RunFate("hang", times=None, pending_seconds=0)


@pytest.fixture
def waiting(execution: Execution, emulator: Emulator, time: Time) -> Callable[..., str]:
    """``waiting(then)``: wait for a run that does not end, do something amid the wait, and end there."""

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
def test_a_task_that_somebody_ended_cancels_its_run(
    execution: Execution, waiting: Callable[..., str], state: str | None
) -> None:
    execution.state = lambda: state
    assert waiting(execution.kill) == "CANCELLED"


@pytest.mark.promise("api-server-away")
@pytest.mark.parametrize("state", sorted(_kill.GOES_ON))
def test_a_task_that_goes_on_elsewhere_leaves_its_run_to_the_next_try(
    execution: Execution,
    emulator: Emulator,
    waiting: Callable[..., str],
    caplog: pytest.LogCaptureFixture,
    state: str,
) -> None:
    execution.state = lambda: state
    assert waiting(execution.kill) == "RUNNING"
    assert "is not cancelled" in caplog.text
    assert "The next try waits for it" in caplog.text

    (run,) = emulator.runs()
    emulator.set_run(run["id"], status="COMPLETED", num_successes=3)
    assert execution.next_try(**WAIT) == run["id"]


def test_every_state_of_airflow_is_thought_of() -> None:
    from airflow.utils.state import TaskInstanceState

    ended = {"failed", "removed", "restarting", "skipped", "success", "upstream_failed"}
    assert {state.value for state in TaskInstanceState} <= ended | _kill.GOES_ON


@pytest.mark.promise("api-server-away")
def test_an_airflow_that_cannot_be_asked_cancels_nothing(
    execution: Execution,
    emulator: Emulator,
    waiting: Callable[..., str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def away() -> str:
        raise ConnectionError("the API server is away")

    execution.state = away
    assert waiting(execution.kill) == "RUNNING"
    assert "does not answer whether the task goes on" in caplog.text


def test_an_airflow_that_does_not_answer_is_not_waited_for(
    execution: Execution, waiting: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_kill, "ASK_SECONDS", 0.2)
    answer = threading.Event()

    def slow() -> str:
        answer.wait(30)
        return "failed"

    execution.state = slow
    assert waiting(execution.kill) == "RUNNING"
    answer.set()


def test_a_signal_amid_a_question_to_airflow_is_asked_about_again(
    execution: Execution, emulator: Emulator, time: Time
) -> None:
    # The handler could not ask, since the question that it interrupted held the line.
    answers = ["no answer", "failed"]

    def state() -> str:
        answer = answers.pop(0)
        if answer == "no answer":
            raise TimeoutError
        return answer

    execution.state = state
    emulator.next_run(HANG)
    time.on_sleep = execution.kill

    with pytest.raises(OnlineTasksError, match="was ended while it waited"):
        execution.next_try(**WAIT)

    assert [run["status"] for run in emulator.runs()] == ["CANCELLED"]


def test_a_process_that_is_ended_stops_so_that_a_retry_follows(
    execution: Execution, emulator: Emulator, time: Time
) -> None:
    execution.state = lambda: "running"
    emulator.next_run(HANG)
    time.on_sleep = execution.kill

    with pytest.raises(OnlineTasksError) as caught:
        execution.next_try(**WAIT)

    assert not isinstance(caught.value, AirflowFailException)
    assert [run["status"] for run in emulator.runs()] == ["RUNNING"]


def test_execution_timeout_cancels_though_the_task_is_running(
    execution: Execution, waiting: Callable[..., str]
) -> None:
    def time_out() -> None:
        try:
            raise AirflowTaskTimeout
        except AirflowTaskTimeout:  # as Airflow's task runner does
            execution.kill()

    execution.state = lambda: "running"
    assert waiting(time_out) == "CANCELLED"


def test_a_run_that_is_not_waited_for_is_not_cancelled(execution: Execution, emulator: Emulator) -> None:
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
