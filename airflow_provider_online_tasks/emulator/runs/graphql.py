"""runOnlineTask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.emulator.errors import InvalidError, NotFoundError
from airflow_provider_online_tasks.emulator.graphql import mutation
from airflow_provider_online_tasks.emulator.runs.models import NotStartedError

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator.graphql import Context


@mutation
def run_online_task(context: Context, fields: dict[str, Any]) -> dict[str, Any]:
    """Start a run; why it cannot start is a TaskError."""
    state, fault = context.state, context.task_error
    if fault is not None:
        return _task_error(fault.message or "The task run could not be started", fault.code or "INTERNAL")
    max_spans = fields.get("maxSpans")
    if max_spans is not None and max_spans < 1:
        raise InvalidError(f"maxSpans must be at least 1, not {max_spans}")
    try:
        run = state.runs.create(
            state.tasks.get(fields["onlineTaskId"]),
            data_start=fields.get("dataStartTime"),
            data_end=fields.get("dataEndTime"),
            max_spans=max_spans,
            override=fields.get("overrideEvaluations"),
            most_days=state.settings.graphql_max_window_days,
        )
    except NotFoundError as error:
        return _task_error(error.detail, "NOT_FOUND")
    except NotStartedError as error:
        return _task_error(str(error), error.code)
    return {"result": {"__typename": "CreateTaskRunResponse", "runId": run.id}}


def _task_error(message: str, code: str) -> dict[str, Any]:
    return {"result": {"__typename": "TaskError", "message": message, "code": code}}
