"""Tests for changed evaluator versions, in the metadata of evaluations and in the Eval Hub."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from airflow_provider_online_tasks.emulator import Emulator, Fault
from airflow_provider_online_tasks.exceptions import OnlineTasksError
from airflow_provider_online_tasks.gate.checks import check_summary
from airflow_provider_online_tasks.gate.rules import read_rules
from airflow_provider_online_tasks.gate.summary import version_of
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput, EvalTaskPatch
from airflow_provider_online_tasks.inputs.runs import RunInput
from airflow_provider_online_tasks.operators.gate import EvalGateOperator
from tests.support.evaluated_runs import NOW, read
from tests.support.summaries import results, summary

MIDDLE = NOW - timedelta(hours=12)
TWO_DAYS = timedelta(days=2)
NAME = "json_parseable"
RULES = read_rules({"e": {"correct": ">= 0.5", "max_drop": 0.02}})
GOOD = results(labels={"correct": 950, "incorrect": 50})


# -- versions in metadata


def drop_of(before: list[Any], now: list[Any], **arguments: Any) -> Any:
    baseline = {"evaluators": {"e": GOOD | {"evaluator_versions": before}}}
    found = summary(e=GOOD | {"evaluator_versions": now})
    return check_summary(RULES, found, baseline=baseline, **arguments)[-1]


def versions(*names: str) -> list[dict[str, str]]:
    return [{"evaluator_id": "E", "evaluator_version_id": name} if name else {} for name in names]


@pytest.mark.parametrize(
    ("before", "now", "outcome"),
    [
        (["v1"], ["v2"], "failed"),
        (["v2"], ["v1"], "failed"),
        (["v1"], ["v1", "v2"], "failed"),
        (["v1", "v2"], ["v1"], "failed"),
        (["v1"], ["v1", ""], "passed"),
        (["v1", ""], ["v1"], "passed"),
        (["v1", ""], ["v2", ""], "failed"),
        (["v1"], ["v1"], "passed"),
        (["v1", "v2"], ["v2", "v1"], "passed"),
        (["v1"], [""], "passed"),
        ([""], ["v1"], "passed"),
        ([], ["v1"], "passed"),
    ],
)
def test_versions_that_differ_are_not_compared(before: list[str], now: list[str], outcome: str) -> None:
    assert drop_of(versions(*before), versions(*now)).outcome == outcome


def test_versions_that_differ_are_compared_if_allowed_and_named() -> None:
    result = drop_of(versions("v1"), versions("v2"), across_evaluator_versions=True)
    assert result.outcome == "passed"
    assert "v1" in result.note
    assert "v2" in result.note


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"evaluator_version_id": "v1", "run_id": "r"}, {("evaluator_version_id", "v1")}),
        (
            {"model_name": "gpt", "Template-Hash": "x", "prompt_version": 3},
            {("model_name", "gpt"), ("prompt_version", "3")},
        ),
        ({"model": {"name": "gpt"}, "judge": "a\nb"}, {("judge", "a b")}),
        ({"task_id": "t"}, set()),
    ],
)
def test_version_of_metadata_has_the_keys_about_the_evaluator(metadata: Any, expected: Any) -> None:
    assert version_of(metadata) == expected


# -- versions in the Eval Hub


def evaluate_twice(
    arize: Emulator, *names: str, pinned: str | None = None, then_pinned: str | None = None
) -> str:
    """Evaluate the two days before the middle, and the time after it; return the second run."""

    def attached(pin: str | None) -> list[dict[str, Any]]:
        version = {} if pin is None else {"evaluator_version_id": pin}
        return [{"evaluator_id": arize.evaluator_ids[name], **version} for name in names or (NAME,)]

    with OnlineTasksHook() as hook:
        task = {"name": "t", "model_id": arize.project_id}
        task_id = hook.create_eval_task(EvalTaskInput.read({**task, "evaluators": attached(pinned)}))
        run_id = ""
        for start, end in ((NOW - TWO_DAYS, MIDDLE), (MIDDLE, NOW)):
            if run_id and then_pinned:
                change = {"online_task_id": task_id, "evaluators": attached(then_pinned)}
                hook.patch_eval_task(EvalTaskPatch.read(change))
            run_id = hook.run_online_task(
                RunInput(online_task_id=task_id, data_start_time=start, data_end_time=end)
            )
            assert hook.get_task_run(run_id).is_over
    return run_id


def add_evaluator(arize: Emulator, name: str, column: str) -> None:
    """Add an evaluator to the Eval Hub whose column has another name."""
    arize.set_clock_offset(-86_400 * 5)
    managed = {"type": "MANAGED", "managed_evaluator": "JSON_PARSEABLE"}
    config = {**managed, "name": column, "variables": ["attributes.output.value"]}
    version = {"commit_message": "First version", "code_config": config}
    body = {"space_id": arize.space_id, "name": name, "type": "CODE", "version": version}
    headers = {"Authorization": f"Bearer {arize.api_key}"}
    response = requests.post(f"{arize.url}/v2/evaluators", headers=headers, json=body, timeout=60)
    assert response.ok, response.text
    arize.set_clock_offset(0)


def add_version(arize: Emulator, *, name: str = NAME, days_ago: float = 0) -> str:
    """Add a version to the evaluator, as a user does in Arize; return its ID."""
    arize.set_clock_offset(-86_400 * days_ago)
    url = f"{arize.url}/v2/evaluators/{arize.evaluator_ids[name]}/versions"
    headers = {"Authorization": f"Bearer {arize.api_key}"}
    [last, *_] = requests.get(url, headers=headers, timeout=60).json()["evaluator_versions"]
    code = {**last["code_config"], "variables": ["attributes.output.value"]}
    body = {"commit_message": "Another version", "code_config": code}
    response = requests.post(url, headers=headers, json=body, timeout=60)
    assert response.ok, response.text
    arize.set_clock_offset(0)
    return str(response.json()["id"])


def new_versions(run_id: str) -> list[str]:
    baseline = read(run_id=run_id, baseline=TWO_DAYS)["baseline"]
    return [version["version_id"] for version in baseline["new_evaluator_versions"]]


def gate(found: Any, **arguments: Any) -> Any:
    [column] = found["evaluators"]
    rules = {column: {"score_mean": ">= 0", "max_drop": 0.9}}
    operator = EvalGateOperator(task_id="gate", summary=found, rules=rules, **arguments)
    context: Any = {"ti": SimpleNamespace(xcom_push=lambda **_: None, try_number=1)}
    return operator.execute(context)


def test_new_version_since_the_baseline_is_named_and_not_compared(arize: Emulator) -> None:
    version_id = add_version(arize)
    run_id = evaluate_twice(arize)
    found = read(run_id=run_id, baseline=TWO_DAYS)
    assert [version["version_id"] for version in found["baseline"]["new_evaluator_versions"]] == [version_id]
    with pytest.raises(OnlineTasksError):
        gate(found)
    allowed = gate(found, across_evaluator_versions=True)["rules"][-1]
    assert allowed["measure"] == "drop of score_mean"
    assert version_id in allowed["note"]


def test_new_version_of_another_evaluator_is_compared(arize: Emulator) -> None:
    """The name of an evaluator in the Eval Hub is not that of its column."""
    add_evaluator(arize, "JSON check", "valid_json")
    version_id = add_version(arize, name="JSON check")
    found = read(run_id=evaluate_twice(arize, "JSON check", "output_present"), baseline=TWO_DAYS)
    [new] = found["baseline"]["new_evaluator_versions"]
    assert (new["evaluator"], new["version_id"]) == ("valid_json", version_id)
    rules = read_rules({name: {"score_mean": ">= 0", "max_drop": 0.9} for name in found["evaluators"]})
    drops = {each.evaluator: each.outcome for each in check_summary(rules, found) if "drop" in each.measure}
    assert drops == {"output_present": "passed", "valid_json": "failed"}


def test_windows_without_a_new_version_are_compared(arize: Emulator) -> None:
    found = read(run_id=evaluate_twice(arize), baseline=TWO_DAYS)
    assert found["baseline"]["new_evaluator_versions"] == []
    assert gate(found)["passed"] is True


def test_new_version_within_the_window_is_listed(arize: Emulator) -> None:
    version_id = add_version(arize)
    found = read(run_id=evaluate_twice(arize))
    assert [version["version_id"] for version in found["new_evaluator_versions"]] == [version_id]


def test_version_newer_than_the_run_is_not_listed(arize: Emulator) -> None:
    run_id = evaluate_twice(arize)
    arize.advance(60)
    add_version(arize)
    assert new_versions(run_id) == []


def test_pin_that_moved_to_a_new_version_since_the_baseline_is_not_compared(arize: Emulator) -> None:
    before, now = add_version(arize, days_ago=5), add_version(arize)
    found = read(run_id=evaluate_twice(arize, pinned=before, then_pinned=now), baseline=TWO_DAYS)
    assert found["evaluators"][NAME]["version_id"] == now
    with pytest.raises(OnlineTasksError):
        gate(found)
    assert gate(found, across_evaluator_versions=True)["passed"] is True


def test_pin_that_moved_back_since_the_earlier_results_is_not_compared(arize: Emulator) -> None:
    before, now = (add_version(arize, days_ago=days) for days in (6, 5))
    run_id = evaluate_twice(arize, pinned=now, then_pinned=before)
    [task] = arize.tasks()
    with OnlineTasksHook() as hook:
        [earlier_run] = [run.id for run in hook.list_task_runs(task["id"]) if run.id != run_id]
    records: list[Any] = []
    first = read(run_id=earlier_run, records=records)
    assert "version_id" in first["evaluators"][NAME]
    records[-1]["evaluators"][NAME]["version_id"] = now  # the pin at that time
    found = read(run_id=run_id, baseline=TWO_DAYS, records=records)
    with pytest.raises(OnlineTasksError):
        gate(found)
    again = read(run_id=run_id, baseline=TWO_DAYS, records=[])
    assert gate(again)["passed"] is True


def test_pin_of_two_summaries_is_compared(arize: Emulator) -> None:
    found = summary(e=GOOD | {"version_id": "v2"})
    for version_id, outcome in (("v1", "failed"), ("v2", "passed"), (None, "passed")):
        baseline = {"evaluators": {"e": GOOD | {"version_id": version_id}}}
        assert check_summary(RULES, found, baseline=baseline)[-1].outcome == outcome


@pytest.mark.parametrize("record", ["x", {"evaluators": None}, {"evaluators": {NAME: {"version_id": 1}}}])
def test_record_of_another_form_is_ignored(arize: Emulator, record: Any) -> None:
    found = read(run_id=evaluate_twice(arize), baseline=TWO_DAYS, records=[record])
    assert gate(found)["passed"] is True


def test_version_of_a_run_is_unknown_if_the_pin_moved_after_it(arize: Emulator) -> None:
    run_id = evaluate_twice(arize, pinned=add_version(arize, days_ago=5))
    arize.advance(60)
    now = add_version(arize)
    attached = [{"evaluator_id": arize.evaluator_ids[NAME], "evaluator_version_id": now}]
    with OnlineTasksHook() as hook:
        change = {"online_task_id": arize.tasks()[0]["id"], "evaluators": attached}
        hook.patch_eval_task(EvalTaskPatch.read(change))
    assert read(run_id=run_id)["evaluators"][NAME]["version_id"] is None


def test_pinned_version_with_newer_version_is_compared(arize: Emulator) -> None:
    pinned = add_version(arize, days_ago=5)
    add_version(arize)
    found = read(run_id=evaluate_twice(arize, pinned=pinned), baseline=TWO_DAYS)
    assert found["baseline"]["new_evaluator_versions"] == []
    assert gate(found)["passed"] is True


def test_version_list_forbidden_other_evaluator_still_read(arize: Emulator) -> None:
    version_id = add_version(arize)
    run_id = evaluate_twice(arize, "output_present", NAME)
    arize.add_fault(Fault("rest.list_evaluator_versions", "forbidden"))
    assert new_versions(run_id) == [version_id]


def test_version_lists_that_are_forbidden_do_not_fail_the_task(arize: Emulator) -> None:
    run_id = evaluate_twice(arize)
    arize.add_fault(Fault("rest.list_evaluator_versions", "forbidden"))
    assert new_versions(run_id) == []


@pytest.mark.parametrize(
    ("named", "outcome"), [("e", "failed"), (None, "failed"), ("other", "passed"), ("not read", "passed")]
)
def test_new_version_belongs_to_its_column_or_to_any_if_unknown(named: str | None, outcome: str) -> None:
    change = {"evaluator": named, "version_id": "v2", "since": "2026-01-01T00:00:00Z"}
    baseline = {"new_evaluator_versions": [change], "evaluators": {"e": GOOD}}
    found = summary(e=GOOD, other=GOOD) | {"baseline": baseline}
    assert check_summary(RULES, found)[-1].outcome == outcome


def test_new_versions_of_two_summaries_do_not_mix() -> None:
    """A baseline that is passed in comes without the versions of the summary's own baseline."""
    change = {"evaluator": "e", "version_id": "v2", "since": "2026-01-01T00:00:00Z"}
    own = {"new_evaluator_versions": [change], "evaluators": {"e": GOOD}}
    found = summary(e=GOOD) | {"baseline": own}
    assert check_summary(RULES, found, baseline={"evaluators": {"e": GOOD}})[-1].outcome == "passed"


def test_newest_of_several_new_versions_is_named() -> None:
    changes = [
        {"evaluator": "e", "version_id": f"v{number}", "since": f"2026-01-0{number}T00:00:00Z"}
        for number in (1, 2, 3)
    ]
    baseline = {"new_evaluator_versions": changes, "evaluators": {"e": GOOD}}
    note = check_summary(RULES, summary(e=GOOD) | {"baseline": baseline})[-1].note
    assert "v3" in note
    assert "2026-01-03T00:00:00Z" in note
