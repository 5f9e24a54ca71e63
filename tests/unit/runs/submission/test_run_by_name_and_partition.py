"""Tests of runs whose task is given by name, and whose window is the DAG run's partition."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks._airflow import AirflowFailException
from airflow_provider_online_tasks.exceptions import InvalidInput, NotFound
from airflow_provider_online_tasks.operators.runs import RunOnlineTaskOperator
from airflow_provider_online_tasks.runs.window import resolve_window

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_online_tasks.emulator import Emulator

DAY = datetime(2026, 3, 1, tzinfo=UTC)
RUN_MUTATION = "graphql.runOnlineTask"


def context(**dag_run: Any) -> dict[str, Any]:
    pushed: dict[str, Any] = {}
    ti = SimpleNamespace(try_number=1, max_tries=0, xcom_push=lambda key, value: pushed.update({key: value}))
    known = {"data_interval_start": None, "data_interval_end": None, "run_after": DAY, "start_date": DAY}
    return {"ti": ti, "dag_run": SimpleNamespace(**{**known, "run_type": "scheduled", **dag_run})}


@pytest.mark.parametrize("length", [timedelta(days=1), 86400, "P1D", "86400"])
def test_partition_length_window_starts_at_partition(length: Any) -> None:
    window = resolve_window(
        context(partition_date=DAY),  # type: ignore[arg-type]
        data_start_time=None,
        data_end_time=None,
        lookback=None,
        partition_length=length,
    )
    assert (window.start, window.end) == (DAY, DAY + timedelta(days=1))


@pytest.mark.parametrize("dag_run", [{}, {"partition_key": "europe", "partition_date": None}])
def test_dag_run_without_partition_date_raises(dag_run: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=dag_run.get("partition_key", "partition")):
        resolve_window(
            context(**dag_run),  # type: ignore[arg-type]
            data_start_time=None,
            data_end_time=None,
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
def test_two_windows_raise_at_parse(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        RunOnlineTaskOperator(task_id="run", online_task_id="T25saW5lVGFzazoxOngx", **arguments)


@pytest.mark.parametrize("arguments", [{}, {"online_task_id": "T25saW5lVGFzazoxOngx", "online_task": "mine"}])
def test_task_id_and_name_need_exactly_one(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        RunOnlineTaskOperator(task_id="run", lookback="P1D", **arguments)


def test_name_as_id_raises_at_parse() -> None:
    with pytest.raises(InvalidInput, match="online_task"):
        RunOnlineTaskOperator(task_id="run", lookback="P1D", online_task_id="answer correctness")


def test_task_id_unknown_to_arize_raises_without_retry(
    emulator: Emulator, connect: Callable[..., None]
) -> None:
    connect()
    copied = "T25saW5lVGFzazo0NTpxUndY"  # from the documentation
    operator = RunOnlineTaskOperator(task_id="run", lookback="P1D", index_delay=0, online_task_id=copied)

    with pytest.raises(NotFound, match=copied) as caught:
        operator.execute(context())  # type: ignore[arg-type]

    assert isinstance(caught.value, AirflowFailException)
    assert emulator.requests(RUN_MUTATION) == []


def test_task_name_is_looked_up(emulator: Emulator, task_id: str) -> None:
    (task,) = emulator.tasks()
    operator = RunOnlineTaskOperator(task_id="run", lookback="P1D", index_delay=0, online_task=task["name"])

    operator.execute(context())  # type: ignore[arg-type]

    (sent,) = emulator.runs()
    assert sent["task_id"] == task_id
    assert (sent["data_start"], sent["data_end"]) == (
        (DAY - timedelta(days=1)).timestamp(),
        DAY.timestamp(),
    )
    # The arguments stay as the user wrote them.
    assert (operator.online_task_id, operator.data_start_time) == (None, None)


def test_task_name_with_invalid_window_sends_no_request(emulator: Emulator, task_id: str) -> None:
    (task,) = emulator.tasks()
    emulator.clear_requests()
    operator = RunOnlineTaskOperator(task_id="run", index_delay=0, online_task=task["name"])
    with pytest.raises(InvalidInput):
        operator.execute(context())  # type: ignore[arg-type]
    assert emulator.requests() == []


def test_task_name_unknown_raises(emulator: Emulator, task_id: str) -> None:
    (task,) = emulator.tasks()
    operator = RunOnlineTaskOperator(
        task_id="run", lookback="P1D", index_delay=0, online_task=task["name"][:-1]
    )
    with pytest.raises(NotFound):
        operator.execute(context())  # type: ignore[arg-type]
    assert emulator.requests(RUN_MUTATION) == []
