"""Tasks over REST and GraphQL."""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from ariadne import ObjectType
from pydantic import Field, model_validator

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.clock import write_time
from airflow_provider_online_tasks.emulator.errors import InvalidError, NotFoundError, RequestError
from airflow_provider_online_tasks.emulator.evaluators.kinds import KINDS
from airflow_provider_online_tasks.emulator.evaluators.models import Evaluator
from airflow_provider_online_tasks.emulator.graphql import Context, mutation
from airflow_provider_online_tasks.emulator.rest import Body, Call, Operation, Text, checked_id
from airflow_provider_online_tasks.emulator.tasks.models import CLEARABLE, Task

if TYPE_CHECKING:
    from collections.abc import Iterable

    from graphql import GraphQLResolveInfo

    from airflow_provider_online_tasks.emulator.state import EmulatorState

TASK_TYPES = (*(kind.task_type for kind in KINDS.values()), "RUN_EXPERIMENT")
NoExperiments = Annotated[list[str], Field(max_length=0)] | None  # they are for tasks on datasets
QueryId = Literal["A", "B", "C", "D", "E"]


class _NamedFilter(Body):
    id: QueryId
    filter: Annotated[str, Field(max_length=2000)]


class _QueryFilters(Body):
    filters: Annotated[list[_NamedFilter], Field(min_length=1, max_length=5)]
    expression: Annotated[str, Field(max_length=512)] | None = None

    @model_validator(mode="after")
    def _default_expression(self) -> Self:
        if self.expression is None:
            if len(self.filters) > 1:
                raise ValueError("expression is required with two or more filters")
            self.expression = self.filters[0].id
        return self


class _QueryMapping(Body):
    variable_name: Annotated[str, Field(min_length=1, max_length=256)]
    query_ids: Annotated[list[QueryId], Field(max_length=5)]
    attribute_path: Annotated[str, Field(min_length=1, max_length=1024)]


class _EvaluatorAttachment(Body):
    evaluator_id: Text
    evaluator_version_id: str | None = None
    query_filter: str | None = None
    column_mappings: dict[str, str] | None = None
    query_mappings: Annotated[list[_QueryMapping], Field(min_length=1, max_length=50)] | None = None

    @model_validator(mode="after")
    def _one_kind_of_mapping(self) -> Self:
        if self.query_mappings is not None and (self.query_filter, self.column_mappings) != (None, None):
            raise ValueError("query_mappings excludes query_filter and column_mappings")
        return self


class _TaskChanges(Body):
    name: Text | None = None
    sampling_rate: float | None = None
    is_continuous: bool | None = None
    query_filter: str | None = None
    query_filters: _QueryFilters | None = None
    evaluators: Annotated[list[_EvaluatorAttachment], Field(min_length=1)] | None = None

    def values(self, state: EmulatorState) -> dict[str, Any]:
        """Return the fields of :class:`Task` that the request sets."""
        given = {name: value for name, value in self.given.items() if value is not None or name in CLEARABLE}
        values = {name: value for name, value in given.items() if name in _FIELDS}
        if self.query_filters is not None:
            values["query_filters"] = self.query_filters.model_dump()
        if self.evaluators is not None:
            values["evaluators"] = _attached(state, self.evaluators)
        return values


class _TaskInput(_TaskChanges):
    name: Text
    type: Literal[TASK_TYPES]  # type: ignore[valid-type]
    project_id: Text
    dataset_id: str | None = None
    experiment_ids: NoExperiments = None
    evaluators: Annotated[list[_EvaluatorAttachment], Field(min_length=1)]


_FIELDS = ("name", "sampling_rate", "is_continuous", "query_filter", "query_filters")


def list_tasks(call: Call) -> dict[str, Any]:
    """List the matching tasks, newest first."""
    query = call.query
    task_type = query.get("type")
    if task_type is not None and task_type.upper() not in TASK_TYPES:
        raise RequestError(400, f"type must be one of {', '.join(TASK_TYPES)}, not {task_type!r}")
    found = [
        task
        for task in reversed(call.state.tasks.all())
        if not task.deleted
        and call.in_space
        and call.matches_name(task.name)
        and query.get("project_id") in (None, task.model_id)
        and query.get("dataset_id") is None
        and (task_type is None or task.type == task_type.upper())
    ]
    return call.listed("tasks", found, lambda task: task.number, _task)


def create_task(call: Call) -> dict[str, Any]:
    """Create a task with Eval Hub evaluators."""
    body: _TaskInput = call.body
    if body.type == "RUN_EXPERIMENT":
        raise InvalidError("This emulator has no experiments; it evaluates the spans of projects")
    if body.dataset_id is not None:
        raise NotFoundError(f"Dataset {body.dataset_id!r} not found")
    values = body.values(call.state)
    _check(call.state, values, body.type, None)
    return _task(call.state.tasks.create(model_id=body.project_id, **values))


def update_task(call: Call) -> dict[str, Any]:
    """Change the given fields of a task."""
    task = task_of(call)
    if not call.body.given:
        raise RequestError(400, "Set at least one field to update")
    values = call.body.values(call.state)
    _check(call.state, values, task.type, task)
    return _task(call.state.tasks.patch(task, values))


def delete_task(call: Call) -> None:
    """Delete a task and cancel its runs."""
    task, runs = task_of(call), call.state.runs
    for run in runs.of_task(task.id):
        runs.advance(run)
        if not run.over:
            runs.cancel(run)
    call.state.tasks.delete(task)


def task_of(call: Call) -> Task:
    """Return the task in the path."""
    return call.state.tasks.get(call.id("task_id", "OnlineTask"))


def _attached(state: EmulatorState, attachments: Iterable[_EvaluatorAttachment]) -> list[Evaluator]:
    evaluators = []
    for position, each in enumerate(attachments):
        fields = each.model_dump(exclude={"evaluator_id", "evaluator_version_id"})
        evaluator_id = checked_id(each.evaluator_id, "Evaluator")
        evaluator = state.hub.attach(evaluator_id, each.evaluator_version_id, position=position, **fields)
        expected = "column_mappings" if evaluator.granularity == "span" else "query_mappings"
        if (expected == "column_mappings") != (each.query_mappings is None):
            raise InvalidError(
                f"Evaluator {evaluator.name!r} evaluates {evaluator.granularity}s: set {expected}"
            )
        evaluators.append(evaluator)
    if len({each.granularity for each in evaluators}) > 1:
        raise InvalidError("All evaluators of a task need the same data granularity")
    if len({each.evaluator_id for each in evaluators}) < len(evaluators):
        raise RequestError(400, "evaluators contains an evaluator twice")
    return evaluators


def _check(state: EmulatorState, values: dict[str, Any], task_type: str, task: Task | None) -> None:
    """Reject what REST does not allow of a task as it would become."""
    if "name" in values:
        state.tasks.check_name(values["name"], task)
    for each in values.get("evaluators", ()):
        if KINDS[each.kind].task_type != task_type:
            raise InvalidError(f"Evaluator {each.name!r} does not fit a task of type {task_type}")
    filters = values.get("query_filters", getattr(task, "query_filters", None))
    evaluators = values.get("evaluators", getattr(task, "evaluators", []))
    from_hub = [each for each in evaluators if each.evaluator_id is not None]
    if any(each.query_mappings is not None for each in from_hub):
        if filters is None:
            raise RequestError(400, "Evaluators with query_mappings need query_filters of the task")
    elif from_hub and filters is not None:
        raise RequestError(400, "query_filters are for evaluators with query_mappings; set query_filter")
    declared = {each["id"] for each in (filters or {"filters": []})["filters"]}
    for mapping in (mapping for each in evaluators for mapping in each.query_mappings or ()):
        unknown = sorted(set(mapping["query_ids"]) - declared)
        if unknown:
            raise InvalidError(f"query_mappings uses filters that are not declared: {', '.join(unknown)}")


def _task(task: Task) -> dict[str, Any]:
    return {
        "id": task.id,
        **{name: getattr(task, name) for name in _FIELDS},
        "type": task.type,
        "project_id": task.model_id,
        "dataset_id": None,
        "evaluators": [
            {
                # Some releases of Arize's SDK require a text, also for an inline evaluator.
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


# The fields of createEvalTask, patchEvalTask and OnlineTask, with their names in Task.
FIELDS = {
    "name": "name",
    "samplingRate": "sampling_rate",
    "queryFilter": "query_filter",
    "runContinuously": "is_continuous",
    "llmConfig": "llm_config",
}
_COMPARISON = re.compile(r"([A-Za-z_][\w.]*)\s*(<>|!=|<=|>=|=|<|>)")
_TEXT_LITERAL = re.compile(r"'(?:[^']|'')*'")
_OPERATORS = {
    "=": "equals",
    "!=": "notEquals",
    "<>": "notEquals",
    ">": "greaterThan",
    ">=": "greaterThanOrEqual",
    "<": "lessThan",
    "<=": "lessThanOrEqual",
}


def task_type() -> ObjectType:
    """Return the resolvers of OnlineTask."""
    task = ObjectType("OnlineTask")
    task.set_field("samplingRate", _sampling_rate)
    task.set_field("filters", _filters)
    for name in ("queryFilter", "runContinuously"):
        task.set_alias(name, FIELDS[name])
    return task


def _sampling_rate(task: Task, info: GraphQLResolveInfo[Context]) -> float:
    percent = info.context.state.settings.sampling_rate_unit == "percent"
    return task.sampling_rate * 100 if percent else task.sampling_rate


def _filters(task: Task, _: GraphQLResolveInfo[Context]) -> list[dict[str, Any]]:
    comparisons = _COMPARISON.findall(_TEXT_LITERAL.sub("''", task.query_filter or ""))
    return [
        {
            "dimension": {"id": ids.encode("Dimension", zlib.crc32(name.encode())), "name": name},
            "operator": _OPERATORS[operator],
        }
        for name, operator in comparisons
    ]


@mutation
def create_eval_task(context: Context, fields: dict[str, Any]) -> dict[str, Any]:
    """Create a task with inline evaluators or evaluators of the Eval Hub."""
    state = context.state
    values = _values(state, fields)
    from_hub = [
        state.hub.attach(
            each["evaluatorId"], position=position if each.get("position") is None else each["position"]
        )
        for position, each in enumerate(fields.get("evaluators") or [])
    ]
    if from_hub and "evaluators" in values:
        names = " and ".join(kind.graphql_field for kind in KINDS.values())
        raise InvalidError(f"Set either evaluators or {names}, not both")
    values.setdefault("evaluators", from_hub)
    return {"evalTask": state.tasks.create(model_id=fields["modelId"], **values)}


@mutation
def patch_eval_task(context: Context, fields: dict[str, Any]) -> dict[str, Any]:
    """Change fields of a task."""
    state = context.state
    task = state.tasks.get(fields["onlineTaskId"])
    return {"evalTask": state.tasks.patch(task, _values(state, fields))}


def _values(state: EmulatorState, fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of :class:`Task` that a mutation sets."""
    values = {
        field: fields[name]
        for name, field in FIELDS.items()
        if name in fields and (fields[name] is not None or field in CLEARABLE)
    }
    if "sampling_rate" in values and state.settings.sampling_rate_unit == "percent":
        values["sampling_rate"] /= 100
    inline = [
        Evaluator(
            name=each["name"],
            kind=kind.name,
            position=each["position"],
            granularity=each.get("dataGranularityType") or "span",
            query_filter=each.get("queryFilter"),
            **kind.from_graphql(each),
        )
        for kind in KINDS.values()
        for each in fields.get(kind.graphql_field) or []
    ]
    return {**values, "evaluators": inline} if inline else values


_TASK = "/v2/tasks/{task_id}"
OPERATIONS = (
    Operation("GET", "/v2/tasks", list_tasks, "tasks"),
    Operation("POST", "/v2/tasks", create_task, body=_TaskInput, status=201),
    Operation("GET", _TASK, lambda call: _task(task_of(call)), label="get_task"),
    Operation("PATCH", _TASK, update_task, body=_TaskChanges),
    Operation("DELETE", _TASK, delete_task, status=204),
)
