"""The one event that a trigger sends to its task, and how the task reads it.

Whatever cannot be read is an error: an event that is not understood must never let a task succeed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_online_tasks.api.responses.runs import TaskRun
from airflow_provider_online_tasks.exceptions import OnlineTasksError
from airflow_provider_online_tasks.triggers.plain import fitting, plain

OVER = "over"
TIMEOUT = "timeout"
ERROR = "error"
OUTCOMES = frozenset({OVER, TIMEOUT, ERROR})
# Airflow fails a task whose event comes before its scheduler has noted that the worker is done with it.
EARLIEST_EVENT_SECONDS = 5.0

_SHOWN_CHARACTERS = 300


class UnreadableEvent(OnlineTasksError):
    """A deferred task was resumed with an event that its trigger does not send."""


@dataclass(frozen=True, kw_only=True)
class RunEvent:
    """How a wait ended.

    :param outcome: :data:`OVER` (the run is over, well or not), :data:`TIMEOUT` (the deadline passed) or
        :data:`ERROR` (the run cannot be followed).
    :param run_id: the run that was waited for.
    :param run: the run as it was last read; None if it never was. Always there, and over, with :data:`OVER`.
    :param error_type: with :data:`ERROR`, the class name of what went wrong.
    :param error_message: with :data:`ERROR`, what went wrong.
    :param payload: what the task gave its trigger to carry.
    """

    outcome: str
    run_id: str
    run: TaskRun | None = None
    error_type: str | None = None
    error_message: str | None = None
    payload: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the event as JSON values that Airflow can send and store, of at most 64 kB.

        One that cannot be made so small says that, as an error.
        """
        error = {"type": self.error_type, "message": self.error_message} if self.outcome == ERROR else None
        event = {
            "outcome": self.outcome,
            "run_id": self.run_id,
            "run": self.run.summary() if self.run else None,
            "error": error,
            "payload": dict(self.payload),
        }
        return fitting(event) or plain(
            {
                **event,
                "outcome": ERROR,
                "run": None,
                "error": {"type": None, "message": "The event is too large for Airflow."},
                "payload": {},
            }
        )


def read_event(event: object) -> RunEvent:
    """Read an event as ``execute_complete`` gets it.

    :raises UnreadableEvent: it is not an event of :class:`~airflow_provider_online_tasks.triggers.runs.\
OnlineTaskRunTrigger`, whole and consistent.
    """
    if not isinstance(event, Mapping):
        raise _unreadable("it is not a mapping", event)
    outcome, run_id, payload = event.get("outcome"), event.get("run_id"), event.get("payload")
    if not isinstance(outcome, str) or outcome not in OUTCOMES:
        raise _unreadable(f"its outcome is not one of {', '.join(sorted(OUTCOMES))}", event)
    if not isinstance(run_id, str) or not run_id:
        raise _unreadable("it names no run", event)
    if not isinstance(payload, Mapping):
        raise _unreadable("it has no payload", event)
    run = _read_run(event)
    if run is not None and run.id != run_id:
        raise _unreadable(f"it is about run {run_id} and holds run {run.id}", event)
    if outcome == OVER and (run is None or not run.is_over):
        raise _unreadable("it says that the run is over, and the run it holds does not", event)
    error_type, error_message = _read_error(event) if outcome == ERROR else (None, None)
    return RunEvent(
        outcome=outcome,
        run_id=run_id,
        run=run,
        error_type=error_type,
        error_message=error_message,
        payload=payload,
    )


def _read_run(event: Mapping[str, Any]) -> TaskRun | None:
    summary = event.get("run")
    if summary is None:
        return None
    try:
        return TaskRun.from_summary(summary)
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable(
            f"the run it holds cannot be read ({type(error).__name__}: {error})", event
        ) from None


def _read_error(event: Mapping[str, Any]) -> tuple[str | None, str]:
    error = event.get("error")
    if isinstance(error, Mapping):
        kind, message = error.get("type"), error.get("message")
        if isinstance(kind, str | None) and isinstance(message, str):
            return kind, message
    raise _unreadable("it says that there was an error, but not which one", event)


def _unreadable(problem: str, event: object) -> UnreadableEvent:
    text = repr(event)
    shown = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
    return UnreadableEvent(
        f"The trigger's event cannot be used: {problem}. Clear the task to wait for its run again. "
        f"The event: {shown}"
    )
