"""Tests for EvalGateOperator: what it pushes and raises, with and without an approval."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from airflow.sdk import Asset, AssetAlias

from airflow_provider_online_tasks._airflow import AirflowSkipException, TaskDeferred
from airflow_provider_online_tasks.exceptions import EvalGateFailed, EvalGateInconclusive, InvalidInput
from airflow_provider_online_tasks.notifications.eval_gate import EvalGateNotifier
from airflow_provider_online_tasks.operators.gate import EvalGateOperator
from airflow_provider_online_tasks.results.history import VERDICT_KEY
from tests.support.questions import record_questions
from tests.support.summaries import results, summary

APPROVED = {"chosen_options": ["Approve"], "responded_by_user": {"id": "1", "name": "Ann"}}
REJECTED = {"chosen_options": ["Reject"], "responded_by_user": {"id": "2", "name": "Bob"}}
TIMED_OUT = {"error": "no response", "error_type": "timeout"}
RELEASE = Asset("release")


class OutletEvents(list[tuple[Any, SimpleNamespace]]):
    """Asset events by outlet. Assets of Airflow 3.0 can't be keys of a dict."""

    def __getitem__(self, outlet: Any) -> Any:
        return next(event for known, event in self if known == outlet)


class Execution:
    """A task instance with its context: keeps XComs in the order of the pushes, and asset events."""

    def __init__(self, *outlets: Any) -> None:
        self.id = uuid4()
        self.pushes: list[tuple[str, Any]] = []
        self.events = OutletEvents((outlet, SimpleNamespace(extra={})) for outlet in outlets)

    @property
    def context(self) -> Any:
        push = lambda key, value: self.pushes.append((key, value))  # noqa: E731
        return {"ti": SimpleNamespace(id=self.id, xcom_push=push, try_number=1), "outlet_events": self.events}

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


def test_approval_rejected_fails_and_is_in_record_and_result() -> None:
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


def test_exception_with_odd_label_is_one_short_line() -> None:
    label = "in\u202ecorrect\n" + "x" * 300
    given = summary(e=results(labels={label: 1, "other": 9}))
    operator = EvalGateOperator(task_id="gate", summary=given, rules={"e": {label: ">= 0.9"}})

    with pytest.raises(EvalGateFailed) as failed:
        operator.execute(Execution().context)

    text = str(failed.value)
    assert text.isprintable()
    assert len(text) < 300


def test_asset_event_of_failed_gate_has_rules_and_no_examples() -> None:
    example = {"span_id": "s", "trace_id": "t", "label": "incorrect", "input": "a customer's question"}
    execution = Execution(RELEASE)
    operator = gate(found(50, 50, examples=[example]), outlets=[RELEASE, AssetAlias("models")])

    with pytest.raises(EvalGateFailed) as failed:
        operator.execute(execution.context)

    extra = execution.events[RELEASE].extra
    assert (extra["outcome"], extra["run_id"]) == ("failed", "R")
    assert "customer" not in str(extra)
    assert failed.value.verdict["examples"][0]["input"] == "a customer's question"


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


@pytest.mark.parametrize("confidence", [0.49, 1, 1 - 1e-16, 0.9999999, True, "0.95"])
def test_confidence_out_of_range_is_rejected(confidence: Any) -> None:
    with pytest.raises(InvalidInput):
        gate(found(1, 1), confidence=confidence)


@pytest.mark.parametrize("share", [1, 20, 250])
def test_highest_confidence_is_accepted_also_for_many_segments(share: int) -> None:
    parts = {f"part {number}": results(labels={"correct": share, "incorrect": 9}) for number in range(500)}
    given = found(share * 500, 4_500, segments=parts)
    rules = {"e": {"each_segment": {"correct": ">= 0.9999"}}}
    operator = EvalGateOperator(task_id="gate", summary=given, rules=rules, confidence=0.999999)
    with pytest.raises(EvalGateFailed):
        operator.execute(Execution().context)


def test_rule_impossible_with_confidence_rejected_at_parse_time() -> None:
    rules = {"e": {"correct": ">= 100%"}}
    EvalGateOperator(task_id="gate", summary=found(1, 1), rules=rules)
    with pytest.raises(InvalidInput):
        EvalGateOperator(task_id="gate", summary=found(1, 1), rules=rules, confidence=0.95)


@pytest.mark.parametrize("rate", [-0.1, 1.1, True, "0.1"])
def test_max_error_rate_out_of_range_is_rejected(rate: Any) -> None:
    with pytest.raises(InvalidInput):
        gate(found(1, 1), max_error_rate=rate)


def test_literal_baseline_without_evaluators_is_rejected_at_parse_time() -> None:
    with pytest.raises(InvalidInput):
        gate(found(1, 1), baseline=[found(1, 1), {"labels": {}}])


# -- asking a person


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    return record_questions(monkeypatch)


@pytest.mark.since_airflow("3.1", "required actions")
@pytest.mark.parametrize(
    ("counts", "argument", "outcome"),
    [((50, 50), "on_failure", "failed"), ((19, 1), "on_inconclusive", "inconclusive")],
)
def test_ask_shows_outcome_rules_and_examples_and_pushes_the_verdict(
    questions: list[dict[str, Any]], counts: tuple[int, int], argument: str, outcome: str
) -> None:
    example = {"span_id": "s", "label": "incorrect", "input": "a question"}
    execution = Execution()
    operator = gate(
        found(*counts, examples=[example]),
        confidence=0.95,
        response_timeout=3600,
        **{argument: "ask"},
    )

    with pytest.raises(TaskDeferred):
        operator.execute(execution.context)

    [question] = questions
    assert outcome in question["subject"]
    assert "min\\_evaluated" in question["body"]
    assert "a question" in question["body"]
    assert question["options"] == ["Approve", "Reject"]
    assert question["response_timeout"] == timedelta(hours=1)
    assert execution.xcoms["return_value"]["outcome"] == outcome


@pytest.mark.since_airflow("3.1", "required actions")
def test_ask_on_failure_does_not_ask_about_an_inconclusive_gate(questions: list[dict[str, Any]]) -> None:
    with pytest.raises(EvalGateInconclusive):
        gate(found(19, 1), confidence=0.95, on_failure="ask").execute(Execution().context)
    assert questions == []


@pytest.mark.since_airflow("3.1", "required actions")
def test_ask_without_timeout_waits_without_limit(questions: list[dict[str, Any]]) -> None:
    with pytest.raises(TaskDeferred):
        gate(found(50, 50), on_failure="ask").execute(Execution().context)
    assert questions[0]["response_timeout"] is None


@pytest.mark.since_airflow("3.1", "required actions")
def test_ask_about_one_rule_asks_only_if_this_rule_is_inconclusive(questions: list[dict[str, Any]]) -> None:
    rules = {"e": {"correct": ">= 0.9", "max_drop": 0.02, "on_inconclusive": {"max_drop": "ask"}}}
    operator = EvalGateOperator(task_id="gate", summary=found(300, 0), rules=rules, confidence=0.95)
    with pytest.raises(TaskDeferred):
        operator.execute(Execution().context)
    operator.summary = found(30, 0) | {"baseline": {"evaluators": {"e": results(labels={"correct": 300})}}}
    with pytest.raises(EvalGateInconclusive):
        operator.execute(Execution().context)
    assert len(questions) == 1


@pytest.mark.since_airflow("3.1", "required actions")
def test_gate_that_cannot_show_its_results_does_not_ask(questions: list[dict[str, Any]]) -> None:
    execution = Execution()
    for _ in range(2):  # the same results again
        with pytest.raises(TaskDeferred):
            gate(found(50, 50), on_failure="ask").execute(execution.context)

    with pytest.raises(EvalGateFailed) as raised:
        gate(found(1, 99), on_failure="ask").execute(execution.context)

    assert raised.value.verdict["passed"] is False
    assert len(questions) == 2


@pytest.mark.since_airflow("3.1", "required actions")
def test_ask_passes_notifiers_on(questions: list[dict[str, Any]]) -> None:
    notifiers = [EvalGateNotifier(lambda context: None)]  # type: ignore[arg-type]
    with pytest.raises(TaskDeferred):
        gate(found(50, 50), on_failure="ask", notifiers=notifiers).execute(Execution().context)
    assert questions[0]["notifiers"] == notifiers


@pytest.mark.parametrize("notifiers", ["slack", [EvalGateNotifier], 5])
def test_notifiers_that_are_none_are_rejected(notifiers: Any) -> None:
    with pytest.raises(InvalidInput):
        gate(found(1, 1), notifiers=notifiers)


# -- arguments reach the check


@pytest.mark.parametrize(
    ("given", "arguments"),
    [
        (found(95, 5) | {"complete": None}, {"accept_unverified": True}),
        (found(95, 5) | {"errors": 60, "expected": 100}, {"max_error_rate": 0.5}),
    ],
)
def test_argument_that_accepts_more_lets_the_gate_pass(given: Any, arguments: dict[str, Any]) -> None:
    with pytest.raises(EvalGateFailed):
        gate(given).execute(Execution().context)
    assert gate(given, **arguments).execute(Execution().context)["passed"] is True


def test_argument_min_evaluated_is_the_default_of_each_evaluator() -> None:
    with pytest.raises(EvalGateFailed) as failed:
        gate(found(95, 5), min_evaluated=101).execute(Execution().context)
    rules = {rule["measure"]: rule["rule"] for rule in failed.value.verdict["rules"]}
    assert rules["min_evaluated"] == ">= 101"


def test_argument_baseline_overrides_that_of_the_summary() -> None:
    rules = {"e": {"correct": ">= 0.5", "max_drop": 0.02}}
    same = {"evaluators": {"e": results(labels={"correct": 870, "incorrect": 130})}}
    given = found(870, 130) | {"baseline": same}
    other = {"evaluators": {"e": results(labels={"correct": 950, "incorrect": 50})}}
    own = EvalGateOperator(task_id="gate", summary=given, rules=rules)
    assert own.execute(Execution().context)["passed"] is True
    with pytest.raises(EvalGateFailed):
        EvalGateOperator(task_id="gate", summary=given, rules=rules, baseline=other).execute(
            Execution().context
        )


def test_argument_labels_rejects_rules_on_unknown_labels() -> None:
    with pytest.raises(InvalidInput):
        gate(found(1, 1), labels={"e": ["right", "wrong"]})
    templated = gate(found(1, 1), labels="{{ params.labels }}")
    templated.labels = {"e": ["right", "wrong"]}
    with pytest.raises(InvalidInput):
        templated.execute(Execution().context)


def test_argument_score_ranges_decides_rules_on_means() -> None:
    given = summary(e=results(mean=0.9, variance=0.01, scored=50))
    rules = {"e": {"score_mean": ">= 0.7"}}
    arguments: dict[str, Any] = {"task_id": "gate", "summary": given, "rules": rules, "confidence": 0.95}
    with pytest.raises(EvalGateInconclusive):
        EvalGateOperator(**arguments).execute(Execution().context)
    ranged = EvalGateOperator(**arguments, score_ranges={"e": (0, 1)})
    assert ranged.execute(Execution().context)["passed"] is True
    with pytest.raises(InvalidInput):
        EvalGateOperator(**arguments, score_ranges={"e": (1, 0)})


@pytest.mark.parametrize("arguments", [{"labels": ["correct"]}, {"score_ranges": (0, 1)}])
def test_literals_next_to_templated_rules_are_checked_at_parse_time(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        EvalGateOperator(task_id="gate", summary=found(1, 1), rules="{{ params.rules }}", **arguments)
