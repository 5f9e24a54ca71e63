"""Deploy a new version of the assistant only if the answers of the last day were good enough.

The gate fails, and the deployment does not run, if a rule fails, if results are incomplete, or if there are
too few evaluations to decide with 95 % confidence.

On the emulator's sample, the gate fails by design: about two thirds of the answers are correct, and the
default of ``min_correct`` is 0.95. Trigger the DAG with ``{"min_correct": 0.2}`` to see it pass.
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
    description="Deploy only if the answers of the last day were good enough",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params={"min_correct": Param(0.95, type="number", minimum=0, maximum=1)},
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

    # Without any evaluation, a release must not pass.
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
                "correct": ">= {{ params.min_correct }}",
                "score_mean": ">= {{ params.min_correct }}",
                "min_evaluated": 10,
            }
        },
    )

    @task
    def deploy() -> None:
        """Replace this task by your deployment."""
        print("The new version is out.")

    gate >> deploy()
