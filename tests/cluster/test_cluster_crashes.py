"""Each execution has one live run and loses none when parts of the deployment crash."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from airflow_provider_online_tasks.emulator import Fault
from tests.support.deployment import until

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import EmulatorProcess
    from tests.support.cluster import Cluster, MappedRun
    from tests.support.online_task import OnlineTask

pytestmark = pytest.mark.cluster

START = "graphql.runOnlineTask"
# Longer than any request timeout, search, or pause between two requests.
AWAY_SECONDS = 120.0


def started_once(online_task: OnlineTask, executions: int) -> None:
    """Fail unless each execution, which has its own window, started one run that completed."""
    runs = online_task.runs
    assert Counter(run["status"] for run in runs) == {"COMPLETED": executions}
    # One run evaluates each window.
    assert len({run["data_start"] for run in runs}) == executions


def until_started(online_task: OnlineTask, windows: int) -> None:
    """Return when so many executions have a run."""
    until(
        f"{windows} executions have a run",
        lambda: len({run["data_start"] for run in online_task.runs}) == windows,
        show=lambda: online_task.statuses,
    )


def ends_well(dag_runs: list[MappedRun], online_tasks: list[OnlineTask]) -> None:
    """Let all runs complete, and fail unless the tasks that wait for them succeed."""
    for online_task in online_tasks:
        online_task.complete()
    assert {dag_run.until_over() for dag_run in dag_runs} == {"success"}


@pytest.mark.promise("tried-cluster", "cluster-deaths")
def test_crash_of_each_component_loses_no_run(
    airflow: Cluster, arize: EmulatorProcess, conn_id: str, online_task: OnlineTask
) -> None:
    blocked = type(online_task).create(arize)
    # Responses are late, so that a crash falls between the start of a run and its response.
    arize.add_fault(Fault(START, "delay_after", seconds=3, times=None))
    deferred = airflow.start_dag("deferred_12", online_task_id=online_task.id, conn_id=conn_id)
    blocking = airflow.start_dag("blocking_4", online_task_id=blocked.id, conn_id=conn_id)
    online_task.until_started()

    airflow.kill("worker-1")
    airflow.start_component("worker-1")
    online_task.until_started(len(online_task.runs) + 1)
    airflow.kill("scheduler-1")
    airflow.start_component("scheduler-1")
    until("a task is deferred", lambda: deferred.states()["deferred"])
    airflow.kill("triggerer-1")
    airflow.start_component("triggerer-1")
    blocked.until_started()
    airflow.kill("api-server")
    airflow.start_component("api-server")
    airflow.until_healthy()
    airflow.postgres.restart()
    airflow.until_healthy()
    until_started(online_task, 12)
    until_started(blocked, 4)
    arize.clear_faults()

    ends_well([deferred, blocking], [online_task, blocked])
    started_once(online_task, 12)
    started_once(blocked, 4)


@pytest.mark.promise("cluster-outage")
@pytest.mark.slow
def test_arize_outage_loses_no_run(
    airflow: Cluster, arize: EmulatorProcess, conn_id: str, online_task: OnlineTask
) -> None:
    blocked = type(online_task).create(arize)
    deferred = airflow.start_dag("deferred_12", online_task_id=online_task.id, conn_id=conn_id)
    blocking = airflow.start_dag("blocking_4", online_task_id=blocked.id, conn_id=conn_id)
    deferred.until_all("deferred", 12)
    until_started(blocked, 4)

    arize.kill()
    time.sleep(AWAY_SECONDS)
    arize.start()

    assert deferred.states() == {"deferred": 12}
    assert blocking.states() == {"running": 4}
    ends_well([deferred, blocking], [online_task, blocked])
    started_once(online_task, 12)
    started_once(blocked, 4)
    assert deferred.tries() == {1: 12}
    assert blocking.tries() == {1: 4}


@pytest.mark.promise("api-server-away", "cluster-api-server-away")
def test_airflow_api_outage_loses_no_run(airflow: Cluster, conn_id: str, online_task: OnlineTask) -> None:
    dag_run = airflow.start_dag("blocking_1", online_task_id=online_task.id, conn_id=conn_id)
    dag_run.until_waiting("running")

    airflow.kill("api-server")
    # After three heartbeats without a response, the worker ends the task as a manual kill does.
    until(
        "the worker gives the task up",
        lambda: any("Too many failed heartbeats" in airflow.log(worker) for worker in airflow.workers),
    )
    time.sleep(10)
    airflow.start_component("api-server")
    airflow.until_healthy()

    assert online_task.statuses == ["RUNNING"]
    # On a slow machine more than one try may pass until the API server is itself again.
    until(
        "a later try runs",
        lambda: dag_run.task["state"] == "running" and dag_run.task["try_number"] > 1,
        show=lambda: dag_run.task,
    )
    ends_well([dag_run], [online_task])
    started_once(online_task, 1)
