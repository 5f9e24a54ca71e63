"""Tests for EvalGateOperator: what it pushes and raises, with and without an approval."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Asset, AssetAlias

from airflow_provider_online_tasks._airflow import AirflowSkipException
from airflow_provider_online_tasks.exceptions import EvalGateFailed, EvalGateInconclusive, InvalidInput
from airflow_provider_online_tasks.operators.gate import EvalGateOperator
from airflow_provider_online_tasks.results.history import VERDICT_KEY
from tests.support.summaries import results, summary

APPROVED = {"chosen_options": ["Approve"], "responded_by_user": {"id": "1", "name": "Ann"}}
REJECTED = {"chosen_options": ["Reject"], "responded_by_user": {"id": "2", "name": "Bob"}}
TIMED_OUT = {"error": "no response", "error_type": "timeout"}
RELEASE = Asset("release")


class Execution:
    """A task instance with its context: keeps XComs in the order of the pushes, and asset events."""

    def __init__(self, *outlets: Any) -> None:
        self.pushes: list[tuple[str, Any]] = []
        self.events = {outlet: SimpleNamespace(extra={}) for outlet in outlets}

    @property
    def context(self) -> Any:
        push = lambda key, value: self.pushes.append((key, value))  # noqa: E731
        return {"ti": SimpleNamespace(xcom_push=push, try_number=1), "outlet_events": self.events}

    @property
    def xcoms(self) -> dict[str, Any]:
        return dict(self.pushes)


def found(correct: int, incorrect: int, **more: Any) -> dict[str, Any]:
    window = {"data_start_time": "2026-01-01T00:00:00Z", "data_end_time": "2026-01-02T00:00:00Z"}
    figures = results(labels={"correct": correct, "incorrect": incorrect}, **more)
    return summary(e=figures) | window | {"run_id": "R", "online_task_id": "T", "project_id": "P"}


def gate(given: Any, **arguments: Any) -> EvalGateOperator:
    return EvalGateOperator(task_id="gate", summary=given, rules={"e": {"correct": ">= 0.9"}}, **arguments)


def test_approval_given_is_in_record_event_and_result() -> None:
    execution = Execution(RELEASE)
    operator = gate(found(50, 50), outlets=[RELEASE])

    verdict = operator.execute_complete(execution.context, APPROVED)

    assert (verdict["passed"], verdict["approved"], verdict["responded_by"]) == (False, True, "Ann")
    for reported in (execution.xcoms[VERDICT_KEY], execution.events[RELEASE].extra):
        assert (reported["approved"], reported["responded_by"]) == (True, "Ann")


def test_approval_refused_fails_and_is_in_record_and_result() -> None:
    execution = Execution(RELEASE)
    operator = gate(found(50, 50), outlets=[RELEASE])

    with pytest.raises(EvalGateFailed) as failed:
        operator.execute_complete(execution.context, REJECTED)

    for reported in (
        failed.value.verdict,
        execution.xcoms[VERDICT_KEY],
        execution.xcoms["return_value"],
        execution.events[RELEASE].extra,
    ):
        assert (reported["approved"], reported["responded_by"]) == (False, "Bob")


@pytest.mark.parametrize("event", [TIMED_OUT, None, {}, {"chosen_options": ["Approve", "Reject"]}, "Approve"])
def test_approval_without_clear_response_fails(event: Any) -> None:
    execution = Execution()

    with pytest.raises(EvalGateFailed):
        gate(found(50, 50)).execute_complete(execution.context, event)

    assert execution.xcoms[VERDICT_KEY]["approved"] is False


def test_approval_of_inconclusive_gate_keeps_outcome() -> None:
    operator = gate(found(19, 1), confidence=0.95)

    verdict = operator.execute_complete(Execution().context, APPROVED)

    assert (verdict["outcome"], verdict["approved"]) == ("inconclusive", True)


def test_asset_event_of_failed_gate_has_rules_and_no_examples() -> None:
    example = {"span_id": "s", "trace_id": "t", "label": "incorrect", "input": "a customer's question"}
    execution = Execution(RELEASE)
    operator = gate(found(50, 50, lowest_scoring_examples=[example]), outlets=[RELEASE, AssetAlias("models")])

    with pytest.raises(EvalGateFailed) as failed:
        operator.execute(execution.context)

    extra = execution.events[RELEASE].extra
    assert (extra["outcome"], extra["run_id"]) == ("failed", "R")
    assert "customer" not in str(extra)
    assert failed.value.verdict["lowest_scoring_examples"][0]["input"] == "a customer's question"


@pytest.mark.parametrize(
    ("counts", "arguments", "outcome"),
    [
        ((50, 50), {"on_failure": "fail"}, EvalGateFailed),
        ((50, 50), {"on_failure": "skip"}, AirflowSkipException),
        ((19, 1), {"on_inconclusive": "fail"}, EvalGateInconclusive),
        ((19, 1), {"on_inconclusive": "skip"}, AirflowSkipException),
        ((50, 50), {"on_failure": "skip", "on_inconclusive": "pass"}, AirflowSkipException),
        ((19, 1), {"on_failure": "skip", "on_inconclusive": "fail"}, EvalGateInconclusive),
    ],
)
def test_gate_that_does_not_pass_reacts_as_told(
    counts: tuple[int, int], arguments: dict[str, Any], outcome: type[Exception]
) -> None:
    execution = Execution()

    with pytest.raises(outcome) as raised:
        gate(found(*counts), confidence=0.95, **arguments).execute(execution.context)

    assert raised.type is outcome
    assert execution.xcoms["return_value"]["passed"] is False


def test_gate_executed_again_with_better_results_passes() -> None:
    execution = Execution()
    operator = gate(found(50, 50))
    with pytest.raises(EvalGateFailed):
        operator.execute(execution.context)

    operator.summary = found(95, 5)
    verdict = operator.execute(execution.context)

    assert verdict["passed"] is True
    assert execution.xcoms[VERDICT_KEY]["outcome"] == "passed"
    assert "approved" not in verdict


@pytest.mark.parametrize("confidence", [0.49, 1, True, "0.95"])
def test_confidence_out_of_range_is_rejected(confidence: Any) -> None:
    with pytest.raises(InvalidInput):
        gate(found(1, 1), confidence=confidence)


@pytest.mark.parametrize("rate", [-0.1, 1.1, True, "0.1"])
def test_max_error_rate_out_of_range_is_rejected(rate: Any) -> None:
    with pytest.raises(InvalidInput):
        gate(found(1, 1), max_error_rate=rate)


def test_literal_baseline_without_evaluators_is_rejected_at_parse_time() -> None:
    with pytest.raises(InvalidInput):
        gate(found(1, 1), baseline=[found(1, 1), {"labels": {}}])
