"""Two gates that are broken and ask a person; each has something downstream."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, task

from airflow_provider_online_tasks.operators.eval_tasks import CreateEvalTaskOperator
from airflow_provider_online_tasks.operators.gate import EvalGateOperator
from airflow_provider_online_tasks.operators.results import EvalResultsOperator
from airflow_provider_online_tasks.operators.runs import RunOnlineTaskOperator

with DAG(dag_id="asks", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
    create = CreateEvalTaskOperator(
        task_id="create_task",
        name="asked correctness",
        model_id="{{ conn.arize_online_tasks_default.extra_dejson.model_id }}",
        query_filter="attributes.openinference.span.kind = 'AGENT'",
        template_evaluators=[
            {
                "name": "asked_correctness",
                "template": "Question: {attributes.input.value}\nAnswer: {attributes.output.value}\nRight?",
                "rails": ["correct", "incorrect"],
                "classification_choices": {"correct": 1, "incorrect": 0},
                "include_explanations": True,
            }
        ],
        llm_config={"model_name": "GPT_4o", "provider": "openAI", "temperature": 0},
        if_exists="skip",
    )
    run = RunOnlineTaskOperator(
        task_id="run_task",
        online_task_id=create.output,
        lookback=timedelta(days=1),
        wait_for_completion=True,
        deferrable=True,
    )
    results = EvalResultsOperator(task_id="read_results", run_id=run.output, evaluators=["asked_correctness"])

    for answer in ("approved", "rejected"):
        gate = EvalGateOperator(
            task_id=f"gate_{answer}",
            summary=results.output,
            rules={"asked_correctness": {"correct": "== 1"}},
            on_failure="ask",
        )

        @task(task_id=f"deploy_{answer}")
        def deploy() -> None:
            """Stand in for what lets the new version out."""

        gate >> deploy()
