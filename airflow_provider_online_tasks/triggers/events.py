"""The event that a trigger sends to its task.

An event that can't be read is an error: it must never let a task succeed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_online_tasks._text import TEXT_CHARACTERS, on_one_line
from airflow_provider_online_tasks.api.responses import TaskRun
from airflow_provider_online_tasks.exceptions import OnlineTasksError
from airflow_provider_online_tasks.runs.wait_policy import wait_error

FINISHED = "finished"
TIMEOUT = "timeout"
ERROR = "error"
OUTCOMES = (FINISHED, TIMEOUT, ERROR)


class UnreadableEvent(OnlineTasksError):
    """A deferred task was resumed with an event that its trigger doesn't send."""


@dataclass(frozen=True, kw_only=True)
class RunEvent:
    """How a wait ended.

    :param outcome: :data:`FINISHED` (the run finished, successfully or not), :data:`TIMEOUT` (the deadline
        passed) or :data:`ERROR` (the run can't be read).
    :param run_id: the run.
    :param run: the run as it was last read; None if it never was. Finished if the outcome is
        :data:`FINISHED`.
    :param error_type: the class name of the error, with :data:`ERROR`.
    :param error_message: its message.
    :param payload: what the task gave to its trigger.
    """

    outcome: str
    run_id: str
    run: TaskRun | None = None
    error_type: str | None = None
    error_message: str | None = None
    payload: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the event as JSON values.

        Each of them is bounded: the run by its model, the payload by the trigger.
        """
        return {
            "outcome": self.outcome,
            "run_id": self.run_id,
            "run": self.run.summary() if self.run else None,
            "error_type": self.error_type,
            "error_message": None if self.error_message is None else on_one_line(self.error_message),
            "payload": dict(self.payload),
        }

    def finished_run(self) -> TaskRun | None:
        """Return the finished run; None after the deadline.

        :raises OnlineTasksError: the run could not be read. The class is that of the trigger's error.
        """
        if self.outcome == ERROR:
            raise wait_error(self.error_type, f"The wait for run {self.run_id} failed: {self.error_message}")
        return self.run if self.outcome == FINISHED else None


def read_event(event: object) -> RunEvent:
    """Return the event that ``execute_complete`` gets.

    :raises UnreadableEvent: it is not a complete and consistent event of
        :class:`~airflow_provider_online_tasks.triggers.runs.OnlineTaskRunTrigger`.
    """
    if not isinstance(event, Mapping):
        raise _unreadable("it is not a mapping", event)
    outcome, run_id, payload = event.get("outcome"), event.get("run_id"), event.get("payload")
    error_type, error_message = event.get("error_type"), event.get("error_message")
    if outcome not in OUTCOMES:
        raise _unreadable(f"its outcome is not one of {', '.join(OUTCOMES)}", event)
    if not isinstance(run_id, str) or not run_id:
        raise _unreadable("it has no run_id", event)
    if not isinstance(payload, Mapping):
        raise _unreadable("it has no payload", event)
    if not isinstance(error_type, str | None) or not isinstance(error_message, str | None):
        raise _unreadable("its error is not text", event)
    if outcome == ERROR and error_message is None:
        raise _unreadable("it has no error_message", event)
    try:
        run = None if event.get("run") is None else TaskRun.from_summary(event["run"])
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable(f"its run can't be read ({type(error).__name__}: {error})", event) from None
    if run is not None and run.id != run_id:
        raise _unreadable(f"it is about run {run_id} and has run {run.id}", event)
    if outcome == FINISHED and (run is None or not run.is_over):
        raise _unreadable("its run is not finished", event)
    return RunEvent(
        outcome=outcome,
        run_id=run_id,
        run=run,
        error_type=error_type,
        error_message=error_message,
        payload=payload,
    )


def _unreadable(problem: str, event: object) -> UnreadableEvent:
    text = repr(event)
    return UnreadableEvent(
        f"The trigger's event can't be used: {problem}. Clear the task: the new try resumes its run. "
        f"The event: {text[:TEXT_CHARACTERS]}{'…' if len(text) > TEXT_CHARACTERS else ''}"
    )
