"""The asset events of a task that waited for a run describe the run."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG, Asset, AssetAlias, task

from airflow_provider_online_tasks.emulator import RunFate
from airflow_provider_online_tasks.operators.base import update_asset_events
from airflow_provider_online_tasks.operators.runs import RunOnlineTaskOperator
from airflow_provider_online_tasks.sensors.runs import OnlineTaskRunSensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_online_tasks.emulator import Emulator

DAY = timedelta(days=1)


def events_of(asset: Asset) -> list[dict[str, Any]]:
    """Return the ``extra`` of an asset's events in Airflow's database."""
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        query = select(AssetEvent).join(AssetModel, AssetModel.id == AssetEvent.asset_id)
        rows = session.scalars(query.where(AssetModel.name == asset.name).order_by(AssetEvent.id))
        return [dict(row.extra) for row in rows]


@pytest.mark.dag
@pytest.mark.parametrize("deferrable", [False, True], ids=["blocking", "deferred"])
def test_operator_and_sensor_emit_asset_events_with_run_and_counts(
    arize: Emulator, online_task_id: str, run_dag: Callable[..., Any], deferrable: bool
) -> None:
    of_operator, of_sensor = Asset(f"operator_{deferrable}"), Asset(f"sensor_{deferrable}")
    with DAG(dag_id=f"tells_{deferrable}", schedule=None) as dag:
        run = RunOnlineTaskOperator(
            task_id="run_task",
            online_task_id=online_task_id,
            lookback=DAY,
            wait_for_completion=True,
            deferrable=deferrable,
            outlets=[of_operator],
        )
        OnlineTaskRunSensor(
            task_id="wait_for_run", run_id=run.output, deferrable=deferrable, outlets=[of_sensor]
        )

    result = run_dag(dag)

    [record] = arize.runs()
    [said] = events_of(of_operator)
    assert (said["run_id"], said["online_task_id"]) == (record["id"], online_task_id)
    assert (said["status"], said["num_successes"]) == ("COMPLETED", record["num_successes"])
    assert said["data_start_time"] < said["data_end_time"]
    assert said == result.returned("wait_for_run")
    assert events_of(of_sensor) == [said]


@pytest.mark.dag
def test_other_dag_reads_the_asset_event(
    arize: Emulator, online_task_id: str, run_dag: Callable[..., Any]
) -> None:
    judged = Asset("judged_answers")
    with DAG(dag_id="judges", schedule=None) as judges:
        RunOnlineTaskOperator(
            task_id="run_task",
            online_task_id=online_task_id,
            lookback=DAY,
            wait_for_completion=True,
            outlets=[judged],
        )
    with DAG(dag_id="reads", schedule=[judged]) as reads:

        @task(inlets=[judged], multiple_outputs=False)
        def read(inlet_events: Any = None) -> dict[str, Any]:
            return dict(inlet_events[judged][-1].extra)

        read()

    assert run_dag(judges).state == "success"

    assert run_dag(reads, logical_date=None).returned("read")["run_id"] == arize.runs()[0]["id"]


@pytest.mark.dag
@pytest.mark.parametrize("outcome", ["fail", "cancel"])
def test_unsuccessful_run_emits_no_asset_event(
    arize: Emulator, online_task_id: str, run_dag: Callable[..., Any], outcome: str
) -> None:
    asset = Asset(f"never_{outcome}")
    arize.next_run(RunFate(outcome))
    with DAG(dag_id=f"ends_badly_{outcome}", schedule=None) as dag:
        RunOnlineTaskOperator(
            task_id="run_task",
            online_task_id=online_task_id,
            lookback=DAY,
            wait_for_completion=True,
            outlets=[asset],
        )

    assert run_dag(dag).state == "failed"
    assert events_of(asset) == []


def test_without_outlets_context_is_not_read() -> None:
    update_asset_events({}, [], {"run_id": "run"})  # type: ignore[typeddict-item]
    update_asset_events({}, [AssetAlias("dynamic")], {"run_id": "run"})  # type: ignore[typeddict-item]


def test_asset_events_of_two_outlets_keep_facts_of_others() -> None:
    from airflow.sdk.execution_time.context import OutletEventAccessors

    events, one, other = OutletEventAccessors(), Asset("one"), Asset("other")
    events[one].extra["rows"] = 7

    update_asset_events({"outlet_events": events}, [one, other], {"run_id": "run"})  # type: ignore[typeddict-item]

    assert events[one].extra == {"rows": 7, "run_id": "run"}
    assert events[other].extra == {"run_id": "run"}
