"""The REST API, version 2: tasks, runs, spans, and the names that identifiers stand for."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any

from starlette.responses import Response
from starlette.routing import Route

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.clock import read_time, write_time
from airflow_provider_online_tasks.emulator.endpoint import READ, WRITE, serve
from airflow_provider_online_tasks.emulator.problems import MEDIA_TYPE, ProblemError
from airflow_provider_online_tasks.emulator.runs import (
    DEFAULT_MAX_SPANS,
    STATUSES,
    NoDataError,
    Run,
    RunEndedError,
)
from airflow_provider_online_tasks.emulator.tasks import (
    CODE_EVALUATION,
    TEMPLATE_EVALUATION,
    Evaluator,
    RefusedInputError,
    Task,
    UnknownObjectError,
    compiled,
    hub_evaluator,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from starlette.requests import Request

    from airflow_provider_online_tasks.emulator.faults import Fault
    from airflow_provider_online_tasks.emulator.state import EmulatorState

    Handler = Callable[[EmulatorState, Request, dict[str, Any]], Response]

DAY = 86_400.0
MAX_WINDOW_DAYS = 30
_TASK_TYPES = (TEMPLATE_EVALUATION, CODE_EVALUATION, "RUN_EXPERIMENT")


class RestAnswers:
    """The REST side of a request, see :class:`endpoint.Answers`."""

    def __init__(self, state: EmulatorState, handler: Handler, main_field: str, body: bytes) -> None:
        self._state = state
        self._handler = handler
        self._main_field = main_field
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

    def fault(self, request: Request, fault: Fault) -> Response | None:  # noqa: ARG002
        """No fault is peculiar to REST."""
        return None

    def main_field(self) -> tuple[str, ...]:
        """Return the field the operation is about."""
        return (self._main_field,)

    def execute(self, request: Request) -> Response:
        """Do what is asked."""
        try:
            return self._handler(self._state, request, self._fields())
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

    def route(
        method: str, path: str, operation: str, handler: Handler, main_field: str, budget: str
    ) -> Route:
        async def endpoint(request: Request) -> Response:
            answers = RestAnswers(state, handler, main_field, await request.body())
            return await serve(state, request, f"rest.{operation}", budget, answers)

        return Route(path, endpoint, methods=[method])

    return [
        route("GET", "/v2/tasks", "list_tasks", _list_tasks, "tasks", READ),
        route("POST", "/v2/tasks", "create_task", _create_task, "id", WRITE),
        route("GET", "/v2/tasks/{task_id}", "get_task", _get_task, "id", READ),
        route("PATCH", "/v2/tasks/{task_id}", "update_task", _update_task, "id", WRITE),
        route("DELETE", "/v2/tasks/{task_id}", "delete_task", _delete_task, "id", WRITE),
        route("POST", "/v2/tasks/{task_id}/trigger", "trigger_task_run", _trigger_task_run, "id", WRITE),
        route("GET", "/v2/tasks/{task_id}/runs", "list_task_runs", _list_task_runs, "task_runs", READ),
        route("GET", "/v2/task-runs/{run_id}", "get_task_run", _get_task_run, "status", READ),
        route("POST", "/v2/task-runs/{run_id}/cancel", "cancel_task_run", _cancel_task_run, "status", WRITE),
        route("POST", "/v2/spans", "list_spans", _list_spans, "spans", READ),
        route("GET", "/v2/projects", "list_projects", _list_projects, "projects", READ),
        route("GET", "/v2/projects/{project_id}", "get_project", _get_project, "name", READ),
        route("GET", "/v2/spaces", "list_spaces", _list_spaces, "spaces", READ),
        route("GET", "/v2/spaces/{space_id}", "get_space", _get_space, "name", READ),
    ]


# -- tasks ----------------------------------------------------------------------------------------


def _list_tasks(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    query = request.query_params
    task_type = query.get("type")
    if task_type is not None and task_type.upper() not in _TASK_TYPES:
        raise ProblemError(400, f"type is {task_type!r}; it has to be one of {', '.join(_TASK_TYPES)}")
    name = query.get("name", "").lower()
    in_space = _in_space(request)
    found = [
        task
        for task in state.tasks.all()
        if not task.deleted
        and in_space
        and name in task.name.lower()
        and query.get("project_id") in (None, task.model_id)
        and query.get("dataset_id") is None
        and (task_type is None or task.type == task_type.upper())
    ]
    page, pagination = _page(request, list(reversed(found)), lambda task: task.number)
    return _json({"tasks": [_task(task) for task in page], "pagination": pagination})


def _create_task(state: EmulatorState, _: Request, fields: dict[str, Any]) -> Response:
    task_type = _text(fields, "type", required=True)
    if task_type not in _TASK_TYPES:
        raise ProblemError(400, f"type is {task_type!r}; it has to be one of {', '.join(_TASK_TYPES)}")
    if task_type == "RUN_EXPERIMENT":
        raise ProblemError(422, "This emulator evaluates projects; it has no datasets to run experiments on")
    _only(
        fields,
        "name type project_id dataset_id experiment_ids sampling_rate is_continuous query_filter query_filters evaluators",
    )
    if fields.get("dataset_id") is not None:
        raise ProblemError(404, f"Dataset {fields['dataset_id']!r} not found")
    name = _text(fields, "name", required=True)
    model_id = _text(fields, "project_id", required=True)
    values = _task_values(fields)
    if "evaluators" not in values:
        raise ProblemError(400, "evaluators is missing")
    _check_types(task_type, values["evaluators"])
    task = state.tasks.create(**{**values, "name": name, "model_id": model_id})
    return _json(_task(task), 201)


def _get_task(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    return _json(_task(_task_of(state, request)))


def _update_task(state: EmulatorState, request: Request, fields: dict[str, Any]) -> Response:
    task = _task_of(state, request)
    if not fields:
        raise ProblemError(400, "Nothing to update; give at least one field")
    _only(fields, "name sampling_rate is_continuous query_filter query_filters evaluators")
    values = _task_values(fields)
    if "evaluators" in values:
        _check_types(task.type, values["evaluators"])
    return _json(_task(state.tasks.patch(task, values)))


def _delete_task(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    task = _task_of(state, request)
    for run in state.runs.of_task(task.id):
        state.runs.advance(run)
        if not run.over:
            state.runs.cancel(run)
    state.tasks.delete(task)
    return Response(status_code=204)


def _task_of(state: EmulatorState, request: Request) -> Task:
    return state.tasks.get(_path_id(request, "task_id", "OnlineTask"))


def _task_values(fields: dict[str, Any]) -> dict[str, Any]:
    """Read the fields that create and update share; absent ones stay absent."""
    values: dict[str, Any] = {}
    if fields.get("name") is not None:
        values["name"] = _text(fields, "name", required=True)
    if fields.get("sampling_rate") is not None:
        values["sampling_rate"] = _number(fields, "sampling_rate")
    if fields.get("is_continuous") is not None:
        values["is_continuous"] = _flag(fields, "is_continuous")
    if fields.get("query_filter") is not None and fields.get("query_filters") is not None:
        raise ProblemError(400, "query_filter and query_filters exclude each other")
    if "query_filter" in fields:
        values["query_filter"] = _text(fields, "query_filter")
    if "query_filters" in fields:
        values["query_filters"] = _query_filters(fields["query_filters"])
    if fields.get("evaluators") is not None:
        values["evaluators"] = _evaluators(fields["evaluators"])
    return values


def _query_filters(value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ProblemError(400, "query_filters is not an object")
    _only(value, "filters expression", "query_filters.")
    filters = value.get("filters")
    if not isinstance(filters, list) or not 1 <= len(filters) <= 5:
        raise ProblemError(400, "query_filters.filters needs one to five entries")
    for each in filters:
        if (
            not isinstance(each, dict)
            or each.get("id") not in tuple("ABCDE")
            or not isinstance(each.get("filter"), str)
        ):
            raise ProblemError(400, "Each of query_filters.filters needs an id from A to E and a filter")
    expression = _text(value, "expression")
    if expression is None:
        if len(filters) > 1:
            raise ProblemError(400, "query_filters.expression is required with two or more filters")
        expression = filters[0]["id"]
    return {
        "filters": [{"id": each["id"], "filter": each["filter"]} for each in filters],
        "expression": expression,
    }


def _evaluators(value: Any) -> list[Evaluator]:
    if not isinstance(value, list) or not value:
        raise ProblemError(400, "evaluators needs at least one entry")
    evaluators = []
    for position, each in enumerate(value):
        if not isinstance(each, dict):
            raise ProblemError(400, "Each of evaluators has to be an object")
        _only(
            each,
            "evaluator_id evaluator_version_id query_filter column_mappings query_mappings",
            "evaluators.",
        )
        of_traces = each.get("query_mappings") is not None
        if of_traces and (each.get("query_filter") is not None or each.get("column_mappings") is not None):
            raise ProblemError(400, "query_mappings excludes query_filter and column_mappings")
        evaluators.append(
            hub_evaluator(
                _identifier(_text(each, "evaluator_id", required=True), "Evaluator"),
                _text(each, "evaluator_version_id"),
                position=position,
                query_filter=_text(each, "query_filter"),
                column_mappings=each.get("column_mappings"),
                query_mappings=each.get("query_mappings"),
                granularity="trace" if of_traces else "span",
            )
        )
    if len({each.granularity for each in evaluators}) > 1:
        raise ProblemError(400, "The evaluators of a task are either all about spans or all about traces")
    if len({each.evaluator_id for each in evaluators}) < len(evaluators):
        raise ProblemError(400, "evaluators names an evaluator twice")
    return evaluators


def _check_types(task_type: str, evaluators: Iterable[Evaluator]) -> None:
    kind = "code" if task_type == CODE_EVALUATION else "template"
    for evaluator in evaluators:
        if evaluator.kind != kind:
            raise ProblemError(422, f"Evaluator {evaluator.name!r} does not fit a task of type {task_type}")


def _task(task: Task) -> dict[str, Any]:
    """Write a task."""
    return {
        "id": task.id,
        "name": task.name,
        "type": task.type,
        "project_id": task.model_id,
        "dataset_id": None,
        "sampling_rate": task.sampling_rate,
        "is_continuous": task.is_continuous,
        "query_filter": task.query_filter,
        "query_filters": task.query_filters,
        "evaluators": [
            {
                "evaluator_id": each.evaluator_id,
                "evaluator_name": each.name,
                "evaluator_version_id": each.evaluator_version_id,
                "query_filter": each.query_filter,
                "column_mappings": each.column_mappings,
                "query_mappings": each.query_mappings,
            }
            for each in task.evaluators
        ],
        "experiment_ids": [],
        "run_configuration": None,
        "last_run_at": write_time(task.last_run_at),
        "created_at": write_time(task.created_at),
        "updated_at": write_time(task.updated_at),
        "created_by_user_id": ids.USER_ID,
    }


# -- runs -----------------------------------------------------------------------------------------


def _trigger_task_run(state: EmulatorState, request: Request, fields: dict[str, Any]) -> Response:
    task = _task_of(state, request)
    _only(fields, "data_start_time data_end_time max_spans override_evaluations experiment_ids")
    if fields.get("experiment_ids"):
        raise ProblemError(400, "experiment_ids does not fit a task on a project")
    start = _time(fields, "data_start_time")
    end = _time(fields, "data_end_time")
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
    override = fields.get("override_evaluations") is not None and _flag(fields, "override_evaluations")
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


def _list_task_runs(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    task = _task_of(state, request)
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
        page, pagination = _page(request, runs, lambda run: -run.number)
    elif order == "newest":
        page, pagination = _page(request, runs[::-1], lambda run: run.number)
    else:
        page, pagination = _page(request, sorted(runs, key=_shuffled, reverse=True), _shuffled)
    bodies = []
    for run in page:
        state.runs.advance(run)
        bodies.append(_run_json(state, run))
    body = b'{"task_runs": [%b], "pagination": %b}' % (b", ".join(bodies), json.dumps(pagination).encode())
    return Response(body, media_type="application/json")


def _shuffled(run: Run) -> int:
    """Return a sort key that has nothing to do with when a run was created, and never changes."""
    return run.number * 2_654_435_761 % 2**32


def _get_task_run(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    return Response(_run_json(state, _run_of(state, request)), media_type="application/json")


def _cancel_task_run(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    run = _run_of(state, request)
    try:
        state.runs.cancel(run)
    except RunEndedError as error:
        raise ProblemError(400, str(error)) from error
    return Response(_run_json(state, run), media_type="application/json")


def _run_of(state: EmulatorState, request: Request) -> Run:
    return state.runs.get(_path_id(request, "run_id", "TaskRun"))


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


# -- spans ----------------------------------------------------------------------------------------


def _list_spans(state: EmulatorState, request: Request, fields: dict[str, Any]) -> Response:
    _only(
        fields,
        "project_id start_time end_time filter included_columns excluded_columns truncate_string_length",
    )
    project_id = _identifier(_text(fields, "project_id", required=True), "Model")
    if project_id != ids.PROJECT_ID:
        raise UnknownObjectError(f"Project {project_id!r} not found")
    query_filter = _text(fields, "filter")
    if query_filter is not None and not query_filter.strip():
        raise ProblemError(422, "filter is empty; leave it out to list all spans")
    included, excluded = _columns(fields, "included_columns"), _columns(fields, "excluded_columns")
    if included is not None and excluded is not None:
        raise ProblemError(422, "included_columns and excluded_columns exclude each other")
    length = fields.get("truncate_string_length")
    if length is not None and (not isinstance(length, int) or isinstance(length, bool) or length < 1):
        raise ProblemError(422, f"truncate_string_length is {length!r}; it has to be a number of 1 or more")
    start, end = _time(fields, "start_time"), _time(fields, "end_time")
    now = state.clock.stamp()
    matching = state.store.matching_spans(
        project_id=project_id,
        start=now - 7 * DAY if start is None else start,
        end=now if end is None else end,
        end_inclusive=True,
        compiled=compiled(query_filter),
    )
    page, pagination = _page(request, matching, lambda row: row, limit=500)
    span_ids = [span_id for _, _, span_id in page]
    evaluations: dict[str, list[dict[str, Any]]] = {span_id: [] for span_id in span_ids}
    for each in state.store.evaluations(span_ids=span_ids):
        evaluations[each["span_id"]].append(
            {name: each[name] for name in ("name", "label", "score", "explanation", "metadata")}
        )

    def shown(column: str) -> bool:
        if included is not None:
            return column in included
        return excluded is None or column not in excluded

    spans = [
        {
            "name": span["name"],
            "context": {"trace_id": span["trace_id"], "span_id": span["span_id"]},
            "kind": span["kind"],
            "parent_id": span["parent_id"],
            "start_time": write_time(span["start_time"].timestamp()),
            "end_time": write_time(span["end_time"].timestamp()),
            "status_code": span["status_code"],
            "status_message": span["status_message"],
            "latency_ms": round((span["end_time"] - span["start_time"]).total_seconds() * 1000, 3),
            "attributes": {
                name: _truncated(value, length)
                for name, value in span["attributes"].items()
                if shown(f"attributes.{name}")
            },
            "annotations": [],
            "evaluations": [
                each for each in evaluations[span["span_id"]] if shown(f"eval.{each['name']}.label")
            ],
            "events": [],
        }
        for span in state.store.spans(span_ids)
    ]
    return _json({"spans": spans, "pagination": pagination})


def _columns(fields: dict[str, Any], name: str) -> frozenset[str] | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not value or not all(isinstance(each, str) and each for each in value):
        raise ProblemError(422, f"{name} has to be a list of column names")
    return frozenset(value)


def _truncated(value: Any, length: int | None) -> Any:
    if length is None:
        return value
    if isinstance(value, str):
        return value if len(value) <= length else value[: length - 1] + "…"
    if isinstance(value, list):
        return [_truncated(each, length) for each in value]
    if isinstance(value, dict):
        return {name: _truncated(each, length) for name, each in value.items()}
    return value


# -- projects and spaces --------------------------------------------------------------------------


def _project(state: EmulatorState) -> dict[str, Any]:
    return {
        "id": ids.PROJECT_ID,
        "name": ids.PROJECT_NAME,
        "space_id": ids.SPACE_ID,
        "created_at": write_time(state.started_at),
        "project_type": "APPLICATION",
    }


def _space(state: EmulatorState) -> dict[str, Any]:
    return {
        "id": ids.SPACE_ID,
        "name": ids.SPACE_NAME,
        "organization_id": ids.ORGANIZATION_ID,
        "description": "",
        "created_at": write_time(state.started_at),
        "is_private": False,
    }


def _in_space(request: Request) -> bool:
    query = request.query_params
    named = query.get("space_name", "").lower() in ids.SPACE_NAME.lower()
    return query.get("space_id") in (None, ids.SPACE_ID) and named


def _list_projects(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    name = request.query_params.get("name", "").lower()
    found = [_project(state)] if _in_space(request) and name in ids.PROJECT_NAME.lower() else []
    page, pagination = _page(request, found, lambda _: 1)
    return _json({"projects": page, "pagination": pagination})


def _get_project(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    project_id = _path_id(request, "project_id", "Model")
    if project_id != ids.PROJECT_ID:
        raise UnknownObjectError(f"Project {project_id!r} not found")
    return _json(_project(state))


def _list_spaces(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    query = request.query_params
    known = query.get("org_id") in (None, ids.ORGANIZATION_ID)
    found = [_space(state)] if known and query.get("name", "").lower() in ids.SPACE_NAME.lower() else []
    page, pagination = _page(request, found, lambda _: 1)
    return _json({"spaces": page, "pagination": pagination})


def _get_space(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    space_id = _path_id(request, "space_id", "Space")
    if space_id != ids.SPACE_ID:
        raise UnknownObjectError(f"Space {space_id!r} not found")
    return _json(_space(state))


# -- reading and writing --------------------------------------------------------------------------


def _json(document: Any, status: int = 200) -> Response:
    return Response(json.dumps(document), status, media_type="application/json")


def _page(
    request: Request, items: Sequence[Any], key: Callable[[Any], Any], limit: int = 100
) -> tuple[Sequence[Any], dict[str, Any]]:
    """Cut a page out of items whose keys fall; the cursor is the last key, so new items move nothing."""
    text = request.query_params.get("limit", "50")
    if not text.isdecimal() or not 1 <= int(text) <= limit:
        raise ProblemError(400, f"limit is {text!r}; it has to be a number from 1 to {limit}")
    cursor = request.query_params.get("cursor")
    if cursor:
        try:
            after = json.loads(base64.b64decode(cursor, altchars=b"-_", validate=True))
            after = tuple(after) if isinstance(after, list) else after
            items = [item for item in items if key(item) < after]
        except (binascii.Error, ValueError, TypeError) as error:
            raise ProblemError(400, "cursor is none that this server gave") from error
    page = items[: int(text)]
    if len(page) == len(items):
        return page, {"has_more": False}
    last = json.dumps(key(page[-1])).encode()
    return page, {"has_more": True, "next_cursor": base64.urlsafe_b64encode(last).decode()}


def _path_id(request: Request, name: str, type_name: str) -> str:
    return _identifier(request.path_params[name], type_name)


def _identifier(value: str, type_name: str) -> str:
    """Return an identifier that can be one of this type; of another type, nothing can have it."""
    decoded = ids.decode(value)
    if decoded is None:
        raise ProblemError(400, f"{value!r} is not a global identifier")
    if decoded.type != type_name:
        raise UnknownObjectError(f"{value!r} identifies a {decoded.type}, not a {type_name}")
    return value


def _only(fields: dict[str, Any], names: str, prefix: str = "") -> None:
    unknown = sorted(set(fields) - set(names.split()))
    if unknown:
        raise ProblemError(
            400, f"Unknown field {prefix}{unknown[0]}; the fields are {', '.join(names.split())}"
        )


def _text(fields: dict[str, Any], name: str, *, required: bool = False) -> Any:
    value = fields.get(name)
    if value is None and not required:
        return None
    if not isinstance(value, str) or (required and not value):
        raise ProblemError(
            400, f"{name} is {value!r}; it has to be a text" + (" and is required" if required else "")
        )
    return value


def _number(fields: dict[str, Any], name: str) -> float:
    value = fields[name]
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ProblemError(400, f"{name} is {value!r}; it has to be a number")
    return float(value)


def _flag(fields: dict[str, Any], name: str) -> bool:
    value = fields[name]
    if not isinstance(value, bool):
        raise ProblemError(400, f"{name} is {value!r}; it has to be true or false")
    return value


def _time(fields: dict[str, Any], name: str) -> float | None:
    value = _text(fields, name)
    if value is None:
        return None
    try:
        return read_time(value)
    except ValueError as error:
        raise ProblemError(
            400, f"{name} is {value!r}; it has to be an ISO 8601 date-time with an offset"
        ) from error
