"""Arguments that are not templated are checked when the DAG is parsed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_online_tasks import OnlineTaskRunSensor, RunOnlineTaskOperator
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.inputs.arguments import (
    check_literal,
    choice,
    positive_seconds,
    read_deferrable,
    switch,
    whole_number,
)


@pytest.mark.parametrize(
    ("read", "valid", "wrong"),
    [
        (switch, {True: True, False: False}, [None, 1, "true", "{{ x }}"]),
        (whole_number, {1: 1, 500: 500}, [0, -1, True, 1.0, "5", None, "{{ x }}"]),
        (
            positive_seconds,
            {1: 1.0, 0.5: 0.5, timedelta(minutes=1): 60.0},
            [0, -1, True, float("nan"), float("inf"), "5", timedelta(0), None, "{{ x }}"],
        ),
        (
            lambda value, name: choice(value, name, ("fail", "skip")),
            {"fail": "fail"},
            ["warn", None, "{{ x }}"],
        ),
    ],
    ids=["switch", "whole_number", "positive_seconds", "choice"],
)
def test_argument_wrong_value_is_rejected_and_named(
    read: Callable[[Any, str], Any], valid: dict[Any, Any], wrong: list[Any]
) -> None:
    for value, result in valid.items():
        assert read(value, "argument") == result
    for value in wrong:
        with pytest.raises(InvalidInput, match=r"^argument "):
            read(value, "argument")


def test_deferrable_none_is_the_default_of_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    for default in (True, False):
        monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", str(default))
        assert read_deferrable(None) is default
        assert read_deferrable(True) is True
        assert read_deferrable(False) is False


def test_check_literal_template_is_rejected() -> None:
    check_literal("conn", "conn_id")
    with pytest.raises(InvalidInput, match="conn_id"):
        check_literal("{{ params.conn }}", "conn_id")


@pytest.mark.parametrize(
    ("operator", "mistyped", "right"),
    [
        (RunOnlineTaskOperator, "look_back", "lookback"),
        (RunOnlineTaskOperator, "online_tasks_id", "online_task_id"),
        (RunOnlineTaskOperator, "retrys", "retries"),
        (OnlineTaskRunSensor, "poke_intervall", "poke_interval"),
    ],
)
def test_argument_mistyped_rejected_with_right_name(operator: Any, mistyped: str, right: str) -> None:
    needed = {"run_id": "R"} if operator is OnlineTaskRunSensor else {"online_task": "t"}
    with pytest.raises(TypeError, match=f"'{mistyped}'.*'{right}'"):
        operator(task_id="a_task", **needed, **{mistyped: 1})


def test_default_args_of_other_operators_ignored() -> None:
    with DAG("a_dag", default_args={"owner": "me", "look_back": 5}):
        RunOnlineTaskOperator(task_id="run", online_task="t")
