"""How a run can end, as the operator and the sensor tell it: what happened, what it means, what to do."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_online_tasks._airflow import AirflowFailException, AirflowSkipException
from airflow_provider_online_tasks.emulator import Emulator, Fault, RunFate
from airflow_provider_online_tasks.exceptions import (
    InvalidInput,
    OnlineTaskRunCancelled,
    OnlineTaskRunErrorRateExceeded,
    OnlineTaskRunFailed,
    OnlineTaskRunNothingEvaluated,
    OnlineTaskRunTimeout,
    TaskErrorReturned,
    WindowTooLong,
)
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.inputs import DataWindow, EvalTaskPatch
from airflow_provider_online_tasks.sensors.runs import OnlineTaskRunSensor
from tests.support.tries import END, START, WAIT, Execution, Time, start_run

Wait = Callable[..., dict[str, Any]]
FAIL = {"on_nothing_evaluated": "fail"}


def spans_link(emulator: Emulator, task_id: str) -> str:
    with OnlineTasksHook() as hook:
        link = hook.links(task_id, DataWindow(start=START, end=END)).spans
    assert link
    return link


@pytest.fixture(params=["operator", "sensor"])
def wait(request: pytest.FixtureRequest, task_id: str, emulator: Emulator) -> Wait:
    """``wait(**arguments)``: run the task and wait, with the operator alone or with the sensor after it."""

    def with_operator(**arguments: Any) -> dict[str, Any]:
        execution = Execution(task_id)
        run_id = execution.next_try(**WAIT, **arguments)
        summary: dict[str, Any] = execution.pushed["run"]
        assert run_id == summary["run_id"]
        return summary

    def with_sensor(**arguments: Any) -> dict[str, Any]:
        of_operator = {
            name: arguments.pop(name) for name in ("max_spans", "override_evaluations") if name in arguments
        }
        run_id = Execution(task_id).next_try(**of_operator)
        sensor = OnlineTaskRunSensor(task_id="wait", run_id=run_id, deferrable=False, **arguments)
        polled = sensor.poke({"ti": SimpleNamespace(xcom_push=lambda **_: None)})
        assert polled.is_done
        return polled.xcom_value

    return with_operator if request.param == "operator" else with_sensor


def is_sensor(request: pytest.FixtureRequest) -> bool:
    return bool(request.node.callspec.params["wait"] == "sensor")


def logged(caplog: pytest.LogCaptureFixture, level: int, words: str) -> str:
    (found,) = [
        record.getMessage()
        for record in caplog.records
        if record.levelno == level and words in record.getMessage()
    ]
    return found


def test_completed(wait: Wait, emulator: Emulator, task_id: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    summary = wait()

    (run,) = emulator.runs()
    assert summary["run_id"] == run["id"]
    assert summary["online_task_id"] == task_id
    assert (summary["status"], summary["num_successes"]) == ("COMPLETED", run["num_successes"])
    assert (summary["num_errors"], summary["num_skipped"], summary["error_rate"]) == (0, 0, 0.0)
    assert summary["failure_reason"] is None
    line = logged(caplog, logging.INFO, "is completed:")
    assert f"Run {run['id']} is completed: {run['num_successes']} evaluated, 0 errors, 0 skipped." in line
    assert line.endswith(f"See {spans_link(emulator, task_id)}")


def test_some_errors_are_no_failure(wait: Wait, emulator: Emulator) -> None:
    emulator.next_run(RunFate(error_rate=0.5))

    summary = wait()

    assert summary["num_errors"] > 0
    assert 0.3 < summary["error_rate"] <= 0.5


def test_too_many_errors(
    wait: Wait, emulator: Emulator, task_id: str, request: pytest.FixtureRequest
) -> None:
    emulator.next_run(RunFate(error_rate=0.5))

    with pytest.raises(OnlineTaskRunErrorRateExceeded) as caught:
        wait(max_error_rate=0.2)

    (run,) = emulator.runs()
    message = str(caught.value)
    counts = f"{run['num_successes']} evaluated, {run['num_errors']} errors, 0 skipped"
    assert f"Run {run['id']} is completed with too many errors: {counts}." in message
    assert "of the attempted spans could not be judged, more than max_error_rate (20.0%)" in message
    assert "Look at the errors in Arize before you trust the labels." in message
    assert message.endswith(f"See {spans_link(emulator, task_id)}")
    assert caught.value.run["run_id"] == run["id"]
    # Only the operator can do better in another try: the sensor's run stays what it is.
    assert isinstance(caught.value, AirflowFailException) is is_sensor(request)


def test_as_many_errors_as_permitted(wait: Wait, emulator: Emulator) -> None:
    emulator.next_run(RunFate(error_rate=0.5))
    assert wait(max_error_rate=0.5)["num_errors"] > 0


@pytest.mark.parametrize("threshold", [None, 1.0])
def test_nothing_but_errors(
    wait: Wait, emulator: Emulator, task_id: str, request: pytest.FixtureRequest, threshold: float | None
) -> None:
    emulator.next_run(RunFate(error_rate=1.0))

    with pytest.raises(OnlineTaskRunFailed) as caught:
        wait(max_error_rate=threshold)

    (run,) = emulator.runs()
    message = str(caught.value)
    counts = f"0 evaluated, {run['num_errors']} errors, 0 skipped"
    assert f"Run {run['id']} is completed without one success: {counts}." in message
    assert "Check the evaluator's LLM, its key and the template." in message
    assert message.endswith(f"See {spans_link(emulator, task_id)}")
    assert isinstance(caught.value, AirflowFailException) is is_sensor(request)


@pytest.mark.parametrize("nothing", ["skip", "fail", "succeed", None])
def test_nothing_evaluated(
    wait: Wait,
    emulator: Emulator,
    task_id: str,
    request: pytest.FixtureRequest,
    caplog: pytest.LogCaptureFixture,
    nothing: str | None,
) -> None:
    emulator.next_run(RunFate("nothing"))
    arguments = {} if nothing is None else {"on_nothing_evaluated": nothing}

    message = what_is_said(wait, arguments, caplog, request)

    (run,) = emulator.runs()
    assert f"Run {run['id']} evaluated nothing. No span in the window matches the task's filter" in message
    assert "Check the window, the query filter, and whether the application sent spans." in message
    assert message.endswith(f"See {spans_link(emulator, task_id)}")


def what_is_said(
    wait: Wait,
    arguments: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    request: pytest.FixtureRequest,
) -> str:
    """Wait for a run that evaluates nothing; check what that does, and return what is said about it."""
    nothing = arguments.get("on_nothing_evaluated", "skip")
    if nothing == "succeed":
        wait(**arguments)
        url = logged(caplog, logging.INFO, "The spans in Arize").partition(": ")[2]
        return " ".join(each.getMessage() for each in caplog.records if each.levelno == logging.WARNING) + (
            f" See {url}"
        )
    kind = AirflowSkipException if nothing == "skip" else OnlineTaskRunNothingEvaluated
    with pytest.raises(kind) as caught:
        wait(**arguments)
    if nothing == "fail":
        assert isinstance(caught.value, AirflowFailException) is is_sensor(request)
    return str(caught.value)


def test_all_spans_skipped(
    wait: Wait, emulator: Emulator, task_id: str, request: pytest.FixtureRequest
) -> None:
    emulator.next_run(RunFate(share=0.0, skipped=5))

    with pytest.raises(AirflowSkipException, match="All 5 spans were skipped, as spans that are labelled"):
        wait()


@pytest.mark.parametrize("nothing", ["skip", "fail", "succeed"])
def test_all_labelled_already(
    wait: Wait,
    emulator: Emulator,
    task_id: str,
    request: pytest.FixtureRequest,
    caplog: pytest.LogCaptureFixture,
    nothing: str,
) -> None:
    start_run(task_id)
    emulator.runs()

    message = what_is_said(wait, {"on_nothing_evaluated": nothing}, caplog, request)

    _, run = emulator.runs()
    assert run["status"] == "CANCELLED"
    assert f"Run {run['id']} evaluated nothing. Arize says: {run['failure_reason']}" in message
    assert "All matching spans are labelled already." in message
    assert "Set override_evaluations=True to judge them again" in message


def test_judged_again(wait: Wait, emulator: Emulator, task_id: str) -> None:
    start_run(task_id)
    first = emulator.runs()[0]["num_successes"]

    assert wait(override_evaluations=True)["num_successes"] == first > 0


@pytest.mark.parametrize("nothing", ["skip", "fail", "succeed"])
def test_a_task_error_that_says_there_is_no_data(
    execution: Execution, emulator: Emulator, caplog: pytest.LogCaptureFixture, nothing: str
) -> None:
    emulator.configure(no_data="task_error")
    with OnlineTasksHook() as hook:
        change = {"online_task_id": execution.online_task_id, "query_filter": "name = 'no such span'"}
        hook.patch_eval_task(EvalTaskPatch.read(change))

    if nothing == "succeed":
        assert execution.next_try(on_nothing_evaluated=nothing) is None
        message = caplog.text
    else:
        kind = AirflowSkipException if nothing == "skip" else OnlineTaskRunNothingEvaluated
        with pytest.raises(kind) as caught:
            execution.next_try(on_nothing_evaluated=nothing)
        message = str(caught.value)

    assert emulator.runs() == []
    assert "No run was started. Arize says: There is no data to evaluate in this window" in message
    assert "There is nothing to evaluate in" in message


@pytest.mark.promise("task-error")
def test_any_other_task_error(execution: Execution, emulator: Emulator) -> None:
    fault = Fault("graphql.runOnlineTask", "task_error", message="the task is paused", code="PAUSED")
    emulator.add_fault(fault)

    with pytest.raises(TaskErrorReturned, match=r"was not started: the task is paused \(code PAUSED\)"):
        execution.next_try()


@pytest.mark.parametrize("reason", [None, "The LLM integration refused its credentials."])
def test_cancelled_before_anything_was_done(
    wait: Wait, emulator: Emulator, task_id: str, request: pytest.FixtureRequest, reason: str | None
) -> None:
    emulator.next_run(RunFate("cancel", failure_reason=reason))

    with pytest.raises(OnlineTaskRunCancelled) as caught:
        wait()

    (run,) = emulator.runs()
    message = str(caught.value)
    said = "Arize gives no reason" if reason is None else f"Arize says: {reason}"
    counts = "0 evaluated, 0 errors, 0 skipped"
    assert f"Run {run['id']} was cancelled: {counts}. {said.rstrip('.')}. It stopped before any" in message
    assert "the LLM refused its credentials, or the evaluator is broken." in message
    assert message.endswith(f"See {spans_link(emulator, task_id)}")
    assert isinstance(caught.value, AirflowFailException) is is_sensor(request)


@pytest.mark.parametrize(
    "reason",
    ["already running elsewhere", "set override_evaluations", "Data already labelled", ""],
)
def test_a_reason_that_is_not_recognised_is_a_failure(
    wait: Wait, emulator: Emulator, task_id: str, reason: str
) -> None:
    emulator.next_run(RunFate("cancel", failure_reason=reason))
    with pytest.raises(OnlineTaskRunCancelled):
        wait()


def test_cancelled_by_someone_else_amid_its_work(
    execution: Execution, emulator: Emulator, time: Time
) -> None:
    emulator.next_run(RunFate("hang", pending_seconds=0, seconds=0))

    def cancel() -> None:
        for run in emulator.runs():
            if not run["over"]:
                with OnlineTasksHook() as hook:
                    hook.cancel_task_run(run["id"])

    time.on_sleep = cancel

    with pytest.raises(OnlineTaskRunCancelled) as caught:
        execution.next_try(**WAIT)

    (run,) = emulator.runs()
    message = str(caught.value)
    counts = f"{run['num_successes']} evaluated, 0 errors, 0 skipped"
    assert f"Run {run['id']} was cancelled: {counts}. Arize says: The run was cancelled by a user." in message
    assert "Its labels cover a part of the window only." in message


def test_failed(wait: Wait, emulator: Emulator, task_id: str, request: pytest.FixtureRequest) -> None:
    emulator.next_run(RunFate("fail", failure_reason="The model provider is down."))

    with pytest.raises(OnlineTaskRunFailed) as caught:
        wait()

    (run,) = emulator.runs()
    message = str(caught.value)
    counts = f"{run['num_successes']} evaluated, {run['num_errors']} errors, 0 skipped"
    assert f"Run {run['id']} failed: {counts}. Arize says: The model provider is down." in message
    assert "Fix the cause, then clear the task to start a new run." in message
    assert message.endswith(f"See {spans_link(emulator, task_id)}")
    assert isinstance(caught.value, AirflowFailException) is is_sensor(request)
    assert caught.value.run["status"] == "FAILED"


def test_failed_for_no_reason(wait: Wait, emulator: Emulator, task_id: str) -> None:
    emulator.next_run(RunFate("fail", failure_reason=""))
    with pytest.raises(OnlineTaskRunFailed, match=r"skipped\. Arize gives no reason\. The labels"):
        wait()


def test_the_window_was_probably_cut(
    execution: Execution, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    execution.next_try(**WAIT, max_spans=3)

    line = logged(caplog, logging.WARNING, "probably cut")
    assert "attempted 3 spans, as many as it may (3)" in line
    assert "Raise max_spans, or cut the window with split_window()" in line


def test_the_window_was_not_cut(
    execution: Execution, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    execution.next_try(**WAIT, max_spans=5000)
    assert "probably cut" not in caplog.text


@pytest.mark.parametrize("limit", ["timeout", "execution_timeout"])
def test_never_ending(execution: Execution, emulator: Emulator, time: Time, limit: str) -> None:
    from datetime import timedelta

    emulator.next_run(RunFate("hang", pending_seconds=0, seconds=0))
    bound = {"timeout": 90} if limit == "timeout" else {"execution_timeout": timedelta(seconds=90)}

    with pytest.raises(OnlineTaskRunTimeout) as caught:
        execution.next_try(**WAIT, **bound)

    (run,) = emulator.runs()
    message = str(caught.value)
    told = "timeout=90 s" if limit == "timeout" else "the task's execution_timeout"
    assert f"Run {run['id']} was not over within {told} and was asked to cancel" in message
    assert f"({run['num_successes']} evaluated, 0 errors, 0 skipped so far)" in message
    assert "The labels it has made stay; a retry starts a new run" in message
    assert "allow it more time" in message
    assert message.endswith(f"See {spans_link(emulator, execution.online_task_id)}")
    assert run["status"] == "CANCELLED"
    assert not isinstance(caught.value, AirflowFailException)
    assert time.passed == pytest.approx(90, abs=1)


def test_the_sensor_waits_and_never_cancels(task_id: str, emulator: Emulator) -> None:
    emulator.next_run(RunFate("hang", pending_seconds=0))
    sensor = OnlineTaskRunSensor(task_id="wait", run_id=start_run(task_id), deferrable=False)

    assert not sensor.poke({}).is_done
    emulator.set_run(sensor.run_id, status="SOMETHING_NEW")
    assert not sensor.poke({}).is_done  # an unknown word is taken for still running
    for kind in ("drop_before", "rate_limited", "status_before", "garbage", "truncated", "not_object"):
        emulator.add_fault(Fault("rest.get_task_run", kind, times=4))
        assert not sensor.poke({}).is_done
        emulator.clear_faults()
    assert emulator.requests("rest.cancel_task_run") == []


@pytest.mark.parametrize("run_id", ["None", "", "null"])
def test_the_sensor_says_when_the_xcom_is_empty(task_id: str, run_id: str) -> None:
    sensor = OnlineTaskRunSensor(task_id="wait", run_id="{{ ti.xcom_pull('run') }}", deferrable=False)
    sensor.run_id = run_id  # as rendered
    with pytest.raises(InvalidInput, match="run_id"):
        sensor.poke({})


def test_a_window_that_the_server_finds_too_long(execution: Execution, emulator: Emulator) -> None:
    from datetime import timedelta

    emulator.configure(graphql_max_window_days=30)
    try:
        with pytest.raises(WindowTooLong, match=re.escape("cut it with split_window()")) as caught:
            execution.next_try(data_start_time=END - timedelta(days=31))
    finally:
        emulator.configure(graphql_max_window_days=None)
    assert isinstance(caught.value, AirflowFailException)
    assert emulator.runs() == []


def test_a_long_window_that_the_server_takes(
    execution: Execution, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    from datetime import timedelta

    execution.next_try(data_start_time=END - timedelta(days=31))

    assert "longer than the 30 days" in logged(caplog, logging.WARNING, "split_window()")
    assert len(emulator.runs()) == 1


def test_the_log_tells_the_progress(
    execution: Execution, emulator: Emulator, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    emulator.next_run(RunFate("hang", pending_seconds=0, seconds=0))

    def end() -> None:
        if time.passed > 200:
            emulator.set_run(emulator.runs()[0]["id"], status="COMPLETED")

    time.on_sleep = end
    execution.next_try(**WAIT)

    lines = [r.getMessage() for r in caplog.records if "spans done" in r.getMessage()]
    # One when it is first seen, one a minute while nothing changes, one at the end.
    assert 4 <= len(lines) <= 6
    assert "is RUNNING" in lines[0]
    assert "is COMPLETED" in lines[-1]
