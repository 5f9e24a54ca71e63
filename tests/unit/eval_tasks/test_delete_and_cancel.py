"""Deleting a task and cancelling a run, again and again, and with lost answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks.emulator import Fault, RunFate
from airflow_provider_online_tasks.exceptions import BadRequest, InvalidInput, NotFound, Unavailable
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.inputs import RunInput
from airflow_provider_online_tasks.operators.eval_tasks import DeleteOnlineTaskOperator
from airflow_provider_online_tasks.operators.runs import CancelOnlineTaskRunOperator
from tests.support.task_instance import TaskInstance

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_online_tasks.emulator import Emulator
    from airflow_provider_online_tasks.operators.eval_tasks import CreateEvalTaskOperator

DELETE, CANCEL = "rest.delete_task", "rest.cancel_task_run"


@pytest.fixture
def task_id(create: Callable[..., CreateEvalTaskOperator]) -> str:
    """A task that exists."""
    return create().execute(TaskInstance().next_try())


@pytest.fixture
def run_id(arize: Emulator, task_id: str) -> str:
    """A run of it that goes on until it is ended."""
    arize.next_run(RunFate("hang", pending_seconds=0))
    return start(task_id)


def start(task_id: str) -> str:
    end = datetime.now(UTC)
    window = {"data_start_time": end - timedelta(days=1), "data_end_time": end}
    with OnlineTasksHook() as hook:
        return hook.run_online_task(RunInput(online_task_id=task_id, **window))


def delete(task_id: str, instance: TaskInstance | None = None, **arguments: Any) -> None:
    operator = DeleteOnlineTaskOperator(task_id="delete", online_task_id=task_id, **arguments)
    operator.execute((instance or TaskInstance()).next_try())


def cancel(run_id: str) -> dict[str, Any]:
    return CancelOnlineTaskRunOperator(task_id="cancel", run_id=run_id).execute(TaskInstance().next_try())


def is_deleted(arize: Emulator) -> bool:
    [task] = arize.tasks()
    return bool(task["deleted"])


def test_a_task_is_deleted_and_deleting_it_again_is_fine(arize: Emulator, task_id: str) -> None:
    delete(task_id)
    assert is_deleted(arize)
    delete(task_id)


def test_a_missing_task_is_an_error_where_it_has_to_be_there(arize: Emulator, task_id: str) -> None:
    delete(task_id, ignore_if_missing=False)
    assert is_deleted(arize)
    with pytest.raises(NotFound):
        delete(task_id, ignore_if_missing=False)


@pytest.mark.parametrize("ignore_if_missing", [True, False])
@pytest.mark.parametrize("kind", ["drop_after", "status_after"])
def test_a_deletion_whose_answer_was_lost(
    arize: Emulator, task_id: str, kind: str, ignore_if_missing: bool
) -> None:
    arize.add_fault(Fault(DELETE, kind))
    delete(task_id, ignore_if_missing=ignore_if_missing)
    assert is_deleted(arize)


def test_a_retry_of_a_deletion_that_was_carried_out(arize: Emulator, task_id: str) -> None:
    instance = TaskInstance()
    arize.add_fault(Fault(DELETE, "status_after"))
    arize.add_fault(Fault(DELETE, "rate_limited", retry_after=1000))
    with pytest.raises(Exception, match="429"):
        delete(task_id, instance, ignore_if_missing=False)

    delete(task_id, instance, ignore_if_missing=False)

    assert instance.store is not None
    assert instance.store.values == {}


def test_refusals_are_not_taken_for_a_missing_task(arize: Emulator, task_id: str) -> None:
    arize.add_fault(Fault(DELETE, "status_before", status=400))
    with pytest.raises(BadRequest):
        delete(task_id)
    assert not is_deleted(arize)


def test_a_live_run_is_cancelled(arize: Emulator, run_id: str) -> None:
    summary = cancel(run_id)
    assert (summary["run_id"], summary["status"]) == (run_id, "CANCELLED")
    assert [run["status"] for run in arize.runs()] == ["CANCELLED"]


@pytest.mark.parametrize("outcome", ["complete", "fail", "cancel", "nothing"])
def test_a_run_that_is_over_is_no_error_and_nothing_is_asked_of_it(
    arize: Emulator, task_id: str, outcome: str
) -> None:
    arize.next_run(RunFate(outcome, seconds=0))
    run_id = start(task_id)
    with OnlineTasksHook() as hook:
        before = hook.get_task_run(run_id).summary()

    assert cancel(run_id) == before
    assert before["status"] in {"COMPLETED", "FAILED", "CANCELLED"}
    assert arize.requests(CANCEL) == []


def test_a_run_that_ends_just_before_it_would_be_cancelled(
    arize: Emulator, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = OnlineTasksHook.cancel_task_run

    def too_late(hook: OnlineTasksHook, run_id: str) -> Any:
        arize.set_run(run_id, status="COMPLETED")
        return send(hook, run_id)

    monkeypatch.setattr(OnlineTasksHook, "cancel_task_run", too_late)
    assert cancel(run_id)["status"] == "COMPLETED"


@pytest.mark.parametrize("kind", ["drop_after", "status_after", "truncated"])
def test_a_cancellation_whose_answer_was_lost(arize: Emulator, run_id: str, kind: str) -> None:
    arize.add_fault(Fault(CANCEL, kind))
    assert cancel(run_id)["status"] == "CANCELLED"


def test_a_refusal_of_a_live_run_s_cancellation_is_an_error_whatever_it_says(
    arize: Emulator, run_id: str
) -> None:
    arize.add_fault(Fault(CANCEL, "status_before", status=400))
    with pytest.raises(BadRequest):
        cancel(run_id)


def test_a_run_that_does_not_exist(arize: Emulator) -> None:
    with pytest.raises(NotFound):
        cancel("VGFza1J1bjo5OTpxUndY")


def test_an_outage(arize: Emulator, run_id: str) -> None:
    arize.add_fault(Fault("rest.get_task_run", "rate_limited", times=None, retry_after=1000))
    with pytest.raises(Exception, match="429"):
        cancel(run_id)
    arize.clear_faults()
    arize.add_fault(Fault(CANCEL, "status_before", times=None, retry_after=1000))
    with pytest.raises(Unavailable):
        cancel(run_id)


@pytest.mark.parametrize(
    "operator",
    [
        lambda value: DeleteOnlineTaskOperator(task_id="x", online_task_id=value),
        lambda value: CancelOnlineTaskRunOperator(task_id="x", run_id=value),
    ],
    ids=["delete", "cancel"],
)
@pytest.mark.parametrize("value", ["", "None"])
def test_an_id_that_is_none_is_refused(operator: Callable[[str], Any], value: str) -> None:
    with pytest.raises(InvalidInput):
        operator(value)
    operator("{{ ti.xcom_pull('upstream') }}")
