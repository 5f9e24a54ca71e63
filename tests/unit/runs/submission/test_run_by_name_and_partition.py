"""A run's task by its name, its window by the DAG run's partition, and what Rendered Templates then show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks.exceptions import InvalidInput, NotFound
from airflow_provider_online_tasks.operators.runs import RunOnlineTaskOperator
from airflow_provider_online_tasks.runs.window import resolve_window

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator

DAY = datetime(2026, 3, 1, tzinfo=UTC)
RUN_MUTATION = "graphql.runOnlineTask"


def context(**dag_run: Any) -> dict[str, Any]:
    pushed: dict[str, Any] = {}
    ti = SimpleNamespace(try_number=1, max_tries=0, xcom_push=lambda key, value: pushed.update({key: value}))
    known = {"data_interval_start": None, "data_interval_end": None, "run_after": DAY, "start_date": DAY}
    return {"ti": ti, "dag_run": SimpleNamespace(**{**known, "run_type": "scheduled", **dag_run})}


@pytest.mark.parametrize("length", [timedelta(days=1), 86400, "P1D", "86400"])
def test_a_window_by_partition_begins_with_it(length: Any) -> None:
    window = resolve_window(
        context(partition_date=DAY),  # type: ignore[arg-type]
        start=None,
        end=None,
        lookback=None,
        partition_length=length,
    )
    assert (window.start, window.end) == (DAY, DAY + timedelta(days=1))


@pytest.mark.parametrize(
    ("dag_run", "said"),
    [
        ({}, "has no partition date. partition_length needs Airflow 3.3"),
        ({"partition_key": "europe", "partition_date": None}, "no partition date for its partition 'europe'"),
    ],
)
def test_a_dag_run_without_a_partition_date(dag_run: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        resolve_window(
            context(**dag_run),  # type: ignore[arg-type]
            start=None,
            end=None,
            lookback=None,
            partition_length="P1D",
        )


@pytest.mark.parametrize(
    "arguments",
    [
        {"lookback": "P1D", "partition_length": "P1D"},
        {"partition_length": "P1D", "data_start_time": DAY, "data_end_time": DAY + timedelta(days=1)},
    ],
)
def test_two_ways_at_once_are_refused_when_parsed(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="are given both"):
        RunOnlineTaskOperator(task_id="run", online_task_id="T25saW5lVGFzazoxOngx", **arguments)


@pytest.mark.parametrize("arguments", [{}, {"online_task_id": "T25saW5lVGFzazoxOngx", "online_task": "mine"}])
def test_a_task_is_given_by_its_id_or_its_name(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="one of the two"):
        RunOnlineTaskOperator(task_id="run", lookback="P1D", **arguments)


def test_a_name_in_place_of_an_id_is_told_from_it() -> None:
    with pytest.raises(InvalidInput, match=r"looks like a name.*online_task for a task"):
        RunOnlineTaskOperator(task_id="run", lookback="P1D", online_task_id="answer correctness")


def test_a_task_is_found_by_its_name_and_the_window_is_shown(emulator: Emulator, task_id: str) -> None:
    (task,) = emulator.tasks()
    operator = RunOnlineTaskOperator(task_id="run", lookback="P1D", index_delay=0, online_task=task["name"])

    operator.execute(context())  # type: ignore[arg-type]

    (sent,) = emulator.runs()
    assert sent["task_id"] == task_id
    assert operator.online_task_id == task_id
    assert (operator.data_start_time, operator.data_end_time) == (
        "2026-02-28T00:00:00Z",
        "2026-03-01T00:00:00Z",
    )
    assert operator.overwrite_rtif_after_execution
    assert {"online_task_id", "data_start_time", "data_end_time"} <= set(operator.template_fields)


def test_a_name_that_no_task_has(emulator: Emulator, task_id: str) -> None:
    (task,) = emulator.tasks()
    operator = RunOnlineTaskOperator(
        task_id="run", lookback="P1D", index_delay=0, online_task=task["name"][:-1]
    )
    with pytest.raises(NotFound, match="Tasks with a name like it"):
        operator.execute(context())  # type: ignore[arg-type]
    assert emulator.requests(RUN_MUTATION) == []
