"""The sensor looks once before it defers, keeps to what Arize asks and to its timeout, and never cancels."""

from __future__ import annotations

import json
import time as real_time
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks._airflow import AirflowFailException, AirflowSensorTimeout, TaskDeferred
from airflow_provider_online_tasks.api.responses.runs import RunStatus, TaskRun
from airflow_provider_online_tasks.emulator import Fault, RunFate
from airflow_provider_online_tasks.exceptions import (
    OnlineTaskRunUnreachable,
    OnlineTasksError,
)
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.sensors import runs as sensors
from airflow_provider_online_tasks.sensors.runs import OnlineTaskRunSensor
from airflow_provider_online_tasks.triggers.events import ERROR, OVER, TIMEOUT, RunEvent
from tests.support.rotated_key import NEW_KEY, rotate
from tests.support.waits import CONN_ID, create_task

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator

GET = "rest.get_task_run"


class Clock:
    """Made-up time for the sensor and for Arize: sleeping takes none."""

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
    """The task state store."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def get(self, key: str) -> Any:
        return json.loads(self.values.get(key, "null"))

    def set(self, key: str, value: Any) -> None:
        self.values[key] = json.dumps(value)


@pytest.fixture
def clock(arize: Emulator, monkeypatch: pytest.MonkeyPatch) -> Clock:
    from airflow.sdk.bases import sensor

    clock = Clock(arize)
    monkeypatch.setattr(sensors, "time", clock)
    monkeypatch.setattr(sensor, "time", clock)
    return clock


def context(*, try_number: int = 1, **more: Any) -> Any:
    """What a task gets to know."""
    ti = SimpleNamespace(
        xcom_push=lambda **_: None,
        try_number=try_number,
        get_first_reschedule_date=lambda _: datetime.now(UTC),
    )
    return {"ti": ti, **more}


def sensor(run_id: str, **arguments: Any) -> OnlineTaskRunSensor:
    given = {"conn_id": CONN_ID, "poke_interval": 2, "deferrable": False, **arguments}
    return OnlineTaskRunSensor(task_id="wait", run_id=run_id, **given)


def a_run(arize: Emulator, seconds: float = 5.0, **fate: Any) -> str:
    [run] = arize.create_runs(create_task(arize), 1, (seconds, seconds), fate=RunFate(**fate))
    return run


def times(arize: Emulator) -> list[float]:
    return [request["time"] for request in arize.requests(GET)]


# Waiting in a worker


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
def test_it_pauses_for_as_long_as_arize_asks(arize: Emulator, clock: Clock, fault: Fault, pause: int) -> None:
    run = a_run(arize)
    arize.add_fault(fault)

    assert sensor(run).execute(context())["status"] == "COMPLETED"

    first, second, *_ = times(arize)
    assert pause - 0.01 <= second - first < pause + 5


def test_a_pause_does_not_outlast_its_timeout(arize: Emulator, clock: Clock) -> None:
    run = a_run(arize, outcome="hang")
    arize.add_fault(Fault(GET, "rate_limited", times=None, retry_after=3600))

    with pytest.raises(AirflowSensorTimeout):
        sensor(run, timeout=60).execute(context())

    assert 59 < clock.passed < 70
    assert len(times(arize)) <= 2


def test_a_pause_is_kept_in_the_mode_reschedule(arize: Emulator, clock: Clock) -> None:
    from airflow.sdk.exceptions import AirflowRescheduleException  # noqa: TID251

    run = a_run(arize)
    arize.add_fault(Fault(GET, "rate_limited", retry_after=120))

    with pytest.raises(AirflowRescheduleException) as caught:
        sensor(run, mode="reschedule").execute(context())

    assert 60 < (caught.value.reschedule_date - datetime.now(UTC)).total_seconds() <= 121


@pytest.mark.parametrize("kind", ["unauthorized", "forbidden", "not_found"])
def test_a_hiccup_is_sat_out(arize: Emulator, clock: Clock, kind: str) -> None:
    run = a_run(arize)
    arize.add_fault(Fault(GET, kind, times=20))

    assert sensor(run).execute(context())["run_id"] == run


@pytest.mark.promise("sensor")
@pytest.mark.parametrize("kind", ["unauthorized", "forbidden", "not_found"])
def test_steady_refusal_ends_it_after_five_minutes_so_that_a_retry_can_go_on(
    arize: Emulator, clock: Clock, kind: str
) -> None:
    run = a_run(arize)
    arize.add_fault(Fault(GET, kind, times=None))

    with pytest.raises(OnlineTaskRunUnreachable, match="A retry waits for it again") as caught:
        sensor(run, poke_interval=10).execute(context())

    assert not isinstance(caught.value, AirflowFailException)
    assert 300 <= clock.passed < 320


@pytest.mark.promise("sensor")
def test_refusals_are_remembered_between_the_processes_of_the_mode_reschedule(
    arize: Emulator, clock: Clock
) -> None:
    run, store = a_run(arize), Store()
    arize.add_fault(Fault(GET, "not_found", times=None))

    def look() -> bool:
        again = sensor(run, mode="reschedule", poke_interval=60)
        return again.poke(context(task_state_store=store)).is_done

    for _ in range(5):
        assert not look()
        clock.sleep(60)
    with pytest.raises(OnlineTaskRunUnreachable):
        look()

    clock.sleep(600)  # answers came in between
    assert not look()


@pytest.mark.promise("sensor")
def test_reschedule_new_try_starts_refusal_period_again(arize: Emulator, clock: Clock) -> None:
    run, store = a_run(arize), Store()
    arize.add_fault(Fault(GET, "not_found", times=None))

    def look(try_number: int) -> bool:
        again = sensor(run, mode="reschedule", poke_interval=60)
        return again.poke(context(try_number=try_number, task_state_store=store)).is_done

    for _ in range(5):
        look(1)
        clock.sleep(60)
    with pytest.raises(OnlineTaskRunUnreachable):
        look(1)

    clock.sleep(60)
    for _ in range(5):
        assert not look(2)
        clock.sleep(60)
    with pytest.raises(OnlineTaskRunUnreachable):
        look(2)


@pytest.mark.promise("sensor")
def test_without_a_store_a_refusal_fails_the_mode_reschedule_for_a_retry(
    arize: Emulator, clock: Clock
) -> None:
    run = a_run(arize)
    arize.add_fault(Fault(GET, "not_found"))

    with pytest.raises(OnlineTaskRunUnreachable):
        sensor(run, mode="reschedule").poke(context())


@pytest.mark.promise("wait-key-rotated")
def test_a_rotated_key_is_picked_up(arize: Emulator, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = sensor(a_run(arize, seconds=120.0))
    assert not looked.poke(context()).is_done
    rotate(arize, monkeypatch)
    assert not looked.poke(context()).is_done
    fields = {**json.loads(arize.connection_json), "password": NEW_KEY}
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps(fields))
    clock.sleep(200)

    assert looked.poke(context()).is_done


def test_the_answer_about_another_run_is_not_taken(arize: Emulator, clock: Clock) -> None:
    run = a_run(arize)
    arize.add_fault(Fault(GET, "garbage", body='{"id": "another", "status": "COMPLETED"}'))

    assert not sensor(run).poke(context()).is_done


# Waiting in the triggerer


@pytest.mark.promise("sensor")
def test_a_run_that_is_over_needs_no_triggerer(arize: Emulator) -> None:
    run = a_run(arize, seconds=0.0)

    assert sensor(run, deferrable=True).execute(context())["status"] == "COMPLETED"
    assert len(times(arize)) == 1


@pytest.mark.parametrize("fault", [None, "not_found", "unauthorized", "rate_limited", "drop_before"])
def test_a_run_that_goes_on_is_waited_for_in_the_triggerer(
    arize: Emulator, clock: Clock, fault: str | None
) -> None:
    run = a_run(arize)
    if fault:
        arize.add_fault(Fault(GET, fault))
    clock.passed = 1000.0

    with pytest.raises(TaskDeferred) as caught:
        sensor(run, deferrable=True, timeout=120, poke_interval=7).execute(context())

    _, kwargs = caught.value.trigger.serialize()
    assert kwargs["deadline"] == pytest.approx(clock.time() + 120, abs=10)
    assert {name: kwargs[name] for name in ("run_id", "poll_interval", "cancel_on_kill", "payload")} == {
        "run_id": run,
        "poll_interval": 7.0,
        "cancel_on_kill": False,
        "payload": {},
    }
    # The sensor's own read names the task, so the triggerer reads the run together with others of its task.
    assert (kwargs["online_task_id"] is None) is (fault is not None)
    assert caught.value.timeout is None
    assert len(times(arize)) == 1


def event(run_id: str, outcome: str, **fields: Any) -> dict[str, Any]:
    return RunEvent(outcome=outcome, run_id=run_id, payload={}, **fields).to_json()


@pytest.mark.promise("deadline")
def test_links_run_ended_in_triggerer_are_looked_up_by_sensor(arize: Emulator) -> None:
    [run] = arize.create_runs(create_task(arize), 1, (0.0, 0.0))
    with OnlineTasksHook(CONN_ID) as hook:
        seen = hook.get_task_run(run)
    waiting = sensor(run, deferrable=True)

    waiting.execute_complete(context(), event(run, OVER, run=seen))

    assert waiting.links.spans
    assert waiting.links.project


def test_the_end_of_its_time_is_a_sensor_timeout(arize: Emulator) -> None:
    run = a_run(arize)

    with pytest.raises(AirflowSensorTimeout, match="not over within 60 s"):
        sensor(run, timeout=60).execute_complete(context(), event(run, TIMEOUT))


@pytest.mark.promise("poll-ends-retryable")
def test_a_wait_that_failed_can_be_retried(arize: Emulator) -> None:
    run = a_run(arize)
    failed = event(run, ERROR, error_type="OnlineTaskRunUnreachable", error_message="no such run")

    with pytest.raises(OnlineTaskRunUnreachable, match="no such run") as caught:
        sensor(run).execute_complete(context(), failed)

    assert not isinstance(caught.value, AirflowFailException)


def test_an_event_about_another_run_is_not_believed(arize: Emulator) -> None:
    over = TaskRun(id="another", status=RunStatus.COMPLETED, status_text="COMPLETED")

    with pytest.raises(OnlineTasksError, match="about run another"):
        sensor(a_run(arize)).execute_complete(context(), event("another", OVER, run=over))


@pytest.mark.promise("sensor")
@pytest.mark.parametrize("deferrable", [True, False])
def test_it_never_cancels(arize: Emulator, clock: Clock, deferrable: bool) -> None:
    run = a_run(arize, outcome="hang")
    waiting = sensor(run, deferrable=deferrable, timeout=30)

    with pytest.raises((AirflowSensorTimeout, TaskDeferred)):
        waiting.execute(context())
    waiting.on_kill()
    with pytest.raises(AirflowSensorTimeout):
        waiting.execute_complete(context(), event(run, TIMEOUT))

    assert {request["operation"] for request in arize.requests("rest.*")} <= {GET, "rest.get_task"}
    assert arize.runs()[0]["status"] != "CANCELLED"
