"""How far the list of a task's runs is read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_online_tasks.api.answers.runs import RunStatus, TaskRun
from airflow_provider_online_tasks.waiting.finished_runs import _reaches

SINCE = datetime(2026, 1, 10, tzinfo=UTC)


def run(day: float | None) -> TaskRun:
    """A run that was created so many days after the time that is to be reached."""
    created_at = None if day is None else SINCE + timedelta(days=day)
    status = RunStatus.COMPLETED
    return TaskRun(id=f"run {day}", status=status, status_text=status.value, created_at=created_at)


@pytest.mark.parametrize(
    ("days", "is_reached"),
    [
        ([], False),
        ([1, -1], True),
        ([3, 2, 1], False),
        ([1, 0], False),  # one of that very moment may have others behind it
        ([-1, 1], False),  # oldest first
        ([-1, -1], False),  # created together: nobody knows the order
        ([2, -1, 1, -2], False),  # in no order
        ([1, None, -1], False),  # one may have been created at any time
        ([None], False),
    ],
    ids=str,
)
def test_newest_first_is_read_back_to_a_time(days: list[float | None], is_reached: bool) -> None:
    assert _reaches([run(day) for day in days], SINCE) is is_reached
