"""One call makes the tasks of a whole eval, and refuses what its operators would."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset

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
}
RULES = {"correctness": {"correct": ">= 0.9"}}
TASK_ID = "T25saW5lVGFzazoxOnFSd1g="


@pytest.fixture
def dag() -> DAG:
    return DAG("evals", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC))


def test_the_tasks_follow_each_other(dag: DAG) -> None:
    with dag:
        before, after = EmptyOperator(task_id="before"), EmptyOperator(task_id="after")
        before >> online_eval("eval", **NEW_TASK, lookback=DAY, rules=RULES) >> after

    order = ["before", "eval.create_task", "eval.run_task", "eval.read_results", "eval.gate", "after"]
    for task, following in itertools.pairwise(order):
        assert following in dag.get_task(task).downstream_task_ids


def test_a_task_that_exists_is_not_created_and_without_rules_there_is_no_gate(dag: DAG) -> None:
    with dag:
        online_eval(online_task_id=TASK_ID, lookback=DAY)

    assert set(dag.task_ids) == {"online_eval.run_task", "online_eval.read_results"}
    assert dag.get_task("online_eval.run_task").online_task_id == TASK_ID


@pytest.mark.parametrize("evaluators", [EVALUATOR, [EVALUATOR], TemplateEvaluator(**EVALUATOR)])
def test_the_gate_knows_the_labels_of_the_evaluators(dag: DAG, evaluators: Any) -> None:
    with dag:
        online_eval(**{**NEW_TASK, "template_evaluators": evaluators}, rules=RULES)

    assert dag.get_task("online_eval.gate").labels == {"correctness": ["correct", "incorrect"]}


def test_a_rule_on_a_label_that_no_evaluator_has_is_refused_when_the_dag_is_parsed(dag: DAG) -> None:
    with dag, pytest.raises(InvalidInput, match="wrong"):
        online_eval(**NEW_TASK, rules={"correctness": {"wrong": "<= 0.1"}})


@pytest.mark.parametrize("given", [{}, {"online_task_id": TASK_ID, "name": "answers"}])
def test_one_task_is_named(dag: DAG, given: dict[str, Any]) -> None:
    with dag, pytest.raises(InvalidInput, match="Give either online_task_id"):
        online_eval(**given)


def test_the_project_is_needed_for_a_new_task(dag: DAG) -> None:
    with dag, pytest.raises(InvalidInput, match="model_id"):
        online_eval(name="answers", template_evaluators=EVALUATOR)


def test_the_arguments_reach_every_task(dag: DAG) -> None:
    judged = Asset("judged")
    with dag:
        online_eval(
            **NEW_TASK, rules=RULES, conn_id="arize_eu", default_args={"retries": 4}, outlets=[judged]
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
def test_the_nearest_connection_counts(
    of_dag: dict[str, Any], of_call: dict[str, Any], expected: str
) -> None:
    with DAG("evals", schedule=None, default_args={"retries": 3, **of_dag}) as dag:
        online_eval(**NEW_TASK, rules=RULES, **of_call)

    assert {task.conn_id for task in dag.tasks} == {expected}
    assert {task.retries for task in dag.tasks} == {3}


def test_what_people_set_reaches_the_operator_that_knows_it(dag: DAG) -> None:
    with dag:
        online_eval(
            **NEW_TASK,
            rules=RULES,
            confidence=0.9,
            on_inconclusive="pass",
            granularity="trace",
            complete_within=DAY,
        )

    assert dag.get_task("online_eval.gate").on_inconclusive == "pass"
    results = dag.get_task("online_eval.read_results")
    assert (results.granularity, results.complete_within) == ("trace", DAY.total_seconds())
