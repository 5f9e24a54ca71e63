"""Valid arguments of each operator and of the sensor, to change one at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks.operators.annotation_queues import AnnotationQueueOperator
from airflow_provider_online_tasks.operators.estimates import EstimateRunOperator
from airflow_provider_online_tasks.operators.eval_tasks import (
    CreateEvalTaskOperator,
    DeleteOnlineTaskOperator,
    PatchEvalTaskOperator,
)
from airflow_provider_online_tasks.operators.evaluators import EvaluatorOperator
from airflow_provider_online_tasks.operators.gate import EvalGateOperator
from airflow_provider_online_tasks.operators.results import EvalResultsOperator
from airflow_provider_online_tasks.operators.runs import CancelOnlineTaskRunOperator, RunOnlineTaskOperator
from airflow_provider_online_tasks.operators.spans import SendSpansOperator
from airflow_provider_online_tasks.sensors.annotation_queues import AnnotationQueueSensor
from airflow_provider_online_tasks.sensors.runs import OnlineTaskRunSensor

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

EVALUATOR: dict[str, Any] = {"name": "j", "template": "{output}", "rails": ["good", "bad"]}
HUB: dict[str, Any] = {"evaluator_id": "RXZhbHVhdG9yOjEyOmFCY0Q="}
MAPPING = {"variable_name": "input", "query_ids": ["A"], "attribute_path": "attributes.input.value"}
VALID: dict[type[BaseOperator], dict[str, Any]] = {
    CreateEvalTaskOperator: {
        "name": "n",
        "model_id": "M",
        "template_evaluators": [EVALUATOR],
        "llm_config": {"model_name": "m"},
    },
    PatchEvalTaskOperator: {"online_task_id": "T", "name": "n"},
    DeleteOnlineTaskOperator: {"online_task_id": "T"},
    RunOnlineTaskOperator: {"online_task_id": "T"},
    EstimateRunOperator: {"online_task_id": "T"},
    CancelOnlineTaskRunOperator: {"run_id": "R"},
    OnlineTaskRunSensor: {"run_id": "R"},
    AnnotationQueueSensor: {"annotation_queue_id": "Q"},
    EvaluatorOperator: {
        "name": "n",
        "template": "{output}",
        "classification_choices": {"good": 1, "bad": 0},
        "llm_config": {"integration_id": "I", "model_name": "m"},
    },
    EvalResultsOperator: {"run_id": "R"},
    EvalGateOperator: {"summary": {"evaluators": {}}, "rules": {"j": {"good": ">= 0.9"}}},
    AnnotationQueueOperator: {
        "name": "n",
        "annotation": "a",
        "labels": ["good", "bad"],
        "annotator_emails": ["ada@example.com"],
    },
    SendSpansOperator: {"run_id": "R", "evaluator": "j", "labels": ["bad"], "annotation_queue_id": "Q"},
}
LATER = "{{ params.later }}"
INSTEAD_OF = {
    "evaluators": ["template_evaluators"],
    "project": ["model_id"],
    "online_task": ["online_task_id"],
    "partition_length": ["data_start_time", "data_end_time", "lookback"],
    "dataset_id": ["annotation_queue_id"],
}
WINDOW = ("data_start_time", "data_end_time")
BY_CODE = ("code", "imports", "variables", "query_filter")
KINDS = pytest.mark.parametrize("kind", VALID, ids=lambda kind: kind.__name__)


def make(kind: type[BaseOperator], **changes: Any) -> Any:
    """Return a valid operator with some arguments changed; ``...`` leaves an argument out."""
    arguments = {name: value for name, value in (VALID[kind] | changes).items() if value is not ...}
    return kind(task_id="a_task", **arguments)


def instead(kind: type[BaseOperator], name: str, value: Any) -> dict[str, Any]:
    """Return the changes that set an argument, with the other arguments that it requires."""
    changes = {name: value}
    if kind in (EvalResultsOperator, SendSpansOperator) and name in ("online_task_id", *WINDOW):
        changes = {"run_id": ..., "online_task_id": "T", **dict.fromkeys(WINDOW, LATER), name: value}
    elif name in ("sample", "shares"):
        changes = {"labels": ..., "sample": 200, name: value}
    elif kind is EvaluatorOperator and name in BY_CODE:
        by_template = dict.fromkeys(("template", "classification_choices", "llm_config"), ...)
        changes = {**by_template, "code": "class E: ...", "variables": ["output"], name: value}
    elif name in WINDOW:
        changes = dict.fromkeys(WINDOW, value)
    return changes | dict.fromkeys(INSTEAD_OF.get(name, ()), ...)
