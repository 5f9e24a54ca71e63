"""Delete a task and cancel a run: repeatedly, and with lost responses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks.emulator import Fault, RunFate
from airflow_provider_online_tasks.exceptions import (
    BadRequest,
    InvalidInput,
    NotFound,
    PermissionDenied,
    RateLimited,
    Unavailable,
)
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.inputs.runs import RunInput
from airflow_provider_online_tasks.operators.eval_tasks import DeleteOnlineTaskOperator
from airflow_provider_online_tasks.operators.runs import CancelOnlineTaskRunOperator
from tests.support.task_instance import Killed, TaskInstance

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_online_tasks.emulator import Emulator
    from airflow_provider_online_tasks.operators.eval_tasks import CreateEvalTaskOperator

DELETE, CANCEL = "rest.delete_task", "rest.cancel_task_run"


@pytest.fixture
def task_id(create: Callable[..., CreateEvalTaskOperator]) -> str:
    """An existing task."""
    return create().execute(TaskInstance().next_try())


@pytest.fixture
def run_id(arize: Emulator, task_id: str) -> str:
    """A run of the task that runs until it is cancelled."""
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


def test_deletion_of_deleted_task_succeeds(arize: Emulator, task_id: str) -> None:
    delete(task_id)
    assert is_deleted(arize)
    delete(task_id)


def test_deletion_of_missing_task_raises_if_it_must_exist(arize: Emulator, task_id: str) -> None:
    delete(task_id, ignore_if_missing=False)
    assert is_deleted(arize)
    with pytest.raises(NotFound):
        delete(task_id, ignore_if_missing=False)


@pytest.mark.parametrize("ignore_if_missing", [True, False])
@pytest.mark.parametrize("kind", ["drop_after", "status_after"])
def test_deletion_whose_response_was_lost_succeeds(
    arize: Emulator, task_id: str, kind: str, ignore_if_missing: bool
) -> None:
    arize.add_fault(Fault(DELETE, kind))
    delete(task_id, ignore_if_missing=ignore_if_missing)
    assert is_deleted(arize)


def test_retry_of_executed_deletion_succeeds(arize: Emulator, task_id: str) -> None:
    instance = TaskInstance()
    arize.add_fault(Fault(DELETE, "status_after"))
    arize.add_fault(Fault(DELETE, "rate_limited", retry_after=1000))
    with pytest.raises(RateLimited):
        delete(task_id, instance, ignore_if_missing=False)

    delete(task_id, instance, ignore_if_missing=False)

    assert instance.store is not None
    assert instance.store.values == {}


def test_retry_after_killed_deletion_succeeds(
    arize: Emulator, task_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = TaskInstance()
    send = OnlineTasksHook.delete_task

    def die(hook: OnlineTasksHook, online_task_id: str) -> None:
        send(hook, online_task_id)
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(OnlineTasksHook, "delete_task", die)
        delete(task_id, instance, ignore_if_missing=False)
    delete(task_id, instance, ignore_if_missing=False)
    # The next execution of the same task instance finds nothing to resume.
    with pytest.raises(NotFound):
        delete(task_id, instance, ignore_if_missing=False)


def test_retry_with_another_task_raises_if_it_is_missing(
    arize: Emulator, task_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = TaskInstance()
    arize.add_fault(Fault(DELETE, "forbidden"))
    with pytest.raises(PermissionDenied):
        delete(task_id, instance, ignore_if_missing=False)
    with pytest.raises(NotFound):
        delete("T25saW5lVGFzazo5OTpxUndY", instance, ignore_if_missing=False)
    assert not is_deleted(arize)


def test_without_state_store_retry_of_executed_deletion_raises(arize: Emulator, task_id: str) -> None:
    instance = TaskInstance(is_kept=False)
    delete(task_id, instance, ignore_if_missing=False)
    with pytest.raises(NotFound):
        delete(task_id, instance, ignore_if_missing=False)


def test_missing_task_that_must_exist_is_not_requested_to_be_deleted(arize: Emulator) -> None:
    with pytest.raises(NotFound):
        delete("T25saW5lVGFzazo5OTpxUndY", ignore_if_missing=False)
    assert arize.requests(DELETE) == []


def test_rejected_deletion_raises(arize: Emulator, task_id: str) -> None:
    arize.add_fault(Fault(DELETE, "status_before", status=400))
    with pytest.raises(BadRequest):
        delete(task_id)
    assert not is_deleted(arize)


def test_running_run_is_cancelled(arize: Emulator, run_id: str) -> None:
    summary = cancel(run_id)
    assert (summary["run_id"], summary["status"]) == (run_id, "CANCELLED")
    assert [run["status"] for run in arize.runs()] == ["CANCELLED"]


@pytest.mark.parametrize("outcome", ["complete", "fail", "cancel", "nothing"])
def test_cancellation_of_finished_run_returns_summary_and_sends_nothing(
    arize: Emulator, task_id: str, outcome: str
) -> None:
    arize.next_run(RunFate(outcome, seconds=0))
    run_id = start(task_id)
    with OnlineTasksHook() as hook:
        summary = hook.get_task_run(run_id).summary()

    assert cancel(run_id) == summary
    assert summary["status"] in {"COMPLETED", "FAILED", "CANCELLED"}
    assert arize.requests(CANCEL) == []


def test_run_that_finishes_before_cancellation_returns_its_summary(
    arize: Emulator, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = OnlineTasksHook.cancel_task_run

    def too_late(hook: OnlineTasksHook, run_id: str) -> Any:
        arize.set_run(run_id, status="COMPLETED")
        return send(hook, run_id)

    monkeypatch.setattr(OnlineTasksHook, "cancel_task_run", too_late)
    assert cancel(run_id)["status"] == "COMPLETED"


@pytest.mark.parametrize("kind", ["drop_after", "status_after", "truncated"])
def test_cancellation_whose_response_was_lost_succeeds(arize: Emulator, run_id: str, kind: str) -> None:
    arize.add_fault(Fault(CANCEL, kind))
    assert cancel(run_id)["status"] == "CANCELLED"


def test_rejected_cancellation_of_running_run_raises(arize: Emulator, run_id: str) -> None:
    arize.add_fault(Fault(CANCEL, "status_before", status=400))
    with pytest.raises(BadRequest):
        cancel(run_id)


def test_cancellation_of_missing_run_raises(arize: Emulator) -> None:
    with pytest.raises(NotFound):
        cancel("VGFza1J1bjo5OTpxUndY")


def test_cancellation_during_outage_raises(arize: Emulator, run_id: str) -> None:
    arize.add_fault(Fault("rest.get_task_run", "rate_limited", times=None, retry_after=1000))
    with pytest.raises(RateLimited):
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
def test_empty_id_is_rejected_at_parse_time(operator: Callable[[str], Any], value: str) -> None:
    with pytest.raises(InvalidInput):
        operator(value)
    operator("{{ ti.xcom_pull('upstream') }}")
