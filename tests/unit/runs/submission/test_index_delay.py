"""A run starts once Arize has indexed the spans of its window."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks._airflow import TaskDeferred
from airflow_provider_online_tasks.exceptions import InvalidConnection, InvalidInput
from airflow_provider_online_tasks.operators.runs import RunOnlineTaskOperator
from tests.support.tries import END, START, Execution, Time

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator

Connect = Callable[..., None]
DELAY = {"index_delay_minutes": 120}


def settle(execution: Execution, **arguments: Any) -> TaskDeferred:
    """Let a try wait until the spans are indexed, and return how it does."""
    with pytest.raises(TaskDeferred) as caught:
        execution.next_try(**arguments)
    return caught.value


def resume(execution: Execution, deferred: TaskDeferred, **event: Any) -> Any:
    assert execution.operator is not None
    return execution.operator.resume_execution(
        deferred.method_name, {**(deferred.kwargs or {}), **event}, execution.context
    )


def seconds(run: dict[str, Any]) -> tuple[float, float]:
    return run["data_start"], run["data_end"]


def test_a_scheduled_run_waits_in_the_triggerer_for_the_index(
    execution: Execution, emulator: Emulator, connect: Connect, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    connect(extra=DELAY)
    caplog.set_level(logging.INFO)

    deferred = settle(execution, deferrable=False)

    assert deferred.trigger.moment == END + timedelta(hours=2)
    assert emulator.requests() == []
    said = " ".join(caplog.messages)
    assert f"The run starts at {(END + timedelta(hours=2)).isoformat()[:19]}Z" in said  # until when
    assert "Arize indexes spans late" in said  # why
    assert "To start at once, trigger the DAG manually, set index_delay=0, or lower the connection's" in said

    time.advance(7200)
    run_id = resume(execution, deferred, event=deferred.trigger.moment)

    (run,) = emulator.runs()
    assert run["id"] == run_id == execution.pushed["return_value"]
    assert seconds(run) == (START.timestamp(), END.timestamp())


def test_the_window_stays_what_it_was_before_the_wait(
    execution: Execution, emulator: Emulator, connect: Connect, time: Time
) -> None:
    connect(extra=DELAY)
    deferred = settle(execution)
    time.advance(7200)
    assert execution.operator is not None
    execution.operator.data_end_time = END - timedelta(hours=1)  # as a template may render it later

    resume(execution, deferred, event=None)

    assert seconds(emulator.runs()[0]) == (START.timestamp(), END.timestamp())


@pytest.mark.parametrize(
    ("minutes", "arguments", "said"),
    [
        (1e300, {}, r"index_delay_minutes is longer than time itself: 1e\+300"),
        (120, {"index_delay": "P3650000D"}, "index_delay is longer than time itself: 3650000 days"),
    ],
)
def test_a_delay_that_no_calendar_holds_is_refused(
    execution: Execution,
    emulator: Emulator,
    connect: Connect,
    minutes: float,
    arguments: dict[str, Any],
    said: str,
) -> None:
    connect(extra={"index_delay_minutes": minutes})

    with pytest.raises(InvalidInput, match=said):
        execution.next_try(**arguments)

    assert emulator.requests() == []


def test_windows_of_one_schedule_still_touch(
    execution: Execution, emulator: Emulator, connect: Connect, time: Time
) -> None:
    connect(extra=DELAY)
    middle = START + timedelta(hours=6)
    for start, end in ((START, middle), (middle, END)):
        execution.next_try(data_start_time=start, data_end_time=end) if end == middle else resume(
            execution, settle(execution, data_start_time=start, data_end_time=end)
        )
        execution.clear()

    first, second = emulator.runs()
    assert (first["data_end"], second["data_start"]) == (middle.timestamp(), middle.timestamp())


def test_a_window_that_is_indexed_already_is_judged_at_once(
    execution: Execution, emulator: Emulator, connect: Connect, time: Time
) -> None:
    connect(extra=DELAY)
    time.advance(7200)

    assert [execution.next_try()] == [run["id"] for run in emulator.runs()]


def test_a_run_that_a_person_started_is_not_delayed_and_says_what_may_be_missing(
    execution: Execution, emulator: Emulator, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    connect(extra=DELAY)
    execution.run_type = "manual"

    execution.next_try()

    assert len(emulator.runs()) == 1
    assert "those of the last 2:00:00 may be missing" in caplog.text
    assert "pass index_delay to the operator" in caplog.text


def test_a_person_is_not_warned_of_spans_that_are_indexed(
    execution: Execution, connect: Connect, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    connect(extra=DELAY)
    execution.run_type = "manual"
    time.advance(7200)

    execution.next_try()

    assert "missing" not in caplog.text


@pytest.mark.parametrize("run_type", ["manual", "scheduled"])
@pytest.mark.parametrize("given", [timedelta(hours=1), 3600, "3600", "PT1H"])
def test_an_explicit_settle_counts_for_a_schedule_and_a_person(
    execution: Execution, connect: Connect, run_type: str, given: Any
) -> None:
    connect(extra=DELAY)
    execution.run_type = run_type

    assert settle(execution, index_delay=given).trigger.moment == END + timedelta(hours=1)


@pytest.mark.parametrize("given", [0, "0", timedelta(0), "PT0S"])
def test_a_settle_of_nothing_starts_at_once(
    execution: Execution, emulator: Emulator, connect: Connect, given: Any
) -> None:
    connect(extra=DELAY)
    execution.next_try(index_delay=given)
    assert len(emulator.runs()) == 1


def test_a_connection_that_says_nothing_means_two_hours(
    execution: Execution, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(extra={"index_delay_minutes": None})
    assert settle(execution).trigger.moment == END + timedelta(hours=2)


@pytest.mark.parametrize("value", [-1, "soon", "nan", "inf"])
def test_an_index_delay_that_is_none(execution: Execution, connect: Connect, value: Any) -> None:
    connect(extra={"index_delay_minutes": value})
    with pytest.raises(InvalidConnection, match="index_delay_minutes must be a number of minutes, 0 or more"):
        execution.next_try()


@pytest.mark.parametrize("value", [-1, timedelta(seconds=-1), "soon", True, float("nan"), float("inf")])
def test_a_settle_that_is_none_is_refused_when_the_dag_is_parsed(value: Any) -> None:
    with pytest.raises(InvalidInput, match="index_delay must be"):
        RunOnlineTaskOperator(task_id="run", online_task_id="T", index_delay=value)


def test_a_settle_that_is_a_template_is_read_when_it_is_rendered(execution: Execution) -> None:
    assert "index_delay" in RunOnlineTaskOperator.template_fields
    with pytest.raises(InvalidInput, match="index_delay must be a timedelta"):
        execution.next_try(index_delay="{{ params.index_delay }}")  # nobody renders it here


@pytest.mark.dag
@pytest.mark.slow
def test_dag_test_waits_too(task_id: str, emulator: Emulator, run_dag: Callable[..., Any]) -> None:
    from airflow.sdk import DAG

    with DAG("index_delay", schedule=None) as dag:
        RunOnlineTaskOperator(
            task_id="run",
            online_task_id=task_id,
            lookback=timedelta(hours=1),
            index_delay=timedelta(seconds=6),
        )

    result = run_dag(dag, logical_date=datetime.now(UTC))

    assert result.states == {"run": "success"}
    (run,) = emulator.runs()
    assert run["id"] == result.returned("run")
    assert run["created_at"] >= run["data_end"] + 6
