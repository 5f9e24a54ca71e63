"""A task that a person ends cancels its run, however many are ended at once, and nothing else does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow_provider_online_tasks.emulator import Fault
from tests.support.deployment import until

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import EmulatorProcess
    from tests.support.cluster import Cluster
    from tests.support.online_task import OnlineTask

pytestmark = pytest.mark.cluster

CANCEL = "rest.cancel_task_run"


@pytest.mark.promise("kill-deferred", "cluster-kills")
@pytest.mark.parametrize("count", [1, 30, pytest.param(60, marks=pytest.mark.slow)])
def test_deferred_tasks_marked_failed_cancel_their_runs(
    airflow: Cluster, conn_id: str, online_task: OnlineTask, count: int
) -> None:
    dag_run = airflow.start_dag(f"deferred_{count}", online_task_id=online_task.id, conn_id=conn_id)
    dag_run.until_all("deferred", count)
    until("each wait has been read", lambda: len(_looked_at(airflow, dag_run.run_id)) == count)

    dag_run.mark_all("failed")

    until(
        f"{count} runs are cancelled",
        lambda: set(online_task.statuses) == {"CANCELLED"},
        seconds=90,
        show=lambda: online_task.statuses.count("CANCELLED"),
    )
    assert len(online_task.runs) == count


@pytest.mark.promise("cluster-kill-503")
def test_failed_cancellation_is_retried(
    airflow: Cluster, arize: EmulatorProcess, conn_id: str, online_task: OnlineTask
) -> None:
    dag_run = airflow.start_dag("deferred_1", online_task_id=online_task.id, conn_id=conn_id)
    dag_run.until_all("deferred", 1)
    until("the wait has been read", lambda: _looked_at(airflow, dag_run.run_id))
    arize.add_fault(Fault(CANCEL, "status_before", status=503))

    dag_run.mark_all("failed")

    until("the run is cancelled", lambda: online_task.statuses == ["CANCELLED"], seconds=60)
    assert [request["status"] for request in arize.requests(CANCEL)] == [503, 200]


@pytest.mark.promise("killed-during-request", "cluster-kill-amid-request")
def test_task_marked_failed_during_request_cancels_run(
    airflow: Cluster, arize: EmulatorProcess, conn_id: str, online_task: OnlineTask
) -> None:
    arize.add_fault(Fault("graphql.runOnlineTask", "delay_after", seconds=60))
    dag_run = airflow.start_dag("blocking_1", online_task_id=online_task.id, conn_id=conn_id)
    online_task.until_started()

    dag_run.mark_all("failed")

    until("the run is cancelled", lambda: online_task.statuses == ["CANCELLED"], seconds=50)


@pytest.mark.promise("deleted-while-waiting", "cluster-deleted")
def test_deleted_dag_run_cancels_its_run(airflow: Cluster, conn_id: str, online_task: OnlineTask) -> None:
    dag_run = airflow.start_dag("blocking_1", online_task_id=online_task.id, conn_id=conn_id)
    until("the task waits", lambda: dag_run.logged("is RUNNING"))

    airflow.delete(dag_run)

    until("the run is cancelled", lambda: online_task.statuses == ["CANCELLED"], seconds=90)


@pytest.mark.promise("deleted-while-waiting", "cluster-deleted-again")
def test_deleted_task_that_airflow_creates_again_keeps_its_run(
    airflow: Cluster, conn_id: str, online_task: OnlineTask
) -> None:
    dag_run = airflow.start_dag("blocking_1", online_task_id=online_task.id, conn_id=conn_id)
    until("the task waits", lambda: dag_run.logged("is RUNNING"))
    deleted = dag_run.task["id"]

    dag_run.delete_task()

    def another_waits() -> bool:
        logs = airflow.task_logs(f"run_id={dag_run.run_id}/").values()
        lines = [line for log in logs for line in log.splitlines() if "is RUNNING" in line]
        return any(deleted not in line for line in lines)

    until("the task that Airflow created again waits", another_waits, show=dag_run.instances)
    online_task.complete()
    assert dag_run.until_over() == "success"
    # The process of the deleted task cancels its run if it ends before Airflow has created the task again.
    assert [status for status in online_task.statuses if status != "CANCELLED"] == ["COMPLETED"]


@pytest.mark.promise("deadline", "cluster-deadline")
def test_deadline_of_paused_dag_cancels_run(airflow: Cluster, conn_id: str, online_task: OnlineTask) -> None:
    dag_run = airflow.start_dag("deferred_1_for_20_seconds", online_task_id=online_task.id, conn_id=conn_id)
    dag_run.until_all("deferred", 1)
    dag_run.pause()
    try:
        until("the run is cancelled", lambda: online_task.statuses == ["CANCELLED"], seconds=90)

        assert dag_run.states()["failed"] == 0  # the task has not resumed
    finally:
        dag_run.pause(is_paused=False)
    assert dag_run.until_over() == "failed"
    assert online_task.statuses == ["CANCELLED"]


@pytest.mark.promise("orphaned-runs", "cluster-orphaned-runs")
def test_orphaned_runs_of_dead_triggerers_are_cancelled_by_command(
    airflow: Cluster, conn_id: str, online_task: OnlineTask
) -> None:
    dag_run = airflow.start_dag("deferred_6", online_task_id=online_task.id, conn_id=conn_id)
    dag_run.until_all("deferred", 6)
    until("each wait has been read", lambda: len(_looked_at(airflow, dag_run.run_id)) == 6)
    for triggerer in ("triggerer-1", "triggerer-2"):
        airflow.kill(triggerer)
    dag_run.mark_all("failed")
    airflow.until_healthy()
    assert set(online_task.statuses) == {"RUNNING"}

    command = ("online-tasks", "orphaned-runs", "--conn-id", conn_id, "--cancel")
    airflow.run_command("orphaned-runs", *command, seconds=120)

    assert online_task.statuses == ["CANCELLED"] * 6


def _looked_at(airflow: Cluster, run_id: str) -> list[str]:
    """Return the logs of triggers that have read of their run."""
    logs = airflow.task_logs(f"run_id={run_id}/")
    return [name for name, log in logs.items() if ".trigger" in name and "is RUNNING" in log]
