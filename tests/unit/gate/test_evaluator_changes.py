"""A judge whose version changed since the baseline began, as the Eval Hub lists it, is not compared."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from airflow_provider_online_tasks.emulator import Emulator, Fault
from airflow_provider_online_tasks.exceptions import OnlineTasksError
from airflow_provider_online_tasks.gate.rules import read_rules
from airflow_provider_online_tasks.gate.verdict import judge
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.inputs import EvalTaskInput, RunInput
from airflow_provider_online_tasks.operators.gate import EvalGateOperator
from tests.support.evaluated_runs import NOW, read
from tests.support.summaries import results, summary

MIDDLE = NOW - timedelta(hours=12)
NAME = "json_parseable"


def judged(arize: Emulator, *names: str, pinned: str | None = None) -> str:
    """Evaluate the two days before the middle, and what came after it; return the second run."""
    with OnlineTasksHook() as hook:
        task = {"name": "t", "model_id": arize.project_id}
        pin = {} if pinned is None else {"evaluator_version_id": pinned}
        evaluators = [{"evaluator_id": arize.evaluator_ids[name], **pin} for name in names or (NAME,)]
        task_id = hook.create_eval_task(EvalTaskInput.read({**task, "evaluators": evaluators}))
        run_id = ""
        for start, end in ((NOW - timedelta(days=2), MIDDLE), (MIDDLE, NOW)):
            run_id = hook.run_online_task(
                RunInput(online_task_id=task_id, data_start_time=start, data_end_time=end)
            )
            assert hook.get_task_run(run_id).is_over
    return run_id


def add_version(arize: Emulator) -> str:
    """Add a version to the evaluator, as somebody does in Arize; return its ID."""
    path = f"{arize.url}/v2/evaluators/{arize.evaluator_ids[NAME]}/versions"
    headers = {"Authorization": f"Bearer {arize.api_key}"}
    [last, *_] = requests.get(path, headers=headers, timeout=60).json()["evaluator_versions"]
    code = {**last["code_config"], "variables": ["attributes.output.value"]}
    body = {"commit_message": "Another one", "code_config": code}
    answer = requests.post(path, headers=headers, json=body, timeout=60)
    assert answer.ok, answer.text
    return str(answer.json()["id"])


def gate(found: Any, **arguments: Any) -> Any:
    [column] = found["evaluators"]
    rules = {column: {"score_mean": ">= 0", "max_drop": 0.9}}
    operator = EvalGateOperator(task_id="gate", summary=found, rules=rules, **arguments)
    context: Any = {"ti": SimpleNamespace(xcom_push=lambda **_: None, try_number=1)}
    return operator.execute(context)


def test_a_version_that_is_new_since_the_baseline_is_named_and_not_compared(arize: Emulator) -> None:
    version_id = add_version(arize)
    run_id = judged(arize)
    found = read(run_id=run_id, baseline=timedelta(days=2))
    assert [one["version_id"] for one in found["baseline"]["new_evaluator_versions"]] == [version_id]
    with pytest.raises(OnlineTasksError, match=r"drop of score_mean is unknown"):
        gate(found)
    allowed = gate(found, across_evaluator_versions=True)["rules"][-1]
    assert allowed["measure"] == "drop of score_mean"
    assert version_id in allowed["note"]


def test_without_a_new_version_the_windows_are_compared(arize: Emulator) -> None:
    found = read(run_id=judged(arize), baseline=timedelta(days=2))
    assert found["baseline"]["new_evaluator_versions"] == []
    assert gate(found)["passed"] is True


def test_a_version_that_is_newer_than_the_run_has_judged_nothing(arize: Emulator) -> None:
    run_id = judged(arize)
    arize.advance(60)
    add_version(arize)
    assert read(run_id=run_id, baseline=timedelta(days=2))["baseline"]["new_evaluator_versions"] == []


def test_a_list_of_versions_that_cannot_be_read_hides_no_other(arize: Emulator) -> None:
    version_id = add_version(arize)
    run_id = judged(arize, "output_present", NAME)
    arize.add_fault(Fault("rest.list_evaluator_versions", "forbidden"))
    found = read(run_id=run_id, baseline=timedelta(days=2))["baseline"]["new_evaluator_versions"]
    assert [one["version_id"] for one in found] == [version_id]


def test_versions_that_cannot_be_listed_are_a_warning(arize: Emulator) -> None:
    run_id = judged(arize)
    arize.add_fault(Fault("rest.list_evaluator_versions", "forbidden"))
    assert read(run_id=run_id, baseline=timedelta(days=2))["baseline"]["new_evaluator_versions"] == []


@pytest.mark.parametrize(
    ("named", "outcome"), [("e", "failed"), ("in the hub", "failed"), (None, "failed"), ("other", "passed")]
)
def test_a_version_is_of_the_evaluator_it_names_and_of_any_if_the_column_has_another_name(
    named: str | None, outcome: str
) -> None:
    figures = results(labels={"correct": 95, "incorrect": 5})
    change = {"evaluator": named, "version_id": "v2", "created_at": "2026-01-01T00:00:00Z"}
    found = summary(e=figures, other=figures) | {
        "baseline": {"new_evaluator_versions": [change], "evaluators": {"e": figures}}
    }
    rules = read_rules({"e": {"correct": ">= 0.5", "max_drop": 0.02}})
    assert judge(rules, found)[-1].outcome == outcome


def test_the_newest_of_several_versions_is_named() -> None:
    figures = results(labels={"correct": 95, "incorrect": 5})
    versions = [
        {"evaluator": "e", "version_id": f"v{number}", "created_at": f"2026-01-0{number}T00:00:00Z"}
        for number in (1, 2, 3)
    ]
    found = summary(e=figures) | {
        "baseline": {"new_evaluator_versions": versions, "evaluators": {"e": figures}}
    }
    note = judge(read_rules({"e": {"correct": ">= 0.5", "max_drop": 0.02}}), found)[-1].note
    assert "v3" in note
    assert "2026-01-03T00:00:00Z" in note


def test_pinned_evaluator_version_with_newer_version_is_compared(arize: Emulator) -> None:
    pinned = add_version(arize)
    add_version(arize)
    found = read(run_id=judged(arize, pinned=pinned), baseline=timedelta(days=2))
    assert found["baseline"]["new_evaluator_versions"] == []
    assert gate(found)["passed"] is True
