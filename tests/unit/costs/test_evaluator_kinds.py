"""Tests for estimates of tasks with each kind of evaluator, against the run itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_online_tasks.api.responses import Task
from airflow_provider_online_tasks.exceptions import InvalidInput
from tests.unit.costs.conftest import MAPPINGS, WINDOW, spans

NAMED = {"filters": [{"id": "A", "filter": "attributes.input.value LIKE 'question %'"}], "expression": "A"}
MAPPED = {"variable_name": "output", "query_ids": ["A"], "attribute_path": "attributes.output.value"}


def check_contains(costs: Any, task_id: str) -> Any:
    """Estimate a run, run it, and check that each range contains what was spent."""
    estimate = costs.hook.estimate_run(task_id, **WINDOW)
    run = costs.run(task_id)
    spent = costs.emulator.usage()
    assert estimate.evaluations.low <= run["num_successes"] + run["num_errors"] <= estimate.evaluations.high
    calls = sum(each.evaluations.low for each in estimate.evaluators if each.input_tokens != (0, 0))
    assert calls <= spent["calls"]
    assert estimate.input_tokens.low <= spent["input_tokens"] <= estimate.input_tokens.high
    assert estimate.output_tokens.low <= spent["output_tokens"] <= estimate.output_tokens.high
    return estimate


@pytest.fixture
def given() -> list[dict[str, Any]]:
    """Spans of ten traces and five sessions; two spans have no session."""
    listed = spans(40)
    for number, span in enumerate(listed[:-2]):
        span["attributes"]["session.id"] = f"session-{number // 8}"
    return listed


def test_sessions_are_evaluated_once_each(costs_of: Any, given: list[dict[str, Any]]) -> None:
    costs = costs_of(given)
    evaluator_id = costs.evaluator("whole_session", data_granularity="SESSION", template="{output} good?")
    evaluator = {"evaluator_id": evaluator_id, "query_mappings": [MAPPED]}
    estimate = check_contains(costs, costs.task("t", evaluator, query_filters=NAMED))
    assert estimate.evaluations == (5, 5)


@pytest.mark.parametrize("granularity", ["TRACE", "SESSION"])
def test_prompts_of_many_spans_are_read_completely(costs_of: Any, granularity: str) -> None:
    listed = spans(1_200, **{"output.value": "a rather long answer " * 10})
    for number, span in enumerate(listed):
        # Twelve that run at the same time, of 100 spans each.
        span["trace_id"] = f"{number % 12:032x}"
        span["attributes"]["session.id"] = f"user {number % 12}@example.org | 1"
    costs = costs_of(listed)
    evaluator_id = costs.evaluator("long", data_granularity=granularity, template="{output} good?")
    evaluator = {"evaluator_id": evaluator_id, "query_mappings": [MAPPED]}
    check_contains(costs, costs.task("t", evaluator, query_filters=NAMED))


def test_prompts_of_more_spans_than_a_batch_can_read_are_read_one_by_one(costs_of: Any) -> None:
    listed = spans(5_000, **{"output.value": "long answer"})
    for number, span in enumerate(listed):
        # Five that run at the same time, of 1,000 spans each.
        span["attributes"]["session.id"] = f"session {number % 5}"
    costs = costs_of(listed)
    evaluator_id = costs.evaluator("long", data_granularity="SESSION", template="{output} good?")
    evaluator = {"evaluator_id": evaluator_id, "query_mappings": [MAPPED]}
    check_contains(costs, costs.task("t", evaluator, query_filters=NAMED))


def test_prompt_of_too_many_spans_is_estimated_from_those_that_were_read(costs_of: Any) -> None:
    listed = [{**span, "trace_id": "a" * 32} for span in spans(11_000)]
    costs = costs_of(listed)
    evaluator_id = costs.evaluator("long", data_granularity="TRACE", template="{output} good?")
    evaluator = {"evaluator_id": evaluator_id, "query_mappings": [MAPPED]}
    task_id = costs.task("t", evaluator, query_filters=NAMED)
    costs.emulator.clear_requests()

    estimate = costs.hook.estimate_run(task_id, **WINDOW)

    assert estimate.input_tokens.low > 2_000
    assert any("exceed" in sentence for sentence in estimate.assumptions)
    assert len(costs.emulator.requests()) <= 21


@pytest.mark.parametrize("length", [101, 199])
def test_long_session_id_has_known_tokens(costs_of: Any, given: list[dict[str, Any]], length: int) -> None:
    for span in given[:-2]:
        span["attributes"]["session.id"] = span["attributes"]["session.id"].ljust(length, "x")
    costs = costs_of(given)
    evaluator_id = costs.evaluator("whole_session", data_granularity="SESSION", template="{output} good?")
    evaluator = {"evaluator_id": evaluator_id, "query_mappings": [MAPPED]}
    check_contains(costs, costs.task("t", evaluator, query_filters=NAMED))


def test_texts_that_could_not_be_read_are_reported_for_max_cost(
    costs_of: Any, given: list[dict[str, Any]]
) -> None:
    for span in given[:-2]:
        span["attributes"]["session.id"] += "'"  # can't be used in a filter
    costs = costs_of(given)
    evaluator_id = costs.evaluator("whole_session", data_granularity="SESSION", template="{output} good?")
    evaluator = {"evaluator_id": evaluator_id, "query_mappings": [MAPPED]}
    task_id = costs.task("t", evaluator, query_filters=NAMED)
    estimate = costs.hook.estimate_run(task_id, **WINDOW, prices={"gpt-4o": {"input": 2.5, "output": 10}})

    with pytest.raises(InvalidInput) as raised:
        estimate.max_spans_within(max_cost=1.0)

    [unread] = [sentence for sentence in estimate.assumptions if "whole_session" in sentence]
    assert unread in str(raised.value)


def test_evaluator_with_its_own_filter_evaluates_at_most_all(costs_of: Any) -> None:
    costs = costs_of(spans(20))
    evaluator = {
        "evaluator_id": costs.evaluator("answers"),
        "column_mappings": MAPPINGS,
        "query_filter": "attributes.input.value = 'question 3'",
    }
    estimate = check_contains(costs, costs.task("t", evaluator))
    assert estimate.evaluations == (0, 20)


def test_pinned_version_is_estimated(costs_of: Any) -> None:
    costs = costs_of(spans(5))
    evaluator_id = costs.evaluator("answers", template="{output}")
    (pinned,) = costs.hook.estimate_run(costs.task("newest", evaluator_id), **WINDOW).evaluators
    assert pinned.version_id is not None
    evaluator = {
        "evaluator_id": evaluator_id,
        "column_mappings": MAPPINGS,
        "evaluator_version_id": pinned.version_id,
    }
    (same,) = costs.hook.estimate_run(costs.task("pinned", evaluator), **WINDOW).evaluators
    assert same == pinned


def test_task_without_evaluators_evaluates_nothing(costs_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    costs = costs_of(spans(10))
    task_id = costs.task("t", costs.evaluator("answers"))
    read = Task.from_wire
    monkeypatch.setattr(Task, "from_wire", lambda value: replace(read(value), evaluators=()))
    estimate = costs.hook.estimate_run(task_id, **WINDOW)
    assert (estimate.matching_spans, estimate.evaluations, estimate.cost) == ((10, 10), (0, 0), (0, 0))
