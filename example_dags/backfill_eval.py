"""Run an existing eval task on months of spans, with one mapped task per part of the window.

The results of each part are in the XCom of its ``read_results``.

Before the first run starts, it estimates the cost of all parts, and fails if that exceeds the maximum. The
prices of the models are those of the connection.

Trigger it manually with the task's ID and the start and the end of the window.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG, Param, task

from airflow_provider_online_tasks import (
    EstimateRunOperator,
    EvalResultsOperator,
    OnlineTaskRunSensor,
    RunOnlineTaskOperator,
    split_window,
)

# The UI shows the window of each mapped task.
WINDOW = """
{%- set window = ti.xcom_pull("split")[ti.map_index] -%}
{{ window.data_start_time[:10] }} to {{ window.data_end_time[:10] }}
"""

with DAG(
    dag_id="backfill_eval",
    description="Run an existing eval task on a long window, in parts",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    params={
        "online_task_id": Param(type="string", minLength=1, title="ID of the eval task"),
        "start": Param(type="string", format="date-time", title="Start of the window"),
        "end": Param(type="string", format="date-time", title="End of the window"),
        "max_cost": Param(
            None, type=["number", "null"], exclusiveMinimum=0, title="Maximum cost of all parts"
        ),
        "max_evaluations": Param(
            None, type=["integer", "null"], minimum=1, title="Maximum number of evaluations of all parts"
        ),
        "days": Param(30, type="integer", minimum=1, maximum=30, title="Days per part"),
    },
    tags=["evals"],
    doc_md=__doc__,
):

    @task
    def split(start: str, end: str, days: str) -> list[dict[str, str]]:
        """Split the window into parts that the API accepts."""
        return split_window(start, end, days=float(days))

    windows = split("{{ params.start }}", "{{ params.end }}", "{{ params.days }}")

    estimate = EstimateRunOperator(
        task_id="estimate",
        online_task_id="{{ params.online_task_id }}",
        data_start_time="{{ params.start }}",
        data_end_time="{{ params.end }}",
        max_spans="{{ 10_000 * ti.xcom_pull('split') | length }}",  # each run evaluates at most 10,000
        max_cost="{{ params.max_cost }}",
        max_evaluations="{{ params.max_evaluations }}",
    )

    # Two runs at a time, because each run calls an LLM. A part without spans has to succeed: if Airflow skips
    # one mapped task, it skips all downstream tasks, and the results of the other parts are not read.
    runs = RunOnlineTaskOperator.partial(
        task_id="run_task",
        online_task_id="{{ params.online_task_id }}",
        on_nothing_evaluated="succeed",
        max_active_tis_per_dagrun=2,
        map_index_template=WINDOW,
    ).expand_kwargs(windows)

    finished = OnlineTaskRunSensor.partial(
        task_id="wait_for_run",
        deferrable=True,
        on_nothing_evaluated="succeed",
        map_index_template=WINDOW,
    ).expand(run_id=runs.output)

    results = EvalResultsOperator.partial(
        task_id="read_results", map_index_template="{{ task.run_id }}"
    ).expand(run_id=runs.output)
    windows >> estimate >> runs
    finished >> results
