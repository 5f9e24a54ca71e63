"""Evaluate the answers of the previous day every night: create the eval task, run it, and wait for the run.

The connection ``arize_online_tasks_default`` selects Arize or the emulator, and the ``model_id`` in its extra
selects the project.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG

from airflow_provider_online_tasks import (
    CreateEvalTaskOperator,
    OnlineTaskRunSensor,
    RunOnlineTaskOperator,
)

MODEL_ID = "{{ conn.arize_online_tasks_default.extra_dejson.model_id }}"

CORRECTNESS = {
    "name": "correctness",
    "template": (
        "You evaluate the answers of a support assistant.\n"
        "Question: {attributes.input.value}\n"
        "Answer: {attributes.output.value}\n"
        "Is the answer correct? Reply with one word: correct or incorrect."
    ),
    "rails": ["correct", "incorrect"],
    "classification_choices": {"correct": 1, "incorrect": 0},
    "include_explanations": True,
}

with DAG(
    dag_id="recurring_eval",
    description="Evaluate the answers of the previous day every night",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2},
    tags=["evals"],
    doc_md=__doc__,
) as dag:
    create = CreateEvalTaskOperator(
        task_id="create_task",
        name="answer correctness",
        model_id=MODEL_ID,
        query_filter="attributes.openinference.span.kind = 'AGENT'",
        sampling_rate=1,
        template_evaluators=[CORRECTNESS],
        llm_config={"model_name": "GPT_4o", "provider": "openAI", "temperature": 0},
        if_exists="skip",
    )

    # The day that ended when the DAG run was due. A retry evaluates the same day.
    run = RunOnlineTaskOperator(
        task_id="run_task",
        online_task_id=create.output,
        lookback=timedelta(days=1),
    )

    OnlineTaskRunSensor(
        task_id="wait_for_run",
        run_id=run.output,
        deferrable=True,
        timeout=timedelta(hours=2).total_seconds(),
    )
