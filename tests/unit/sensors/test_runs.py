"""Tests of OnlineTaskRunSensor in its three modes."""

from __future__ import annotations

import json
import time as real_time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks import _clock
from airflow_provider_online_tasks._airflow import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowTaskTimeout,
    TaskDeferred,
)
from airflow_provider_online_tasks.api.responses import RunStatus, TaskRun
from airflow_provider_online_tasks.emulator import Fault, RunFate
from airflow_provider_online_tasks.exceptions import (
    OnlineTaskRunUnreachable,
    OnlineTasksError,
)
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.sensors.runs import OnlineTaskRunSensor
from airflow_provider_online_tasks.triggers.events import ERROR, FINISHED, TIMEOUT, RunEvent
from tests.support.key_rotation import NEW_KEY, rotate
from tests.support.waits import CONN_ID, create_task

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator

GET = "rest.get_task_run"


class Clock:
    """A fake clock of the sensor and of the emulator: sleeping takes no time."""

    def __init__(self, arize: Emulator) -> None:
        self._began = real_time.time()
        self.passed = 0.0
        self.arize = arize

    def time(self) -> float:
        return self._began + self.passed

    def monotonic(self) -> float:
        return self.passed

    def sleep(self, seconds: float) -> None:
        self.passed += seconds
        self.arize.advance(seconds)


class Store:
    """A task state store."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def get(self, key: str) -> Any:
        return json.loads(self.values.get(key, "null"))

    def set(self, key: str, value: Any) -> None:
        self.values[key] = json.dumps(value)

    def delete(self, key: str) -> None:
        del self.values[key]


@pytest.fixture
def clock(arize: Emulator, monkeypatch: pytest.MonkeyPatch) -> Clock:
    from airflow.sdk.bases import sensor

    clock = Clock(arize)
    monkeypatch.setattr(_clock, "monotonic", clock.monotonic)
    monkeypatch.setattr(_clock, "epoch", clock.time)
    monkeypatch.setattr(sensor, "time", clock)
    return clock


def context(*, try_number: int = 1, **more: Any) -> Any:
    """Return an Airflow context."""
    ti = SimpleNamespace(
        xcom_push=lambda **_: None,
        try_number=try_number,
        get_first_reschedule_date=lambda _: datetime.now(UTC),
    )
    return {"ti": ti, **more}


def sensor(run_id: str, **arguments: Any) -> OnlineTaskRunSensor:
    given = {"conn_id": CONN_ID, "poke_interval": 2, "deferrable": False, **arguments}
    return OnlineTaskRunSensor(task_id="wait", run_id=run_id, **given)


def create_run(arize: Emulator, seconds: float = 5.0, **fate: Any) -> str:
    [run] = arize.create_runs(create_task(arize), 1, (seconds, seconds), fate=RunFate(**fate))
    return run


def poll_times(arize: Emulator) -> list[float]:
    return [request["time"] for request in arize.requests(GET)]


# Waiting in a worker ------------------------------------------------------------------------------------


@pytest.mark.promise("sensor")
@pytest.mark.parametrize(
    ("fault", "pause"),
    [
        (Fault(GET, "rate_limited", retry_after=3600), 300),
        (Fault(GET, "rate_limited", retry_after=40), 40),
        (Fault(GET, "rate_limited"), 15),
        (Fault(GET, "status_before", status=503, retry_after=40), 40),
    ],
)
def test_poll_after_rate_limit_waits_for_retry_after(
    arize: Emulator, clock: Clock, fault: Fault, pause: int
) -> None:
    run = create_run(arize)
    arize.add_fault(fault)

    assert sensor(run).execute(context())["status"] == "COMPLETED"

    first, second, *_ = poll_times(arize)
    assert pause - 0.01 <= second - first < pause + 5


def test_pause_longer_than_timeout_ends_at_timeout(arize: Emulator, clock: Clock) -> None:
    run = create_run(arize, outcome="hang")
    arize.add_fault(Fault(GET, "rate_limited", times=None, retry_after=3600))

    with pytest.raises(AirflowSensorTimeout):
        sensor(run, timeout=60).execute(context())

    assert 59 < clock.passed < 70
    assert len(poll_times(arize)) <= 3


def test_reschedule_after_rate_limit_waits_for_retry_after(arize: Emulator, clock: Clock) -> None:
    try:
        from airflow.sdk.exceptions import AirflowRescheduleException  # noqa: TID251
    except ImportError:  # before Airflow 3.1
        from airflow.exceptions import AirflowRescheduleException  # noqa: TID251

    run = create_run(arize)
    arize.add_fault(Fault(GET, "rate_limited", retry_after=120))

    with pytest.raises(AirflowRescheduleException) as caught:
        sensor(run, mode="reschedule").execute(context())

    assert 60 < (caught.value.reschedule_date - datetime.now(UTC)).total_seconds() <= 121


@pytest.mark.parametrize("kind", ["unauthorized", "forbidden", "not_found"])
def test_rejections_shorter_than_5_minutes_wait_continues(arize: Emulator, clock: Clock, kind: str) -> None:
    run = create_run(arize)
    arize.add_fault(Fault(GET, kind, times=20))

    assert sensor(run).execute(context())["run_id"] == run


@pytest.mark.promise("sensor")
@pytest.mark.parametrize("kind", ["unauthorized", "forbidden", "not_found"])
def test_rejections_for_5_minutes_raise_unreachable(arize: Emulator, clock: Clock, kind: str) -> None:
    run = create_run(arize)
    arize.add_fault(Fault(GET, kind, times=None))

    with pytest.raises(OnlineTaskRunUnreachable) as caught:
        sensor(run, poke_interval=10).execute(context())

    assert not isinstance(caught.value, AirflowFailException)
    assert 300 <= clock.passed < 320


def reschedule_poll(run: str, store: Store, try_number: int = 1) -> bool:
    """Poll as a new process of the mode ``reschedule`` does; return whether the run is finished."""
    task = sensor(run, mode="reschedule", poke_interval=60)
    return task.poke(context(try_number=try_number, task_state_store=store)).is_done


@pytest.mark.promise("sensor")
def test_reschedule_rejections_for_5_minutes_raise_unreachable(arize: Emulator, clock: Clock) -> None:
    run, store = create_run(arize), Store()
    arize.add_fault(Fault(GET, "not_found", times=None))

    for _ in range(5):
        assert not reschedule_poll(run, store)
        clock.sleep(60)
    with pytest.raises(OnlineTaskRunUnreachable):
        reschedule_poll(run, store)


@pytest.mark.parametrize("response", [None, "rate_limited", "status_before"])
def test_reschedule_other_response_starts_rejection_period_again(
    arize: Emulator, clock: Clock, response: str | None
) -> None:
    run, store = create_run(arize, seconds=10_000.0), Store()
    arize.add_fault(Fault(GET, "not_found", times=5))
    if response:
        arize.add_fault(Fault(GET, response))
    arize.add_fault(Fault(GET, "not_found", skip=0 if response else 1, times=None))

    for _ in range(11):  # 5 rejected polls, another response, 5 rejected polls
        assert not reschedule_poll(run, store)
        clock.sleep(60)
    with pytest.raises(OnlineTaskRunUnreachable):
        reschedule_poll(run, store)


def test_reschedule_clock_set_back_starts_rejection_period_again(arize: Emulator, clock: Clock) -> None:
    run, store = create_run(arize), Store()
    arize.add_fault(Fault(GET, "not_found", times=None))

    reschedule_poll(run, store)
    clock.passed -= 3600
    for _ in range(5):
        assert not reschedule_poll(run, store)
        clock.passed += 60
    with pytest.raises(OnlineTaskRunUnreachable):
        reschedule_poll(run, store)


@pytest.mark.promise("sensor")
def test_reschedule_new_try_restarts_rejection_period(arize: Emulator, clock: Clock) -> None:
    run, store = create_run(arize), Store()
    arize.add_fault(Fault(GET, "not_found", times=None))

    for _ in range(5):
        reschedule_poll(run, store, 1)
        clock.sleep(60)
    with pytest.raises(OnlineTaskRunUnreachable):
        reschedule_poll(run, store, 1)

    clock.sleep(60)
    for _ in range(5):
        assert not reschedule_poll(run, store, 2)
        clock.sleep(60)
    with pytest.raises(OnlineTaskRunUnreachable):
        reschedule_poll(run, store, 2)


@pytest.mark.promise("sensor")
def test_reschedule_without_state_store_first_rejection_raises(arize: Emulator, clock: Clock) -> None:
    run = create_run(arize)
    arize.add_fault(Fault(GET, "not_found"))

    with pytest.raises(OnlineTaskRunUnreachable):
        sensor(run, mode="reschedule").poke(context())


def test_poke_other_response_starts_rejection_period_again(arize: Emulator, clock: Clock) -> None:
    run = create_run(arize, seconds=10_000.0)
    for skip in (0, 1, 2):
        arize.add_fault(Fault(GET, "forbidden", skip=skip, times=25))
    waiting = sensor(run, poke_interval=10)

    for _ in range(77):
        assert not waiting.poke(context()).is_done
        clock.sleep(10)


@pytest.mark.promise("wait-key-rotated")
def test_key_rotation_wait_uses_new_key(
    arize: Emulator, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = sensor(create_run(arize, seconds=120.0))
    assert not looked.poke(context()).is_done
    rotate(arize, monkeypatch)
    assert not looked.poke(context()).is_done
    fields = {**json.loads(arize.connection_json), "password": NEW_KEY}
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps(fields))
    clock.sleep(200)

    assert looked.poke(context()).is_done


def test_response_about_other_run_is_ignored(arize: Emulator, clock: Clock) -> None:
    run = create_run(arize)
    arize.add_fault(Fault(GET, "garbage", body='{"id": "another", "status": "COMPLETED"}'))

    assert not sensor(run).poke(context()).is_done


# Waiting in the triggerer --------------------------------------------------------------------------------


@pytest.mark.promise("sensor")
def test_deferrable_finished_run_does_not_defer(arize: Emulator) -> None:
    run = create_run(arize, seconds=0.0)

    assert sensor(run, deferrable=True).execute(context())["status"] == "COMPLETED"
    assert len(poll_times(arize)) == 1


@pytest.mark.parametrize("fault", [None, "not_found", "unauthorized", "rate_limited", "drop_before"])
def test_deferrable_running_run_defers(arize: Emulator, clock: Clock, fault: str | None) -> None:
    run = create_run(arize)
    if fault:
        arize.add_fault(Fault(GET, fault))
    clock.passed = 1000.0

    with pytest.raises(TaskDeferred) as caught:
        sensor(run, deferrable=True, timeout=120, poke_interval=7).execute(context())

    _, kwargs = caught.value.trigger.serialize()
    assert kwargs["deadline"] == pytest.approx(clock.time() + 120, abs=10)
    expected = {
        "run_id": run,
        "poll_interval": 7.0,
        "cancel_at_deadline": False,
        "cancel_on_kill": False,
        "payload": {},
    }
    assert expected.items() <= kwargs.items()
    # The sensor's own read names the task, so the triggerer reads the run together with others of its task.
    assert (kwargs["online_task_id"] is None) is (fault is not None)
    assert caught.value.timeout is None
    assert len(poll_times(arize)) == 1


def event(run_id: str, outcome: str, **fields: Any) -> dict[str, Any]:
    return RunEvent(outcome=outcome, run_id=run_id, payload={}, **fields).model_dump()


@pytest.mark.promise("deadline")
def test_links_run_ended_in_triggerer_are_looked_up_by_sensor(arize: Emulator) -> None:
    [run] = arize.create_runs(create_task(arize), 1, (0.0, 0.0))
    with OnlineTasksHook(CONN_ID) as hook:
        seen = hook.get_task_run(run)
    waiting = sensor(run, deferrable=True)

    waiting.execute_complete(context(), event(run, FINISHED, run=seen))

    assert waiting.links.spans
    assert waiting.links.project


def test_timeout_event_raises_sensor_timeout(arize: Emulator) -> None:
    run = create_run(arize)

    with pytest.raises(AirflowSensorTimeout):
        sensor(run, timeout=60).execute_complete(context(), event(run, TIMEOUT))


@pytest.mark.promise("execution-timeout")
@pytest.mark.parametrize(
    ("timeout", "execution_timeout", "seconds", "error"),
    [(60, 30, 30, AirflowTaskTimeout), (30, 60, 30, AirflowSensorTimeout)],
)
def test_deferred_wait_ends_at_the_shorter_timeout(
    arize: Emulator,
    clock: Clock,
    timeout: int,
    execution_timeout: int,
    seconds: int,
    error: type[BaseException],
) -> None:
    run = create_run(arize)
    limits = {"timeout": timeout, "execution_timeout": timedelta(seconds=execution_timeout)}
    waiting = sensor(run, deferrable=True, **limits)
    with pytest.raises(TaskDeferred) as caught:
        waiting.execute(context())
    assert caught.value.trigger.deadline == pytest.approx(clock.time() + seconds, abs=10)
    clock.passed += seconds
    with pytest.raises(error):
        sensor(run, deferrable=True, **limits).execute_complete(context(), event(run, TIMEOUT))


@pytest.mark.promise("poll-ends-retryable")
def test_error_event_raises_retryable_error(arize: Emulator) -> None:
    run = create_run(arize)
    failed = event(run, ERROR, error_type="OnlineTaskRunUnreachable", error_message="no such run")

    with pytest.raises(OnlineTaskRunUnreachable) as caught:
        sensor(run).execute_complete(context(), failed)

    assert not isinstance(caught.value, AirflowFailException)


def test_event_about_other_run_raises(arize: Emulator) -> None:
    over = TaskRun(id="another", status=RunStatus.COMPLETED, status_text="COMPLETED")

    with pytest.raises(OnlineTasksError):
        sensor(create_run(arize)).execute_complete(context(), event("another", FINISHED, run=over))


@pytest.mark.promise("sensor")
@pytest.mark.parametrize("deferrable", [True, False])
def test_kill_and_timeout_never_cancel_run(arize: Emulator, clock: Clock, deferrable: bool) -> None:
    run = create_run(arize, outcome="hang")
    waiting = sensor(run, deferrable=deferrable, timeout=30)

    with pytest.raises((AirflowSensorTimeout, TaskDeferred)):
        waiting.execute(context())
    waiting.on_kill()
    with pytest.raises(AirflowSensorTimeout):
        waiting.execute_complete(context(), event(run, TIMEOUT))

    assert {request["operation"] for request in arize.requests("rest.*")} <= {GET, "rest.get_task"}
    assert arize.runs()[0]["status"] != "CANCELLED"
