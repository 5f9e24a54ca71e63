"""The control plane: HTTP under ``/emulator/`` for tests to look into the server and to change it."""

from __future__ import annotations

import dataclasses
import fnmatch
import json
from typing import TYPE_CHECKING, Any

from starlette.responses import Response
from starlette.routing import Route

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.control.faults import Fault, RunFate
from airflow_provider_online_tasks.emulator.errors import RefusedInputError, UnknownObjectError
from airflow_provider_online_tasks.emulator.rest.problems import MEDIA_TYPE, ProblemError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from airflow_provider_online_tasks.emulator.runs.run import Run
    from airflow_provider_online_tasks.emulator.state import EmulatorState

    Handler = Callable[[EmulatorState, Request, dict[str, Any]], Any]


def routes(state: EmulatorState) -> list[Route]:
    """Return the routes of the control plane."""

    def route(method: str, path: str, handler: Handler) -> Route:
        async def endpoint(request: Request) -> Response:
            if request.headers.get("authorization") != f"Bearer {state.settings.api_key}":
                return _refused(request, 401, "The control plane needs the emulator's key as a bearer token")
            try:
                answer = handler(state, request, json.loads(await request.body() or b"{}"))
            except UnknownObjectError as error:
                return _refused(request, 404, str(error))
            except (RefusedInputError, TypeError, ValueError, KeyError) as error:
                return _refused(request, 400, str(error))
            return Response(json.dumps(answer), media_type="application/json")

        return Route(f"/emulator/{path}", endpoint, methods=[method])

    return [
        route("GET", "info", _info),
        route("GET", "tasks", lambda state, *_: [dataclasses.asdict(task) for task in state.tasks.all()]),
        route("GET", "runs", _runs),
        route("POST", "runs", _create_runs),
        route("PATCH", "runs/{run_id}", _set_run),
        route("GET", "evaluations", _evaluations),
        route("GET", "requests", _requests),
        route("DELETE", "requests", lambda state, *_: state.requests.clear()),
        route("POST", "faults", lambda state, _, fields: state.faults.add_fault(Fault(**fields))),
        route("DELETE", "faults", lambda state, *_: state.faults.clear()),
        route("POST", "fates", lambda state, _, fields: state.faults.add_fate(RunFate(**fields))),
        route("DELETE", "fates", lambda state, *_: state.faults.clear_fates()),
        route("PUT", "clock", _set_clock),
        route("PATCH", "settings", lambda state, _, fields: state.configure(fields)),
        route("POST", "reset", lambda state, *_: state.reset()),
    ]


def _refused(request: Request, status: int, detail: str) -> Response:
    document = ProblemError(status, detail).body(request.url.path)
    return Response(json.dumps(document), status, media_type=MEDIA_TYPE)


def _info(state: EmulatorState, *_: Any) -> dict[str, Any]:
    count, first, last = state.store.span_range(ids.PROJECT_ID)
    return {
        "project_id": ids.PROJECT_ID,
        "project_name": ids.PROJECT_NAME,
        "projects": {name: project_id for project_id, name in ids.PROJECTS.items()},
        "space_id": ids.SPACE_ID,
        "space_name": ids.SPACE_NAME,
        "organization_id": ids.ORGANIZATION_ID,
        "evaluator_ids": state.hub.ids(),
        "spans": count,
        "first_span_at": first,
        "last_span_at": last,
    }


def _runs(state: EmulatorState, request: Request, _: dict[str, Any]) -> list[dict[str, Any]]:
    task_id = request.query_params.get("task_id")
    return [_run(run) for run in state.runs.all() if task_id in (None, run.task_id)]


def _run(run: Run) -> dict[str, Any]:
    return {**dataclasses.asdict(run), "over": run.over}


def _create_runs(state: EmulatorState, _: Request, fields: dict[str, Any]) -> list[str]:
    low, high = fields["seconds"]
    made = state.runs.create_synthetic(
        state.tasks.get(fields["task_id"]),
        fields["count"],
        seconds=(low, high),
        total=fields["total"],
        fate=RunFate(**fields["fate"]),
    )
    return [run.id for run in made]


def _set_run(state: EmulatorState, request: Request, fields: dict[str, Any]) -> dict[str, Any]:
    run = state.runs.get(request.path_params["run_id"])
    state.runs.set(run, fields)
    return _run(run)


def _evaluations(state: EmulatorState, request: Request, _: dict[str, Any]) -> list[dict[str, Any]]:
    # Looking brings the runs up to date, so that what a run reports done is there to read.
    state.runs.all()
    query = request.query_params
    return state.store.evaluations(task_id=query.get("task_id"), run_id=query.get("run_id"))


def _requests(state: EmulatorState, request: Request, _: dict[str, Any]) -> list[dict[str, Any]]:
    pattern = request.query_params.get("operation", "*")
    return [
        dataclasses.asdict(entry) for entry in state.requests if fnmatch.fnmatchcase(entry.operation, pattern)
    ]


def _set_clock(state: EmulatorState, _: Request, fields: dict[str, Any]) -> None:
    state.clock.offset = float(fields.get("offset", state.clock.offset))
    state.clock.passed += float(fields.get("advance", 0.0))
    if fields.get("stop"):
        state.clock.stop()
