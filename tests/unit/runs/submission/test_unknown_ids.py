"""Tests of a runId in the response to runOnlineTask that REST does not know. Its form is not documented."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from airflow_provider_online_tasks.emulator import Fault
from airflow_provider_online_tasks.exceptions import OnlineTaskRunUnreachable
from tests.support.tries import HANG, WAIT, Execution, Time, run_ids, start_run

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator

RUN = "graphql.runOnlineTask"


def encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


# As it may be, and as REST's are, but of no run.
OTHER_FORMS = ["99", "run-99", encode("OnlineTaskRun:99:qRwX")]
UNKNOWN = encode("TaskRun:99:qRwX")


def respond_with(emulator: Emulator, run_id: str) -> None:
    """Let the next run start, and its response have another ID."""
    result = {"__typename": "CreateTaskRunResponse", "runId": run_id}
    body = json.dumps({"data": {"runOnlineTask": {"result": result}}})
    emulator.next_run(HANG)
    emulator.add_fault(Fault(RUN, "garbage", body=body))


@pytest.mark.promise("unknown-run-id")
@pytest.mark.parametrize("run_id", OTHER_FORMS)
def test_run_id_of_other_form_is_looked_up(execution: Execution, emulator: Emulator, run_id: str) -> None:
    respond_with(emulator, run_id)

    returned = execution.next_try()

    assert run_ids(emulator) == [returned]
    assert execution.pushed["run_id"] == returned
    assert len(emulator.requests()) == 3


@pytest.mark.promise("unknown-run-id")
def test_run_id_of_other_form_that_appears_late_is_looked_up(
    execution: Execution, emulator: Emulator, time: Time
) -> None:
    respond_with(emulator, "99")
    emulator.add_fault(Fault("rest.list_task_runs", "status_before", skip=1, times=9))

    returned = execution.next_try()

    assert run_ids(emulator) == [returned]


@pytest.mark.parametrize("run_id", OTHER_FORMS)
def test_run_id_of_other_form_without_listed_run_is_kept(
    execution: Execution, emulator: Emulator, time: Time, run_id: str
) -> None:
    respond_with(emulator, run_id)
    emulator.add_fault(Fault("rest.list_task_runs", "status_before", skip=1, times=None))

    assert execution.next_try() == run_id


def test_run_id_of_other_form_ignores_run_that_existed_before(
    execution: Execution, emulator: Emulator
) -> None:
    emulator.next_run(HANG)
    existed = start_run(execution.online_task_id)
    respond_with(emulator, "99")

    returned = execution.next_try()

    assert sorted(run_ids(emulator)) == sorted([existed, returned])


@pytest.mark.promise("unknown-run-id")
def test_retry_after_unknown_run_id_adopts_run(execution: Execution, emulator: Emulator, time: Time) -> None:
    respond_with(emulator, UNKNOWN)
    with pytest.raises(OnlineTaskRunUnreachable):
        execution.next_try(**WAIT)
    (run_id,) = run_ids(emulator)
    emulator.set_run(run_id, status="COMPLETED", num_successes=3)

    assert execution.next_try(**WAIT, timeout=600) == run_id
    assert run_ids(emulator) == [run_id]


def test_retry_after_unknown_run_id_failed_run_starts_new_run(
    execution: Execution, emulator: Emulator, time: Time
) -> None:
    respond_with(emulator, UNKNOWN)
    with pytest.raises(OnlineTaskRunUnreachable):
        execution.next_try(**WAIT)
    (failed,) = run_ids(emulator)
    emulator.set_run(failed, status="FAILED")

    returned = execution.next_try()

    assert run_ids(emulator) == [failed, returned]
