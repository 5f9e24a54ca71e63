"""What users write. Both type checkers accept every line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import assert_type

from airflow_provider_online_tasks import (
    AnnotationQueueOperator,
    AnnotationQueueSensor,
    CancelOnlineTaskRunOperator,
    CodeEvaluator,
    CreateEvalTaskOperator,
    EvalGateFailed,
    EvalGateOperator,
    EvalResultsOperator,
    EvalTaskInput,
    EvalTaskPatch,
    EvaluatorLlmConfig,
    EvaluatorOperator,
    HubEvaluator,
    LlmConfig,
    OnlineTaskRunSensor,
    OnlineTasksHook,
    PatchEvalTaskOperator,
    QueryMapping,
    RunInput,
    RunOnlineTaskOperator,
    SendSpansOperator,
    TemplateEvaluator,
    online_eval,
    split_window,
)

judge = TemplateEvaluator(
    name="correctness",
    template="Question: {attributes.input.value} Answer: {attributes.output.value}. Correct?",
    rails=["correct", "incorrect"],
    classification_choices={"correct": 1, "incorrect": 0},
    direction="maximize",
    data_granularity_type="span",
    include_explanations=True,
    llm_config=EvaluatorLlmConfig(integration_id="I", model_name="gpt-4o"),
)
hub = HubEvaluator(evaluator_id="RXZhbHVhdG9yOjEyOmFCY0Q=")
pinned = HubEvaluator(
    evaluator_id="E",
    evaluator_version_id="V",
    column_mappings={"input": "attributes.input.value"},
    query_filter="status_code = 'OK'",
)
of_traces = HubEvaluator(
    evaluator_id="E",
    query_mappings=[
        QueryMapping(variable_name="input", query_ids=["A"], attribute_path="attributes.input.value")
    ],
)
code = CodeEvaluator(name="has_answer", eval_class_code_block="...", span_attributes=("input", "output"))
llm = LlmConfig(model_name="GPT_4o", provider="openAI", temperature=0)

task = EvalTaskInput(
    name="answer correctness",
    model_id="TW9kZWw6MTIzOmFCY0Q=",
    sampling_rate=25,
    query_filter="status_code = 'OK'",
    template_evaluators=[judge],
    code_evaluators=(code,),
    llm_config=llm,
)
from_dict = EvalTaskInput.read({"name": "n", "modelId": "M", "evaluators": {"evaluatorId": "E"}})
patch = EvalTaskPatch(online_task_id="T", query_filter=None, sampling_rate=0.5)
run = RunInput(
    online_task_id="T", data_start_time="2024-10-08", data_end_time=datetime(2024, 10, 9, tzinfo=UTC)
)

assert_type(task.name, str)
assert_type(task.sampling_rate, float)
assert_type(from_dict, EvalTaskInput)

create = CreateEvalTaskOperator(
    task_id="create",
    name="tone",
    model_id="{{ var.value.model }}",
    template_evaluators=[judge, {"name": "k", "template": "{input}", "rails": ["a", "b"]}],
    llm_config={"model_name": "GPT_4o"},
    sampling_rate="{{ params.rate }}",
    if_exists="update",
)
published = EvaluatorOperator(task_id="publish", name="judge", template="hallucination", project="support")
of_its_version = CreateEvalTaskOperator(
    task_id="of_its_version",
    name="n",
    project="support",
    evaluators={
        "evaluator_id": published.output["evaluator_id"],
        "evaluator_version_id": published.output["evaluator_version_id"],
    },
)
of_the_hub = CreateEvalTaskOperator(task_id="hub", name="n", model_id="M", evaluators=hub)
by_name = CreateEvalTaskOperator(task_id="by_name", name="n", project="support", evaluators=[pinned])
resample = PatchEvalTaskOperator(task_id="resample", online_task_id="T", query_filter=None, sampling_rate=10)
run_it = RunOnlineTaskOperator(task_id="run", online_task_id=create.output, lookback=timedelta(days=1))
wait = OnlineTaskRunSensor(task_id="wait", run_id=run_it.output, deferrable=True)
eval_group = online_eval(
    "eval",
    name="answers",
    project="support",
    template_evaluators=judge,
    llm_config=llm,
    lookback=timedelta(days=1),
    rules={"correctness": {"correct": ">= 0.9"}},
    confidence=0.95,
    default_args={"retries": 2},
)
run_it >> eval_group >> wait
mapped_eval = online_eval(
    online_task_id=create.output, data_start_time=run_it.output, data_end_time="{{ ts }}"
)
read = EvalResultsOperator(
    task_id="read",
    run_id=run_it.output,
    evaluators=["correctness"],
    direction="minimize",
    granularity="trace",
    group_by="attributes.llm.model_name",
    baseline=timedelta(days=7),
    on_incomplete="warn",
    rows_path="s3://bucket/evals/{{ ds }}.parquet",
    rows_format="parquet",
)
bounds = {"correctness": {"correct": ">= 0.9"}}
gate = EvalGateOperator(
    task_id="gate",
    summary=read.output,
    rules=bounds,
    labels={"correctness": ["correct", "incorrect"]},
    on_failure="ask",
    on_inconclusive="pass",
)
gate_of_a_task = EvalGateOperator(task_id="gate_2", summary=read.output, rules=create.output)
send = SendSpansOperator(
    task_id="send",
    run_id=run_it.output,
    evaluator="correctness",
    labels=["incorrect"],
    annotation_queue_id="{{ var.value.queue }}",
)
queue = AnnotationQueueOperator(
    task_id="queue",
    name="review",
    annotation="correctness_review",
    labels={"correct": 1, "incorrect": 0},
    annotator_emails=["ada@example.com"],
)
sample = SendSpansOperator(
    task_id="sample",
    online_task_id=create.output,
    data_start_time="{{ ds }}",
    data_end_time=datetime(2024, 12, 7, tzinfo=UTC),
    evaluator="correctness",
    sample=200,
    shares={"correct": 0.75, "incorrect": 0.25},
    annotation_queue_id=queue.output,
)
labelled = AnnotationQueueSensor(
    task_id="labelled",
    annotation_queue_id=queue.output,
    span_ids=sample.output["selected_span_ids"],
    completed=0.95,
)
cancel = CancelOnlineTaskRunOperator(task_id="cancel", run_id=run_it.output)
capped = RunOnlineTaskOperator(
    task_id="capped",
    online_task_id=create.output,
    lookback="P1D",
    max_spans=create.output,
    on_nothing_evaluated="succeed",
)
pieces = split_window("2024-10-08", datetime(2024, 12, 7, tzinfo=UTC), days=7)


def start_a_run() -> str:
    """Use the hook."""
    with OnlineTasksHook() as hook:
        hook.run_online_task(
            {"online_task_id": "T", "data_start_time": "2024-10-08", "data_end_time": "2024-10-09"}
        )
        return hook.run_online_task(run)


def is_bad(error: Exception) -> bool:
    """Catch an error of the provider."""
    return isinstance(error, EvalGateFailed)
