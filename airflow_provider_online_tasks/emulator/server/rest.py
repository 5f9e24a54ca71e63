"""The REST API: all operations, and how a request reaches its handler."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from airflow_provider_online_tasks.emulator.annotation_queues import rest as annotation_queues
from airflow_provider_online_tasks.emulator.datasets import rest as datasets
from airflow_provider_online_tasks.emulator.errors import RequestError, describe, problem
from airflow_provider_online_tasks.emulator.evaluators import rest as evaluators
from airflow_provider_online_tasks.emulator.integrations import rest as integrations
from airflow_provider_online_tasks.emulator.rest import READ, WRITE, Call, Operation
from airflow_provider_online_tasks.emulator.runs import rest as runs
from airflow_provider_online_tasks.emulator.server.requests import ApiRequest
from airflow_provider_online_tasks.emulator.spaces import rest as spaces
from airflow_provider_online_tasks.emulator.spans import rest as spans
from airflow_provider_online_tasks.emulator.tasks import rest as tasks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from starlette.requests import Request

    from airflow_provider_online_tasks.emulator.state import EmulatorState

_RESOURCES = (tasks, runs, evaluators, integrations, spans, annotation_queues, datasets, spaces)
OPERATIONS = tuple(itertools.chain.from_iterable(each.OPERATIONS for each in _RESOURCES))

# Arize's REST API that this emulator does not serve: resources, and operations of the other resources.
_OTHER_RESOURCES = (
    "alignment-tasks annotation-configs api-keys audit-logs dashboards experiments integrations monitors "
    "organizations prompt-versions prompts resource-restrictions role-bindings roles tags traces users "
    "webhook-subscriptions webhooks"
)
_OTHER_OPERATIONS = {
    "ai-integrations": ["POST"],
    "ai-integrations/{id}": ["DELETE", "PATCH"],
    "annotation-queues/{id}": ["DELETE", "PATCH"],
    "annotation-queues/{id}/records": ["DELETE"],
    "annotation-queues/{id}/records/{record_id}/annotate": ["POST"],
    "annotation-queues/{id}/records/{record_id}/assign": ["POST"],
    "datasets/{id}": ["DELETE", "PATCH"],
    "datasets/{id}/examples": ["DELETE", "PATCH"],
    "datasets/{id}/examples/annotate": ["POST"],
    "evaluators/{id}/versions": ["DELETE"],
    "projects": ["POST"],
    "projects/{id}": ["DELETE", "PATCH"],
    "spaces": ["POST"],
    "spaces/{id}": ["DELETE", "PATCH"],
    "spaces/{id}/users": ["POST"],
    "spaces/{id}/users/{user_id}": ["DELETE"],
    "spans": ["DELETE"],
    **{
        f"{resource}/{{id}}/tags": ["GET", "POST", "DELETE"]
        for resource in ("annotation-queues", "datasets", "evaluators", "projects")
    },
}


class RestRequest(ApiRequest):
    """A REST request."""

    def __init__(self, state: EmulatorState, request: Request, operation: Operation, body: bytes) -> None:
        budget = operation.budget or (READ if operation.method == "GET" else WRITE)
        super().__init__(state, request, f"rest.{operation.name}", budget)
        self._operation = operation
        self._body = body

    def key(self) -> str:
        """Return the bearer token."""
        scheme, _, key = self.request.headers.get("authorization", "").partition(" ")
        return key.strip() if scheme.lower() == "bearer" else ""

    def error(
        self, status: int, message: str, code: str | None = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        """Return problem details."""
        return problem(self.request.url.path, status, message, code, headers)

    def rate_limited(self, status: int | None, message: str | None, headers: dict[str, str]) -> Response:
        """Return a 429."""
        return self.error(status or 429, message or "Too many requests per minute", None, headers)

    def main_field(self) -> tuple[str, ...]:
        """Return the main field of the operation."""
        return (self._operation.main_field,)

    def execute(self) -> Response:
        """Validate the body and call the handler."""
        operation, request = self._operation, self.request
        try:
            model = operation.body
            body = model.model_validate_json(self._body or b"{}") if model is not None else None
            document = operation.handler(Call(self.state, request.path_params, request.query_params, body))
        except RequestError as error:
            return self.error(error.status, error.detail)
        except ValidationError as error:
            return self.error(400, describe(error))
        if document is None:
            return Response(status_code=operation.status)
        content = document if isinstance(document, bytes) else json.dumps(document)
        return Response(content, operation.status, media_type="application/json")


def routes(state: EmulatorState) -> Iterable[Route]:
    """Return the routes of the REST API."""

    def route(operation: Operation) -> Route:
        async def endpoint(request: Request) -> Response:
            return await RestRequest(state, request, operation, await request.body()).respond()

        return Route(operation.path, endpoint, methods=[operation.method])

    return map(route, (*OPERATIONS, *_not_served()))


def _not_served() -> Iterable[Operation]:
    """Yield operations of Arize that answer 501: a 404 would mean that an object is missing."""
    for path, methods in _OTHER_OPERATIONS.items():
        for method in methods:
            yield _not_implemented(method, f"/v2/{path}")
    for resource in _OTHER_RESOURCES.split():
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            yield _not_implemented(method, f"/v2/{resource}")
            yield _not_implemented(method, f"/v2/{resource}/{{rest:path}}")


def _not_implemented(method: str, path: str) -> Operation:
    def not_served(call: Call) -> None:
        served = path.replace("{rest:path}", call.path.get("rest", ""))
        raise RequestError(501, f"This emulator does not serve {method} {served} of Arize's API")

    return Operation(method, path, not_served)


def unknown(request: Request, error: Exception) -> Response:
    """Return the error for a path or a method that does not exist."""
    assert isinstance(error, HTTPException)  # noqa: S101  it is registered for these only
    return problem(request.url.path, error.status_code, error.detail, headers=error.headers)
