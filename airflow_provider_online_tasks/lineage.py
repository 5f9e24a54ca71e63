"""OpenLineage: the spans that a task evaluated, and the results. Imported only with OpenLineage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.providers.openlineage.extractors import OperatorLineage
from attrs import define, fields
from openlineage.client.event_v2 import Dataset, InputDataset
from openlineage.client.facet_v2 import RunFacet


@define(kw_only=True)
class OnlineTaskRunFacet(RunFacet):
    """A run of an online task: its summary, and the completeness and the label shares of its results."""

    online_task_id: str | None = None
    run_id: str | None = None
    status: str | None = None
    data_start_time: str | None = None
    data_end_time: str | None = None
    num_successes: int | None = None
    num_errors: int | None = None
    num_skipped: int | None = None
    evaluations: int | None = None
    max_spans: int | None = None
    capped: bool | None = None
    approved_by: str | None = None
    estimated_input_tokens: dict[str, float] | None = None
    estimated_output_tokens: dict[str, float] | None = None
    estimated_cost: dict[str, float] | None = None
    failure_reason: str | None = None
    complete: bool | None = None
    expected: int | None = None
    read: int | None = None
    labels: dict[str, dict[str, float]] | None = None


def lineage_of(facts: Mapping[str, Any], *, namespace: str | None, project_id: str | None) -> Any:
    """Return the lineage of a task: the spans of the project, with an assertion for each rule of a gate."""
    known = {field.name for field in fields(OnlineTaskRunFacet)} - {field.name for field in fields(RunFacet)}
    facet = OnlineTaskRunFacet(**{name: value for name, value in facts.items() if name in known})
    spans: list[Dataset] = []
    if namespace and project_id:
        name = f"projects/{project_id}/spans"
        facets = _assertions(facts["rules"]) if facts.get("rules") else {}
        spans = [InputDataset(namespace=namespace, name=name, inputFacets=facets)]
    return OperatorLineage(inputs=spans, run_facets={"arizeOnlineTasks_run": facet})


def _assertions(rules: Any) -> dict[str, Any]:
    """Return the rules of a gate as OpenLineage's data quality assertions."""
    from openlineage.client.generated import data_quality_assertions_dataset as quality

    known = {field.name for field in fields(quality.Assertion)}  # older clients have fewer fields
    assertions = []
    for rule in rules:
        segment = f" [{rule['segment']}]" if rule.get("segment") is not None else ""
        assertion = {
            "assertion": f"{rule['measure']}{segment} {rule['rule']}",
            "success": rule["passed"],
            "column": rule["evaluator"],
            "severity": "error",
            "description": _description(rule),
            "expected": rule["rule"],
            "actual": None if rule["measured"] is None else f"{rule['measured']:.6g}",
        }
        assertions.append(
            quality.Assertion(**{key: value for key, value in assertion.items() if key in known})
        )
    return {"dataQualityAssertions": quality.DataQualityAssertionsDatasetFacet(assertions=assertions)}


def _description(rule: Mapping[str, Any]) -> str:
    """Return the outcome of a rule, the interval of the measured value, and the note."""
    low, high = rule.get("low"), rule.get("high")
    interval = "" if low is None or high is None else f"from {low:.4g} to {high:.4g}"
    details = "; ".join(filter(None, (interval, rule["note"])))
    return f"{rule['outcome']}: {details}" if details else str(rule["outcome"])
