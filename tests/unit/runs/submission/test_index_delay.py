"""Tests of the delay between the end of a window and the start of its run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks._airflow import TaskDeferred
from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.exceptions import InvalidConnection, InvalidInput
from airflow_provider_online_tasks.operators.runs import RunOnlineTaskOperator
from tests.support.tries import END, START, Execution, Time, run_ids

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator

Connect = Callable[..., None]
DELAY = {"index_delay_minutes": 120}


def defer(execution: Execution, **arguments: Any) -> TaskDeferred:
    """Run a try that waits for the index delay, and return its deferral."""
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


def test_scheduled_run_defers_until_spans_are_indexed(
    execution: Execution, emulator: Emulator, connect: Connect, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    connect(extra=DELAY)
    caplog.set_level(logging.INFO)

    deferred = defer(execution, deferrable=False)

    assert deferred.trigger.moment == END + timedelta(hours=2)
    assert emulator.requests() == []
    log = " ".join(caplog.messages)
    assert wire_time(END + timedelta(hours=2)) in log
    assert "index_delay=0" in log  # how to start at once

    time.advance(7200)
    run_id = resume(execution, deferred, event=deferred.trigger.moment)

    (run,) = emulator.runs()
    assert run["id"] == run_id == execution.pushed["return_value"]
    assert seconds(run) == (START.timestamp(), END.timestamp())


def test_resumed_run_keeps_planned_window(
    execution: Execution, emulator: Emulator, connect: Connect, time: Time
) -> None:
    connect(extra=DELAY)
    deferred = defer(execution)
    time.advance(7200)
    assert execution.operator is not None
    execution.operator.data_end_time = END - timedelta(hours=1)  # a template may render another value later

    resume(execution, deferred, event=None)

    assert seconds(emulator.runs()[0]) == (START.timestamp(), END.timestamp())


def test_delay_about_to_end_defers_for_at_least_10_seconds(
    execution: Execution, connect: Connect, time: Time
) -> None:
    """Airflow fails a deferred task whose event comes before its scheduler has noted the deferral."""
    connect(extra=DELAY)
    now = time.now()
    time.advance((END + timedelta(hours=2) - now).total_seconds() - 1)

    assert defer(execution).trigger.moment >= time.now() + timedelta(seconds=9)


def test_retry_after_deferral_defers_again(
    execution: Execution, emulator: Emulator, connect: Connect
) -> None:
    connect(extra=DELAY)
    assert defer(execution).trigger.moment == defer(execution).trigger.moment
    assert emulator.requests() == []


@pytest.mark.parametrize(
    ("minutes", "arguments", "name"),
    [(1e300, {}, "index_delay_minutes"), (120, {"index_delay": "P3650000D"}, "index_delay")],
)
def test_delay_out_of_range_raises(
    execution: Execution,
    emulator: Emulator,
    connect: Connect,
    minutes: float,
    arguments: dict[str, Any],
    name: str,
) -> None:
    connect(extra={"index_delay_minutes": minutes})

    with pytest.raises(InvalidInput, match=name):
        execution.next_try(**arguments)

    assert emulator.requests() == []


def test_windows_of_schedule_have_no_gap(
    execution: Execution, emulator: Emulator, connect: Connect, time: Time
) -> None:
    connect(extra=DELAY)
    middle = START + timedelta(hours=6)
    for start, end in ((START, middle), (middle, END)):
        execution.next_try(data_start_time=start, data_end_time=end) if end == middle else resume(
            execution, defer(execution, data_start_time=start, data_end_time=end)
        )
        execution.clear()

    first, second = emulator.runs()
    assert (first["data_end"], second["data_start"]) == (middle.timestamp(), middle.timestamp())


def test_indexed_window_starts_at_once(
    execution: Execution, emulator: Emulator, connect: Connect, time: Time
) -> None:
    connect(extra=DELAY)
    time.advance(7200)

    assert [execution.next_try()] == run_ids(emulator)


def test_manual_run_starts_at_once_with_warning(
    execution: Execution, emulator: Emulator, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    connect(extra=DELAY)
    execution.run_type = "manual"

    execution.next_try()

    assert len(emulator.runs()) == 1
    assert "index_delay" in caplog.text


def test_manual_run_of_indexed_window_has_no_warning(
    execution: Execution, connect: Connect, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    connect(extra=DELAY)
    execution.run_type = "manual"
    time.advance(7200)

    execution.next_try()

    assert "index_delay" not in caplog.text


@pytest.mark.parametrize("run_type", ["manual", "scheduled"])
@pytest.mark.parametrize("given", [timedelta(hours=1), 3600, "3600", "PT1H"])
def test_index_delay_argument_applies_to_scheduled_and_manual_runs(
    execution: Execution, connect: Connect, run_type: str, given: Any
) -> None:
    connect(extra=DELAY)
    execution.run_type = run_type

    assert defer(execution, index_delay=given).trigger.moment == END + timedelta(hours=1)


@pytest.mark.parametrize("given", [0, "0", timedelta(0), "PT0S"])
def test_index_delay_0_starts_at_once(
    execution: Execution, emulator: Emulator, connect: Connect, given: Any
) -> None:
    connect(extra=DELAY)
    execution.next_try(index_delay=given)
    assert len(emulator.runs()) == 1


def test_connection_without_delay_means_2_hours(
    execution: Execution, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(extra={"index_delay_minutes": None})
    assert defer(execution).trigger.moment == END + timedelta(hours=2)


@pytest.mark.parametrize("value", [-1, "soon", "nan", "inf"])
def test_connection_with_invalid_delay_raises(execution: Execution, connect: Connect, value: Any) -> None:
    connect(extra={"index_delay_minutes": value})
    with pytest.raises(InvalidConnection, match="index_delay_minutes"):
        execution.next_try()


@pytest.mark.parametrize("value", [-1, timedelta(seconds=-1), "soon", True, float("nan"), float("inf")])
def test_index_delay_invalid_literal_raises_at_parse(value: Any) -> None:
    with pytest.raises(InvalidInput, match="index_delay"):
        RunOnlineTaskOperator(task_id="run", online_task_id="T", index_delay=value)


def test_index_delay_template_is_checked_when_rendered(execution: Execution) -> None:
    assert "index_delay" in RunOnlineTaskOperator.template_fields
    with pytest.raises(InvalidInput, match="index_delay"):
        execution.next_try(index_delay="{{ params.index_delay }}")  # not rendered here


@pytest.mark.dag
@pytest.mark.slow
def test_dag_test_waits_for_index_delay(
    task_id: str, emulator: Emulator, run_dag: Callable[..., Any]
) -> None:
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
