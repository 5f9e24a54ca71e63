"""Let a new version of the assistant out only if yesterday's answers were good enough.

A bad eval stops the deployment: the gate fails, and what is downstream of it does not run. So do results that
cannot be read whole, and those that are too few to decide with 95 % confidence.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, Param, task

from airflow_provider_online_tasks import (
    CreateEvalTaskOperator,
    EvalGateOperator,
    EvalResultsOperator,
    RunOnlineTaskOperator,
)

with DAG(
    dag_id="quality_gate",
    description="Deploy only if yesterday's answers were good enough",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params={"least_correct": Param(0.95, type="number", minimum=0, maximum=1)},
    default_args={"retries": 2},
    tags=["evals"],
    doc_md=__doc__,
) as dag:
    create = CreateEvalTaskOperator(
        task_id="create_task",
        name="release correctness",
        model_id="{{ conn.arize_online_tasks_default.extra_dejson.model_id }}",
        query_filter="attributes.openinference.span.kind = 'AGENT'",
        template_evaluators=[
            {
                "name": "release_correctness",
                "template": (
                    "Question: {attributes.input.value}\n"
                    "Answer: {attributes.output.value}\nIs the answer correct, and does it help?"
                ),
                "rails": ["correct", "incorrect"],
                "classification_choices": {"correct": 1, "incorrect": 0},
            }
        ],
        llm_config={"model_name": "GPT_4o", "provider": "openAI", "temperature": 0},
        if_exists="skip",
    )

    # A release must not pass because there was nothing to look at: no evaluation is a failure here.
    run = RunOnlineTaskOperator(
        task_id="run_task",
        online_task_id=create.output,
        lookback=timedelta(days=1),
        wait_for_completion=True,
        deferrable=True,
        timeout=timedelta(hours=1).total_seconds(),
        max_error_rate=0.05,
        on_nothing_evaluated="fail",
    )

    results = EvalResultsOperator(
        task_id="read_results", run_id=run.output, evaluators=["release_correctness"]
    )

    gate = EvalGateOperator(
        task_id="gate",
        summary=results.output,
        labels={"release_correctness": ["correct", "incorrect"]},
        confidence=0.95,
        rules={
            "release_correctness": {
                "correct": ">= {{ params.least_correct }}",
                "score_mean": ">= {{ params.least_correct }}",
                "min_evaluated": 10,
            }
        },
    )

    @task
    def deploy() -> None:
        """Stand in for what lets the new version out."""
        print("The new version is out.")

    gate >> deploy()
