"""What a trigger tells its task. Whatever cannot be relied on is an error, never a success."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_online_tasks.api.responses.runs import RunStatus, TaskRun
from airflow_provider_online_tasks.triggers.events import (
    ERROR,
    OVER,
    TIMEOUT,
    RunEvent,
    UnreadableEvent,
    read_event,
)

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
        RunEvent(outcome=OVER, run_id="run-1", run=COMPLETED, payload={"max_error_rate": 0.5}),
        RunEvent(outcome=TIMEOUT, run_id="run-1", run=RUNNING, payload={}),
        RunEvent(outcome=TIMEOUT, run_id="run-1", payload={}),
        RunEvent(
            outcome=ERROR, run_id="run-1", error_type="NotFound", error_message="no such run", payload={}
        ),
    ],
)
def test_an_event_is_read_as_it_was_written(event: RunEvent) -> None:
    assert read_event(json.loads(json.dumps(event.to_json()))) == event


def over(**changes: Any) -> dict[str, Any]:
    return {**RunEvent(outcome=OVER, run_id="run-1", run=COMPLETED, payload={}).to_json(), **changes}


@pytest.mark.promise("deadline")
@pytest.mark.parametrize(
    ("event", "problem"),
    [
        (None, "not a mapping"),
        ("over", "not a mapping"),
        ({}, "outcome"),
        (over(outcome="success"), "not one of error, over, timeout.*'success'"),
        (over(outcome=["over"]), "outcome"),
        (over(run_id=None), "names no run"),
        (over(payload=None), "no payload"),
        (over(run=None), "does not"),
        (over(run=RUNNING.summary()), "does not"),
        (over(run={**COMPLETED.summary(), "status": "FINISHED"}), "does not"),
        (over(run={**COMPLETED.summary(), "status": None}), "cannot be read"),
        (over(run={**COMPLETED.summary(), "num_successes": "3"}), "cannot be read"),
        (over(run="COMPLETED"), "cannot be read"),
        (over(run={"status": "COMPLETED"}), "cannot be read"),
        (over(run_id="run-2"), "holds run run-1"),
        (over(outcome=ERROR), "not which"),
        (over(outcome=ERROR, error={"type": "NotFound"}), "not which"),
    ],
)
def test_an_event_that_cannot_be_relied_on_is_an_error(event: object, problem: str) -> None:
    with pytest.raises(UnreadableEvent, match=problem):
        read_event(event)


def test_the_error_shows_what_came_cut_to_a_readable_length() -> None:
    with pytest.raises(UnreadableEvent) as caught:
        read_event({"outcome": "x" * 10_000})
    assert "Clear the task" in str(caught.value)
    assert len(str(caught.value)) < 600
