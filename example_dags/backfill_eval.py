"""Run an existing eval task over months of spans: the window is cut, and each piece is a mapped task.

Trigger it by hand with the task's ID, the window's start and its end.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG, Param, task

from airflow_provider_online_tasks import OnlineTaskRunSensor, RunOnlineTaskOperator, split_window

# The UI names each mapped task by the window of its piece.
PIECE = """
{%- set piece = ti.xcom_pull("cut")[ti.map_index] -%}
{{ piece.data_start_time[:10] }} to {{ piece.data_end_time[:10] }}
"""

with DAG(
    dag_id="backfill_eval",
    description="Run an existing eval task over a long window, piece by piece",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    params={
        "online_task_id": Param(type="string", minLength=1, title="ID of the eval task"),
        "start": Param(type="string", format="date-time", title="Start of the window"),
        "end": Param(type="string", format="date-time", title="End of the window"),
        "days": Param(30, type="integer", minimum=1, maximum=30, title="Days of a piece"),
    },
    tags=["evals"],
    doc_md=__doc__,
):

    @task
    def cut(start: str, end: str, days: str) -> list[dict[str, str]]:
        """Cut the window into pieces that the API accepts."""
        return split_window(start, end, days=float(days))

    pieces = cut("{{ params.start }}", "{{ params.end }}", "{{ params.days }}")

    # Two pieces at a time: a run per piece, and each run calls an LLM.
    runs = RunOnlineTaskOperator.partial(
        task_id="run_task",
        online_task_id="{{ params.online_task_id }}",
        max_active_tis_per_dagrun=2,
        map_index_template=PIECE,
    ).expand_kwargs(pieces)

    # A piece without spans is skipped and the others go on.
    OnlineTaskRunSensor.partial(task_id="wait_for_run", deferrable=True, map_index_template=PIECE).expand(
        run_id=runs.output
    )
