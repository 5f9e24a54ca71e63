"""Tests for ``EstimateRunOperator`` and ``airflow online-tasks estimate``."""

from __future__ import annotations

import json
from argparse import Namespace
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_online_tasks import EstimateRunOperator
from airflow_provider_online_tasks.cli import run_estimate
from airflow_provider_online_tasks.exceptions import EvalBudgetExceeded, InvalidInput
from tests.unit.costs.conftest import END, START, WINDOW, spans

PRICES = {"gpt-4o": {"input": 2.5, "output": 10}}
TASK_ID = "T25saW5lVGFzazo0NTpxUndY"


class Execution:
    """An execution of the operator in a DAG run with the window as its data interval."""

    def __init__(self, **arguments: Any) -> None:
        self.pushed: dict[str, Any] = {}
        self.operator = EstimateRunOperator(task_id="estimate", conn_id="costs", **arguments)

    def run(self) -> Any:
        ti = SimpleNamespace(xcom_push=lambda key, value: self.pushed.update({key: value}))
        dag_run = SimpleNamespace(data_interval_start=START, data_interval_end=END, logical_date=END)
        return self.operator.execute({"ti": ti, "dag_run": dag_run})  # type: ignore[typeddict-item]


def test_operator_returns_estimate_of_data_interval(costs_of: Any) -> None:
    costs = costs_of(spans(20))
    costs.task("nightly", costs.evaluator("answers"))
    summary = Execution(online_task="nightly", prices=PRICES).run()
    assert (summary["data_start_time"], summary["data_end_time"]) == (
        "2026-01-10T00:00:00Z",
        "2026-01-11T00:00:00Z",
    )
    assert summary["evaluations"] == {"low": 20, "high": 20}
    assert 0 < summary["cost"]["low"] < summary["cost"]["high"]
    assert json.loads(json.dumps(summary)) == summary


@pytest.mark.parametrize("limit", [{"max_evaluations": 19}, {"max_evaluations": "19"}, {"max_cost": 0.0001}])
def test_estimate_above_limit_fails_and_is_pushed(costs_of: Any, limit: dict[str, Any]) -> None:
    costs = costs_of(spans(20))
    execution = Execution(online_task_id=costs.task("t", costs.evaluator("answers")), prices=PRICES, **limit)
    with pytest.raises(EvalBudgetExceeded):
        execution.run()
    assert execution.pushed["return_value"]["evaluations"]["high"] == 20
    assert costs.emulator.runs() == []


def test_estimate_within_limits_succeeds(costs_of: Any) -> None:
    costs = costs_of(spans(20))
    task_id = costs.task("t", costs.evaluator("answers"))
    limits = {"max_evaluations": 20, "max_cost": 1.0}
    assert Execution(online_task_id=task_id, prices=PRICES, **limits).run()


def test_max_cost_without_price_is_rejected(costs_of: Any) -> None:
    costs = costs_of(spans(2))
    prices = {"other": {"input": 1, "output": 1}}
    execution = Execution(
        online_task_id=costs.task("t", costs.evaluator("answers")), max_cost=5, prices=prices
    )
    with pytest.raises(InvalidInput, match="max_cost"):
        execution.run()


@pytest.mark.parametrize(
    "arguments",
    [
        {"max_cost": 0},
        {"max_cost": -5},
        {"max_cost": "$5"},
        {"max_evaluations": 0},
        {"prices": {"gpt-4o": {"input": -1, "output": 1}}},
        {"from_earlier_runs": "yes"},
        {"online_task": "also a name"},
        {"max_spans": 0},
    ],
)
def test_wrong_literal_is_rejected_when_dag_is_parsed(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        EstimateRunOperator(task_id="estimate", online_task_id=TASK_ID, **arguments)


def options(**fields: Any) -> Namespace:
    given = {"conn_id": "costs", "start": START.isoformat(), "end": END.isoformat(), "max_spans": None}
    return Namespace(**{**given, "prices": None, "from_earlier_runs": False, "json": False, **fields})


def test_command_prints_estimate(costs_of: Any, capsys: pytest.CaptureFixture[str]) -> None:
    costs = costs_of(spans(20))
    task_id = costs.task("t", costs.evaluator("answers"))
    run_estimate(options(online_task_id=task_id, prices=json.dumps(PRICES)))
    assert "20 evaluations" in capsys.readouterr().out
    run_estimate(options(online_task_id=task_id, json=True))
    estimate = costs.hook.estimate_run(task_id, **WINDOW)
    assert json.loads(capsys.readouterr().out) == estimate.summary()


@pytest.mark.parametrize(
    "fields", [{"prices": "2.5 EUR"}, {"max_spans": 0}, {"conn_id": "no_such_connection"}, {"end": "soon"}]
)
def test_command_with_wrong_input_exits_with_error(costs_of: Any, fields: dict[str, Any]) -> None:
    costs_of(spans(1))
    with pytest.raises(SystemExit) as caught:
        run_estimate(options(online_task_id=TASK_ID, **fields))
    assert caught.value.code not in (None, 0)
