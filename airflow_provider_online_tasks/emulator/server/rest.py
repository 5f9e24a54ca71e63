"""The REST API: all operations, and how a request reaches its handler."""

from __future__ import annotations

import functools
import itertools
import json
from typing import TYPE_CHECKING

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from airflow_provider_online_tasks.emulator import annotation_queues, datasets, integrations, spaces
from airflow_provider_online_tasks.emulator.errors import NotFoundError, RequestError, describe, problem
from airflow_provider_online_tasks.emulator.evaluators import api as evaluators
from airflow_provider_online_tasks.emulator.rest import READ, WRITE, Call, Operation
from airflow_provider_online_tasks.emulator.runs import api as runs
from airflow_provider_online_tasks.emulator.server.requests import ApiRequest, Error
from airflow_provider_online_tasks.emulator.spans import api as spans
from airflow_provider_online_tasks.emulator.tasks import api as tasks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request

    from airflow_provider_online_tasks.emulator.control.faults import Fault
    from airflow_provider_online_tasks.emulator.state import EmulatorState

_RESOURCES = (*(tasks, runs, evaluators, integrations, spans), *(annotation_queues, datasets, spaces))
OPERATIONS = tuple(itertools.chain.from_iterable(each.OPERATIONS for each in _RESOURCES))

# Arize's resources. What this emulator does not serve of them answers 501.
_NAMES = (
    "ai-integrations alignment-tasks annotation-configs annotation-queues api-keys audit-logs dashboards "
    "datasets evaluator-templates evaluator-versions evaluators experiments integrations monitors "
    "organizations projects prompt-versions prompts resource-restrictions role-bindings roles spaces spans "
    "tags task-runs tasks traces users webhook-subscriptions webhooks"
)
_ERRORS: dict[str, Error] = {
    "not_found": (404, "The object was not found", "NOT_FOUND"),
    "graphql_error": (500, "Internal server error", "INTERNAL_SERVER_ERROR"),
    "task_error": (422, "The run could not be started", "UNPROCESSABLE"),
    "unknown_type": (400, "Unknown type", "BAD_REQUEST"),
}


def _request(state: EmulatorState, request: Request, operation: Operation, content: bytes) -> ApiRequest:
    error = functools.partial(problem, request.url.path)

    def execute(_: Fault | None) -> Response:
        try:
            model = operation.body
            body = model.model_validate_json(content or b"{}") if model is not None else None
            call = Call(state, operation.name, request.path_params, request.query_params, body)
            document = operation.handler(call)
        except RequestError as rejection:
            return error(rejection.status, rejection.detail)
        except ValidationError as rejection:
            malformed = rejection.errors()[0]["type"] == "json_invalid"
            return error(400 if malformed else operation.invalid, describe(rejection))
        if isinstance(document, Response):
            return document
        if document is None:
            return Response(status_code=operation.status)
        document = document if isinstance(document, bytes) else json.dumps(document)
        return Response(document, operation.status, media_type="application/json")

    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return ApiRequest(
        state=state,
        request=request,
        operation=f"rest.{operation.name}",
        budget=operation.budget or (READ if operation.method == "GET" else WRITE),
        key=key.strip() if scheme.lower() == "bearer" else "",
        main_field=(operation.main_field,),
        execute=execute,
        error=error,
        rate_limit=(429, "Too many requests per minute", None),
        errors=_ERRORS,
    )


def routes(state: EmulatorState) -> Iterable[Route]:
    """Return the routes of the REST API."""

    def route(operation: Operation) -> Route:
        async def endpoint(request: Request) -> Response:
            return await _request(state, request, operation, await request.body()).respond()

        return Route(operation.path, endpoint, methods=[operation.method])

    not_served = (
        _not_implemented(method, f"/v2/{{name}}{rest}")
        for method in ("GET", "POST", "PATCH", "DELETE")
        for rest in ("", "/{rest:path}")
    )
    return map(route, (*OPERATIONS, *not_served))


def _not_implemented(method: str, path: str) -> Operation:
    """Return an operation that answers 501: a 404 would mean that an object is missing."""

    def not_served(call: Call) -> None:
        name, rest = call.path["name"], call.path.get("rest", "")
        if name not in _NAMES.split():
            raise NotFoundError(f"Arize's API has no resource {name!r}")
        raise RequestError(501, f"This emulator does not serve {method} /v2/{name}/{rest} of Arize's API")

    return Operation(method, path, not_served)


def unknown(request: Request, error: Exception) -> Response:
    """Return the error for a path or a method that does not exist."""
    assert isinstance(error, HTTPException)  # noqa: S101  it is registered for these only
    return problem(request.url.path, error.status_code, error.detail, headers=error.headers)
