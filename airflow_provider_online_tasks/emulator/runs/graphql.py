"""runOnlineTask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.emulator.errors import InvalidError, NotFoundError
from airflow_provider_online_tasks.emulator.graphql import mutation
from airflow_provider_online_tasks.emulator.runs.models import DEFAULT_MAX_SPANS, NoDataError, RunRequest

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator.graphql import Context


@mutation
def run_online_task(context: Context, fields: dict[str, Any]) -> dict[str, Any]:
    """Start a run; why it cannot start is a TaskError."""
    state, fault = context.state, context.task_error
    if fault is not None:
        return _task_error(fault.message or "The task run could not be started", fault.code or "INTERNAL")
    max_spans = DEFAULT_MAX_SPANS if fields.get("maxSpans") is None else fields["maxSpans"]
    if max_spans < 1:
        raise InvalidError(f"maxSpans must be at least 1, not {max_spans}")
    try:
        task = state.tasks.get(fields["onlineTaskId"])
    except NotFoundError as error:
        return _task_error(error.detail, "NOT_FOUND")
    start, end = fields.get("dataStartTime"), fields.get("dataEndTime")
    start = task.last_run_at if start is None else start
    end = state.clock.stamp() if end is None else end
    if start is None:
        return _task_error("dataStartTime is required for the first run of a task", "INVALID_ARGUMENT")
    if start >= end:
        return _task_error("dataStartTime must be before dataEndTime", "INVALID_ARGUMENT")
    days = state.settings.graphql_max_window_days
    if days is not None and end - start > days * 86_400:
        return _task_error(f"The data window is longer than {days} days", "INVALID_ARGUMENT")
    override = bool(fields.get("overrideEvaluations"))
    request = RunRequest(data_start=start, data_end=end, max_spans=max_spans, override=override)
    try:
        run = state.runs.create(task, request)
    except NoDataError as error:
        return _task_error(str(error), "NO_DATA")
    return {"result": {"__typename": "CreateTaskRunResponse", "runId": run.id}}


def _task_error(message: str, code: str) -> dict[str, Any]:
    return {"result": {"__typename": "TaskError", "message": message, "code": code}}
