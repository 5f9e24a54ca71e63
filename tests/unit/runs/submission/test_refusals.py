"""Tests of polls that are rejected while the operator waits in the worker."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import pytest

from airflow_provider_online_tasks._airflow import AirflowFailException
from airflow_provider_online_tasks.emulator import Fault
from airflow_provider_online_tasks.exceptions import (
    OnlineTaskRunTimeout,
    OnlineTaskRunUnreachable,
    OnlineTasksError,
)
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.runs.wait_policy import REJECTED_SECONDS
from tests.support.key_rotation import NEW_KEY, rotate
from tests.support.servers import RecordingServer, Reply, Seen, forward
from tests.support.tries import HANG, WAIT, Execution, Time, run_ids

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_online_tasks.emulator import Emulator

GET = "rest.get_task_run"
REFUSALS = ["unauthorized", "forbidden", "not_found"]


def finish_after(emulator: Emulator, looks: int) -> None:
    if len(emulator.requests(GET)) > looks:
        for run in emulator.runs():
            if not run["over"]:
                emulator.set_run(run["id"], status="COMPLETED", num_successes=3)


@pytest.mark.promise("wait-refused")
@pytest.mark.parametrize("kind", REFUSALS)
def test_rejections_shorter_than_5_minutes_wait_continues(
    execution: Execution, emulator: Emulator, time: Time, kind: str
) -> None:
    emulator.next_run(HANG)
    emulator.add_fault(Fault(GET, kind, times=25))
    time.on_sleep = lambda: finish_after(emulator, 25)

    assert [execution.next_try(**WAIT)] == run_ids(emulator)
    assert 240 <= time.passed < REJECTED_SECONDS


def test_rejections_after_other_response_count_again(
    execution: Execution, emulator: Emulator, time: Time
) -> None:
    emulator.next_run(HANG)
    for skip in (0, 1, 2):
        emulator.add_fault(Fault(GET, "forbidden", skip=skip, times=20))
    time.on_sleep = lambda: finish_after(emulator, 70)

    assert [execution.next_try(**WAIT)] == run_ids(emulator)
    assert time.passed > REJECTED_SECONDS


@pytest.mark.promise("wait-refused")
@pytest.mark.parametrize("kind", REFUSALS)
def test_rejections_for_5_minutes_fail_and_retry_resumes(
    execution: Execution, emulator: Emulator, time: Time, kind: str
) -> None:
    emulator.next_run(HANG)
    emulator.add_fault(Fault(GET, kind, times=None))

    with pytest.raises(OnlineTaskRunUnreachable) as caught:
        execution.next_try(**WAIT)

    assert not isinstance(caught.value, AirflowFailException)  # or Airflow would not try again
    assert REJECTED_SECONDS <= time.passed <= REJECTED_SECONDS + 20
    emulator.clear_faults()
    time.on_sleep = lambda: finish_after(emulator, 0)
    assert [execution.next_try(**WAIT)] == run_ids(emulator)


@pytest.mark.promise("wait-refused")
@pytest.mark.parametrize("kind", REFUSALS)
def test_timeout_during_rejections_cancels_run(
    execution: Execution, emulator: Emulator, time: Time, kind: str
) -> None:
    emulator.next_run(HANG)
    emulator.add_fault(Fault(GET, kind, times=None))

    with pytest.raises(OnlineTaskRunTimeout):
        execution.next_try(**WAIT, timeout=60)

    assert [run["status"] for run in emulator.runs()] == ["CANCELLED"]
    assert time.passed == pytest.approx(60, abs=1)


@pytest.mark.promise("wait-key-rotated")
@pytest.mark.parametrize("kill", [False, True])
def test_key_rotation_wait_uses_new_key(
    execution: Execution,
    emulator: Emulator,
    time: Time,
    connect: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    kill: bool,
) -> None:
    emulator.next_run(HANG)

    rotated: list[float] = []

    def act() -> None:
        if time.passed >= 30 and not rotated:
            rotated.append(time.passed)
            rotate(emulator, monkeypatch)
        if time.passed >= 90:  # the key in Airflow is changed a minute later
            connect(password=NEW_KEY)
        if time.passed >= 120 and kill:
            execution.kill()
        elif time.passed >= 120:
            for run in emulator.runs():
                emulator.set_run(run["id"], status="COMPLETED", num_successes=3)

    time.on_sleep = act

    if kill:
        with pytest.raises(OnlineTasksError):
            execution.next_try(**WAIT)
        assert [run["status"] for run in emulator.runs()] == ["CANCELLED"]
    else:
        assert [execution.next_try(**WAIT)] == run_ids(emulator)
    assert {one["status"] for one in emulator.requests(GET)} == {200, 401}
    assert time.passed < 150


@pytest.mark.promise("connection-changed")
@pytest.mark.parametrize("status", [403, 404, 502])
def test_host_changed_after_the_start_wait_uses_the_new_host(
    execution: Execution, emulator: Emulator, time: Time, connect: Callable[..., None], status: int
) -> None:
    emulator.next_run(HANG)

    def answer(seen: Seen) -> Reply:
        is_poll = seen.target.startswith("/v2/task-runs/")
        moved = dataclasses.replace(seen, target=emulator.url + seen.target)
        return Reply.of({"title": "no"}, status) if is_poll else forward(moved)

    with RecordingServer(answer) as old:
        connect(host=old.url)

        def act() -> None:
            assert time.passed < 150
            if time.passed >= 60:
                connect()
            if time.passed >= 90:
                for run in emulator.runs():
                    emulator.set_run(run["id"], status="COMPLETED", num_successes=3)

        time.on_sleep = act
        assert [execution.next_try(**WAIT)] == run_ids(emulator)


def test_unreadable_connection_wait_continues(
    execution: Execution,
    emulator: Emulator,
    time: Time,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    emulator.next_run(HANG)
    emulator.add_fault(Fault(GET, "unauthorized", times=3))

    def act() -> None:
        monkeypatch.setenv("AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT", json.dumps({"conn_type": "http"}))
        finish_after(emulator, 4)

    time.on_sleep = act

    assert [execution.next_try(**WAIT)] == run_ids(emulator)
    assert "'arize_online_tasks_default'" in caplog.text


def test_two_key_rotations_wait_uses_newest_key(
    execution: Execution, emulator: Emulator, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each rejected key is looked up again, and the minutes of the old key don't count for the new one."""
    emulator.next_run(HANG)
    emulator.add_fault(Fault(GET, "unauthorized", times=20))
    renewed: list[float] = []

    def renew(hook: OnlineTasksHook) -> bool:
        renewed.append(time.passed)
        return len(renewed) in (10, 20)

    monkeypatch.setattr(OnlineTasksHook, "renew", renew)
    emulator.add_fault(Fault(GET, "unauthorized", skip=1, times=20))
    time.on_sleep = lambda: finish_after(emulator, 42)

    assert [execution.next_try(**WAIT)] == run_ids(emulator)
    assert len(renewed) == 40


@pytest.mark.parametrize(("retry_after", "pause"), [(None, 15), (40, 40), (3600, 300)])
def test_rate_limited_poll_waits_for_retry_after(
    execution: Execution, emulator: Emulator, time: Time, retry_after: int | None, pause: int
) -> None:
    emulator.next_run(HANG)
    emulator.add_fault(Fault(GET, "rate_limited", retry_after=retry_after))
    time.on_sleep = lambda: finish_after(emulator, 0)

    execution.next_try(**WAIT)

    assert time.slept[0] == pause
    assert len(emulator.requests(GET)) == 2
