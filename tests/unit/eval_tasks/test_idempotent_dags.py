"""The operators in DAG runs, compared with the emulator's records."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG

from airflow_provider_online_tasks.emulator import Fault, RunFate
from airflow_provider_online_tasks.operators.eval_tasks import (
    CreateEvalTaskOperator,
    DeleteOnlineTaskOperator,
    PatchEvalTaskOperator,
)
from airflow_provider_online_tasks.operators.runs import CancelOnlineTaskRunOperator, RunOnlineTaskOperator
from tests.support.task_instance import TASK

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_online_tasks.emulator import Emulator

pytestmark = pytest.mark.dag

CREATE = "graphql.createEvalTask"


def creating(arize: Emulator, dag_id: str, **arguments: Any) -> DAG:
    with DAG(dag_id=dag_id, schedule=None) as dag:
        CreateEvalTaskOperator(task_id="create_task", model_id=arize.project_id, **TASK, **arguments)
    return dag


def test_daily_dag_creates_task_once(arize: Emulator, run_dag: Callable[..., Any]) -> None:
    dag = creating(arize, "create_every_day", if_exists="skip")
    returned = {run_dag(dag).returned("create_task") for _ in range(2)}
    assert returned == {task["id"] for task in arize.tasks()}
    assert len(arize.requests(CREATE)) == 1


def test_second_dag_run_fails_by_default_without_retry(arize: Emulator, run_dag: Callable[..., Any]) -> None:
    dag = creating(arize, "create_once", retries=2)
    assert run_dag(dag).state == "success"
    result = run_dag(dag)
    assert result.state == "failed"
    assert [instance.try_number for instance in result.dag_run.get_task_instances()] == [1]
    assert len(arize.tasks()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("if_exists", ["fail", "update"])
def test_try_that_times_out_after_creation_is_resumed_by_retry(
    arize: Emulator, run_dag: Callable[..., Any], if_exists: str
) -> None:
    arize.add_fault(Fault(CREATE, "delay_after", seconds=120))
    dag = creating(
        arize,
        f"create_too_slowly_{if_exists}",
        if_exists=if_exists,
        retries=1,
        retry_delay=timedelta(0),
        execution_timeout=timedelta(seconds=10),
    )

    result = run_dag(dag)

    assert result.state == "success"
    assert [task["id"] for task in arize.tasks()] == [result.returned("create_task")]
    assert len(arize.requests(CREATE)) == 1


def test_try_that_fails_after_creation_is_resumed_by_retry(
    arize: Emulator, run_dag: Callable[..., Any]
) -> None:
    def fail_first_try(context: Any, _: Any) -> None:
        if context["ti"].try_number == 1:
            raise RuntimeError("the worker is lost before it reports success")

    dag = creating(
        arize, "create_unheard_of", retries=1, retry_delay=timedelta(0), post_execute=fail_first_try
    )

    result = run_dag(dag)

    assert result.state == "success"
    assert [task["id"] for task in arize.tasks()] == [result.returned("create_task")]
    assert len(arize.requests(CREATE)) == 1


def test_patch_pauses_and_resumes_task(arize: Emulator, run_dag: Callable[..., Any]) -> None:
    with DAG(dag_id="pause_and_resume", schedule=None) as dag:
        create = CreateEvalTaskOperator(
            task_id="create_task", model_id=arize.project_id, run_continuously=True, **TASK
        )
        pause = PatchEvalTaskOperator(task_id="pause", online_task_id=create.output, run_continuously=False)
        look = PatchEvalTaskOperator(task_id="rename", online_task_id=create.output, name="paused")
        resume = PatchEvalTaskOperator(task_id="resume", online_task_id=create.output, run_continuously=True)
        pause >> look >> resume
    seen: list[tuple[str, bool]] = []
    for operator in (create, pause, look, resume):
        operator.post_execute = lambda *_, name=operator.task_id: seen.append(
            (name, arize.tasks()[0]["is_continuous"])
        )

    assert run_dag(dag).state == "success"
    assert seen == [("create_task", True), ("pause", False), ("rename", False), ("resume", True)]


def test_run_is_cancelled_and_task_deleted_repeatedly(arize: Emulator, run_dag: Callable[..., Any]) -> None:
    arize.next_run(RunFate("hang"))
    with DAG(dag_id="cancel_and_delete", schedule=None) as dag:
        create = CreateEvalTaskOperator(task_id="create_task", model_id=arize.project_id, **TASK)
        run = RunOnlineTaskOperator(
            task_id="run_task", online_task_id=create.output, lookback=timedelta(days=1)
        )
        cancel = CancelOnlineTaskRunOperator(task_id="cancel", run_id=run.output)
        again = CancelOnlineTaskRunOperator(task_id="cancel_again", run_id=run.output)
        delete = DeleteOnlineTaskOperator(task_id="delete", online_task_id=create.output)
        (
            cancel
            >> again
            >> delete
            >> DeleteOnlineTaskOperator(task_id="delete_again", online_task_id=create.output)
        )

    result = run_dag(dag)

    assert result.state == "success"
    assert result.returned("cancel") == result.returned("cancel_again")
    assert result.returned("cancel")["status"] == "CANCELLED"
    assert [run["status"] for run in arize.runs()] == ["CANCELLED"]
    assert [task["deleted"] for task in arize.tasks()] == [True]
