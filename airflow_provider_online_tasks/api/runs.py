"""A run of an online task: its status, its counts, and how it ended.

Fields: https://arize.com/docs/api-reference/tasks/get-task-run
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_online_tasks._times import parse_time, wire_time
from airflow_provider_online_tasks.api.answers._fields import LONGEST_WORD, count, identifier, line

DEFAULT_MAX_SPANS = 10_000


class RunStatus(str, enum.Enum):
    """The states of a run. The API has spelled them in lower and in upper case; a new word is UNKNOWN."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"

    @classmethod
    def read(cls, word: object) -> RunStatus:
        """Return the status a word of the API stands for."""
        try:
            return cls(str(word).upper())
        except ValueError:
            return cls.UNKNOWN

    @property
    def is_over(self) -> bool:
        """Whether the run can no longer change. An unknown status is taken for still going."""
        return self in _OVER


_OVER = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED})


@dataclass(frozen=True, kw_only=True)
class RunCounts:
    """How many spans a run evaluated, failed to evaluate, and skipped."""

    successes: int = 0
    errors: int = 0
    skipped: int = 0

    @property
    def attempted(self) -> int:
        """Spans that an evaluator was asked about."""
        return self.successes + self.errors

    @property
    def done(self) -> int:
        """Spans the run is finished with."""
        return self.attempted + self.skipped

    @property
    def error_rate(self) -> float:
        """Errors as a share of the attempted spans; 0 when nothing was attempted."""
        return self.errors / self.attempted if self.attempted else 0.0

    def __str__(self) -> str:
        return f"{self.successes} evaluated, {self.errors} errors, {self.skipped} skipped"


@dataclass(frozen=True, kw_only=True)
class TaskRun:
    """One run, as the API last told it."""

    id: str
    status: RunStatus
    status_text: str
    task_id: str | None = None
    counts: RunCounts = RunCounts()
    created_at: datetime | None = None
    run_started_at: datetime | None = None
    run_finished_at: datetime | None = None
    data_start_time: datetime | None = None
    data_end_time: datetime | None = None
    failure_reason: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether the run can no longer change."""
        return self.status.is_over

    @classmethod
    def from_wire(cls, value: Mapping[str, Any]) -> TaskRun:
        """Read a run as REST v2 tells it.

        :raises KeyError: a documented field that nothing works without (``id``, ``status``) is missing.
        :raises ValueError: a field does not hold what is documented.
        """
        run_id, status = identifier(value["id"], "id"), value["status"]
        if not isinstance(status, str) or not status:
            raise ValueError("status is not a string")
        task_id, reason = value.get("task_id"), value.get("failure_reason")
        return cls(
            id=run_id,
            status=RunStatus.read(status),
            status_text=line(status, LONGEST_WORD),
            task_id=None if task_id is None else identifier(task_id, "task_id"),
            counts=RunCounts(
                successes=count(value.get("num_successes"), "num_successes"),
                errors=count(value.get("num_errors"), "num_errors"),
                skipped=count(value.get("num_skipped"), "num_skipped"),
            ),
            created_at=_time(value, "created_at"),
            run_started_at=_time(value, "run_started_at"),
            run_finished_at=_time(value, "run_finished_at"),
            data_start_time=_time(value, "data_start_time"),
            data_end_time=_time(value, "data_end_time"),
            failure_reason=None if reason is None else line(reason),
        )

    def summary(self) -> dict[str, Any]:
        """Return the run as plain JSON values: what goes to XCom and into a trigger's event."""
        return {
            "run_id": self.id,
            "online_task_id": self.task_id,
            "status": self.status_text.upper(),
            "num_successes": self.counts.successes,
            "num_errors": self.counts.errors,
            "num_skipped": self.counts.skipped,
            "error_rate": self.counts.error_rate,
            "failure_reason": self.failure_reason,
            **{name: wire_time(at) if (at := getattr(self, name)) else None for name in _TIMES},
        }

    @classmethod
    def from_summary(cls, value: Mapping[str, Any]) -> TaskRun:
        """Read back what :meth:`summary` wrote.

        :raises KeyError: it is not such a summary.
        :raises ValueError: it is not such a summary.
        """
        return cls.from_wire({**value, "id": value["run_id"], "task_id": value["online_task_id"]})


_TIMES = ("created_at", "run_started_at", "run_finished_at", "data_start_time", "data_end_time")


def _time(value: Mapping[str, Any], name: str) -> datetime | None:
    found = value.get(name)
    return None if found is None else parse_time(found, name)
