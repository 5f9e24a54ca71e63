"""Tests for estimates: what they count, what they cost in requests, and what they reject."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_online_tasks.costs.estimates import EvaluatorEstimate
from airflow_provider_online_tasks.costs.ranges import Range
from airflow_provider_online_tasks.exceptions import InvalidInput, NotFound
from tests.unit.costs.conftest import WINDOW, spans

PRICES = {"gpt-4o": {"input": 2.5, "output": 10}}


def test_estimate_of_small_window_counts_spans_exactly(costs_of: Any) -> None:
    costs = costs_of(spans(30))
    task_id = costs.task("t", costs.evaluator("answers"))
    estimate = costs.hook.estimate_run(task_id, **WINDOW, prices=PRICES)
    assert (estimate.is_exact, estimate.matching_spans, estimate.evaluations) == (True, (30, 30), (30, 30))
    assert estimate.labelled_spans == (0, 0)
    (evaluator,) = estimate.evaluators
    assert (evaluator.name, evaluator.model, evaluator.evaluations) == (
        "answers",
        "gpt-4o",
        (30, 30),
    )
    assert evaluator.version_id
    assert 0 < estimate.input_tokens.low < estimate.input_tokens.high
    expected = estimate.input_tokens.low * 2.5e-6 + estimate.output_tokens.low * 10e-6
    assert estimate.cost.low == pytest.approx(expected)
    assert json.loads(json.dumps(estimate.summary()))["evaluations"] == {"low": 30, "high": 30}


def test_estimate_starts_no_run(costs_of: Any) -> None:
    costs = costs_of(spans(3))
    task_id = costs.task("t", costs.evaluator("answers"))
    costs.emulator.clear_requests()
    costs.hook.estimate_run(task_id, **WINDOW)
    assert costs.emulator.requests("graphql.*") == []
    assert costs.emulator.runs() == []


def test_estimate_excludes_labelled_spans_unless_overridden(costs_of: Any) -> None:
    costs = costs_of(spans(30))
    task_id = costs.task("t", costs.evaluator("answers"))
    costs.run(task_id, max_spans=12)
    estimate = costs.hook.estimate_run(task_id, **WINDOW)
    assert (estimate.labelled_spans, estimate.evaluations) == ((12, 12), (18, 18))
    again = costs.hook.estimate_run(task_id, **WINDOW, override_evaluations=True)
    assert again.evaluations == (30, 30)


def test_estimate_of_completely_labelled_window_is_zero(costs_of: Any) -> None:
    costs = costs_of(spans(5))
    task_id = costs.task("t", costs.evaluator("answers"))
    costs.run(task_id)
    estimate = costs.hook.estimate_run(task_id, **WINDOW)
    assert (estimate.evaluations, estimate.input_tokens, estimate.cost) == ((0, 0),) * 3


@pytest.mark.parametrize("max_spans", [1, 7, 50])
def test_estimate_keeps_max_spans(costs_of: Any, max_spans: int) -> None:
    costs = costs_of(spans(30))
    task_id = costs.task("t", costs.evaluator("answers"))
    estimate = costs.hook.estimate_run(task_id, **WINDOW, max_spans=max_spans)
    assert estimate.evaluations == (min(30, max_spans),) * 2
    assert costs.run(task_id, max_spans=max_spans)["num_successes"] == min(30, max_spans)


def test_estimate_of_sampled_task_contains_run(costs_of: Any) -> None:
    costs = costs_of(spans(400))
    task_id = costs.task("t", costs.evaluator("answers"), sampling_rate=0.25)
    estimate = costs.hook.estimate_run(task_id, **WINDOW)
    assert estimate.sampling_rate == 0.25
    evaluated = costs.run(task_id)["num_successes"]
    assert estimate.evaluations.low <= evaluated <= estimate.evaluations.high
    assert 50 < estimate.evaluations.low < estimate.evaluations.high < 150


def test_estimate_excludes_spans_without_values(costs_of: Any) -> None:
    given = spans(60)
    for span in given[::3]:
        del span["attributes"]["output.value"]
    costs = costs_of(given)
    task_id = costs.task("t", costs.evaluator("answers"))
    estimate = costs.hook.estimate_run(task_id, **WINDOW)
    assert estimate.evaluations == (40, 40)
    assert costs.run(task_id)["num_successes"] == 40


def test_span_at_window_end_is_not_counted(costs_of: Any) -> None:
    given = spans(4)
    given[-1]["start_time"] = WINDOW["data_end_time"].isoformat()
    costs = costs_of(given)
    task_id = costs.task("t", costs.evaluator("answers"))
    assert costs.hook.estimate_run(task_id, **WINDOW).matching_spans == (3, 3)


def test_estimate_of_two_evaluators_adds_their_tokens(costs_of: Any) -> None:
    costs = costs_of(spans(10))
    first, second = (
        costs.evaluator("answers"),
        costs.evaluator("politeness", include_explanations=True),
    )
    task_id = costs.task("t", first, second)
    estimate = costs.hook.estimate_run(task_id, **WINDOW, prices=PRICES)
    assert estimate.evaluations == (10, 10)
    assert [each.evaluations for each in estimate.evaluators] == [(10, 10), (10, 10)]
    short, explained = (each.output_tokens for each in estimate.evaluators)
    assert short.high < explained.high
    assert estimate.cost.high == pytest.approx(sum(each.cost.high for each in estimate.evaluators))


def test_estimate_of_traces_counts_traces(costs_of: Any) -> None:
    costs = costs_of(spans(40))
    evaluator_id = costs.evaluator("trace_quality", data_granularity="TRACE", template="{output} good?")
    mapping = {"variable_name": "output", "query_ids": ["A"], "attribute_path": "attributes.output.value"}
    filters = {
        "filters": [{"id": "A", "filter": "attributes.input.value LIKE 'question %'"}],
        "expression": "A",
    }
    task_id = costs.task(
        "t", {"evaluator_id": evaluator_id, "query_mappings": [mapping]}, query_filters=filters
    )
    estimate = costs.hook.estimate_run(task_id, **WINDOW)
    assert (estimate.matching_spans, estimate.evaluations) == ((40, 40), (10, 10))
    assert estimate.input_tokens.low > 10 * 4 * 2  # each prompt has the outputs of four spans
    assert costs.run(task_id)["num_successes"] == 10


def test_code_evaluator_costs_nothing(costs_of: Any) -> None:
    costs = costs_of(spans(10))
    task_id = costs.task("t", {"evaluator_id": costs.emulator.evaluator_ids["output_present"]})
    estimate = costs.hook.estimate_run(task_id, **WINDOW)
    assert estimate.evaluations == (10, 10)
    assert (estimate.input_tokens, estimate.output_tokens, estimate.cost) == ((0, 0),) * 3


def test_evaluator_of_the_task_has_unknown_tokens(costs_of: Any) -> None:
    costs = costs_of(spans(10))
    task_id = costs.hook.create_eval_task(
        {
            "name": "inline",
            "model_id": costs.emulator.project_id,
            "sampling_rate": 1,
            "template_evaluators": [
                {
                    "name": "quality",
                    "template": "{attributes.input.value}?",
                    "rails": ["a", "b"],
                    "position": 1,
                }
            ],
            "llm_config": {"model_name": "GPT_4o", "provider": "openAI", "temperature": 0},
            "run_continuously": False,
        }
    )
    estimate = costs.hook.estimate_run(task_id, **WINDOW, prices=PRICES)
    assert estimate.evaluations == (10, 10)
    assert (estimate.input_tokens, estimate.output_tokens, estimate.cost) == (None, None, None)
    assert any("quality" in sentence for sentence in estimate.assumptions)
    with pytest.raises(InvalidInput, match=r"quality.* Eval Hub"):
        estimate.max_spans_within(max_cost=1.0)


def test_model_without_price_has_tokens_and_no_cost(costs_of: Any) -> None:
    costs = costs_of(spans(10))
    task_id = costs.task("t", costs.evaluator("answers"))
    estimate = costs.hook.estimate_run(task_id, **WINDOW, prices={"other": {"input": 1, "output": 1}})
    assert estimate.input_tokens is not None
    assert estimate.cost is None
    with pytest.raises(InvalidInput, match=r"max_cost.* prices"):
        estimate.max_spans_within(max_cost=1.0)


def test_prices_of_connection_apply(costs_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    costs = costs_of(spans(10))
    task_id = costs.task("t", costs.evaluator("answers"))
    connection = json.loads(costs.emulator.connection_json)
    extra = connection["extra"] if isinstance(connection["extra"], dict) else json.loads(connection["extra"])
    for prices in (PRICES, json.dumps(PRICES)):
        connection["extra"] = {**extra, "prices": prices}
        monkeypatch.setenv("AIRFLOW_CONN_COSTS", json.dumps(connection))
        costs.hook.renew()
        with type(costs.hook)("costs") as hook:
            assert hook.estimate_run(task_id, **WINDOW).cost is not None


def test_unknown_task_is_not_found(costs_of: Any) -> None:
    with pytest.raises(NotFound):
        costs_of(spans(1)).hook.estimate_run("T25saW5lVGFzazo5OTk6YWJj", **WINDOW)


def test_estimate_within_limits_lowers_max_spans(costs_of: Any) -> None:
    costs = costs_of(spans(100))
    task_id = costs.task("t", costs.evaluator("answers"))
    estimate = costs.hook.estimate_run(task_id, **WINDOW, prices=PRICES)
    assert estimate.max_spans_within() == 10_000
    assert estimate.max_spans_within(max_evaluations=100, max_cost=estimate.cost.high) == 10_000
    assert estimate.max_spans_within(max_evaluations=30) == 30
    assert estimate.max_spans_within(max_cost=estimate.cost.high / 10) == 10
    assert estimate.max_spans_within(max_cost=estimate.cost.high / 1000) < 1


def test_estimate_of_ten_thousand_spans_sends_at_most_21_requests(costs_of: Any) -> None:
    costs = costs_of(spans(10_000))
    task_id = costs.task("t", costs.evaluator("answers"), costs.evaluator("politeness"))
    costs.emulator.clear_requests()
    estimate = costs.hook.estimate_run(task_id, **WINDOW, max_spans=100_000)
    assert len(costs.emulator.requests()) <= 21
    assert not estimate.is_exact
    assert estimate.matching_spans.low <= 10_000 <= estimate.matching_spans.high
    assert estimate.matching_spans.high < 13_000


def test_estimate_of_many_evaluators_sends_at_most_21_requests(costs_of: Any) -> None:
    costs = costs_of(spans(2_000))
    evaluators = [costs.evaluator(f"e{number}") for number in range(17)]
    task_id = costs.task("t", *evaluators)
    costs.emulator.clear_requests()

    estimate = costs.hook.estimate_run(task_id, **WINDOW)

    assert len(costs.emulator.requests()) <= 21
    assert estimate.input_tokens is not None


def test_estimate_of_5_000_spans_is_exact(costs_of: Any) -> None:
    costs = costs_of(spans(5_000))
    task_id = costs.task("t", costs.evaluator("answers"))
    costs.emulator.clear_requests()
    estimate = costs.hook.estimate_run(task_id, **WINDOW)
    assert (estimate.is_exact, estimate.matching_spans) == (True, (5_000, 5_000))
    assert 4_900 < estimate.evaluations.low < estimate.evaluations.high == 5_000
    assert len(costs.emulator.requests()) <= 21


def test_estimate_is_the_same_again(costs_of: Any) -> None:
    given = spans(1_000)
    for number, span in enumerate(given):
        span["attributes"]["output.value"] = "word " * (number % 97)
    costs = costs_of(given)
    task_id = costs.task("t", costs.evaluator("answers"))
    assert costs.hook.estimate_run(task_id, **WINDOW) == costs.hook.estimate_run(task_id, **WINDOW)


def test_estimate_from_earlier_runs_sends_one_request(costs_of: Any) -> None:
    costs = costs_of(spans(24))
    task_id = costs.task("t", costs.evaluator("answers"))
    with pytest.raises(InvalidInput):
        costs.hook.estimate_run(task_id, **WINDOW, from_earlier_runs=True)
    costs.run(task_id)
    costs.emulator.clear_requests()
    estimate = costs.hook.estimate_run(task_id, **WINDOW, from_earlier_runs=True)
    with pytest.raises(InvalidInput, match=r"max_cost.* from_earlier_runs"):
        estimate.max_spans_within(max_cost=1.0)
    assert len(costs.emulator.requests()) == 1
    assert (estimate.evaluations, estimate.matching_spans, estimate.cost) == ((24, 24), None, None)


@pytest.mark.parametrize(
    "prices",
    [
        {"gpt-4o": {"input": -1, "output": 1}},
        {"gpt-4o": {"input": "$2.5", "output": 10}},
        {"gpt-4o": {"input": 2.5}},
        {"gpt-4o": {"input": 2.5, "output": 10, "currency": "EUR"}},
        {"gpt-4o": {"input": float("nan"), "output": 10}},
        {"gpt-4o": {"input": True, "output": 10}},
        {"gpt-4o": 2.5},
        {"": {"input": 1, "output": 1}},
        {"gpt-4o": {"input": 1, "output": 1}, "GPT-4o": {"input": 2, "output": 2}},
        "2.5 EUR",
        [],
    ],
)
def test_wrong_prices_are_rejected_before_a_request(costs_of: Any, prices: Any) -> None:
    costs = costs_of(spans(1))
    with pytest.raises(InvalidInput, match="prices"):
        costs.hook.estimate_run("T25saW5lVGFzazo0NTpxUndY", **WINDOW, prices=prices)
    assert costs.emulator.requests() == []


@pytest.mark.parametrize("max_spans", [0, -1, "many"])
def test_wrong_max_spans_is_rejected(costs_of: Any, max_spans: Any) -> None:
    with pytest.raises(InvalidInput, match="max_spans"):
        costs_of(spans(1)).hook.estimate_run("T25saW5lVGFzazo0NTpxUndY", **WINDOW, max_spans=max_spans)


def test_max_spans_within_cost_holds_for_evaluators_of_different_shares(costs_of: Any) -> None:
    def of(name: str, evaluations: int, cost: float, granularity: str = "span") -> EvaluatorEstimate:
        return EvaluatorEstimate(
            name=name,
            evaluations=Range(0, evaluations),
            cost=Range(0, cost),
            granularity=granularity,
        )

    costs = costs_of(spans(2))
    estimate = replace(
        costs.hook.estimate_run(costs.task("t", costs.evaluator("a")), **WINDOW),
        max_spans=100,
        evaluations=Range(100, 100),
        cost=Range(0, 200),
        evaluators=(of("all", 100, 100.0), of("few", 10, 100.0)),
    )

    assert estimate.max_spans_within(max_cost=110) == 10
    assert estimate.max_spans_within(max_cost=11) == 1
    assert estimate.max_spans_within(max_cost=200) == 100
    mixed = replace(estimate, evaluators=(of("all", 100, 100.0), of("few", 10, 100.0, "trace")))
    assert mixed.max_spans_within(max_cost=110) == 0


def test_negative_max_tokens_is_no_limit(costs_of: Any) -> None:
    costs = costs_of(spans(2))

    def output(**parameters: Any) -> Any:
        config = {
            "model_name": "gpt-4o",
            "ai_integration_id": costs.integration_id,
            "provider_parameters": {},
        }
        name = f"a{len(parameters)}"
        evaluator = costs.evaluator(name, llm_config={**config, "invocation_parameters": parameters})
        return costs.hook.estimate_run(costs.task(name, evaluator), **WINDOW).output_tokens

    assert output(max_tokens=-1) == output()
