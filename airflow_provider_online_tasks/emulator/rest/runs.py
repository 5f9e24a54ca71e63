"""Task runs over REST."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.clock import write_time
from airflow_provider_online_tasks.emulator.rest.fields import DAY, flag, moment, only, paged, path_id
from airflow_provider_online_tasks.emulator.rest.problems import ProblemError
from airflow_provider_online_tasks.emulator.rest.tasks import task_of
from airflow_provider_online_tasks.emulator.runs.engine import DEFAULT_MAX_SPANS
from airflow_provider_online_tasks.emulator.runs.run import STATUSES, NoDataError, Run, RunEndedError

if TYPE_CHECKING:
    from starlette.requests import Request

    from airflow_provider_online_tasks.emulator.state import EmulatorState

MAX_WINDOW_DAYS = 30


def trigger_task_run(state: EmulatorState, request: Request, fields: dict[str, Any]) -> Response:
    """Start a run."""
    task = task_of(state, request)
    only(fields, "data_start_time data_end_time max_spans override_evaluations experiment_ids")
    if fields.get("experiment_ids"):
        raise ProblemError(400, "experiment_ids does not fit a task on a project")
    start = moment(fields, "data_start_time")
    end = moment(fields, "data_end_time")
    start = task.last_run_at if start is None else start
    end = state.clock.stamp() if end is None else end
    if start is None:
        raise ProblemError(400, "data_start_time is required on the first run of a task")
    if start >= end:
        raise ProblemError(400, "data_start_time has to be before data_end_time")
    if end - start > MAX_WINDOW_DAYS * DAY:
        raise ProblemError(400, f"The data window spans more than {MAX_WINDOW_DAYS} days")
    max_spans = DEFAULT_MAX_SPANS
    if fields.get("max_spans") is not None:
        max_spans = fields["max_spans"]
        if not isinstance(max_spans, int) or isinstance(max_spans, bool) or max_spans < 1:
            raise ProblemError(400, f"max_spans is {max_spans!r}; it has to be a number of 1 or more")
    override = fields.get("override_evaluations") is not None and flag(fields, "override_evaluations")
    try:
        run = state.runs.create(
            task,
            start=start,
            end=end,
            max_spans=max_spans,
            override=override,
            take_fate=state.faults.take_fate,
        )
    except NoDataError as error:
        raise ProblemError(422, str(error)) from error
    state.tasks.save(task)
    return Response(_run_json(state, run), 201, media_type="application/json")


def list_task_runs(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    """List a task's runs in the order of the settings."""
    task = task_of(state, request)
    runs = state.runs.of_task(task.id)
    status = request.query_params.get("status")
    if status is not None:
        if status.upper() not in STATUSES:
            raise ProblemError(400, f"status is {status!r}; it has to be one of {', '.join(STATUSES)}")
        for run in runs:
            state.runs.advance(run)
        runs = [run for run in runs if run.status == status.upper()]
    order = state.settings.runs_order
    if order == "oldest":
        page, pagination = paged(request, runs, lambda run: -run.number)
    elif order == "newest":
        page, pagination = paged(request, runs[::-1], lambda run: run.number)
    else:
        page, pagination = paged(request, sorted(runs, key=_shuffled, reverse=True), _shuffled)
    bodies = []
    for run in page:
        state.runs.advance(run)
        bodies.append(_run_json(state, run))
    body = b'{"task_runs": [%b], "pagination": %b}' % (b", ".join(bodies), json.dumps(pagination).encode())
    return Response(body, media_type="application/json")


def _shuffled(run: Run) -> int:
    """Return a sort key that has nothing to do with when a run was created, and never changes."""
    return run.number * 2_654_435_761 % 2**32


def get_task_run(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    """Return a run."""
    return Response(_run_json(state, _run_of(state, request)), media_type="application/json")


def cancel_task_run(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    """Cancel a run that is not over."""
    run = _run_of(state, request)
    try:
        state.runs.cancel(run)
    except RunEndedError as error:
        raise ProblemError(400, str(error)) from error
    return Response(_run_json(state, run), media_type="application/json")


def _run_of(state: EmulatorState, request: Request) -> Run:
    return state.runs.get(path_id(request, "run_id", "TaskRun"))


def _run_json(state: EmulatorState, run: Run) -> bytes:
    """Write a run, unless it was written already as it is now."""
    case = state.settings.status_case
    counts = (run.num_successes, run.num_errors, run.num_skipped)
    version = (case, run.status, run.started_at, run.finished_at, run.failure_reason, counts)
    if run.written is not None and run.written[0] == version:
        return run.written[1]
    body = json.dumps(
        {
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
    ).encode()
    run.written = (version, body)
    return body
