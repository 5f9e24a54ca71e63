"""Tests for online_eval(): the tasks of the group, their arguments, and rejected arguments."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset
from airflow.timetables.assets import AssetOrTimeSchedule
from airflow.timetables.simple import NullTimetable
from airflow.timetables.trigger import CronTriggerTimetable

from airflow_provider_online_tasks import InvalidInput, TemplateEvaluator, online_eval

DAY = timedelta(days=1)
EVALUATOR = {
    "name": "correctness",
    "template": "{attributes.output.value}?",
    "rails": ["correct", "incorrect"],
}
NEW_TASK: dict[str, Any] = {
    "name": "answers",
    "model_id": "TW9kZWw6MTphYmNk",
    "template_evaluators": EVALUATOR,
    "llm_config": {"model_name": "GPT_4o", "provider": "openAI"},
}
CRON = CronTriggerTimetable("0 3 * * *", timezone="UTC")
RULES = {"correctness": {"correct": ">= 0.9"}}
TASK_ID = "T25saW5lVGFzazoxOnFSd1g="


@pytest.fixture
def dag() -> DAG:
    return DAG("evals", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC))


def test_tasks_of_a_new_eval_task_run_in_order(dag: DAG) -> None:
    with dag:
        before, after = EmptyOperator(task_id="before"), EmptyOperator(task_id="after")
        before >> online_eval("eval", **NEW_TASK, lookback=DAY, rules=RULES) >> after

    order = ["before", "eval.create_task", "eval.run_task", "eval.read_results", "eval.gate", "after"]
    for task, following in itertools.pairwise(order):
        assert following in dag.get_task(task).downstream_task_ids


def test_existing_eval_task_without_rules_has_two_tasks(dag: DAG) -> None:
    with dag:
        online_eval(online_task_id=TASK_ID, lookback=DAY)

    assert set(dag.task_ids) == {"online_eval.run_task", "online_eval.read_results"}
    assert dag.get_task("online_eval.run_task").online_task_id == TASK_ID


@pytest.mark.parametrize("evaluators", [EVALUATOR, [EVALUATOR], TemplateEvaluator(**EVALUATOR)])
def test_gate_gets_the_labels_of_the_evaluators(dag: DAG, evaluators: Any) -> None:
    with dag:
        online_eval(**{**NEW_TASK, "template_evaluators": evaluators}, rules=RULES)

    assert dag.get_task("online_eval.gate").labels == {"correctness": ["correct", "incorrect"]}


def test_rule_on_unknown_label_is_rejected_at_parse_time(dag: DAG) -> None:
    with dag, pytest.raises(InvalidInput):
        online_eval(**NEW_TASK, rules={"correctness": {"wrong": "<= 0.1"}})


@pytest.mark.parametrize("given", [{}, {"online_task_id": TASK_ID, "name": "answers"}])
def test_eval_task_neither_named_nor_given_or_both_is_rejected(dag: DAG, given: dict[str, Any]) -> None:
    with dag, pytest.raises(InvalidInput):
        online_eval(**given)


def test_new_eval_task_without_project_is_rejected(dag: DAG) -> None:
    with dag, pytest.raises(InvalidInput):
        online_eval(name="answers", template_evaluators=EVALUATOR)


def test_shared_arguments_reach_every_task_and_outlets_the_last(dag: DAG) -> None:
    evaluated = Asset("evaluated")
    with dag:
        online_eval(
            **NEW_TASK, rules=RULES, conn_id="arize_eu", default_args={"retries": 4}, outlets=[evaluated]
        )

    assert {task.conn_id for task in dag.tasks if hasattr(task, "conn_id")} == {"arize_eu"}
    assert {task.retries for task in dag.tasks} == {4}
    assert [task.task_id for task in dag.tasks if task.outlets] == ["online_eval.gate"]


@pytest.mark.parametrize(
    ("of_dag", "of_call", "expected"),
    [
        ({}, {}, "arize_online_tasks_default"),
        ({"conn_id": "dags"}, {}, "dags"),
        ({"conn_id": "dags"}, {"default_args": {"conn_id": "groups"}}, "groups"),
        ({"conn_id": "dags"}, {"default_args": {"conn_id": "groups"}, "conn_id": "calls"}, "calls"),
    ],
)
def test_connection_of_the_call_overrides_group_and_dag(
    of_dag: dict[str, Any], of_call: dict[str, Any], expected: str
) -> None:
    with DAG("evals", schedule=None, default_args={"retries": 3, **of_dag}) as dag:
        online_eval(**NEW_TASK, rules=RULES, **of_call)

    assert {task.conn_id for task in dag.tasks} == {expected}
    assert {task.retries for task in dag.tasks} == {3}


def test_arguments_reach_the_operator_they_belong_to(dag: DAG) -> None:
    with dag:
        online_eval(
            **NEW_TASK,
            rules=RULES,
            confidence=0.9,
            on_inconclusive="pass",
            granularity="trace",
            complete_within=DAY,
        )

    gate = dag.get_task("online_eval.gate")
    assert (gate.on_inconclusive, gate.on_failure, gate.confidence) == ("pass", "fail", 0.9)
    results = dag.get_task("online_eval.read_results")
    assert (results.granularity, results.complete_within) == ("trace", DAY.total_seconds())


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ({"correct": 1, "incorrect": 0}, {"correctness": (0, 1)}),
        ({"correct": 5, "incorrect": 1}, {"correctness": (1, 5)}),
        ({"correct": "{{ 1 }}", "incorrect": 0}, None),
        ({"correct": 1, "incorrect": 1}, None),
        (None, None),
    ],
)
def test_gate_gets_the_score_range_of_the_choices(dag: DAG, choices: Any, expected: Any) -> None:
    evaluators = {**NEW_TASK["template_evaluators"], "classification_choices": choices}
    if choices is None:
        del evaluators["classification_choices"]
    with dag:
        online_eval(
            **{**NEW_TASK, "template_evaluators": evaluators}, rules={"correctness": {"correct": ">= 0.9"}}
        )
    assert dag.get_task("online_eval.gate").score_ranges == expected


def test_two_groups_in_one_dag_keep_their_own_tasks_and_labels(dag: DAG) -> None:
    other = {**EVALUATOR, "name": "tone", "rails": ["polite", "rude"]}
    with dag:
        online_eval("one", **NEW_TASK, rules=RULES)
        online_eval("two", **{**NEW_TASK, "template_evaluators": other}, rules={"tone": {"polite": ">= 0.9"}})

    assert dag.get_task("one.gate").labels == {"correctness": ["correct", "incorrect"]}
    assert dag.get_task("two.gate").labels == {"tone": ["polite", "rude"]}
    assert dag.get_task("one.gate").upstream_task_ids == {"one.read_results"}


def test_outlets_without_rules_belong_to_the_results(dag: DAG) -> None:
    with dag:
        online_eval(online_task_id=TASK_ID, lookback=DAY, outlets=[Asset("evaluated")])

    assert [task.task_id for task in dag.tasks if task.outlets] == ["online_eval.read_results"]


def test_labels_given_override_labels_of_evaluators(dag: DAG) -> None:
    labels = {"correctness": ["correct", "incorrect", "unsure"]}
    with dag:
        online_eval(**NEW_TASK, rules={"correctness": {"unsure": "<= 0.1"}}, labels=labels)

    assert dag.get_task("online_eval.gate").labels == labels


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"template_evaluators": [TemplateEvaluator(**EVALUATOR)]},
        {"template_evaluators": {**EVALUATOR, "name": "tone"}, "read_evaluators": ["tone", "format"]},
        {"template_evaluators": None, "evaluators": [{"evaluator_id": "RTox"}], "read_evaluators": "hub"},
    ],
)
def test_rule_on_evaluator_that_the_call_does_not_define_is_rejected(dag: DAG, given: dict[str, Any]) -> None:
    with dag, pytest.raises(InvalidInput, match="corectness"):
        online_eval(**{**NEW_TASK, **given}, rules={"corectness": {"score_mean": ">= 0.9"}})


@pytest.mark.parametrize("given", [NEW_TASK, {"online_task_id": TASK_ID}])
def test_rules_on_human_labels_are_rejected(dag: DAG, given: dict[str, Any]) -> None:
    with dag, pytest.raises(InvalidInput, match="human_labels"):
        online_eval(**given, rules={"correctness": {"calibrated": {"correct": ">= 0.9"}}})


@pytest.mark.parametrize(
    "given",
    [
        {**NEW_TASK, "template_evaluators": None, "evaluators": [{"evaluator_id": "RTox"}]},
        {**NEW_TASK, "template_evaluators": {**EVALUATOR, "name": "{{ params.name }}"}},
        {**NEW_TASK, "template_evaluators": [EVALUATOR, {**EVALUATOR, "name": "tone"}]},
        {"online_task_id": TASK_ID},
        {"online_task_id": TASK_ID, "read_evaluators": ["tone"]},
        {"online_task_id": TASK_ID, "read_evaluators": "{{ params.name }}"},
    ],
)
def test_rule_on_evaluator_that_may_exist_is_allowed(dag: DAG, given: dict[str, Any]) -> None:
    with dag:
        online_eval(**given, rules={"tone": {"score_mean": ">= 0.9"}})

    assert dag.has_task("online_eval.gate")


@pytest.mark.parametrize(
    "given",
    [
        {"template_evaluators": EVALUATOR},
        {"evaluators": [{"evaluator_id": "RTox"}]},
        {"project": "support"},
        {"query_filter": "name = 'x'"},
        {"run_continuously": True},
        {"sampling_rate": 0.1},
        {"sampling_rate": "{{ params.rate }}"},
        {"if_exists": "skip"},
    ],
)
def test_argument_of_a_new_eval_task_with_an_existing_one_is_rejected(
    dag: DAG, given: dict[str, Any]
) -> None:
    with dag, pytest.raises(InvalidInput, match=next(iter(given))):
        online_eval(online_task_id=TASK_ID, **given)


def test_cost_limit_for_evaluators_of_unknown_cost_is_rejected(dag: DAG) -> None:
    with dag, pytest.raises(InvalidInput, match="max_cost"):
        online_eval(**NEW_TASK, max_cost=5)


@pytest.mark.parametrize("given", [{"evaluators": {"evaluator_id": "RXZhbHVhdG9yOjE6YWJjZA=="}}, {}])
def test_cost_limit_that_may_be_checked_is_accepted(dag: DAG, given: dict[str, Any]) -> None:
    if given:
        named = {"name": "answers", "model_id": NEW_TASK["model_id"], **given}
        limit: float | str = 5
    else:
        named, limit = NEW_TASK, "{{ params.max_cost }}"
    with dag:
        online_eval(**named, max_cost=limit)

    assert dag.get_task("online_eval.run_task").max_cost == limit


def test_every_argument_reaches_its_operator(dag: DAG) -> None:
    of_run: dict[str, Any] = {"override_evaluations": True, "partition_length": DAY}
    of_results: dict[str, Any] = {"scope": "run", "direction": "minimize", "group_by": "attributes.user"}
    of_gate: dict[str, Any] = {
        "min_evaluated": 7,
        "across_evaluator_versions": True,
        "accept_unverified": True,
        "response_timeout": DAY,
    }
    with dag:
        online_eval(
            **NEW_TASK,
            rules=RULES,
            run_continuously=True,
            read_evaluators=["correctness"],
            **of_run,
            **of_results,
            **of_gate,
        )

    assert dag.get_task("online_eval.create_task").run_continuously is True
    results = dag.get_task("online_eval.read_results")
    assert results.evaluators == ["correctness"]
    for name, arguments in (("run_task", of_run), ("read_results", of_results), ("gate", of_gate)):
        task = dag.get_task(f"online_eval.{name}")
        assert {key: getattr(task, key) for key in arguments} == arguments


@pytest.mark.parametrize(
    ("given", "of_run", "of_gate"), [({}, None, 0.05), ({"max_error_rate": 0.2}, 0.2, 0.2)]
)
def test_max_error_rate_is_that_of_the_run_and_of_the_gate(
    dag: DAG, given: dict[str, Any], of_run: float | None, of_gate: float
) -> None:
    with dag:
        online_eval(**NEW_TASK, rules=RULES, **given)

    rates = [dag.get_task(f"online_eval.{name}").max_error_rate for name in ("run_task", "gate")]
    assert rates == [of_run, of_gate]


@pytest.mark.parametrize(
    ("schedule", "given", "expected"),
    [
        ("@daily", {}, (None, 1)),
        (DAY, {}, (None, 1)),
        (CRON, {}, (None, 1)),
        (AssetOrTimeSchedule(timetable=CRON, assets=[Asset("answers")]), {}, (None, 1)),
        (NullTimetable(), {}, (None, None)),
        (Asset("answers"), {}, (None, None)),
        ([Asset("answers")], {}, (None, None)),
        (Asset("answers") | Asset("labels"), {}, (None, None)),
        (DAY, {"false_alarms_per_year": 4}, (None, 4)),
        ("@daily", {"false_alarms_per_year": None}, (None, None)),
        ("@daily", {"confidence": 0.95}, (0.95, None)),
        ("@daily", {"baseline": DAY}, (None, None)),
        (None, {}, (None, None)),
        ("@once", {}, (None, None)),
        (None, {"false_alarms_per_year": 4}, (None, 4)),
    ],
)
def test_gate_of_a_dag_that_runs_at_regular_times_has_a_budget_of_false_alarms(
    schedule: Any, given: dict[str, Any], expected: tuple[float | None, float | None]
) -> None:
    with DAG("evals", schedule=schedule, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        online_eval(**NEW_TASK, rules=RULES, **given)

    gate = dag.get_task("online_eval.gate")
    assert (gate.confidence, gate.false_alarms_per_year) == expected


@pytest.mark.since_airflow("3.3", "partitioned assets")
def test_gate_of_a_dag_that_partitioned_assets_start_compares_measured_values() -> None:
    from airflow.sdk import PartitionedAssetTimetable

    with DAG("evals", schedule=PartitionedAssetTimetable(assets=Asset("answers"))) as dag:
        online_eval(**NEW_TASK, rules=RULES)

    assert dag.get_task("online_eval.gate").false_alarms_per_year is None
