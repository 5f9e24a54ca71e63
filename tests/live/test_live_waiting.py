"""On a complete Airflow deployment: what happens to a run when its waiting task is killed or marked.

Every test looks at the emulator's own records, and every run continues until its test ends it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from airflow_provider_online_tasks.emulator import Fault
from tests.support.deployment import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_online_tasks.emulator import EmulatorProcess
    from tests.support.deployment import Deployment
    from tests.support.online_task import OnlineTask

pytestmark = pytest.mark.live

MAPPED = 20
KILL_HOOK = "word for a trigger that its task was ended"

# How long a task waits, and so the state that it waits in.
MODES = [("blocking", "running"), ("deferred", "deferred")]
both_modes = pytest.mark.parametrize(("dag_id", "waits"), MODES, ids=["blocking", "deferred"])


@pytest.mark.promise("tried-deployment", "killed-while-waiting")
def test_worker_crash_while_waiting_resumes_the_run(airflow: Deployment, online_task: OnlineTask) -> None:
    dag_run = airflow.trigger("blocking", online_task_id=online_task.id)
    dag_run.until_waiting("running")
    dag_run.kill_worker()

    dag_run.until("running", try_number=2)
    online_task.complete()

    assert dag_run.until_over() == "success"
    assert online_task.statuses == ["COMPLETED"]


@pytest.mark.promise("killed-before-id-stored")
@both_modes
def test_worker_crash_before_the_response_adopts_the_run(
    airflow: Deployment, arize: EmulatorProcess, online_task: OnlineTask, dag_id: str, waits: str
) -> None:
    arize.add_fault(Fault("graphql.runOnlineTask", "delay_after", seconds=60))
    dag_run = airflow.trigger(dag_id, online_task_id=online_task.id)
    online_task.until_started()
    dag_run.kill_worker()

    dag_run.until(waits, try_number=2)
    online_task.complete()

    assert dag_run.until_over() == "success"
    assert online_task.statuses == ["COMPLETED"]


@pytest.mark.promise("tried-deployment", "killed-while-waiting")
def test_triggerer_crash_keeps_runs_and_waits(
    airflow: Deployment, new_online_task: Callable[[], OnlineTask]
) -> None:
    online_tasks = [new_online_task() for _ in range(3)]
    dag_runs = [
        airflow.trigger("deferred", online_task_id=each.id) for each in online_tasks for _ in range(2)
    ]
    for dag_run in dag_runs:
        dag_run.until("deferred")

    airflow.kill("triggerer")
    for each in online_tasks:
        each.complete()
    airflow.start_component("triggerer")

    assert {dag_run.until_over() for dag_run in dag_runs} == {"success"}
    assert [each.statuses for each in online_tasks] == [["COMPLETED", "COMPLETED"]] * 3
    assert {dag_run.task["try_number"] for dag_run in dag_runs} == {1}


@pytest.mark.promise("tried-deployment", "ended-by-user")
@pytest.mark.parametrize(
    ("dag_id", "waits"),
    [MODES[0], pytest.param(*MODES[1], marks=pytest.mark.since_airflow("3.3", KILL_HOOK))],
    ids=["blocking", "deferred"],
)
def test_waiting_task_marked_failed_cancels_its_run(
    airflow: Deployment, online_task: OnlineTask, dag_id: str, waits: str
) -> None:
    dag_run = airflow.trigger(dag_id, online_task_id=online_task.id)
    dag_run.until_waiting(waits)

    dag_run.mark("failed")

    online_task.until_last_is("CANCELLED")
    assert dag_run.until_over() == "failed"
    assert online_task.statuses == ["CANCELLED"]


def test_task_marked_failed_during_creation_cancels_its_run(
    airflow: Deployment, arize: EmulatorProcess, online_task: OnlineTask
) -> None:
    arize.add_fault(Fault("graphql.runOnlineTask", "delay_after", seconds=4))
    dag_run = airflow.trigger("deferred", online_task_id=online_task.id)
    online_task.until_started()

    dag_run.mark("failed")

    online_task.until_last_is("CANCELLED")
    assert dag_run.until_over() == "failed"


@pytest.mark.promise("kill-off")
@pytest.mark.since_airflow("3.3", KILL_HOOK)
def test_task_marked_failed_without_cancel_on_kill_keeps_its_run(
    airflow: Deployment, online_task: OnlineTask
) -> None:
    dag_run = airflow.trigger("deferred_not_cancelled", online_task_id=online_task.id)
    dag_run.until_waiting("deferred")

    dag_run.mark("failed")

    until("the trigger was ended", lambda: dag_run.logged("cancel_on_kill is False"))
    assert online_task.statuses == ["RUNNING"]


@pytest.mark.promise("cleared-while-waiting")
@pytest.mark.since_airflow("3.1", "a scheduler that runs a cleared task again (apache/airflow#55045)")
def test_clear_while_waiting_starts_no_second_live_run(airflow: Deployment, online_task: OnlineTask) -> None:
    dag_run = airflow.trigger("blocking", online_task_id=online_task.id)
    dag_run.until_waiting("running")

    dag_run.clear()

    # The clear cancels the run of the try that it ends; the next try starts one, and never next to the first.
    online_task.until_started(2)
    online_task.complete()
    assert dag_run.until_over() == "success"
    assert online_task.statuses == ["CANCELLED", "COMPLETED"]
    never_two_at_once(online_task)


@pytest.mark.promise("cleared-while-waiting")
def test_clear_while_deferred_starts_no_second_live_run(airflow: Deployment, online_task: OnlineTask) -> None:
    dag_run = airflow.trigger("deferred", online_task_id=online_task.id)
    dag_run.until_waiting("deferred")

    dag_run.clear()
    dag_run.until("deferred", try_number=2)

    # Either the clear cancels the run, or the next try is faster than that, and resumes the run.
    until("the task ends", lambda: online_task.complete() or dag_run.state == "success")
    assert online_task.statuses in (["COMPLETED"], ["CANCELLED", "COMPLETED"])
    never_two_at_once(online_task)


def never_two_at_once(online_task: OnlineTask) -> None:
    """Fail if a run was started while another was live."""
    for earlier, later in pairwise(online_task.runs):
        assert earlier["finished_at"] <= later["created_at"]


@pytest.mark.promise("tried-deployment", "cleared-after-success")
@both_modes
def test_clear_after_success_starts_a_new_run(
    airflow: Deployment, online_task: OnlineTask, dag_id: str, waits: str
) -> None:
    dag_run = airflow.trigger(dag_id, online_task_id=online_task.id)
    dag_run.until_waiting(waits)
    online_task.complete()
    assert dag_run.until_over() == "success"

    dag_run.clear()

    online_task.until_started(2)
    online_task.complete()
    assert dag_run.until_over() == "success"
    assert online_task.statuses[0] == "COMPLETED"
    assert len(online_task.runs) == 2


def test_execution_timeout_while_deferred_cancels_the_run(
    airflow: Deployment, online_task: OnlineTask
) -> None:
    dag_run = airflow.trigger("deferred_bounded", online_task_id=online_task.id)

    assert dag_run.until_over() == "failed"
    assert online_task.statuses == ["CANCELLED"]


def test_many_simultaneous_waits_finish(
    airflow: Deployment, arize: EmulatorProcess, online_task: OnlineTask
) -> None:
    dag_run = airflow.trigger("mapped", online_task_id=online_task.id)
    until(
        "all are deferred",
        lambda: [task["state"] for task in dag_run.instances()] == ["deferred"] * MAPPED,
        show=dag_run.instances,
    )
    arize.clear_requests()
    online_task.complete()

    assert dag_run.until_over() == "success"
    assert online_task.statuses == ["COMPLETED"] * MAPPED
    # They are read together: all ends are seen in one or two looks, not in one for each.
    reads = [request["operation"] for request in arize.requests("rest.*_task_run*")]
    assert len(reads) <= MAPPED / 2, reads
