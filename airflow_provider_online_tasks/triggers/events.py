"""The event that a trigger sends to its task. One that can't be read must never let a task succeed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, InstanceOf, PlainSerializer

from airflow_provider_online_tasks import exceptions
from airflow_provider_online_tasks._text import on_one_line
from airflow_provider_online_tasks.api.responses import TaskRun

Outcome = Literal["finished", "timeout", "error"]
FINISHED: Outcome = "finished"
TIMEOUT: Outcome = "timeout"
ERROR: Outcome = "error"


class UnreadableEvent(exceptions.OnlineTasksError):
    """A deferred task was resumed with an event that its trigger doesn't send."""


def _read_run(value: Any) -> Any:
    return TaskRun.from_summary(value) if isinstance(value, Mapping) else value


def _on_one_line(value: Any) -> Any:
    return on_one_line(value) if isinstance(value, str) else value


class RunEvent(BaseModel):
    """How a wait ended: the run finished, successfully or not; the deadline passed; or it can't be read."""

    model_config = ConfigDict(frozen=True, strict=True)

    outcome: Outcome
    run_id: str = Field(min_length=1)
    run: Annotated[  # as it was last read
        InstanceOf[TaskRun] | None,
        BeforeValidator(_read_run),
        PlainSerializer(lambda run: None if run is None else run.summary()),
    ] = None
    error_type: str | None = None
    error_message: Annotated[str | None, BeforeValidator(_on_one_line)] = None
    payload: dict[str, Any]

    def finished_run(self) -> TaskRun | None:
        """Return the finished run; None after the deadline. Raise the trigger's error if there was one."""
        if self.outcome == ERROR:
            expected = (exceptions.InvalidConnection, exceptions.OnlineTaskRunUnreachable)
            kinds = {kind.__name__: kind for kind in expected}
            kind = kinds.get(self.error_type or "", exceptions.OnlineTasksError)
            raise kind(f"The wait for run {self.run_id} failed: {self.error_message}")
        return self.run if self.outcome == FINISHED else None


def read_event(event: object) -> RunEvent:
    """Return the event that ``execute_complete`` gets, if it is complete and consistent."""
    problem = None
    try:
        seen = RunEvent.model_validate(event)
    except (KeyError, TypeError, ValueError) as error:
        problem = f"{type(error).__name__}: {error}"
    else:
        if seen.outcome == ERROR and seen.error_message is None:
            problem = "It has no error_message."
        elif seen.outcome == FINISHED and (seen.run is None or not seen.run.is_over):
            problem = "Its run is not finished."
        elif seen.run is not None and seen.run.id != seen.run_id:
            problem = f"It is about run {seen.run_id} and has run {seen.run.id}."
    if problem is None:
        return seen
    raise UnreadableEvent(
        f"The trigger's event can't be used. Clear the task: the new try resumes its run. "
        f"{on_one_line(problem)}"
    )
