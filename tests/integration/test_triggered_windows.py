"""The window of a DAG run that another DAG triggers for a past day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_online_tasks.inputs.windows import DataWindow
from airflow_provider_online_tasks.runs.window import resolve_window
from tests.support.dag_runs import register_dags

pytestmark = [pytest.mark.dag, pytest.mark.usefixtures("run_dag")]


@pytest.mark.parametrize(
    ("dag_id", "schedule"), [("manual", None), ("preset", "@daily"), ("interval", timedelta(days=1))]
)
def test_lookback_of_triggered_dag_run_ends_at_its_logical_date(dag_id: str, schedule: Any) -> None:
    from airflow.api.common.trigger_dag import trigger_dag
    from airflow.utils.types import DagRunTriggeredByType

    past = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=5)
    with DAG(dag_id, schedule=schedule, start_date=datetime(2024, 1, 1, tzinfo=UTC), catchup=False) as dag:
        pass
    register_dags(dag)
    # What TriggerDagRunOperator asks Airflow's API server for.
    dag_run = trigger_dag(dag_id, triggered_by=DagRunTriggeredByType.OPERATOR, logical_date=past)
    context: Any = {"dag_run": dag_run, "dag": dag}
    window = resolve_window(context, data_start_time=None, data_end_time=None, lookback=timedelta(days=1))
    assert window == DataWindow(start=past - timedelta(days=1), end=past)
