"""The REST API, version 2: tasks, runs, spans, and the names that identifiers stand for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.responses import Response
from starlette.routing import Route

from airflow_provider_online_tasks.emulator.endpoint import READ, WRITE, serve
from airflow_provider_online_tasks.emulator.errors import RefusedInputError, UnknownObjectError
from airflow_provider_online_tasks.emulator.rest import (
    evaluators,
    names,
    reviews,
    runs,
    spans,
    tasks,
)
from airflow_provider_online_tasks.emulator.rest.problems import MEDIA_TYPE, ProblemError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from airflow_provider_online_tasks.emulator.control.faults import Fault
    from airflow_provider_online_tasks.emulator.state import EmulatorState

    Handler = Callable[[EmulatorState, Request, dict[str, Any]], Response]


class Operation(NamedTuple):
    """An endpoint: how it is called, what does it, and which field of its answer a client needs most."""

    name: str
    method: str
    path: str
    budget: str
    handler: Handler
    main_field: str


def _operation(method: str, path: str, budget: str, handler: Handler, main_field: str) -> Operation:
    """Return an operation that is named after its handler."""
    return Operation(handler.__name__, method, path, budget, handler, main_field)


_EVALUATOR = "/v2/evaluators/{evaluator_id}"
_QUEUE = "/v2/annotation-queues/{annotation_queue_id}"
_DATASET = "/v2/datasets/{dataset_id}"

OPERATIONS = (
    _operation("GET", "/v2/tasks", READ, tasks.list_tasks, "tasks"),
    _operation("POST", "/v2/tasks", WRITE, tasks.create_task, "id"),
    _operation("GET", "/v2/tasks/{task_id}", READ, tasks.get_task, "id"),
    _operation("PATCH", "/v2/tasks/{task_id}", WRITE, tasks.update_task, "id"),
    _operation("DELETE", "/v2/tasks/{task_id}", WRITE, tasks.delete_task, "id"),
    _operation("POST", "/v2/tasks/{task_id}/trigger", WRITE, runs.trigger_task_run, "id"),
    _operation("GET", "/v2/tasks/{task_id}/runs", READ, runs.list_task_runs, "task_runs"),
    _operation("GET", "/v2/task-runs/{run_id}", READ, runs.get_task_run, "status"),
    _operation("POST", "/v2/task-runs/{run_id}/cancel", WRITE, runs.cancel_task_run, "status"),
    _operation("GET", "/v2/evaluators", READ, evaluators.list_evaluators, "evaluators"),
    _operation("POST", "/v2/evaluators", WRITE, evaluators.create_evaluator, "id"),
    _operation("GET", _EVALUATOR, READ, evaluators.get_evaluator, "id"),
    _operation("PATCH", _EVALUATOR, WRITE, evaluators.update_evaluator, "id"),
    _operation("DELETE", _EVALUATOR, WRITE, evaluators.delete_evaluator, "id"),
    _operation(
        "GET", f"{_EVALUATOR}/versions", READ, evaluators.list_evaluator_versions, "evaluator_versions"
    ),
    _operation("POST", f"{_EVALUATOR}/versions", WRITE, evaluators.create_evaluator_version, "id"),
    _operation(
        "DELETE", f"{_EVALUATOR}/versions", WRITE, evaluators.delete_evaluator_versions, "deleted_version_ids"
    ),
    _operation("GET", "/v2/evaluator-versions/{version_id}", READ, evaluators.get_evaluator_version, "id"),
    _operation(
        "GET", "/v2/evaluator-templates", READ, evaluators.list_evaluator_templates, "evaluator_templates"
    ),
    _operation("GET", "/v2/ai-integrations", READ, evaluators.list_ai_integrations, "ai_integrations"),
    _operation("GET", "/v2/ai-integrations/{integration_id}", READ, evaluators.get_ai_integration, "id"),
    _operation("POST", "/v2/spans", READ, spans.list_spans, "spans"),
    _operation("POST", "/v2/spans/annotate", WRITE, reviews.annotate_spans, ""),
    _operation("GET", "/v2/annotation-queues", READ, reviews.list_annotation_queues, "annotation_queues"),
    _operation("POST", "/v2/annotation-queues", WRITE, reviews.create_annotation_queue, "id"),
    _operation("GET", _QUEUE, READ, reviews.get_annotation_queue, "id"),
    _operation("GET", f"{_QUEUE}/records", READ, reviews.list_annotation_queue_records, "records"),
    _operation("POST", f"{_QUEUE}/records", WRITE, reviews.add_annotation_queue_records, "record_sources"),
    _operation("GET", "/v2/datasets", READ, reviews.list_datasets, "datasets"),
    _operation("POST", "/v2/datasets", WRITE, reviews.create_dataset, "id"),
    _operation("GET", _DATASET, READ, reviews.get_dataset, "id"),
    _operation("GET", f"{_DATASET}/examples", READ, reviews.list_dataset_examples, "examples"),
    _operation("POST", f"{_DATASET}/examples/search", READ, reviews.search_dataset_examples, "examples"),
    _operation("POST", f"{_DATASET}/examples", WRITE, reviews.insert_dataset_examples, "example_ids"),
    _operation("GET", "/v2/projects", READ, names.list_projects, "projects"),
    _operation("GET", "/v2/projects/{project_id}", READ, names.get_project, "name"),
    _operation("GET", "/v2/spaces", READ, names.list_spaces, "spaces"),
    _operation("GET", "/v2/spaces/{space_id}", READ, names.get_space, "name"),
)


class RestAnswers:
    """The REST side of a request, see :class:`endpoint.Answers`."""

    def __init__(self, state: EmulatorState, operation: Operation, body: bytes) -> None:
        self._state = state
        self._operation = operation
        self._body = body

    def key(self, request: Request) -> str:
        """Return the bearer token."""
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        return key.strip() if scheme.lower() == "bearer" else ""

    def error(
        self,
        request: Request,
        status: int,
        message: str,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Response:
        """Write a problem document."""
        document = ProblemError(status, message).body(request.url.path)
        if code is not None:
            document["error_code"] = code
        return Response(json.dumps(document), status, headers, media_type=MEDIA_TYPE)

    def rate_limited(
        self, request: Request, status: int | None, message: str | None, headers: dict[str, str]
    ) -> Response:
        """Write a 429."""
        return self.error(request, status or 429, message or "Too many requests in a minute", None, headers)

    def fault(self, request: Request, fault: Fault) -> Response | None:
        """No fault is peculiar to REST."""
        return None

    def main_field(self) -> tuple[str, ...]:
        """Return the field the operation is about."""
        return (self._operation.main_field,)

    def execute(self, request: Request) -> Response:
        """Do what is asked."""
        try:
            return self._operation.handler(self._state, request, self._fields())
        except ProblemError as problem:
            return self.error(request, problem.status, problem.detail)
        except UnknownObjectError as error:
            return self.error(request, 404, str(error))
        except RefusedInputError as error:
            return self.error(request, 422, str(error))

    def _fields(self) -> dict[str, Any]:
        if not self._body:
            return {}
        try:
            fields = json.loads(self._body)
        except ValueError as error:
            raise ProblemError(400, "The body is not JSON") from error
        if not isinstance(fields, dict):
            raise ProblemError(400, "The body is not a JSON object")
        return fields


def routes(state: EmulatorState) -> list[Route]:
    """Return the routes of the REST API."""

    def route(operation: Operation) -> Route:
        async def endpoint(request: Request) -> Response:
            answers = RestAnswers(state, operation, await request.body())
            return await serve(state, request, f"rest.{operation.name}", operation.budget, answers)

        return Route(operation.path, endpoint, methods=[operation.method])

    return [route(operation) for operation in OPERATIONS]
