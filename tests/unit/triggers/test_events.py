"""Tests of the event that a trigger sends to its task: an unusable event is an error, never a success."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_online_tasks.api.responses import RunStatus, TaskRun
from airflow_provider_online_tasks.exceptions import (
    InvalidConnection,
    InvalidInput,
    OnlineTaskRunUnreachable,
    OnlineTasksError,
)
from airflow_provider_online_tasks.triggers.events import (
    ERROR,
    FINISHED,
    TIMEOUT,
    RunEvent,
    UnreadableEvent,
    read_event,
)
from airflow_provider_online_tasks.triggers.runs import MAX_PAYLOAD_BYTES, OnlineTaskRunTrigger

COMPLETED = TaskRun(
    id="run-1",
    status=RunStatus.COMPLETED,
    status_text="COMPLETED",
    task_id="task-1",
    num_successes=3,
    num_errors=1,
)
RUNNING = TaskRun(id="run-1", status=RunStatus.RUNNING, status_text="RUNNING")


@pytest.mark.parametrize(
    "event",
    [
        RunEvent(outcome=FINISHED, run_id="run-1", run=COMPLETED, payload={"max_error_rate": 0.5}),
        RunEvent(outcome=TIMEOUT, run_id="run-1", run=RUNNING, payload={}),
        RunEvent(outcome=TIMEOUT, run_id="run-1", payload={}),
        RunEvent(
            outcome=ERROR, run_id="run-1", error_type="NotFound", error_message="no such run", payload={}
        ),
    ],
)
def test_event_read_after_write_is_equal(event: RunEvent) -> None:
    assert read_event(json.loads(json.dumps(event.model_dump()))) == event


def finished(**changes: Any) -> dict[str, Any]:
    return {**RunEvent(outcome=FINISHED, run_id="run-1", run=COMPLETED, payload={}).model_dump(), **changes}


UNUSABLE: list[object] = [
    None,
    "finished",
    {},
    finished(outcome="success"),
    finished(outcome=["finished"]),
    finished(run_id=None),
    finished(run_id=""),
    finished(payload=None),
    finished(run=None),
    finished(run=RUNNING.summary()),
    finished(run={**COMPLETED.summary(), "status": "PAUSED"}),
    finished(run={**COMPLETED.summary(), "status": None}),
    finished(run={**COMPLETED.summary(), "num_successes": "3"}),
    finished(run="COMPLETED"),
    finished(run={"status": "COMPLETED"}),
    finished(run_id="run-2"),
    finished(outcome=ERROR),
    finished(outcome=ERROR, error_type="NotFound"),
    finished(outcome=ERROR, error_type=5, error_message="no such run"),
]


@pytest.mark.promise("deadline")
def test_read_event_unusable_event_raises() -> None:
    assert read_event(finished())
    for event in UNUSABLE:
        with pytest.raises(UnreadableEvent):
            read_event(event)


def test_read_event_error_shows_part_of_long_event() -> None:
    with pytest.raises(UnreadableEvent) as caught:
        read_event({"outcome": "x" * 10_000})
    assert len(str(caught.value)) < 600


def test_finished_run_by_outcome() -> None:
    assert read_event(finished()).finished_run() == COMPLETED
    assert RunEvent(outcome=TIMEOUT, run_id="run-1", run=RUNNING, payload={}).finished_run() is None
    # A run that finished while the last poll was in flight: the deadline decides.
    assert RunEvent(outcome=TIMEOUT, run_id="run-1", run=COMPLETED, payload={}).finished_run() is None
    for name, kind in (
        ("OnlineTaskRunUnreachable", OnlineTaskRunUnreachable),
        ("InvalidConnection", InvalidConnection),
        ("TaskErrorReturned", OnlineTasksError),
        ("ValueError", OnlineTasksError),
        (None, OnlineTasksError),
    ):
        event = RunEvent(outcome=ERROR, run_id="run-1", error_type=name, error_message="it broke", payload={})
        with pytest.raises(OnlineTasksError) as caught:
            event.finished_run()
        assert type(caught.value) is kind


def test_event_of_hostile_values_fits_into_64_kb() -> None:
    run = TaskRun.from_wire(
        {
            "id": "r" * 512,
            "task_id": "t" * 512,
            "status": "S" * 100_000,
            "num_successes": 2**63 - 1,
            "failure_reason": "\ud800\x00\n" * 100_000,
        }
    )
    event = RunEvent(
        outcome=ERROR,
        run_id=run.id,
        run=run,
        error_type="ValueError",
        error_message="\ud800\x1b[31m" * 100_000,
        payload={"text": "x" * (MAX_PAYLOAD_BYTES - 20)},
    )
    text = json.dumps(event.model_dump(), ensure_ascii=False)
    assert len(text.encode()) < 64_000


def test_trigger_payload_over_limit_raises() -> None:
    arguments = {"run_id": "run-1", "conn_id": "arize"}
    assert OnlineTaskRunTrigger(**arguments, payload={"text": "x" * (MAX_PAYLOAD_BYTES - 20)})
    with pytest.raises(InvalidInput):
        OnlineTaskRunTrigger(**arguments, payload={"text": "x" * MAX_PAYLOAD_BYTES})
