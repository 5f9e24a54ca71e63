"""The control plane: HTTP under ``/emulator/`` with which tests inspect and change the emulator."""

from __future__ import annotations

import dataclasses
import fnmatch
import json
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from starlette.responses import Response
from starlette.routing import Route

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.annotation_queues import Labelling, label_records
from airflow_provider_online_tasks.emulator.control.faults import Fault, RunFate
from airflow_provider_online_tasks.emulator.errors import RequestError, describe, problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from airflow_provider_online_tasks.emulator.runs.models import Run
    from airflow_provider_online_tasks.emulator.state import EmulatorState

    Handler = Callable[[EmulatorState, Request, dict[str, Any]], Any]


def routes(state: EmulatorState) -> list[Route]:
    """Return the routes of the control plane."""

    def route(method: str, path: str, handler: Handler) -> Route:
        async def endpoint(request: Request) -> Response:
            if request.headers.get("authorization") != f"Bearer {state.settings.api_key}":
                detail = "The control plane needs the emulator's key as a bearer token"
                return problem(request.url.path, 401, detail)
            try:
                document = handler(state, request, json.loads(await request.body() or b"{}"))
            except RequestError as error:
                return problem(request.url.path, error.status, error.detail)
            except ValidationError as error:
                return problem(request.url.path, 400, describe(error))
            except (TypeError, ValueError, KeyError) as error:
                return problem(request.url.path, 400, str(error))
            return Response(json.dumps(document), media_type="application/json")

        return Route(f"/emulator/{path}", endpoint, methods=[method])

    return [
        route("GET", "info", _info),
        route("GET", "tasks", lambda state, *_: [dataclasses.asdict(task) for task in state.tasks.all()]),
        route("GET", "runs", _runs),
        route("POST", "runs", _create_runs),
        route("PATCH", "runs/{run_id}", _set_run),
        route("GET", "evaluations", _evaluations),
        route("GET", "requests", _requests),
        route("GET", "usage", lambda state, *_: state.usage),
        route("DELETE", "requests", lambda state, *_: state.requests.clear()),
        route("POST", "faults", lambda state, _, fields: state.faults.faults.append(Fault(**fields))),
        route("DELETE", "faults", lambda state, *_: state.faults.faults.clear()),
        route("POST", "fates", lambda state, _, fields: state.faults.fates.append(RunFate(**fields))),
        route("DELETE", "fates", lambda state, *_: state.faults.fates.clear()),
        route("PUT", "clock", _set_clock),
        route("POST", "labels", lambda state, _, fields: label_records(state, Labelling(**fields))),
        route("PATCH", "settings", lambda state, _, fields: state.configure(fields)),
        route("POST", "reset", lambda state, *_: state.reset()),
    ]


def _info(state: EmulatorState, *_: Any) -> dict[str, Any]:
    count, first, last = state.spans.range(ids.PROJECT_ID)
    return {
        "project_id": ids.PROJECT_ID,
        "project_name": ids.PROJECT_NAME,
        "projects": {name: project_id for project_id, name in ids.PROJECTS.items()},
        "space_id": ids.SPACE_ID,
        "space_name": ids.SPACE_NAME,
        "organization_id": ids.ORGANIZATION_ID,
        "evaluator_ids": {each.name: each.id for each in state.hub.all()},
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
    runs = state.runs.create_synthetic(
        state.tasks.get(fields["task_id"]),
        fields["count"],
        seconds=(low, high),
        total=fields["total"],
        fate=RunFate(**fields["fate"]),
    )
    return [run.id for run in runs]


def _set_run(state: EmulatorState, request: Request, fields: dict[str, Any]) -> dict[str, Any]:
    run = state.runs.get(request.path_params["run_id"])
    state.runs.set(run, fields)
    return _run(run)


def _evaluations(state: EmulatorState, request: Request, _: dict[str, Any]) -> list[dict[str, Any]]:
    state.runs.all()  # brings the runs up to date, so that the evaluations match their counts
    query = request.query_params
    return state.storage.evaluations(task_id=query.get("task_id"), run_id=query.get("run_id"))


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
