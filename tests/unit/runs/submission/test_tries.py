"""Tests of the tries of an execution: retries, clears, changed DAGs, clocks, and older Airflow versions."""

from __future__ import annotations

import time as real_time
from datetime import datetime, timedelta
from typing import Any

import pytest

from airflow_provider_online_tasks._airflow import AirflowSkipException
from airflow_provider_online_tasks.api.responses import RunStatus, TaskRun
from airflow_provider_online_tasks.emulator import Emulator, Fault, RunFate
from airflow_provider_online_tasks.exceptions import (
    AuthenticationFailed,
    BadRequest,
    CallError,
    OnlineTaskRunCancelled,
    OnlineTaskRunFailed,
    OnlineTaskRunNothingEvaluated,
    OnlineTaskRunTimeout,
    Unavailable,
)
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput
from airflow_provider_online_tasks.inputs.windows import DataWindow
from airflow_provider_online_tasks.runs.submission import STATE_KEY, has_window
from tests.support.tries import END, HANG, START, WAIT, Execution, Killed, Store, Time, run_ids, start_run

RUN = "graphql.runOnlineTask"
CANCEL = "rest.cancel_task_run"
# Existing labels are replaced.
AGAIN = {**WAIT, "override_evaluations": True}


def statuses(emulator: Emulator) -> list[tuple[str, str]]:
    return [(run["id"], run["status"]) for run in emulator.runs()]


def live(emulator: Emulator) -> list[str]:
    return [run["id"] for run in emulator.runs() if not run["over"]]


def kill_at(step: str, *, skip: int = 0) -> Any:
    """Kill the process at a step."""
    left = [skip]

    def reached(now: str) -> None:
        if now == step:
            left[0] -= 1
            if left[0] < 0:
                raise Killed

    return reached


def killed(execution: Execution, step: str, *, skip: int = 0, **changes: Any) -> None:
    """Let a try be killed at a step."""
    execution.reached = kill_at(step, skip=skip)
    with pytest.raises(Killed):
        execution.next_try(**changes)
    execution.reached = lambda now: None


# -- A retry. --


def test_retry_resumes_running_run(execution: Execution, emulator: Emulator) -> None:
    emulator.next_run(HANG)
    killed(execution, "push:before")
    (run_id,) = live(emulator)

    assert execution.next_try() == run_id
    assert live(emulator) == [run_id]
    assert execution.pushed["return_value"] == run_id


def test_retry_returns_run_that_succeeded_meanwhile(
    execution: Execution, emulator: Emulator, time: Time
) -> None:
    killed(execution, "push:before", **WAIT)

    run_id = execution.next_try(**WAIT)

    assert statuses(emulator) == [(run_id, "COMPLETED")]
    assert time.slept == []
    assert execution.pushed["run"]["status"] == "COMPLETED"


@pytest.mark.promise("stored-run-ended-badly")
@pytest.mark.parametrize(
    ("fate", "kind"),
    [
        (RunFate("fail"), OnlineTaskRunFailed),
        (RunFate("cancel"), OnlineTaskRunCancelled),
        (RunFate(error_rate=1.0), OnlineTaskRunFailed),
    ],
)
def test_retry_after_unsuccessful_run_starts_new_run(
    execution: Execution, emulator: Emulator, fate: RunFate, kind: type[Exception]
) -> None:
    emulator.next_run(fate)
    with pytest.raises(kind):
        execution.next_try(**WAIT)

    run_id = execution.next_try(**WAIT)

    assert [each for each, _ in statuses(emulator)][1:] == [run_id]
    assert statuses(emulator)[1] == (run_id, "COMPLETED")


def test_retry_after_too_many_errors_starts_new_run(execution: Execution, emulator: Emulator) -> None:
    emulator.next_run(RunFate(error_rate=0.5))
    with pytest.raises(Exception, match="max_error_rate"):
        execution.next_try(**WAIT, max_error_rate=0.1)

    execution.next_try(**WAIT, max_error_rate=0.1, override_evaluations=True)

    assert len(emulator.runs()) == 2


@pytest.mark.parametrize(("nothing", "runs"), [("fail", 2), ("skip", 1), ("succeed", 1)])
def test_retry_after_nothing_evaluated_starts_new_run_if_that_fails(
    execution: Execution, emulator: Emulator, nothing: str, runs: int
) -> None:
    arguments = {**WAIT, "on_nothing_evaluated": nothing}
    emulator.next_run(RunFate("nothing", times=2))
    killed(execution, "push:before", **arguments)

    if nothing == "succeed":
        execution.next_try(**arguments)
    else:
        kind = AirflowSkipException if nothing == "skip" else OnlineTaskRunNothingEvaluated
        with pytest.raises(kind):
            execution.next_try(**arguments)

    assert len(emulator.runs()) == runs


@pytest.mark.promise("success-report-lost", "clear-or-retry")
def test_retry_after_lost_success_report_returns_same_run(execution: Execution, emulator: Emulator) -> None:
    # Airflow did not hear of the success: it tries again, and max_tries is what it was.
    emulator.next_run(HANG)
    run_id = execution.next_try()

    assert execution.next_try() == run_id
    assert live(emulator) == [run_id]


@pytest.mark.promise("success-report-lost")
@pytest.mark.parametrize("when", ["waiting", "over"])
def test_retry_after_lost_success_report_of_wait_returns_same_run(
    execution: Execution, emulator: Emulator, when: str
) -> None:
    run_id = execution.next_try(**WAIT)

    assert execution.next_try(**WAIT) == run_id
    assert len(emulator.runs()) == 1


# -- A clear. --


@pytest.mark.promise("clear-or-retry")
def test_clear_after_failed_retry_of_lost_success_report_resumes_run(
    execution: Execution, emulator: Emulator
) -> None:
    # The retry did not succeed, so the success of the first try no longer counts.
    emulator.next_run(HANG)
    run_id = execution.next_try()
    killed(execution, "push:before")
    execution.clear()

    assert execution.next_try() == run_id
    assert live(emulator) == [run_id]


@pytest.mark.promise("cleared-after-success", "clear-or-retry")
def test_clear_after_success_starts_new_run(execution: Execution, emulator: Emulator) -> None:
    first = execution.next_try()
    execution.clear()

    second = execution.next_try()

    assert run_ids(emulator) == [first, second]
    # The fresh start is an execution like any other.
    assert execution.next_try() == second


@pytest.mark.promise("cleared-after-success")
def test_clear_after_success_cancels_running_run(execution: Execution, emulator: Emulator) -> None:
    # The task did not wait, so its run may be live still: never two of them.
    emulator.next_run(HANG)
    first = execution.next_try()
    execution.clear()

    second = execution.next_try()

    assert statuses(emulator) == [(first, "CANCELLED"), (second, "RUNNING")]


@pytest.mark.parametrize("step", ["set:before", "set:after"])
@pytest.mark.parametrize("skip", [0, 1])
def test_kill_after_clear_leaves_one_run(
    execution: Execution, emulator: Emulator, step: str, skip: int
) -> None:
    emulator.next_run(HANG)
    first = execution.next_try()
    execution.clear()
    killed(execution, step, skip=skip)

    last = execution.next_try()

    assert live(emulator) == [last]
    assert last != first


def test_clear_after_failure_starts_new_run(execution: Execution, emulator: Emulator) -> None:
    emulator.next_run(RunFate("fail"))
    with pytest.raises(OnlineTaskRunFailed):
        execution.next_try(**WAIT)
    execution.clear()

    run_id = execution.next_try(**WAIT)

    assert statuses(emulator)[1:] == [(run_id, "COMPLETED")]


def test_clear_after_skip_starts_new_run(execution: Execution, emulator: Emulator) -> None:
    emulator.next_run(RunFate("nothing"))
    with pytest.raises(AirflowSkipException):
        execution.next_try(**WAIT)
    execution.clear()

    execution.next_try(**WAIT)

    assert len(emulator.runs()) == 2


@pytest.mark.promise("cleared-while-waiting")
def test_clear_while_waiting_starts_new_run(execution: Execution, emulator: Emulator, time: Time) -> None:
    # The worker is told to end: on_kill cancels, then the process goes.
    emulator.next_run(HANG)

    def end() -> None:
        execution.operator.on_kill()
        raise Killed

    time.on_sleep = end
    with pytest.raises(Killed):
        execution.next_try(**WAIT)
    time.on_sleep = lambda: None
    execution.clear()
    emulator.clear_fates()
    emulator.next_run(RunFate())

    run_id = execution.next_try(**WAIT)

    assert statuses(emulator)[0][1] == "CANCELLED"
    assert statuses(emulator)[1:] == [(run_id, "COMPLETED")]


@pytest.mark.promise("cleared-while-waiting")
def test_cancellation_after_resume_starts_new_run(
    execution: Execution, emulator: Emulator, time: Time
) -> None:
    # Nothing orders a clear's cancellation and the next try.
    emulator.next_run(RunFate("hang"))
    killed(execution, "push:before", **WAIT)
    (first,) = live(emulator)
    execution.clear()

    def cancel() -> None:
        if live(emulator) == [first]:
            with OnlineTasksHook() as hook:
                hook.cancel_task_run(first)

    time.on_sleep = cancel
    run_id = execution.next_try(**WAIT)

    assert statuses(emulator) == [(first, "CANCELLED"), (run_id, "COMPLETED")]
    assert execution.pushed["return_value"] == run_id


@pytest.mark.promise("cleared-while-waiting")
def test_cancellation_by_replaced_try_after_adoption_starts_new_run(
    execution: Execution, emulator: Emulator, time: Time
) -> None:
    # The replaced process gets its response after this try has found the run.
    emulator.next_run(RunFate("hang"))
    killed(execution, "set:before", skip=1, **WAIT)
    (first,) = live(emulator)

    def cancel() -> None:
        if live(emulator) == [first]:
            with OnlineTasksHook() as hook:
                hook.cancel_task_run(first)

    time.on_sleep = cancel
    run_id = execution.next_try(**WAIT)

    assert statuses(emulator) == [(first, "CANCELLED"), (run_id, "COMPLETED")]
    assert execution.pushed["return_value"] == run_id


def test_cancellation_long_after_resume_fails(execution: Execution, emulator: Emulator, time: Time) -> None:
    emulator.next_run(RunFate("hang"))
    killed(execution, "push:before", **WAIT)
    (first,) = live(emulator)

    def cancel() -> None:
        if time.passed > 300 and live(emulator) == [first]:
            with OnlineTasksHook() as hook:
                hook.cancel_task_run(first)

    time.on_sleep = cancel
    with pytest.raises(OnlineTaskRunCancelled):
        execution.next_try(**WAIT)

    assert statuses(emulator) == [(first, "CANCELLED")]


def test_resumed_run_with_all_spans_labelled_is_not_restarted(
    execution: Execution, emulator: Emulator, time: Time
) -> None:
    execution.next_try(**WAIT)  # labels everything
    execution.clear()
    emulator.configure(run_seconds=0.3)
    killed(execution, "push:before", **WAIT)
    second = emulator.runs()[1]["id"]
    time.on_sleep = lambda: real_time.sleep(0.4)

    assert execution.next_try(**WAIT) == second

    assert len(emulator.runs()) == 2


# -- The DAG changed between two tries. --


@pytest.mark.promise("dag-changed")
def test_other_window_cancels_running_run(execution: Execution, emulator: Emulator) -> None:
    emulator.next_run(HANG)
    killed(execution, "push:before")
    (first,) = live(emulator)

    second = execution.next_try(data_end_time=END - timedelta(hours=1))

    assert statuses(emulator) == [(first, "CANCELLED"), (second, "RUNNING")]


def test_other_window_unstored_run_is_cancelled(execution: Execution, emulator: Emulator) -> None:
    emulator.next_run(HANG)
    killed(execution, "set:before", skip=1)
    (first,) = live(emulator)

    second = execution.next_try(data_end_time=END - timedelta(hours=1))

    assert statuses(emulator) == [(first, "CANCELLED"), (second, "RUNNING")]


@pytest.mark.promise("lost-run-search-time")
@pytest.mark.parametrize("stored", [True, False], ids=["ID stored", "ID not stored"])
def test_other_window_and_back_starts_new_runs(
    execution: Execution, emulator: Emulator, stored: bool
) -> None:
    """With more runs than a page shows, the first run is not seen before the third is started."""
    emulator.next_run(HANG)
    emulator.create_runs(execution.online_task_id, 120, (9e6, 9e6))
    emulator.configure(runs_order="oldest")
    killed(execution, "push:before" if stored else "set:before", skip=0 if stored else 1)
    second = execution.next_try(data_end_time=END - timedelta(hours=1))
    emulator.add_fault(Fault(RUN, "drop_after"))

    third = execution.next_try()

    (first, *_, newest) = run_ids(emulator)[120:]
    assert third == newest
    assert {first, second}.isdisjoint(live(emulator))


@pytest.mark.promise("lost-run-search-time")
def test_rejected_request_keeps_earlier_runs_known(execution: Execution, emulator: Emulator) -> None:
    emulator.next_run(HANG)
    emulator.create_runs(execution.online_task_id, 120, (9e6, 9e6))
    emulator.configure(runs_order="oldest")
    execution.next_try()
    emulator.set_run(emulator.runs()[-1]["id"], status="COMPLETED", num_successes=3)
    execution.clear()
    emulator.add_fault(Fault(RUN, "unauthorized"))
    with pytest.raises(AuthenticationFailed):
        execution.next_try()
    emulator.add_fault(Fault(RUN, "drop_after"))

    mine = execution.next_try()

    assert mine == emulator.runs()[-1]["id"]
    assert mine in live(emulator)


@pytest.fixture
def other(emulator: Emulator) -> str:
    """Another online task."""
    with OnlineTasksHook() as hook:
        evaluator = {"evaluator_id": emulator.evaluator_ids["output_present"]}
        task = {"name": "other", "model_id": emulator.project_id, "evaluators": evaluator}
        return hook.create_eval_task(EvalTaskInput.read(task))


def test_other_task_after_deleted_task_starts_run(
    execution: Execution, emulator: Emulator, other: str
) -> None:
    killed(execution, "set:before", skip=1)
    with OnlineTasksHook() as hook:
        hook.delete_task(execution.online_task_id)

    second = execution.next_try(online_task_id=other)

    assert emulator.runs()[-1]["id"] == second
    assert emulator.runs()[-1]["task_id"] == other


@pytest.mark.promise("dag-changed")
@pytest.mark.parametrize("stored", [True, False], ids=["ID stored", "ID not stored"])
def test_other_task_cancels_running_run(
    execution: Execution, emulator: Emulator, other: str, stored: bool
) -> None:
    emulator.next_run(HANG)
    killed(execution, "push:before" if stored else "set:before", skip=0 if stored else 1)
    (first,) = live(emulator)

    second = execution.next_try(online_task_id=other)

    assert statuses(emulator) == [(first, "CANCELLED"), (second, "RUNNING")]
    assert emulator.runs()[1]["task_id"] == other


@pytest.mark.parametrize("kind", ["drop_after", "status_after", "truncated", "garbage"])
def test_other_window_lost_cancellation_response_starts_run(
    execution: Execution, emulator: Emulator, kind: str
) -> None:
    emulator.next_run(HANG)
    killed(execution, "push:before")
    emulator.add_fault(Fault(CANCEL, kind))

    second = execution.next_try(data_end_time=END - timedelta(hours=1))

    assert [status for _, status in statuses(emulator)] == ["CANCELLED", "RUNNING"]
    assert live(emulator) == [second]


@pytest.mark.parametrize("kind", ["drop_before", "status_before", "forbidden", "rate_limited"])
def test_other_window_failed_cancellation_raises(execution: Execution, emulator: Emulator, kind: str) -> None:
    emulator.next_run(HANG)
    killed(execution, "push:before")
    (first,) = live(emulator)
    emulator.add_fault(Fault(CANCEL, kind, times=None))

    with pytest.raises(CallError):
        execution.next_try(data_end_time=END - timedelta(hours=1))

    assert live(emulator) == [first]  # rather none than two
    emulator.clear_faults()
    second = execution.next_try(data_end_time=END - timedelta(hours=1))
    assert live(emulator) == [second]


@pytest.mark.parametrize("gone", ["over", "deleted", "deleted with its task"])
def test_other_window_without_live_run_starts_run(
    execution: Execution, emulator: Emulator, gone: str
) -> None:
    killed(execution, "push:before")
    if gone != "over":
        emulator.add_fault(Fault("rest.get_task_run", "not_found"))
    if gone == "deleted with its task":
        emulator.add_fault(Fault("rest.list_task_runs", "not_found"))

    execution.next_try(data_end_time=END - timedelta(hours=1))

    assert emulator.requests(CANCEL) == []
    assert len(emulator.runs()) == 2


# -- A lost run that failed must not be adopted as the requested one. --


def test_failed_run_is_not_adopted_again(execution: Execution, emulator: Emulator) -> None:
    emulator.create_runs(execution.online_task_id, 100, (3600, 3600))  # more than a page shows
    emulator.configure(runs_order="oldest")
    emulator.next_run(RunFate("fail", seconds=0))
    killed(execution, "set:before", skip=1)
    failed = emulator.runs()[-1]["id"]
    emulator.add_fault(Fault(RUN, "drop_before"))

    run_id = execution.next_try()

    assert run_id != failed
    assert emulator.runs()[-1]["id"] == run_id


@pytest.mark.parametrize("known", [300, 299])
def test_failed_run_with_many_known_runs_is_not_adopted_again(
    execution: Execution, emulator: Emulator, known: int
) -> None:
    # The list of known runs is limited. It must have the newest ones, which resemble a new run.
    emulator.next_run(RunFate("fail", seconds=0))
    with pytest.raises(OnlineTaskRunFailed):
        execution.next_try(**WAIT)
    (failed,) = (run["id"] for run in emulator.runs())
    old = [f"run-{number}" for number in range(known)]
    execution.store.set(STATE_KEY, {**execution.store.record, "known": old})
    emulator.add_fault(Fault(RUN, "drop_before"))

    run_id = execution.next_try()

    assert run_id != failed
    assert emulator.runs()[-1]["id"] == run_id


def test_rejected_request_next_try_does_not_search(
    execution: Execution, emulator: Emulator, time: Time
) -> None:
    others = start_run(execution.online_task_id)
    emulator.add_fault(Fault(RUN, "status_before", status=422))
    with pytest.raises(BadRequest):
        execution.next_try()
    emulator.clear_requests()

    mine = execution.next_try()

    assert run_ids(emulator) == [others, mine]
    assert len(emulator.requests("rest.list_task_runs")) == 1
    assert time.slept == []


# -- Clocks. --


@pytest.mark.promise("recognise-lost-run")
@pytest.mark.parametrize("seconds", [-86_400, -3600, -61, 61, 3600, 86_400])
def test_wrong_server_clock_leaves_one_run(
    execution: Execution, emulator: Emulator, time: Time, seconds: float
) -> None:
    time.server_offset = seconds
    time.show()
    emulator.add_fault(Fault(RUN, "drop_after"))

    assert [execution.next_try()] == run_ids(emulator)


@pytest.mark.parametrize("seconds", [-86_400, -3600, 3600, 86_400])
def test_wrong_worker_clock_leaves_one_run(
    execution: Execution, emulator: Emulator, time: Time, seconds: float
) -> None:
    killed(execution, "set:before", skip=1)
    time.worker_offset = seconds

    assert [execution.next_try()] == run_ids(emulator)


@pytest.mark.parametrize("seconds", [-86_400, -3600, 3600, 86_400])
def test_server_clock_set_between_tries_leaves_one_run(
    execution: Execution, emulator: Emulator, time: Time, seconds: float
) -> None:
    # Set between the look at what is there and the creation of the run.
    def reached(step: str) -> None:
        if step == "set:after":
            time.server_offset = seconds
            time.show()

    execution.reached = reached
    emulator.add_fault(Fault(RUN, "drop_after"))

    assert [execution.next_try()] == run_ids(emulator)


def the_late_run_is_taken(execution: Execution, emulator: Emulator, time: Time, *, after: float) -> None:
    """Try again; the server acts on the request of the try before so many seconds from now."""
    due, acted = time.passed + after, list[str]()

    def act_late() -> None:
        if time.passed > due and not acted:
            acted.append(start_run(execution.online_task_id))

    time.on_sleep = act_late

    run_id = execution.next_try()

    time.sleep(30)
    assert [run_id] == acted == run_ids(emulator)


@pytest.mark.promise("recognise-lost-run")
@pytest.mark.parametrize("whose", ["server", "worker"])
def test_search_clock_set_forward_lasts_full_time(
    execution: Execution, emulator: Emulator, time: Time, whose: str
) -> None:
    # Killed with the request on its way; the server acts 20 s later, and a clock was set meanwhile.
    killed(execution, "set:after")
    setattr(time, f"{whose}_offset", 7200)
    time.show()

    the_late_run_is_taken(execution, emulator, time, after=20)


@pytest.mark.promise("lost-run-search-time")
def test_search_time_counts_from_last_request(execution: Execution, emulator: Emulator, time: Time) -> None:
    # Two requests were lost, which took two minutes; the third is on its way when the process is killed.
    emulator.add_fault(Fault(RUN, "drop_before", times=2))
    killed(execution, "set:after", skip=2)

    the_late_run_is_taken(execution, emulator, time, after=20)


@pytest.mark.promise("lost-run-search-time")
def test_search_time_counts_from_rate_limited_request(
    execution: Execution, emulator: Emulator, time: Time
) -> None:
    # It is rejected for minutes because of the rate limit, and in flight when the process is killed.
    emulator.add_fault(Fault(RUN, "rate_limited", times=5))
    killed(execution, "set:after", skip=5)
    assert time.passed > 120

    the_late_run_is_taken(execution, emulator, time, after=40)


def test_first_request_executed_late_is_adopted(execution: Execution, emulator: Emulator, time: Time) -> None:
    emulator.add_fault(Fault(RUN, "drop_before", times=2))
    acted: list[str] = []

    def reached(step: str) -> None:
        if step == "set:before" and len(emulator.requests(RUN)) == 1 and not acted:
            acted.append("")  # what this starts is seen by no look for the first request
            emulator.clear_faults()
            acted[0] = start_run(execution.online_task_id)
            emulator.add_fault(Fault(RUN, "drop_before"))

    execution.reached = reached

    assert [execution.next_try()] == acted == run_ids(emulator)


def test_search_long_after_request_does_not_wait(
    execution: Execution, emulator: Emulator, time: Time
) -> None:
    killed(execution, "set:after")
    time.advance(300)  # Airflow's retry delay

    execution.next_try()

    assert time.slept == []
    assert len(emulator.runs()) == 1


# -- Two executions over the same window. --


@pytest.mark.promise("one-run-per-execution")
def test_two_executions_keep_their_runs(execution: Execution, emulator: Emulator) -> None:
    emulator.next_run(HANG)
    other = Execution(execution.online_task_id)
    killed(execution, "push:before")
    killed(other, "push:before")
    mine, others = live(emulator)

    assert (execution.next_try(), other.next_try()) == (mine, others)
    assert live(emulator) == [mine, others]


@pytest.mark.promise("recognise-lost-run")
def test_search_ignores_run_that_existed_before(execution: Execution, emulator: Emulator) -> None:
    emulator.next_run(HANG)
    others = start_run(execution.online_task_id)
    emulator.add_fault(Fault(RUN, "drop_after"))

    mine = execution.next_try()

    assert live(emulator) == [others, mine]


@pytest.mark.parametrize(
    "window",
    [
        {"start": START + timedelta(seconds=2)},
        {"start": START - timedelta(seconds=2)},
        {"end": END - timedelta(seconds=2)},
        {"end": END + timedelta(seconds=2)},
    ],
    ids=["later start", "earlier start", "earlier end", "later end"],
)
def test_search_ignores_run_over_other_window(
    execution: Execution, emulator: Emulator, window: dict[str, Any]
) -> None:
    emulator.next_run(HANG)
    killed(execution, "set:after")
    others = start_run(execution.online_task_id, **window)

    mine = execution.next_try()

    assert live(emulator) == [others, mine]


@pytest.mark.promise("recognise-lost-run")
@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_search_many_runs_ignores_old_run_over_same_window(
    execution: Execution, emulator: Emulator, time: Time, order: str
) -> None:
    emulator.next_run(RunFate("hang", times=1, pending_seconds=0))
    old = start_run(execution.online_task_id)
    emulator.create_runs(execution.online_task_id, 150, (3600, 3600))  # the old run is on the second page
    emulator.set_run(old, status="COMPLETED", num_successes=3)
    emulator.configure(runs_order=order)
    time.advance(3600)
    emulator.add_fault(Fault(RUN, "drop_before"))

    mine = execution.next_try()

    assert mine != old
    assert emulator.runs()[-1]["id"] == mine
    assert len(emulator.requests(RUN)) == 3  # that of the old run, the lost one, and its repetition


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_search_two_candidates_prefers_older(
    execution: Execution, emulator: Emulator, time: Time, order: str
) -> None:
    # The first request was carried out; the later run over the same window is somebody else's.
    emulator.next_run(HANG)
    emulator.configure(runs_order=order)
    killed(execution, "set:before", skip=1)
    (mine,) = live(emulator)
    time.advance(5)
    start_run(execution.online_task_id)

    assert execution.next_try() == mine


@pytest.mark.promise("lost-run-search-time")
@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_search_two_candidates_prefers_running_run(
    execution: Execution, emulator: Emulator, order: str
) -> None:
    # Nothing shows which of them the first request started. A running run must not be lost.
    emulator.next_run(HANG)
    emulator.configure(runs_order=order)
    killed(execution, "set:before", skip=1)
    (ended,) = live(emulator)
    emulator.set_run(ended, status="CANCELLED")
    goes_on = start_run(execution.online_task_id)

    assert execution.next_try() == goes_on
    assert live(emulator) == [goes_on]


def test_search_submillisecond_times_match(execution: Execution, emulator: Emulator) -> None:
    # The server may keep less of a time than was sent.
    window = {"data_end_time": END.replace(microsecond=123_456)}
    emulator.add_fault(Fault(RUN, "drop_after"))

    assert [execution.next_try(**window)] == run_ids(emulator)


# -- Before Airflow 3.3: no state store. --


@pytest.fixture
def older(task_id: str) -> Execution:
    """An execution on an Airflow that keeps nothing between tries."""
    return Execution(task_id, store=None)


@pytest.mark.parametrize("kind", ["drop_after", "drop_before", "garbage", "status_after"])
def test_older_lost_response_is_recovered_within_try(older: Execution, emulator: Emulator, kind: str) -> None:
    emulator.add_fault(Fault(RUN, kind))

    assert [older.next_try()] == run_ids(emulator)


@pytest.mark.promise("older-no-state-store", "older-retry")
@pytest.mark.parametrize("order", ["newest", "oldest", "shuffled"])
def test_older_retry_resumes_running_run(older: Execution, emulator: Emulator, order: str) -> None:
    emulator.configure(runs_order=order)
    emulator.next_run(HANG)
    killed(older, "push:before")
    (run_id,) = live(emulator)

    assert older.next_try() == run_id
    assert live(emulator) == [run_id]


def test_older_first_try_resumes_nothing(older: Execution, emulator: Emulator) -> None:
    emulator.next_run(HANG)
    others = start_run(older.online_task_id)

    mine = older.next_try()

    assert run_ids(emulator) == [others, mine]


def test_older_fewer_retries_do_not_count_as_clear(older: Execution, emulator: Emulator) -> None:
    """The DAG's author takes the retries away between two tries; Airflow's bound stays."""
    run_id = older.next_try(**WAIT)
    older.retries = 0

    assert older.next_try(**WAIT) == run_id
    assert len(emulator.runs()) == 1


@pytest.mark.promise("older-retry")
def test_older_retry_after_failed_run_starts_new_run(
    older: Execution, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    emulator.next_run(RunFate("fail", failure_reason="The model is out of credits."))
    with pytest.raises(OnlineTaskRunFailed):
        older.next_try(**WAIT)

    run_id = older.next_try(**WAIT)

    assert statuses(emulator)[1:] == [(run_id, "COMPLETED")]
    assert "The model is out of credits." in caplog.text


@pytest.mark.promise("older-same-task-and-window")
def test_older_retry_prefers_running_run(older: Execution, emulator: Emulator) -> None:
    older.next_try()
    emulator.next_run(HANG)
    going = start_run(older.online_task_id)

    assert older.next_try() == going


@pytest.mark.promise("older-retry")
def test_older_retry_ignores_run_from_before_dag_run(
    older: Execution, emulator: Emulator, time: Time
) -> None:
    others = start_run(older.online_task_id)
    time.advance(600)
    older.dag_run_start += timedelta(seconds=600)
    with pytest.raises(Unavailable):
        emulator.add_fault(Fault("rest.list_task_runs", "drop_before", times=4))
        older.next_try()

    mine = older.next_try()

    assert run_ids(emulator) == [others, mine]


@pytest.mark.parametrize("seconds", [-7200, 7200])
@pytest.mark.parametrize("whose", ["server", "worker"])
def test_older_retry_with_wrong_clock_resumes_run(
    older: Execution, emulator: Emulator, time: Time, whose: str, seconds: float
) -> None:
    setattr(time, f"{whose}_offset", seconds)
    time.show()
    if whose == "worker":
        older.dag_run_start += timedelta(seconds=seconds)
    killed(older, "push:before")

    assert [older.next_try()] == run_ids(emulator)


def restart_dag_run(older: Execution, time: Time, seconds: float) -> None:
    """Clear the task of a finished DAG run, which then starts again."""
    older.clear()
    time.advance(seconds)
    older.dag_run_start += timedelta(seconds=seconds)


@pytest.mark.parametrize("retries", [0, None])
def test_older_clear_without_retries_starts_new_run(
    older: Execution, emulator: Emulator, time: Time, retries: int | None
) -> None:
    older.retries = older.max_tries = 0
    first = older.next_try(**AGAIN)
    restart_dag_run(older, time, 5)

    operator = older.begin_try(**AGAIN)
    operator.retries = retries  # type: ignore[assignment]  # as an operator of Airflow's own may have it
    second = operator.execute(older.context)

    assert [first, second] == run_ids(emulator)


@pytest.mark.promise("older-clear")
@pytest.mark.parametrize("seconds", [5, 600], ids=["at once", "later"])
@pytest.mark.parametrize("restarts", [True, False], ids=["DAG run finished", "DAG run running"])
def test_older_clear_starts_new_run(
    older: Execution, emulator: Emulator, time: Time, seconds: float, restarts: bool
) -> None:
    first = older.next_try(**AGAIN)
    if restarts:
        restart_dag_run(older, time, seconds)
    else:
        older.clear()
        time.advance(seconds)

    assert older.next_try(**AGAIN) != first
    assert len(emulator.runs()) == 2


@pytest.mark.promise("older-clear")
@pytest.mark.parametrize("seconds", [5, 600], ids=["at once", "later"])
def test_older_clear_resumes_running_run(
    older: Execution, emulator: Emulator, time: Time, seconds: float
) -> None:
    older.dag_run_due = older.dag_run_start
    emulator.next_run(HANG)
    killed(older, "push:before")
    (run_id,) = live(emulator)
    restart_dag_run(older, time, seconds)

    assert older.next_try() == run_id
    assert live(emulator) == [run_id]


@pytest.mark.promise("older-same-task-and-window")
def test_older_retry_after_clear_uses_newest_run(older: Execution, emulator: Emulator, time: Time) -> None:
    first = older.next_try(**AGAIN)
    older.clear()
    time.advance(5)
    emulator.next_run(RunFate("fail"))
    with pytest.raises(OnlineTaskRunFailed):
        older.next_try(**AGAIN)
    time.advance(5)

    assert older.next_try(**AGAIN) != first
    assert [status for _, status in statuses(emulator)] == ["COMPLETED", "FAILED", "COMPLETED"]


def test_older_dag_run_without_start_starts_run(older: Execution, emulator: Emulator) -> None:
    older.dag_run_start = None  # type: ignore[assignment]
    older.next_try()
    older.next_try()
    assert len(emulator.runs()) == 2


# -- What ends a wait. --


def test_timeout_cancels_run_and_retry_starts_new_run(
    execution: Execution, emulator: Emulator, time: Time
) -> None:
    emulator.next_run(RunFate("hang"))
    with pytest.raises(OnlineTaskRunTimeout):
        execution.next_try(**WAIT, timeout=120)
    assert [status for _, status in statuses(emulator)] == ["CANCELLED"]

    run_id = execution.next_try(**WAIT, timeout=120)

    assert statuses(emulator)[1:] == [(run_id, "COMPLETED")]


@pytest.mark.parametrize("kind", ["drop_before", "forbidden"])
def test_timeout_failed_cancellation_leaves_run_to_retry(
    execution: Execution, emulator: Emulator, time: Time, kind: str
) -> None:
    emulator.next_run(RunFate("hang"))
    emulator.add_fault(Fault(CANCEL, kind, times=None))
    with pytest.raises(OnlineTaskRunTimeout):
        execution.next_try(**WAIT, timeout=120)
    (run_id,) = live(emulator)
    emulator.clear_faults()
    emulator.set_run(run_id, status="COMPLETED", num_successes=3)

    assert execution.next_try(**WAIT, timeout=120) == run_id
    assert len(emulator.runs()) == 1


@pytest.mark.parametrize("kind", ["drop_after", "status_after", "garbage"])
@pytest.mark.parametrize("taken_up", [False, True], ids=["started", "taken up"])
def test_timeout_lost_cancellation_response_raises_timeout(
    execution: Execution, emulator: Emulator, time: Time, kind: str, taken_up: bool
) -> None:
    emulator.next_run(RunFate("hang"))
    if taken_up:
        killed(execution, "push:before", **WAIT)
    emulator.add_fault(Fault(CANCEL, kind))

    # The repeated cancellation finds the run cancelled, which was no one else's doing.
    with pytest.raises(OnlineTaskRunTimeout):
        execution.next_try(**WAIT, timeout=60)

    assert [status for _, status in statuses(emulator)] == ["CANCELLED"]


@pytest.mark.parametrize("kind", ["drop_before", "rate_limited", "garbage", "status_before", "truncated"])
def test_wait_survives_outage(execution: Execution, emulator: Emulator, time: Time, kind: str) -> None:
    emulator.next_run(RunFate("hang"))
    emulator.add_fault(Fault("rest.get_task_run", kind, times=20))

    def end() -> None:
        if len(emulator.requests("rest.get_task_run")) > 20:
            for run_id in live(emulator):
                emulator.set_run(run_id, status="COMPLETED", num_successes=3)

    time.on_sleep = end

    assert [execution.next_try(**WAIT)] == run_ids(emulator)


def test_kill_cancels_awaited_run(execution: Execution, emulator: Emulator, time: Time) -> None:
    emulator.next_run(HANG)
    killed_while_waiting(execution, time, **WAIT)
    assert [status for _, status in statuses(emulator)] == ["CANCELLED"]


@pytest.mark.promise("kill-off")
def test_kill_with_cancel_on_kill_false_leaves_run(
    execution: Execution, emulator: Emulator, time: Time
) -> None:
    emulator.next_run(HANG)
    killed_while_waiting(execution, time, **WAIT, cancel_on_kill=False)
    (run_id,) = live(emulator)
    time.on_sleep = lambda: emulator.set_run(run_id, status="COMPLETED", num_successes=3)

    assert execution.next_try(**WAIT) == run_id


def test_kill_without_run_does_nothing(execution: Execution, emulator: Emulator) -> None:
    killed(execution, "set:after", **WAIT)
    assert execution.operator is not None
    execution.operator.on_kill()
    assert emulator.requests(CANCEL) == []


def killed_while_waiting(execution: Execution, time: Time, **arguments: Any) -> None:
    def end() -> None:
        assert execution.operator is not None
        execution.operator.on_kill()
        raise Killed

    time.on_sleep = end
    with pytest.raises(Killed):
        execution.next_try(**arguments)
    time.on_sleep = lambda: None


def test_intent_survives_process(execution: Execution, emulator: Emulator, tmp_path: Any) -> None:
    emulator.next_run(HANG)
    execution.store = Store(tmp_path / "state.json")
    killed(execution, "push:before")
    (run_id,) = live(emulator)
    execution.store = Store(tmp_path / "state.json")

    assert execution.next_try() == run_id


@pytest.mark.parametrize(("start", "end"), [(START, None), (None, END), (None, None)])
def test_search_ignores_run_with_incomplete_window(start: datetime | None, end: datetime | None) -> None:
    run = TaskRun(
        id="R",
        status=RunStatus.RUNNING,
        status_text="RUNNING",
        data_start_time=start,
        data_end_time=end,
    )
    assert not has_window(run, DataWindow(start=START, end=END))


@pytest.mark.parametrize(
    ("start_off", "end_off", "is_same"),
    [(0.0, 0.0, True), (0.999, -0.999, True), (1.0, 0.0, False), (0.0, -1.0, False)],
)
def test_search_rounded_window_matches(start_off: float, end_off: float, is_same: bool) -> None:
    run = TaskRun(
        id="R",
        status=RunStatus.RUNNING,
        status_text="RUNNING",
        data_start_time=START + timedelta(seconds=start_off),
        data_end_time=END + timedelta(seconds=end_off),
    )
    assert has_window(run, DataWindow(start=START, end=END)) is is_same


@pytest.mark.parametrize("kept", ["text", {"id": 5}])
def test_retry_whose_record_is_unreadable_resumes_the_run(
    execution: Execution, emulator: Emulator, kept: Any
) -> None:
    emulator.next_run(HANG)
    run_id = execution.next_try()
    assert execution.store is not None
    execution.store.set(STATE_KEY, kept)

    assert execution.next_try() == run_id
    assert run_ids(emulator) == [run_id]


def test_retry_after_a_rejected_request_does_not_adopt_the_run_of_others(
    execution: Execution, emulator: Emulator, time: Time
) -> None:
    emulator.add_fault(Fault("graphql.runOnlineTask", "task_error", message="try later"))
    with pytest.raises(CallError):
        execution.next_try()
    other = start_run(execution.online_task_id)

    run_id = execution.next_try()

    assert run_ids(emulator) == [other, run_id]
