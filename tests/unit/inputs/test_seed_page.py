"""The three examples of the API's documentation, passed to the operators."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput, EvalTaskPatch
from airflow_provider_online_tasks.inputs.evaluators import LlmConfig, TemplateEvaluator
from airflow_provider_online_tasks.inputs.runs import RunInput
from airflow_provider_online_tasks.operators.eval_tasks import CreateEvalTaskOperator, PatchEvalTaskOperator
from airflow_provider_online_tasks.operators.runs import RunOnlineTaskOperator

CREATE: dict[str, Any] = {
    "modelId": "MODEL_ID",
    "samplingRate": 100,
    "queryFilter": "attributes.openinference.span.kind = 'AGENT'",
    "name": "test",
    "templateEvaluators": {
        "name": "test evaluator",
        "rails": ["incorrect", "correct"],
        "template": "template",
        "position": 1,
        "includeExplanations": True,
        "useFunctionCallingIfAvailable": False,
    },
    "runContinuously": True,
    "llmConfig": {"modelName": "GPT_4o", "provider": "openAI", "temperature": 0},
}
PATCH: dict[str, Any] = {
    "onlineTaskId": "TASK_ID",
    "samplingRate": 100,
    "queryFilter": "attributes.openinference.span.kind = 'LLM'",
    "name": "test",
}
RUN: dict[str, Any] = {
    "onlineTaskId": "TASK_ID",
    "dataStartTime": "2024-10-08T00:01:41.644Z",
    "dataEndTime": "2024-12-07T01:01:41.644Z",
    "maxSpans": 100,
}
# A single evaluator is sent as a list of one, and the sampling rate in the unit of the connection.
UNITS = [("fraction", 1.0), ("percent", 100.0)]


@pytest.mark.parametrize(("unit", "rate"), UNITS)
@pytest.mark.parametrize("typed", [False, True])
def test_documented_create_is_sent(unit: str, rate: float, typed: bool) -> None:
    evaluator: Any = CREATE["templateEvaluators"]
    llm_config: Any = CREATE["llmConfig"]
    if typed:
        evaluator, llm_config = TemplateEvaluator.read(evaluator), LlmConfig.read(llm_config)
    operator = CreateEvalTaskOperator(
        task_id="create",
        model_id="MODEL_ID",
        sampling_rate=100,
        query_filter="attributes.openinference.span.kind = 'AGENT'",
        name="test",
        template_evaluators=evaluator,
        run_continuously=True,
        llm_config=llm_config,
    )
    call = calls.create_eval_task(EvalTaskInput.read(operator._arguments()), unit)
    assert call.name == "createEvalTask"
    assert call.input == {
        **CREATE,
        "samplingRate": rate,
        "templateEvaluators": [CREATE["templateEvaluators"]],
    }


@pytest.mark.parametrize(("unit", "rate"), UNITS)
def test_documented_patch_is_sent(unit: str, rate: float) -> None:
    operator = PatchEvalTaskOperator(
        task_id="patch",
        online_task_id="TASK_ID",
        sampling_rate=100,
        query_filter="attributes.openinference.span.kind = 'LLM'",
        name="test",
    )
    call = calls.patch_eval_task(EvalTaskPatch.read(operator._arguments()), unit)
    assert call.name == "patchEvalTask"
    assert call.input == {**PATCH, "samplingRate": rate}


def test_documented_run_is_sent() -> None:
    arguments = {
        "online_task_id": "TASK_ID",
        "data_start_time": "2024-10-08T00:01:41.644Z",
        "data_end_time": "2024-12-07T01:01:41.644Z",
        "max_spans": 100,
    }
    assert RunOnlineTaskOperator(task_id="run", **arguments)
    run = RunInput.read(arguments)
    call = calls.run_online_task(run)
    assert call.name == "runOnlineTask"
    assert call.input == RUN
    assert run.window.is_long  # 60 days: sent as it is


def test_documented_spelling_is_read() -> None:
    assert calls.create_eval_task(EvalTaskInput.read(CREATE), "percent").input == {
        **CREATE,
        "samplingRate": 100.0,
        "templateEvaluators": [CREATE["templateEvaluators"]],
    }
    assert calls.patch_eval_task(EvalTaskPatch.read(PATCH), "percent").input == PATCH
    assert RunInput.read(RUN).to_wire() == RUN
