"""Evaluate retrieval whenever a data pipeline has rebuilt the search index.

Replace ``rebuild_search_index`` by your pipeline. The asset that it updates triggers the eval.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, Asset, task

from airflow_provider_online_tasks import (
    CreateEvalTaskOperator,
    OnlineTaskRunSensor,
    RunOnlineTaskOperator,
)

MODEL_ID = "{{ conn.arize_online_tasks_default.extra_dejson.model_id }}"

SEARCH_INDEX = Asset("search_index")

RELEVANCE = {
    "name": "relevance",
    "template": (
        "Question: {attributes.input.value}\n"
        "Found: {attributes.output.value}\n"
        "Does it help to answer the question? Reply with one word: relevant or irrelevant."
    ),
    "rails": ["relevant", "irrelevant"],
    "include_explanations": True,
}

with DAG(
    dag_id="rebuild_search_index",
    description="Rebuild the index that the assistant searches",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["evals"],
):

    @task(outlets=[SEARCH_INDEX])
    def rebuild() -> None:
        """Rebuild the index."""

    rebuild()

with DAG(
    dag_id="eval_after_pipeline",
    description="Evaluate retrieval after each rebuild of the search index",
    schedule=[SEARCH_INDEX],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    default_args={"retries": 2},
    tags=["evals"],
    doc_md=__doc__,
):
    create = CreateEvalTaskOperator(
        task_id="create_task",
        name="retrieval relevance",
        model_id=MODEL_ID,
        query_filter="attributes.openinference.span.kind = 'RETRIEVER'",
        sampling_rate=1,
        template_evaluators=[RELEVANCE],
        llm_config={"model_name": "GPT_4o", "provider": "openAI", "temperature": 0},
        if_exists="skip",
    )

    # An asset-triggered DAG run has no data interval: the window ends when the DAG run was due.
    run = RunOnlineTaskOperator(
        task_id="run_task",
        online_task_id=create.output,
        lookback=timedelta(days=1),
        max_spans=500,
    )

    OnlineTaskRunSensor(task_id="wait_for_run", run_id=run.output, deferrable=True)
