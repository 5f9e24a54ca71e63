"""Tests for the lineage of gates and results: inputs, facets, and one assertion per rule."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from airflow_provider_online_tasks.exceptions import EvalGateFailed
from airflow_provider_online_tasks.operators.gate import EvalGateOperator
from tests.support.summaries import results, summary

pytest.importorskip("airflow.providers.openlineage")

CONTEXT = {"ti": SimpleNamespace(xcom_push=lambda **_: None)}
PROJECT = {"project_id": "P", "arize_url": "https://app.example.com"}


def sent(dataset):
    """Return a dataset as it is sent."""
    from openlineage.client.serde import Serde

    return json.loads(Serde.to_json(dataset))


def test_lineage_of_failed_gate_has_an_assertion_per_rule():
    figures = results(labels={"ok": 80, "bad": 20}, segments={"paid": results(labels={"ok": 80, "bad": 20})})
    gate = EvalGateOperator(
        task_id="gate",
        summary=summary(e=figures) | PROJECT,
        rules={"e": {"ok": ">= 0.9", "each_segment": {"ok": ">= 0.5"}}},
    )
    with pytest.raises(EvalGateFailed):
        gate.execute(CONTEXT)

    [spans] = map(sent, gate.get_openlineage_facets_on_start().inputs)

    assert (spans["namespace"], spans["name"]) == ("https://app.example.com", "projects/P/spans")
    assertions = {
        (one["column"], one["assertion"]): one["success"]
        for one in spans["inputFacets"]["dataQualityAssertions"]["assertions"]
    }
    assert assertions == {
        ("*", "complete >= 1"): True,
        ("e", "min_evaluated >= 1"): True,
        ("e", "ok >= 0.9"): False,
        ("e", "min_evaluated [paid] >= 1"): True,
        ("e", "ok [paid] >= 0.5"): True,
    }


def test_lineage_of_calibrated_rules_has_their_intervals():
    people = {"ok": {"ok": 147, "bad": 3}, "bad": {"ok": 20, "bad": 30}}
    strata = {label: {"evaluated": 9, "labels": given} for label, given in people.items()}
    human_labels = {"annotation": "review", "labelled": 200, "agreement": None, "strata": strata}
    figures = results(labels={"ok": 1900, "bad": 100}, human_labels=human_labels)
    rules = {"e": {"calibrated": {"ok": ">= 0.9", "min_specificity": 0.3}}}
    gate = EvalGateOperator(task_id="gate", summary=summary(e=figures) | PROJECT, rules=rules)
    gate.execute(CONTEXT)

    [spans] = map(sent, gate.get_openlineage_facets_on_start().inputs)

    [*_, share, trust] = spans["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert [share["assertion"], trust["assertion"]] == ["calibrated ok >= 0.9", "specificity of ok >= 0.3"]
    assert (share["success"], trust["success"]) == (True, True)
    assert "0.9144" in share["description"]
    assert "0.9686" in share["description"]


def test_lineage_of_inconclusive_rule_is_not_a_success():
    gate = EvalGateOperator(
        task_id="gate",
        summary=summary(e=results(labels={"ok": 20})) | PROJECT,
        rules={"e": {"ok": ">= 0.95"}},
        confidence=0.95,
        on_inconclusive="pass",
    )
    gate.execute(CONTEXT)

    [spans] = map(sent, gate.get_openlineage_facets_on_start().inputs)

    [*_, assertion] = spans["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert (assertion["success"], assertion["description"].partition(":")[0]) == (False, "inconclusive")


def test_lineage_of_gate_executed_twice_is_that_of_the_second():
    gate = EvalGateOperator(
        task_id="gate",
        summary=summary(e=results(labels={"ok": 8, "bad": 2})) | PROJECT,
        rules={"e": {"ok": "== 1"}},
    )
    with pytest.raises(EvalGateFailed):
        gate.execute(CONTEXT)
    gate.summary = summary(e=results(labels={"ok": 10})) | PROJECT
    gate.execute(CONTEXT)

    [spans] = map(sent, gate.get_openlineage_facets_on_start().inputs)

    assertions = spans["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert [one["success"] for one in assertions] == [True, True, True]


def test_lineage_without_connection_has_no_inputs(monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT", raising=False)
    found = summary(e=results(labels={"ok": 100}))
    gate = EvalGateOperator(task_id="gate", summary=found, rules={"e": {"ok": "== 1"}})
    assert gate.execute(CONTEXT)["passed"] is True
    assert gate.get_openlineage_facets_on_start().inputs == []
