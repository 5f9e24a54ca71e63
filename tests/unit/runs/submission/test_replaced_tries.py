"""Tests of a try that Airflow has replaced, or whose values Airflow does not take.

Airflow rejects the writes of a process to the state store if another try has replaced its try, for example
because the process was suspended.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks.emulator import Fault
from airflow_provider_online_tasks.exceptions import OnlineTaskRunTimeout
from airflow_provider_online_tasks.idempotency.intents import TryNoLongerCurrent
from airflow_provider_online_tasks.triggers.events import TIMEOUT, RunEvent
from tests.support.tries import END, HANG, START, WAIT, Execution, Time, run_ids

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_online_tasks.emulator import Emulator

CANCEL = "rest.cancel_task_run"


def airflow_rejects(status: int, step: str = "set:before", *, skip: int = 0) -> Callable[[str], None]:
    """Return what lets Airflow's API reject the calls of a step, except for the first ones."""
    left = [skip]

    def reached(now: str) -> None:
        if now == step:
            left[0] -= 1
            if left[0] < 0:
                error = RuntimeError("API_SERVER_ERROR")
                error.error = SimpleNamespace(detail={"status_code": status})  # type: ignore[attr-defined]
                raise error

    return reached


def statuses(emulator: Emulator) -> list[str]:
    return [run["status"] for run in emulator.runs()]


@pytest.fixture
def last_try(task_id: str, emulator: Emulator) -> Execution:
    """An execution without retries, whose run does not end."""
    emulator.next_run(HANG)
    return Execution(task_id, retries=0)


# -- A process that was suspended for longer than its timeout. --


@pytest.mark.promise("suspended-process")
@pytest.mark.parametrize("status", [404, 409, 410])
def test_timeout_of_replaced_try_leaves_run(
    execution: Execution, emulator: Emulator, time: Time, status: int
) -> None:
    emulator.next_run(HANG)

    def suspend() -> None:
        execution.reached = airflow_rejects(status)
        assert execution.store is not None
        execution.store.reached = execution.reached
        time.advance(3600)

    time.on_sleep = suspend
    with pytest.raises(TryNoLongerCurrent):
        execution.next_try(**WAIT, timeout=90)

    assert statuses(emulator) == ["RUNNING"]
    assert emulator.requests(CANCEL) == []


@pytest.mark.promise("suspended-process")
def test_timeout_event_in_replaced_try_leaves_run(
    execution: Execution, emulator: Emulator, time: Time
) -> None:
    emulator.next_run(HANG)
    run_id = execution.next_try()
    payload = {
        "run": {
            "online_task_id": execution.online_task_id,
            "data_start_time": START.isoformat(),
            "data_end_time": END.isoformat(),
        },
        "outcome": "CREATED",
        "since": END.isoformat(),
    }
    event = RunEvent(outcome=TIMEOUT, run_id=run_id, payload=payload).model_dump()
    operator = execution.begin_try(**WAIT, timeout=90)
    assert execution.store is not None
    execution.store.reached = airflow_rejects(404)

    with pytest.raises(TryNoLongerCurrent):
        operator.execute_complete(execution.context, event)

    assert statuses(emulator) == ["RUNNING"]


@pytest.mark.promise("deadline")
def test_timeout_without_answer_of_airflow_cancels_run(
    execution: Execution, emulator: Emulator, time: Time
) -> None:
    emulator.next_run(HANG)

    def outage() -> None:
        assert execution.store is not None
        execution.store.reached = airflow_rejects(500)

    time.on_sleep = outage
    with pytest.raises(OnlineTaskRunTimeout):
        execution.next_try(**WAIT, timeout=90)

    assert statuses(emulator) == ["CANCELLED"]


def test_changed_window_in_replaced_try_leaves_run(execution: Execution, emulator: Emulator) -> None:
    emulator.next_run(HANG)
    execution.next_try()
    assert execution.store is not None
    execution.reached = airflow_rejects(404)

    with pytest.raises(TryNoLongerCurrent):
        execution.next_try(data_start_time=START.replace(minute=0))

    assert statuses(emulator) == ["RUNNING"]


# -- The last try, when Airflow does not store what a next try would need. --


@pytest.mark.promise("last-try-fails")
@pytest.mark.parametrize("wait", [{}, WAIT])
def test_id_not_stored_in_last_try_cancels_run(
    last_try: Execution, emulator: Emulator, wait: dict[str, Any]
) -> None:
    last_try.reached = airflow_rejects(500, skip=1)

    with pytest.raises(RuntimeError):
        last_try.next_try(**wait)

    assert statuses(emulator) == ["CANCELLED"]


@pytest.mark.promise("last-try-fails")
def test_id_of_adopted_run_not_stored_in_last_try_cancels_run(
    last_try: Execution, emulator: Emulator
) -> None:
    emulator.add_fault(Fault("graphql.runOnlineTask", "drop_after"))
    last_try.reached = airflow_rejects(500, skip=1)

    with pytest.raises(RuntimeError):
        last_try.next_try()

    assert statuses(emulator) == ["CANCELLED"]


@pytest.mark.promise("last-try-fails")
@pytest.mark.parametrize("wait", [{}, WAIT])
def test_xcom_not_pushed_in_last_try_cancels_run(
    last_try: Execution, emulator: Emulator, wait: dict[str, Any]
) -> None:
    last_try.reached = airflow_rejects(500, "push:before")

    with pytest.raises(RuntimeError):
        last_try.next_try(**wait)

    assert statuses(emulator) == ["CANCELLED"]


@pytest.mark.promise("last-try-fails")
def test_success_not_stored_in_last_try_cancels_run(last_try: Execution, emulator: Emulator) -> None:
    last_try.reached = airflow_rejects(500, skip=2)

    with pytest.raises(RuntimeError):
        last_try.next_try()

    assert statuses(emulator) == ["CANCELLED"]


@pytest.mark.parametrize(("step", "skip"), [("set:before", 1), ("push:before", 0), ("set:before", 2)])
def test_airflow_error_before_last_try_leaves_run_to_next_try(
    execution: Execution, emulator: Emulator, time: Time, step: str, skip: int
) -> None:
    emulator.next_run(HANG)
    execution.reached = airflow_rejects(500, step, skip=skip)
    with pytest.raises(RuntimeError):
        execution.next_try()
    assert statuses(emulator) == ["RUNNING"]
    execution.reached = lambda now: None

    run_id = execution.next_try()

    assert run_ids(emulator) == [run_id]


@pytest.mark.promise("suspended-process")
def test_xcom_rejected_in_replaced_last_try_leaves_run(last_try: Execution, emulator: Emulator) -> None:
    """The task was cleared: the first try of the clear waits for the run."""
    rejected = [airflow_rejects(404, "push:before"), airflow_rejects(404, skip=2)]

    def reached(now: str) -> None:
        for reject in rejected:
            reject(now)

    last_try.reached = reached
    with pytest.raises(TryNoLongerCurrent):
        last_try.next_try()

    assert statuses(emulator) == ["RUNNING"]
