"""Evaluate answers every day, let people label a random sample once a week, and gate on the calibrated share.

The evaluator makes mistakes. The weekly gate corrects its share by the labels of people, and also fails if
the evaluator doesn't find enough of the wrong answers.

The connection ``arize_online_tasks_default`` selects Arize or the emulator, and the ``model_id`` in its extra
selects the project. On Arize, set the Airflow variable ``annotators`` to the people who label.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Param

from airflow_provider_online_tasks import (
    AnnotationQueueOperator,
    AnnotationQueueSensor,
    CreateEvalTaskOperator,
    EvalGateOperator,
    EvalResultsOperator,
    RunOnlineTaskOperator,
    SendSpansOperator,
)

LABELS = {"correct": 1, "incorrect": 0}
EVALUATOR = "reviewed_correctness"
# Both DAGs use this eval task: the first DAG run creates it.
EVAL_TASK: dict[str, Any] = {
    "name": "reviewed answers",
    "model_id": "{{ conn.arize_online_tasks_default.extra_dejson.model_id }}",
    "query_filter": "attributes.openinference.span.kind = 'AGENT'",
    "template_evaluators": [
        {
            "name": EVALUATOR,
            "template": "Question: {attributes.input.value}\nAnswer: {attributes.output.value}\nCorrect?",
            "rails": list(LABELS),
            "classification_choices": LABELS,
        }
    ],
    "llm_config": {"model_name": "GPT_4o", "provider": "openAI", "temperature": 0},
    "if_exists": "skip",
}

with DAG(
    dag_id="evaluate_for_review",
    description="Evaluate the answers of the previous day",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    default_args={"retries": 2},
    tags=["evals"],
):
    RunOnlineTaskOperator(
        task_id="run_task",
        online_task_id=CreateEvalTaskOperator(task_id="create_task", **EVAL_TASK).output,
        lookback=timedelta(days=1),
        wait_for_completion=True,
        deferrable=True,
    )

# The seven days before the day of the DAG run, which are the days of seven daily runs.
START = "{{ (dag_run.run_after - macros.timedelta(days=7)).strftime('%Y-%m-%d') }}"
END = "{{ dag_run.run_after.strftime('%Y-%m-%d') }}"

with DAG(
    dag_id="calibrated_gate",
    description="Check the answers of a week with the labels of people",
    schedule="0 12 * * MON",  # when the last daily run has finished
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params={
        "min_correct": Param(0.9, type="number", minimum=0, maximum=1),
        "min_human_labels": Param(100, type="integer", minimum=1),
    },
    default_args={"retries": 2},
    tags=["evals"],
    doc_md=__doc__,
):
    create = CreateEvalTaskOperator(task_id="create_task", **EVAL_TASK)

    queue = AnnotationQueueOperator(
        task_id="create_queue",
        name="answers of the week",
        annotation="correctness_review",
        labels=LABELS,
        annotator_emails=["{{ var.value.get('annotators', 'reviewer@example.com') }}"],
        instructions="Is the answer correct? Decide before you look at the evaluator's label.",
    )

    sample = SendSpansOperator(
        task_id="send_sample",
        online_task_id=create.output,
        data_start_time=START,
        data_end_time=END,
        evaluator=EVALUATOR,
        sample=200,
        shares={"correct": 0.75, "incorrect": 0.25},
        annotation_queue_id=queue.output,
    )

    # Only the records of this week count: the queue also holds those of earlier weeks.
    labelled = AnnotationQueueSensor(
        task_id="wait_for_people",
        annotation_queue_id=queue.output,
        span_ids=sample.output["selected_span_ids"],
        completed=0.95,
        deferrable=True,
        timeout=timedelta(days=5).total_seconds(),
    )

    results = EvalResultsOperator(
        task_id="read_results",
        online_task_id=create.output,
        data_start_time=START,
        data_end_time=END,
        evaluators=[EVALUATOR],
        human_labels={EVALUATOR: "correctness_review"},
        human_sample=sample.output,
    )
    labelled >> results

    EvalGateOperator(
        task_id="gate",
        summary=results.output,
        accept_unverified=True,  # a week has several runs, so there is no number of one run to compare with
        rules={
            EVALUATOR: {
                "min_coverage": 0.9,  # fail if a daily run is missing
                "calibrated": {
                    "correct": ">= {{ params.min_correct }}",
                    "min_human_labels": "{{ params.min_human_labels }}",
                    "min_specificity": 0.6,
                },
            }
        },
    )
