"""What users must not write. Both type checkers reject the lines that end in `wrong`, and no others."""

from __future__ import annotations

import airflow_provider_online_tasks
from airflow_provider_online_tasks import (
    CreateEvalTaskOperator,
    EvalGateOperator,
    EvalResultsOperator,
    EvalTaskInput,
    EvalTaskPatch,
    HubEvaluator,
    LlmConfig,
    OnlineTaskRunSensor,
    PatchEvalTaskOperator,
    RunInput,
    RunOnlineTaskOperator,
    SendSpansOperator,
    TemplateEvaluator,
)

operator = airflow_provider_online_tasks.RunOnlineTaskOperators  # wrong: no such name

TemplateEvaluator(name="j", template="{input}")  # wrong: no rails
TemplateEvaluator(name="j", template="{input}", rails="good, bad")  # wrong: a text instead of a list
TemplateEvaluator(name="j", template="{input}", rails=["a", 1])  # wrong: a label that is not text
TemplateEvaluator(name="j", template="t", rails=["a", "b"], direction="up")  # wrong: no such direction
TemplateEvaluator(name="j", template="t", rails=["a", "b"], label=[])  # wrong: no such field
TemplateEvaluator("j", "{input}", ["a", "b"])  # wrong: by position
HubEvaluator(evaluator_id=5)  # wrong: a number
HubEvaluator()  # wrong: no ID
LlmConfig(temperature="warm")  # wrong: a text
EvalTaskInput(name="n", model_id="M", template_evaluators=["j"])  # wrong: a name instead of an evaluator
EvalTaskInput(name="n", model_id="M", run_continuously="yes")  # wrong: a text
EvalTaskPatch(online_task_id="T", name=None)  # wrong: a name cannot be cleared
RunInput(online_task_id="T", data_start_time=5, data_end_time="2024-10-09")  # wrong: a number
HubEvaluator(evaluator_id="E").position = 3  # wrong: frozen
CreateEvalTaskOperator(task_id="t", name="n", model_id="M", if_exists="replace")  # wrong: no such word
CreateEvalTaskOperator(task_id="t", model_id="M")  # wrong: no name
HubEvaluator(evaluator_id="E", column_mappings=["input"])  # wrong: a list instead of a dict
HubEvaluator(evaluator_id="E", query_mappings=[{"variable_name": "x"}])  # wrong: a dict in a class
CreateEvalTaskOperator(task_id="t", name="n", model_id="M", evaluators=["E"])  # wrong: a list of IDs
PatchEvalTaskOperator(task_id="t", online_task_id="T", name=None)  # wrong: a name cannot be cleared
RunOnlineTaskOperator(task_id="t", online_task_id="T", cancel_on_kill="no")  # wrong: a text
EvalGateOperator(task_id="t", summary={}, rules={}, accept_unverified="false")  # wrong: a text
EvalGateOperator(task_id="t", summary={}, rules={}, on_failure="ignore")  # wrong: no such word
EvalGateOperator(task_id="t", summary={}, rules={}, on_inconclusive="warn")  # wrong: no such word
EvalResultsOperator(task_id="t", run_id="R", granularity="spans")  # wrong: no such word
EvalResultsOperator(task_id="t", run_id="R", direction="none")  # wrong: no such word
EvalResultsOperator(task_id="t", run_id="R", on_incomplete="skip")  # wrong: no such word
EvalResultsOperator(task_id="t", run_id="R", rows_format="csv")  # wrong: no such word
OnlineTaskRunSensor(task_id="t", run_id="R", on_nothing_evaluated="pass")  # wrong: no such word
SendSpansOperator(task_id="t", run_id="R", evaluator="e", labels=[1], dataset_id="D")  # wrong: a number
