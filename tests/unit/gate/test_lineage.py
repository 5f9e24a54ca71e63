"""What OpenLineage is told of a gate: one data quality assertion for each rule."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from airflow_provider_online_tasks.exceptions import EvalGateFailed
from airflow_provider_online_tasks.operators.gate import EvalGateOperator
from tests.support.summaries import results, summary

pytest.importorskip("airflow.providers.openlineage")


def test_each_rule_is_an_assertion_on_the_projects_spans():
    from openlineage.client.serde import Serde

    found = summary(
        e=results(
            labels={"ok": 80, "bad": 20},
            segments={"paid": results(labels={"ok": 80, "bad": 20})},
        )
    ) | {"project_id": "P", "arize_url": "https://app.example.com"}
    gate = EvalGateOperator(
        task_id="gate",
        summary=found,
        rules={"e": {"ok": ">= 0.9", "each_segment": {"ok": ">= 0.5"}}},
    )
    with pytest.raises(EvalGateFailed):
        gate.execute({"ti": SimpleNamespace(xcom_push=lambda **_: None)})
    [spans] = gate.get_openlineage_facets_on_failure(None).inputs
    # As it is sent.
    sent = json.loads(Serde.to_json(spans))
    assert (sent["namespace"], sent["name"]) == ("https://app.example.com", "projects/P/spans")
    told = {
        (one["column"], one["assertion"]): one["success"]
        for one in sent["inputFacets"]["dataQualityAssertions"]["assertions"]
    }
    assert told == {
        ("*", "complete >= 1"): True,
        ("e", "min_evaluated >= 1"): True,
        ("e", "ok >= 0.9"): False,
        ("e", "min_evaluated [paid] >= 1"): True,
        ("e", "ok [paid] >= 0.5"): True,
    }


def test_the_gate_reads_no_connection(monkeypatch):
    """It tells OpenLineage where the spans are without asking for the connection."""
    monkeypatch.delenv("AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT", raising=False)
    found = summary(e=results(labels={"ok": 100}))
    gate = EvalGateOperator(task_id="gate", summary=found, rules={"e": {"ok": "== 1"}})
    assert gate.execute({"ti": SimpleNamespace(xcom_push=lambda **_: None)})["passed"] is True
    assert gate.get_openlineage_facets_on_complete(None).inputs == []
