"""Tasks over REST."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.clock import write_time
from airflow_provider_online_tasks.emulator.judges.kinds import KINDS
from airflow_provider_online_tasks.emulator.rest.fields import (
    flag,
    identifier,
    is_in_space,
    json_response,
    number,
    only,
    paged,
    path_id,
    text,
)
from airflow_provider_online_tasks.emulator.rest.problems import ProblemError
from airflow_provider_online_tasks.emulator.runs.tasks import TASK_TYPES, Task, given, settable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.requests import Request

    from airflow_provider_online_tasks.emulator.judges.evaluator import Evaluator
    from airflow_provider_online_tasks.emulator.state import EmulatorState

_TASK_TYPES = (*TASK_TYPES, "RUN_EXPERIMENT")


def list_tasks(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    """List the tasks that match, newest first."""
    query = request.query_params
    task_type = query.get("type")
    if task_type is not None and task_type.upper() not in _TASK_TYPES:
        raise ProblemError(400, f"type is {task_type!r}; it has to be one of {', '.join(_TASK_TYPES)}")
    name = query.get("name", "").lower()
    in_space = is_in_space(request)
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
    page, pagination = paged(request, list(reversed(found)), lambda task: task.number)
    return json_response({"tasks": [_task(task) for task in page], "pagination": pagination})


def create_task(state: EmulatorState, _: Request, fields: dict[str, Any]) -> Response:
    """Create a task of Eval Hub evaluators."""
    task_type = text(fields, "type", required=True)
    if task_type not in _TASK_TYPES:
        raise ProblemError(400, f"type is {task_type!r}; it has to be one of {', '.join(_TASK_TYPES)}")
    if task_type == "RUN_EXPERIMENT":
        raise ProblemError(422, "This emulator evaluates projects; it has no datasets to run experiments on")
    only(
        fields,
        "name type project_id dataset_id experiment_ids sampling_rate is_continuous query_filter "
        "query_filters evaluators",
    )
    if fields.get("dataset_id") is not None:
        raise ProblemError(404, f"Dataset {fields['dataset_id']!r} not found")
    name = text(fields, "name", required=True)
    model_id = text(fields, "project_id", required=True)
    values = _task_values(state, fields)
    if "evaluators" not in values:
        raise ProblemError(400, "evaluators is missing")
    _check_name(state, name, None)
    _check_shape(values)
    _check_query_ids(values)
    _check_types(task_type, values["evaluators"])
    task = state.tasks.create(**{**values, "name": name, "model_id": model_id})
    return json_response(_task(task), 201)


def get_task(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    """Return a task."""
    return json_response(_task(task_of(state, request)))


def update_task(state: EmulatorState, request: Request, fields: dict[str, Any]) -> Response:
    """Change the given fields of a task."""
    task = task_of(state, request)
    if not fields:
        raise ProblemError(400, "Nothing to update; give at least one field")
    only(fields, "name sampling_rate is_continuous query_filter query_filters evaluators")
    values = _task_values(state, fields)
    if "evaluators" in values:
        _check_types(task.type, values["evaluators"])
    if "name" in values:
        _check_name(state, values["name"], task)
    _check_shape(values, task)
    _check_query_ids(values, task)
    return json_response(_task(state.tasks.patch(task, values)))


def delete_task(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    """Delete a task and cancel what it runs."""
    task = task_of(state, request)
    for run in state.runs.of_task(task.id):
        state.runs.advance(run)
        if not run.over:
            state.runs.cancel(run)
    state.tasks.delete(task)
    return Response(status_code=204)


def task_of(state: EmulatorState, request: Request) -> Task:
    """Return the task in the path."""
    return state.tasks.get(path_id(request, "task_id", "OnlineTask"))


def _task_values(state: EmulatorState, fields: dict[str, Any]) -> dict[str, Any]:
    """Read the fields that create and update share; absent ones stay absent."""
    if fields.get("query_filter") is not None and fields.get("query_filters") is not None:
        raise ProblemError(400, "query_filter and query_filters exclude each other")
    values = {
        field.name: _READERS[field.metadata["type"]](fields, name) for name, field in given("rest", fields)
    }
    if fields.get("evaluators") is not None:
        values["evaluators"] = _evaluators(state, fields["evaluators"])
    return values


def _named_filters(fields: dict[str, Any], name: str) -> dict[str, Any] | None:
    return _query_filters(fields[name])


# Fields that can be cleared are read where they are null, too.
_READERS: dict[type, Callable[[dict[str, Any], str], Any]] = {
    str: text,
    float: number,
    bool: flag,
    dict: _named_filters,
}


def _query_filters(value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ProblemError(400, "query_filters is not an object")
    only(value, "filters expression", "query_filters.")
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
        text(each, "filter", longest=2000)
    expression = text(value, "expression", longest=512)
    if expression is None:
        if len(filters) > 1:
            raise ProblemError(400, "query_filters.expression is required with two or more filters")
        expression = filters[0]["id"]
    return {
        "filters": [{"id": each["id"], "filter": each["filter"]} for each in filters],
        "expression": expression,
    }


def _evaluators(state: EmulatorState, value: Any) -> list[Evaluator]:
    if not isinstance(value, list) or not value:
        raise ProblemError(400, "evaluators needs at least one entry")
    evaluators = []
    for position, each in enumerate(value):
        if not isinstance(each, dict):
            raise ProblemError(400, "Each of evaluators has to be an object")
        only(
            each,
            "evaluator_id evaluator_version_id query_filter column_mappings query_mappings",
            "evaluators.",
        )
        mapped = _query_mappings(each.get("query_mappings"))
        if mapped is not None and any(
            each.get(name) is not None for name in ("query_filter", "column_mappings")
        ):
            raise ProblemError(400, "query_mappings excludes query_filter and column_mappings")
        evaluator = state.hub.attached(
            identifier(text(each, "evaluator_id", required=True), "Evaluator"),
            text(each, "evaluator_version_id"),
            position=position,
            query_filter=text(each, "query_filter"),
            column_mappings=_column_mappings(each.get("column_mappings")),
            query_mappings=mapped,
        )
        takes = "column_mappings" if evaluator.granularity == "span" else "query_mappings"
        if (takes == "column_mappings") != (mapped is None):
            raise ProblemError(
                422,
                f"Evaluator {evaluator.name!r} is about {evaluator.granularity}s: it takes {takes}",
            )
        evaluators.append(evaluator)
    if len({each.query_mappings is None for each in evaluators}) > 1:
        raise ProblemError(400, "The evaluators of a task have either column_mappings or query_mappings")
    if len({each.evaluator_id for each in evaluators}) < len(evaluators):
        raise ProblemError(400, "evaluators names an evaluator twice")
    return evaluators


def _column_mappings(value: Any) -> dict[str, str] | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise ProblemError(400, "column_mappings has to be an object of variables and columns")
    return value


def _query_mappings(value: Any) -> list[dict[str, Any]] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not 1 <= len(value) <= 50:
        raise ProblemError(400, "query_mappings needs one to fifty entries")
    for each in value:
        if not isinstance(each, dict):
            raise ProblemError(400, "Each of query_mappings has to be an object")
        only(each, "variable_name query_ids attribute_path", "query_mappings.")
        text(each, "variable_name", required=True, longest=256)
        text(each, "attribute_path", required=True, longest=1024)
        query_ids = each.get("query_ids")
        if not isinstance(query_ids, list) or not set(query_ids) <= set("ABCDE"):
            raise ProblemError(400, "query_mappings.query_ids has to be a list of ids from A to E")
    return value


def _check_query_ids(values: dict[str, Any], task: Task | None = None) -> None:
    """Refuse mappings that name a query which the task does not declare."""
    filters = values.get("query_filters", task.query_filters if task else None) or {"filters": []}
    declared = {each["id"] for each in filters["filters"]}
    for evaluator in values.get("evaluators", task.evaluators if task else []):
        for mapping in evaluator.query_mappings or ():
            unknown = sorted(set(mapping["query_ids"]) - declared)
            if unknown:
                raise ProblemError(
                    422, f"query_mappings names {', '.join(unknown)}, which query_filters does not declare"
                )


def _check_name(state: EmulatorState, name: str, task: Task | None) -> None:
    """Refuse a name that a task of the space has, whatever its project."""
    if any(other.name == name and not other.deleted and other is not task for other in state.tasks.all()):
        raise ProblemError(422, f"A task named {name!r} already exists in this space")


def _check_shape(values: dict[str, Any], task: Task | None = None) -> None:
    """Refuse a task with fields for spans and fields for traces or sessions."""

    def present(name: str) -> Any:
        return values.get(name, getattr(task, name, None))

    evaluators = [each for each in present("evaluators") if each.evaluator_id is not None]
    if any(each.query_mappings is not None for each in evaluators):
        if present("query_filters") is None:
            raise ProblemError(400, "Evaluators with query_mappings need the task's query_filters")
    elif evaluators and present("query_filters") is not None:
        raise ProblemError(400, "query_filters are for evaluators with query_mappings; give query_filter")


def _check_types(task_type: str, evaluators: Iterable[Evaluator]) -> None:
    for evaluator in evaluators:
        if KINDS[evaluator.kind].task_type != task_type:
            raise ProblemError(422, f"Evaluator {evaluator.name!r} does not fit a task of type {task_type}")


def _task(task: Task) -> dict[str, Any]:
    """Write a task."""
    return {
        "id": task.id,
        **{name: getattr(task, field.name) for name, field in settable("rest")},
        "type": task.type,
        "project_id": task.model_id,
        "dataset_id": None,
        "evaluators": [
            {
                # Some releases of Arize's SDK need a text here, also where there is no evaluator in the hub.
                "evaluator_id": each.evaluator_id or "",
                "evaluator_name": each.hub_name or each.name,
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
