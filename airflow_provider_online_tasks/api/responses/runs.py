"""A run of an online task: its status and its counts.

Fields: https://arize.com/docs/api-reference/tasks/get-task-run
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import Field, PlainValidator

from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.api.responses.fields import Count, Id, Line, Time, Word
from airflow_provider_online_tasks.api.responses.model import Model


class RunStatus(str, enum.Enum):
    """The status of a run. The API has used lower and upper case; a new word is UNKNOWN."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"

    @classmethod
    def read(cls, word: object) -> RunStatus:
        """Return the status for a word of the API."""
        try:
            return cls(str(word).upper())
        except ValueError:
            return cls.UNKNOWN

    @property
    def is_over(self) -> bool:
        """Whether the run has finished. An unknown status counts as running."""
        return self in _OVER


_OVER = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED})


@dataclass(frozen=True, kw_only=True)
class RunCounts:
    """The spans that a run evaluated, failed to evaluate, and skipped."""

    successes: int = 0
    errors: int = 0
    skipped: int = 0

    @property
    def attempted(self) -> int:
        """Spans that were evaluated or failed."""
        return self.successes + self.errors

    @property
    def done(self) -> int:
        """Spans that the run has processed."""
        return self.attempted + self.skipped

    @property
    def error_rate(self) -> float:
        """Errors as a share of the attempted spans; 0 if there are none."""
        return self.errors / self.attempted if self.attempted else 0.0

    def __str__(self) -> str:
        return f"{self.successes} evaluated, {self.errors} errors, {self.skipped} skipped"


@dataclass(frozen=True, kw_only=True)
class TaskRun(Model):
    """A run at the time of the response.

    :param id: its global ID.
    :param status: its status.
    :param status_text: its status in the API's spelling.
    :param task_id: the ID of its task.
    :param num_successes: spans that were evaluated.
    :param num_errors: spans whose evaluation failed.
    :param num_skipped: spans that were skipped.
    :param created_at: time of creation.
    :param run_started_at: time of its start.
    :param run_finished_at: time of its end.
    :param data_start_time: start of the window of spans.
    :param data_end_time: end of the window.
    :param failure_reason: Arize's reason why it failed or was cancelled.
    """

    id: Id
    status: Annotated[RunStatus, PlainValidator(RunStatus.read)]
    status_text: Annotated[Word, Field(validation_alias="status")]
    task_id: Id | None = None
    num_successes: Count = 0
    num_errors: Count = 0
    num_skipped: Count = 0
    created_at: Time | None = None
    run_started_at: Time | None = None
    run_finished_at: Time | None = None
    data_start_time: Time | None = None
    data_end_time: Time | None = None
    failure_reason: Line | None = None

    @property
    def is_over(self) -> bool:
        """Whether the run has finished."""
        return self.status.is_over

    @property
    def counts(self) -> RunCounts:
        """The spans that it evaluated, failed to evaluate, and skipped."""
        return RunCounts(successes=self.num_successes, errors=self.num_errors, skipped=self.num_skipped)

    def summary(self) -> dict[str, Any]:
        """Return the run as plain JSON values, for XCom and a trigger's event."""
        return {
            "run_id": self.id,
            "online_task_id": self.task_id,
            "status": self.status_text.upper(),
            "num_successes": self.num_successes,
            "num_errors": self.num_errors,
            "num_skipped": self.num_skipped,
            "error_rate": self.counts.error_rate,
            "failure_reason": self.failure_reason,
            **{name: wire_time(at) if (at := getattr(self, name)) else None for name in _TIMES},
        }

    @classmethod
    def from_summary(cls, value: Mapping[str, Any]) -> Self:
        """Read the result of :meth:`summary`.

        :raises KeyError: it is not a summary.
        :raises ValueError: it is not a summary.
        """
        return cls.from_wire({**value, "id": value["run_id"], "task_id": value["online_task_id"]})


_TIMES = ("created_at", "run_started_at", "run_finished_at", "data_start_time", "data_end_time")
