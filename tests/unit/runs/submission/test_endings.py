"""Tests of the end states of a run, in the operator and in the sensor."""

from __future__ import annotations

import logging
from datetime import timedelta
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
    OnlineTaskRunUnsuccessful,
    TaskErrorReturned,
    WindowTooLong,
)
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskPatch
from airflow_provider_online_tasks.inputs.windows import DataWindow
from airflow_provider_online_tasks.sensors.runs import OnlineTaskRunSensor
from tests.support.tries import END, START, WAIT, Execution, Time, start_run

HANG = RunFate("hang", pending_seconds=0, seconds=0)


class Waiter:
    """Runs the task and waits for its run, with the operator alone or with the sensor after it."""

    def __init__(self, kind: str, task_id: str) -> None:
        self.is_sensor = kind == "sensor"
        self.task_id = task_id

    def wait(self, *, max_spans: int | None = None, override: bool | None = None, **rules: Any) -> Any:
        """Return the run's summary."""
        execution = Execution(self.task_id, {"max_spans": max_spans, "override_evaluations": override})
        if not self.is_sensor:
            run_id = execution.next_try(**WAIT, **rules)
            assert run_id == execution.pushed["run"]["run_id"]
            return execution.pushed["run"]
        run_id = execution.next_try()
        sensor = OnlineTaskRunSensor(task_id="wait", run_id=run_id, deferrable=False, **rules)
        polled = sensor.poke({"ti": SimpleNamespace(xcom_push=lambda **_: None)})
        assert polled.is_done
        return polled.xcom_value

    def fails(self, kind: type[OnlineTaskRunUnsuccessful], **rules: Any) -> OnlineTaskRunUnsuccessful:
        """Wait for a run that fails; check what every failure has, and return the error."""
        with pytest.raises(kind) as caught:
            self.wait(**rules)
        error = caught.value
        # A retry of the operator starts a new run; a retry of the sensor could not change its run.
        assert isinstance(error, AirflowFailException) is self.is_sensor
        assert error.run["run_id"] in str(error)
        with OnlineTasksHook() as hook:
            url = hook.links(self.task_id, DataWindow(start=START, end=END)).spans
        assert url
        assert str(error).endswith(url)
        return error


@pytest.fixture(params=["operator", "sensor"])
def waiter(request: pytest.FixtureRequest, task_id: str, emulator: Emulator) -> Waiter:
    return Waiter(request.param, task_id)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_completed_run_succeeds(waiter: Waiter, emulator: Emulator) -> None:
    summary = waiter.wait()

    (run,) = emulator.runs()
    assert summary["run_id"] == run["id"]
    assert summary["online_task_id"] == waiter.task_id
    assert (summary["status"], summary["num_successes"]) == ("COMPLETED", run["num_successes"])
    assert (summary["num_errors"], summary["num_skipped"], summary["error_rate"]) == (0, 0, 0.0)
    assert summary["failure_reason"] is None


def test_some_errors_succeed(waiter: Waiter, emulator: Emulator) -> None:
    emulator.next_run(RunFate(error_rate=0.5))

    summary = waiter.wait()

    assert summary["num_errors"] > 0
    assert 0.3 < summary["error_rate"] <= 0.5


def test_errors_above_max_error_rate_fail(waiter: Waiter, emulator: Emulator) -> None:
    emulator.next_run(RunFate(error_rate=0.5))

    error = waiter.fails(OnlineTaskRunErrorRateExceeded, max_error_rate=0.2)

    (run,) = emulator.runs()
    assert error.run["run_id"] == run["id"]
    assert error.run["num_errors"] == run["num_errors"] > 0


def test_errors_at_max_error_rate_succeed(waiter: Waiter, emulator: Emulator) -> None:
    emulator.next_run(RunFate(error_rate=0.5))
    assert waiter.wait(max_error_rate=0.5)["num_errors"] > 0


@pytest.mark.parametrize("threshold", [None, 1.0])
def test_only_errors_fail(waiter: Waiter, emulator: Emulator, threshold: float | None) -> None:
    emulator.next_run(RunFate(error_rate=1.0))

    assert waiter.fails(OnlineTaskRunFailed, max_error_rate=threshold).run["num_successes"] == 0


def nothing_evaluated(waiter: Waiter, reaction: str | None) -> None:
    """Wait for a run that evaluates nothing, and check the reaction."""
    rules = {} if reaction is None else {"on_nothing_evaluated": reaction}
    match reaction:
        case "fail":
            waiter.fails(OnlineTaskRunNothingEvaluated, **rules)
        case "succeed":
            assert waiter.wait(**rules)["num_successes"] == 0
        case _:
            with pytest.raises(AirflowSkipException):
                waiter.wait(**rules)


@pytest.mark.parametrize("reaction", ["skip", "fail", "succeed", None])
def test_nothing_evaluated_reacts_as_configured(
    waiter: Waiter, emulator: Emulator, reaction: str | None
) -> None:
    emulator.next_run(RunFate("nothing"))
    nothing_evaluated(waiter, reaction)


def test_all_spans_skipped_skips(waiter: Waiter, emulator: Emulator) -> None:
    emulator.next_run(RunFate(share=0.0, skipped=5))
    nothing_evaluated(waiter, None)


@pytest.mark.parametrize(("mapped", "named"), [({}, True), ({"reference": "attributes.unknown"}, False)])
def test_all_spans_skipped_names_variables_without_a_mapping(
    waiter: Waiter, emulator: Emulator, mapped: dict[str, str], named: bool
) -> None:
    """Both tasks skip every span: the second one maps a variable to an attribute that no span has."""
    columns = {"input": "attributes.input.value", "output": "attributes.output.value", **mapped}
    evaluator = {"evaluator_id": emulator.evaluator_ids["correctness"]}
    task = {"name": "t", "model_id": emulator.project_id, "evaluators": evaluator}
    with OnlineTasksHook() as hook:
        waiter.task_id = hook.create_eval_task(
            {**task, "evaluators": {**evaluator, "column_mappings": columns}} if mapped else task
        )
    error = waiter.fails(OnlineTaskRunNothingEvaluated, on_nothing_evaluated="fail")
    assert ("'reference'" in str(error)) is named


@pytest.mark.parametrize("reaction", ["skip", "fail", "succeed"])
def test_all_spans_labelled_succeeds(waiter: Waiter, emulator: Emulator, reaction: str) -> None:
    start_run(waiter.task_id)
    emulator.runs()

    assert waiter.wait(on_nothing_evaluated=reaction)["num_successes"] == 0

    assert emulator.runs()[1]["status"] == "CANCELLED"


@pytest.mark.parametrize("reaction", ["skip", "fail", "succeed"])
def test_all_spans_skipped_and_labels_exist_succeeds(
    waiter: Waiter, emulator: Emulator, reaction: str
) -> None:
    start_run(waiter.task_id)
    emulator.runs()
    emulator.next_run(RunFate(share=0.0, skipped=5))

    assert waiter.wait(on_nothing_evaluated=reaction)["num_skipped"] == 5


def test_all_spans_skipped_with_override_skips(execution: Execution, emulator: Emulator) -> None:
    execution.next_try(wait_for_completion=True, deferrable=False)
    execution.clear()
    emulator.next_run(RunFate(share=0.0, skipped=5))

    with pytest.raises(AirflowSkipException):
        execution.next_try(wait_for_completion=True, deferrable=False, override_evaluations=True)


def test_all_spans_skipped_and_labels_unreadable_skips(waiter: Waiter, emulator: Emulator) -> None:
    start_run(waiter.task_id)
    emulator.runs()
    emulator.next_run(RunFate(share=0.0, skipped=5))
    emulator.add_fault(Fault("rest.list_spans", "forbidden"))

    nothing_evaluated(waiter, None)


def test_override_evaluations_evaluates_again(waiter: Waiter, emulator: Emulator) -> None:
    start_run(waiter.task_id)
    first = emulator.runs()[0]["num_successes"]

    assert waiter.wait(override=True)["num_successes"] == first > 0


@pytest.mark.parametrize("reaction", ["skip", "fail", "succeed"])
def test_task_error_without_data_reacts_as_configured(
    execution: Execution, emulator: Emulator, reaction: str
) -> None:
    emulator.configure(no_data="task_error")
    with OnlineTasksHook() as hook:
        change = {"online_task_id": execution.online_task_id, "query_filter": "name = 'no such span'"}
        hook.patch_eval_task(EvalTaskPatch.read(change))

    if reaction == "succeed":
        assert execution.next_try(on_nothing_evaluated=reaction) is None
    else:
        kind = AirflowSkipException if reaction == "skip" else OnlineTaskRunNothingEvaluated
        with pytest.raises(kind):
            execution.next_try(on_nothing_evaluated=reaction)

    assert emulator.runs() == []


@pytest.mark.promise("task-error")
def test_other_task_error_raises(execution: Execution, emulator: Emulator) -> None:
    fault = Fault("graphql.runOnlineTask", "task_error", message="the task is paused", code="PAUSED")
    emulator.add_fault(fault)

    with pytest.raises(TaskErrorReturned) as caught:
        execution.next_try()

    assert (caught.value.code, caught.value.reason) == ("PAUSED", "the task is paused")


@pytest.mark.parametrize("reason", [None, "The LLM integration rejected its credentials."])
def test_cancelled_before_first_span_fails(waiter: Waiter, emulator: Emulator, reason: str | None) -> None:
    emulator.next_run(RunFate("cancel", failure_reason=reason))

    assert waiter.fails(OnlineTaskRunCancelled).run["failure_reason"] == reason


@pytest.mark.parametrize(
    "reason", ["already running elsewhere", "set override_evaluations", "Data already labelled", ""]
)
def test_cancelled_with_unknown_reason_fails(waiter: Waiter, emulator: Emulator, reason: str) -> None:
    emulator.next_run(RunFate("cancel", failure_reason=reason))
    waiter.fails(OnlineTaskRunCancelled)


def test_cancelled_by_user_while_waiting_fails(execution: Execution, emulator: Emulator, time: Time) -> None:
    emulator.next_run(HANG)

    def cancel() -> None:
        for run in emulator.runs():
            if not run["over"]:
                with OnlineTasksHook() as hook:
                    hook.cancel_task_run(run["id"])

    time.on_sleep = cancel

    with pytest.raises(OnlineTaskRunCancelled) as caught:
        execution.next_try(**WAIT)

    (run,) = emulator.runs()
    assert caught.value.run["num_successes"] == run["num_successes"]
    assert caught.value.run["failure_reason"] == run["failure_reason"]


@pytest.mark.parametrize("reason", ["The model provider is down.", ""])
def test_failed_run_fails(waiter: Waiter, emulator: Emulator, reason: str) -> None:
    emulator.next_run(RunFate("fail", failure_reason=reason))

    error = waiter.fails(OnlineTaskRunFailed)

    assert error.run["status"] == "FAILED"
    assert reason.removesuffix(".") in str(error)


def test_max_spans_reached_logs_warning(
    execution: Execution, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    execution.next_try(**WAIT, max_spans=3)
    assert any("max_spans" in line for line in warnings(caplog))


def test_max_spans_not_reached_logs_no_warning(
    execution: Execution, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    execution.next_try(**WAIT, max_spans=5000)
    assert not any("max_spans" in line for line in warnings(caplog))


@pytest.mark.parametrize("argument", ["timeout", "execution_timeout"])
def test_run_not_finished_in_time_is_cancelled(
    execution: Execution, emulator: Emulator, time: Time, argument: str
) -> None:
    emulator.next_run(HANG)
    limit = {"timeout": 90} if argument == "timeout" else {"execution_timeout": timedelta(seconds=90)}

    with pytest.raises(OnlineTaskRunTimeout) as caught:
        execution.next_try(**WAIT, **limit)

    (run,) = emulator.runs()
    assert run["id"] in str(caught.value)
    assert f"({argument})" in str(caught.value)
    assert run["status"] == "CANCELLED"
    assert not isinstance(caught.value, AirflowFailException)
    assert time.passed == pytest.approx(90, abs=1)


@pytest.mark.parametrize("step", [-7200, 7200])
def test_timeout_ignores_changes_of_wall_clock(
    execution: Execution, emulator: Emulator, time: Time, step: float
) -> None:
    emulator.next_run(HANG)

    def set_clock() -> None:
        time.worker_offset = step

    time.on_sleep = set_clock
    with pytest.raises(OnlineTaskRunTimeout):
        execution.next_try(**WAIT, timeout=90)

    assert time.passed == pytest.approx(90, abs=1)


def test_timeout_during_rate_limit_is_kept(execution: Execution, emulator: Emulator, time: Time) -> None:
    emulator.next_run(HANG)
    emulator.add_fault(Fault("rest.get_task_run", "rate_limited", times=None, retry_after=300))

    with pytest.raises(OnlineTaskRunTimeout):
        execution.next_try(**WAIT, timeout=90)

    assert time.passed == pytest.approx(90, abs=1)
    assert [run["status"] for run in emulator.runs()] == ["CANCELLED"]


def test_sensor_running_run_waits_and_never_cancels(task_id: str, emulator: Emulator) -> None:
    emulator.next_run(RunFate("hang", pending_seconds=0))
    sensor = OnlineTaskRunSensor(task_id="wait", run_id=start_run(task_id), deferrable=False)

    assert not sensor.poke({}).is_done
    emulator.set_run(sensor.run_id, status="SOMETHING_NEW")
    assert not sensor.poke({}).is_done  # an unknown status counts as running
    for kind in ("drop_before", "rate_limited", "status_before", "garbage", "truncated", "not_object"):
        emulator.add_fault(Fault("rest.get_task_run", kind, times=4))
        assert not sensor.poke({}).is_done
        emulator.clear_faults()
    assert emulator.requests("rest.cancel_task_run") == []


@pytest.mark.parametrize("run_id", ["None", "", "null"])
def test_sensor_empty_run_id_raises(task_id: str, run_id: str) -> None:
    sensor = OnlineTaskRunSensor(task_id="wait", run_id="{{ ti.xcom_pull('run') }}", deferrable=False)
    sensor.run_id = run_id  # as rendered
    with pytest.raises(InvalidInput):
        sensor.poke({})


def test_window_rejected_as_too_long_raises(execution: Execution, emulator: Emulator) -> None:
    emulator.configure(graphql_max_window_days=30)
    try:
        with pytest.raises(WindowTooLong) as caught:
            execution.next_try(data_start_time=END - timedelta(days=31))
    finally:
        emulator.configure(graphql_max_window_days=None)
    assert isinstance(caught.value, AirflowFailException)
    assert emulator.runs() == []


def test_long_window_is_sent_with_warning(
    execution: Execution, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    execution.next_try(data_start_time=END - timedelta(days=31))

    assert any("split_window" in line for line in warnings(caplog))
    assert len(emulator.runs()) == 1


def test_wait_logs_progress_once_per_minute(
    execution: Execution, emulator: Emulator, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    emulator.next_run(HANG)

    def end() -> None:
        if time.passed > 200:
            emulator.set_run(emulator.runs()[0]["id"], status="COMPLETED")

    time.on_sleep = end
    execution.next_try(**WAIT)

    run_id = emulator.runs()[0]["id"]
    statuses = ("RUNNING", "COMPLETED")
    lines = [line for line in caplog.messages if run_id in line and any(each in line for each in statuses)]
    # One at the first poll, one per minute, one at the end.
    assert 4 <= len(lines) <= 6
    assert "RUNNING" in lines[0]
    assert "COMPLETED" in lines[-1]


@pytest.mark.parametrize(("seconds", "warned"), [(1, True), (59, True), (60, False)])
def test_short_window_is_sent_with_warning(
    execution: Execution, emulator: Emulator, caplog: pytest.LogCaptureFixture, seconds: int, warned: bool
) -> None:
    execution.next_try(data_start_time=None, data_end_time=None, lookback=seconds)

    assert len(emulator.runs()) == 1
    assert any("lookback" in line for line in warnings(caplog)) is warned
