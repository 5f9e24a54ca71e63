"""A wait in the worker outlives a hiccup, and what does not end by itself is left to a retry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tries import WAIT, Execution, Time

from airflow_provider_online_tasks._airflow import AirflowFailException
from airflow_provider_online_tasks.emulator import Fault, RunFate
from airflow_provider_online_tasks.exceptions import OnlineTaskRunTimeout, OnlineTaskRunUnreachable
from airflow_provider_online_tasks.waiting._endpoint_state import REFUSED_SECONDS

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator

GET = "rest.get_task_run"
REFUSALS = ["unauthorized", "forbidden", "not_found"]
HANG = RunFate("hang", times=None, pending_seconds=0)


def finish_after(emulator: Emulator, looks: int) -> None:
    if len(emulator.requests(GET)) > looks:
        for run in emulator.runs():
            if not run["over"]:
                emulator.set_run(run["id"], status="COMPLETED", num_successes=3)


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_hiccup_does_not_end_a_wait(
    execution: Execution, emulator: Emulator, time: Time, kind: str
) -> None:
    emulator.next_run(HANG)
    emulator.add_fault(Fault(GET, kind, times=25))
    time.on_sleep = lambda: finish_after(emulator, 25)

    assert [execution.next_try(**WAIT)] == [run["id"] for run in emulator.runs()]
    assert 240 <= time.passed < REFUSED_SECONDS


def test_hiccups_do_not_add_up(execution: Execution, emulator: Emulator, time: Time) -> None:
    emulator.next_run(HANG)
    for skip in (0, 21, 42):
        emulator.add_fault(Fault(GET, "forbidden", skip=skip, times=20))
    time.on_sleep = lambda: finish_after(emulator, 70)

    assert [execution.next_try(**WAIT)] == [run["id"] for run in emulator.runs()]
    assert time.passed > REFUSED_SECONDS


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_steady_refusal_fails_the_try_and_the_next_takes_the_run_up(
    execution: Execution, emulator: Emulator, time: Time, kind: str
) -> None:
    emulator.next_run(HANG)
    emulator.add_fault(Fault(GET, kind, times=None))

    with pytest.raises(OnlineTaskRunUnreachable, match="a retry takes it up again") as caught:
        execution.next_try(**WAIT)

    assert not isinstance(caught.value, AirflowFailException)  # or Airflow would not try again
    assert REFUSED_SECONDS <= time.passed <= REFUSED_SECONDS + 20
    emulator.clear_faults()
    time.on_sleep = lambda: finish_after(emulator, 0)
    assert [execution.next_try(**WAIT)] == [run["id"] for run in emulator.runs()]


@pytest.mark.parametrize("kind", REFUSALS)
def test_the_timeout_is_kept_and_cancels_though_the_run_is_not_shown(
    execution: Execution, emulator: Emulator, time: Time, kind: str
) -> None:
    emulator.next_run(HANG)
    emulator.add_fault(Fault(GET, kind, times=None))

    with pytest.raises(OnlineTaskRunTimeout):
        execution.next_try(**WAIT, timeout=60)

    assert [run["status"] for run in emulator.runs()] == ["CANCELLED"]
    assert time.passed == pytest.approx(60, abs=1)
