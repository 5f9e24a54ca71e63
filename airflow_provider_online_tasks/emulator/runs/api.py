"""Task runs over REST, and runOnlineTask."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.clock import write_time
from airflow_provider_online_tasks.emulator.errors import InvalidError, NotFoundError, RequestError
from airflow_provider_online_tasks.emulator.graphql import mutation
from airflow_provider_online_tasks.emulator.rest import Body, Call, Moment, Operation
from airflow_provider_online_tasks.emulator.runs.models import STATUSES, NotStartedError, Run
from airflow_provider_online_tasks.emulator.tasks.api import NoExperiments, task_of

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator.graphql import Context

MAX_WINDOW_DAYS = 30


class _RunInput(Body):
    data_start_time: Moment | None = None
    data_end_time: Moment | None = None
    max_spans: Annotated[int, Field(ge=1)] | None = None
    override_evaluations: bool | None = None
    experiment_ids: NoExperiments = None


def trigger_task_run(call: Call) -> bytes:
    """Start a run."""
    task, body = task_of(call), call.body
    run = call.state.runs.create(
        task,
        data_start=body.data_start_time,
        data_end=body.data_end_time,
        max_spans=body.max_spans,
        override=body.override_evaluations,
        most_days=MAX_WINDOW_DAYS,
    )
    return _run(call, run)


def list_task_runs(call: Call) -> bytes:
    """List the runs of a task, in the order of the settings."""
    runs = call.state.runs.of_task(task_of(call).id)
    status = call.query.get("status")
    if status is not None:
        if status.upper() not in STATUSES:
            raise RequestError(400, f"status must be one of {', '.join(STATUSES)}, not {status!r}")
        for run in runs:
            call.state.runs.advance(run)
        runs = [run for run in runs if run.status == status.upper()]
    match call.state.settings.runs_order:
        case "oldest":
            page, pagination = call.page(runs, lambda run: -run.number)
        case "newest":
            page, pagination = call.page(runs[::-1], lambda run: run.number)
        case _:
            page, pagination = call.page(sorted(runs, key=_shuffled, reverse=True), _shuffled)
    written = []
    for run in page:
        call.state.runs.advance(run)
        written.append(_run(call, run))
    return b'{"task_runs": [%b], "pagination": %b}' % (b", ".join(written), json.dumps(pagination).encode())


def _shuffled(run: Run) -> int:
    """Return a sort key that does not depend on the time of creation and never changes."""
    return run.number * 2_654_435_761 % 2**32


def cancel_task_run(call: Call) -> bytes:
    """Cancel a run that has not finished."""
    run = _run_of(call)
    call.state.runs.cancel(run)
    return _run(call, run)


def _run_of(call: Call) -> Run:
    return call.state.runs.get(call.id("run_id", "TaskRun"))


def _run(call: Call, run: Run) -> bytes:
    """Return the JSON of a run; it is kept until the run changes, because runs are polled often."""
    case = call.state.settings.status_case
    counts = (run.num_successes, run.num_errors, run.num_skipped)
    version = (case, run.status, run.started_at, run.finished_at, run.failure_reason, counts)
    if run.written is not None and run.written[0] == version:
        return run.written[1]
    document: dict[str, Any] = {
        "id": run.id,
        "task_id": run.task_id,
        "experiment_id": None,
        "status": run.status.lower() if case == "lower" else run.status,
        "run_started_at": write_time(run.started_at),
        "run_finished_at": write_time(run.finished_at),
        "data_start_time": write_time(run.data_start),
        "data_end_time": write_time(run.data_end),
        "num_successes": run.num_successes,
        "num_errors": run.num_errors,
        "num_skipped": run.num_skipped,
        "created_at": write_time(run.created_at),
        "created_by_user_id": ids.USER_ID,
        "failure_reason": run.failure_reason,
    }
    run.written = (version, json.dumps(document).encode())
    return run.written[1]


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


_RUN = "/v2/task-runs/{run_id}"
OPERATIONS = (
    Operation("POST", "/v2/tasks/{task_id}/trigger", trigger_task_run, body=_RunInput, status=201),
    Operation("GET", "/v2/tasks/{task_id}/runs", list_task_runs, "task_runs"),
    Operation("GET", _RUN, lambda call: _run(call, _run_of(call)), "status", label="get_task_run"),
    Operation("POST", f"{_RUN}/cancel", cancel_task_run, "status"),
)
