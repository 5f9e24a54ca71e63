"""RunOnlineTaskOperator with max_cost and prices: before the run, and in its summary."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_online_tasks.costs.ranges import Range
from airflow_provider_online_tasks.emulator import Fault
from airflow_provider_online_tasks.exceptions import CallError, EvalBudgetExceeded, InvalidInput
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.operators.runs import RunOnlineTaskOperator
from tests.support.tries import WAIT, Execution
from tests.unit.costs.conftest import WINDOW, spans

PRICES = {"gpt-4o": {"input": 2.5, "output": 10}}


class Priced:
    """A task of 30 spans with an LLM judge, and what a run of it is estimated to cost."""

    def __init__(self, costs: Any) -> None:
        self.emulator, self.hook = costs.emulator, costs.hook
        self.task_id = costs.task("t", costs.evaluator("answers"))
        self.cost = costs.hook.estimate_run(self.task_id, **WINDOW, prices=PRICES).cost
        self.emulator.clear_requests()

    def execution(self, **arguments: Any) -> Execution:
        return Execution(self.task_id, {**WINDOW, **WAIT, "conn_id": "costs", "prices": PRICES, **arguments})


@pytest.fixture
def priced(costs_of: Any) -> Priced:
    return Priced(costs_of(spans(30)))


@pytest.mark.promise("limit-sends-nothing")
def test_run_above_max_cost_sends_no_mutation(priced: Priced) -> None:
    with pytest.raises(EvalBudgetExceeded):
        priced.execution(max_cost=priced.cost.high * 0.99).next_try()

    assert priced.emulator.requests("graphql.*") == []


def test_run_within_max_cost_has_estimated_cost_in_summary(priced: Priced) -> None:
    execution = priced.execution(max_cost=priced.cost.high)

    execution.next_try()

    summary = execution.pushed["run"]
    assert summary["evaluations"] == 30
    assert summary["estimated_cost"] == pytest.approx(priced.cost._asdict())
    assert summary["estimated_input_tokens"]["low"] > summary["estimated_output_tokens"]["low"] > 0
    assert summary["capped"] is False


@pytest.mark.parametrize(("is_exact", "evaluations"), [(False, 20), (True, 30)])
def test_run_costs_at_most_its_limit_if_more_spans_match_than_estimated(
    priced: Priced, monkeypatch: pytest.MonkeyPatch, is_exact: bool, evaluations: int
) -> None:
    estimate = priced.hook.estimate_run(priced.task_id, **WINDOW, prices=PRICES)
    [of_evaluator] = estimate.evaluators
    too_low = {"evaluations": Range(8, 10), "cost": Range(0, priced.cost.high / 3)}
    evaluators = (replace(of_evaluator, **too_low),)
    estimate = replace(
        estimate, is_exact=is_exact, matching_spans=Range(8, 10), evaluators=evaluators, **too_low
    )
    monkeypatch.setattr(OnlineTasksHook, "estimate_run", lambda *_, **__: estimate)
    execution = priced.execution(max_cost=priced.cost.high * 2 / 3)

    execution.next_try()

    summary = execution.pushed["run"]
    assert (summary["evaluations"], summary["capped"]) == (evaluations, not is_exact)


@pytest.mark.parametrize(
    ("granularity", "sampling_rate", "max_cost", "max_spans"),
    [
        ("span", 1.0, 3.0, 10_000),
        ("span", 1.0, 1.3, 10_000),
        ("span", 0.1, 1.3, 5_500),
        ("span", 0.1, 2.6, 10_000),
        ("span", 0.02, 1.3, 1_300),  # the estimate includes the variance of the sample
        ("trace", 1.0, 2.6, 2_600),
        ("session", 1.0, 2.6, 2_600),
    ],
)
def test_run_within_max_cost_takes_all_spans_that_are_planned(
    priced: Priced,
    monkeypatch: pytest.MonkeyPatch,
    granularity: str,
    sampling_rate: float,
    max_cost: float,
    max_spans: int,
) -> None:
    estimate = priced.hook.estimate_run(priced.task_id, **WINDOW, prices=PRICES)
    [of_evaluator] = estimate.evaluators
    # About 10 % of the spans can be evaluated: the others have a label, or no values.
    figures = {"evaluations": Range(900, 1_300), "cost": Range(0.5, 1.3)}
    estimate = replace(
        estimate,
        is_exact=False,
        sampling_rate=sampling_rate,
        matching_spans=Range(45_000, 55_000),
        evaluators=(replace(of_evaluator, granularity=granularity, **figures),),
        **figures,
    )
    monkeypatch.setattr(OnlineTasksHook, "estimate_run", lambda *_, **__: estimate)

    priced.execution(max_cost=max_cost).next_try()

    [run] = priced.emulator.runs()
    assert run["max_spans"] == max_spans


def test_cap_lowers_max_spans_to_max_cost(priced: Priced) -> None:
    execution = priced.execution(max_cost=priced.cost.high / 2, on_over_budget="cap")

    execution.next_try()

    summary = execution.pushed["run"]
    [run] = priced.emulator.runs()
    assert (run["max_spans"], summary["evaluations"], summary["capped"]) == (15, 15, True)
    assert summary["estimated_cost"]["high"] <= priced.cost.high / 2 * 1.000001


def test_cap_below_the_cost_of_one_span_starts_nothing(priced: Priced) -> None:
    with pytest.raises(EvalBudgetExceeded):
        priced.execution(max_cost=priced.cost.high / 100, on_over_budget="cap").next_try()

    assert priced.emulator.requests("graphql.*") == []


def test_both_limits_hold(priced: Priced) -> None:
    execution = priced.execution(max_cost=priced.cost.high / 2, max_evaluations=7, on_over_budget="cap")

    execution.next_try()

    assert execution.pushed["run"]["evaluations"] == 7


@pytest.mark.parametrize("prices", [{}, {"another-model": {"input": 1, "output": 1}}])
def test_max_cost_without_price_of_the_model_is_rejected(priced: Priced, prices: Any) -> None:
    execution = priced.execution(max_cost=5.0, prices=prices, on_over_budget="cap")

    with pytest.raises(InvalidInput):
        execution.next_try()

    assert priced.emulator.requests("graphql.*") == []


def test_prices_of_the_connection_are_used(priced: Priced, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = json.loads(priced.emulator.connection_json)
    extra = connection.get("extra") or {}
    extra = {**(json.loads(extra) if isinstance(extra, str) else extra), "prices": PRICES}
    monkeypatch.setenv("AIRFLOW_CONN_COSTS", json.dumps({**connection, "extra": extra}))

    with pytest.raises(EvalBudgetExceeded):
        priced.execution(max_cost=priced.cost.high * 0.9, prices=None).next_try()


def test_estimate_that_fails_starts_nothing_with_max_cost(priced: Priced) -> None:
    priced.emulator.add_fault(Fault("rest.list_spans", "forbidden", times=None))
    with pytest.raises(CallError):
        priced.execution(max_cost=5.0).next_try()
    assert priced.emulator.requests("graphql.*") == []


def test_estimate_that_fails_does_not_stop_a_run_without_limits(priced: Priced) -> None:
    priced.emulator.add_fault(Fault("rest.list_spans", "forbidden", times=None))
    execution = priced.execution()

    execution.next_try()

    assert execution.pushed["run"]["evaluations"] == 30
    assert "estimated_cost" not in execution.pushed["run"]


@pytest.mark.parametrize(
    "arguments",
    [
        *({"max_cost": value} for value in (0, -1, True, "$5", float("nan"), float("inf"))),
        *(
            {"max_cost": 1, "prices": value}
            for value in ("x", {"m": 3}, {"m": {"input": "2 EUR", "output": 1}})
        ),
    ],
)
def test_invalid_cost_is_rejected_when_the_dag_is_parsed(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        RunOnlineTaskOperator(task_id="run", online_task_id="T", **arguments)


@pytest.mark.parametrize(("rendered", "is_valid"), [("5.0", True), ("$5", False), ("0", False)])
def test_rendered_max_cost_is_read_from_text(priced: Priced, rendered: str, is_valid: bool) -> None:
    execution = priced.execution(max_cost="{{ params.cost }}")
    operator = execution.begin_try()
    operator.max_cost = rendered

    if is_valid:
        operator.execute(execution.context)  # type: ignore[arg-type]
        assert len(priced.emulator.runs()) == 1
    else:
        with pytest.raises(InvalidInput):
            operator.execute(execution.context)  # type: ignore[arg-type]
        assert priced.emulator.requests() == []


def test_rendered_prices_are_read_from_text(priced: Priced) -> None:
    prices = {"gpt-4o": {"input": "{{ var.value.input }}", "output": 10}}
    execution = priced.execution(max_cost=priced.cost.high, prices=prices)
    operator = execution.begin_try()
    operator.prices = {"gpt-4o": {"input": "2.5", "output": "10"}}

    operator.execute(execution.context)  # type: ignore[arg-type]

    assert execution.pushed["run"]["estimated_cost"] == pytest.approx(priced.cost._asdict())


def test_cost_above_its_limit_is_not_temporary(priced: Priced) -> None:
    with pytest.raises(EvalBudgetExceeded):
        priced.execution(max_cost=priced.cost.high / 2, budget={"max_evaluations": 9_000}).next_try()


def test_evaluations_of_two_granularities_may_exceed_max_spans_of_the_plan(
    priced: Priced, monkeypatch: pytest.MonkeyPatch
) -> None:
    estimate = priced.hook.estimate_run(priced.task_id, **WINDOW, prices=PRICES)
    estimate = replace(estimate, max_spans=30, evaluations=Range(38, 38))
    monkeypatch.setattr(OnlineTasksHook, "estimate_run", lambda *_, **__: estimate)
    execution = priced.execution(max_cost=priced.cost.high * 2, max_spans=30)

    execution.next_try()

    assert len(priced.emulator.runs()) == 1


def test_error_in_an_estimate_that_no_limit_needs_does_not_stop_the_run(
    priced: Priced, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ValueError

    monkeypatch.setattr(OnlineTasksHook, "estimate_run", fail)

    priced.execution().next_try()

    assert len(priced.emulator.runs()) == 1
