"""Evaluate every day's answers in one call, and stop downstream tasks after a bad day.

The connection ``arize_online_tasks_default`` selects Arize or the emulator, and the ``model_id`` in its extra
selects the project.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG

from airflow_provider_online_tasks import online_eval

with DAG(
    "gated_eval",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["evals"],
):
    online_eval(
        name="answers every day",
        model_id="{{ conn.arize_online_tasks_default.extra_dejson.model_id }}",
        template_evaluators={
            "name": "daily_correctness",
            "template": "Question: {attributes.input.value}\nAnswer: {attributes.output.value}\nCorrect?",
            "rails": ["correct", "incorrect"],
            "classification_choices": {"correct": 1, "incorrect": 0},
        },
        llm_config={"model_name": "GPT_4o", "provider": "openAI", "temperature": 0},
        lookback=timedelta(days=1),
        rules={"daily_correctness": {"correct": ">= 0.5", "min_evaluated": 10}},
    )
