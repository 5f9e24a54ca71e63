"""The GraphQL schema with what answers its fields: three mutations, and a few queries to find things with."""

from __future__ import annotations

import dataclasses
import functools
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ariadne import (
    InterfaceType,
    MutationType,
    ObjectType,
    QueryType,
    UnionType,
    load_schema_from_path,
    make_executable_schema,
)
from graphql import build_schema

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.errors import RefusedInputError, UnknownObjectError
from airflow_provider_online_tasks.emulator.graphql import names
from airflow_provider_online_tasks.emulator.graphql.scalars import coded_error, scalars
from airflow_provider_online_tasks.emulator.judges.evaluator import Evaluator
from airflow_provider_online_tasks.emulator.judges.kinds import KINDS
from airflow_provider_online_tasks.emulator.runs.engine import DEFAULT_MAX_SPANS
from airflow_provider_online_tasks.emulator.runs.run import NoDataError
from airflow_provider_online_tasks.emulator.runs.tasks import Task, given, settable

if TYPE_CHECKING:
    from graphql import GraphQLObjectType, GraphQLResolveInfo, GraphQLSchema

    from airflow_provider_online_tasks.emulator.control.faults import Fault
    from airflow_provider_online_tasks.emulator.state import EmulatorState

PATCH_INPUT_TYPE = "PatchEvalTaskMutationInput"
COST_LIMIT = 1000

SCHEMA_PATH = Path(__file__).parents[2] / "api" / "schema.graphql"
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


@dataclasses.dataclass
class Context:
    """What resolvers know of their request."""

    state: EmulatorState
    cost: int
    task_error: Fault | None = None


# -- the schema -----------------------------------------------------------------------------------


@functools.lru_cache
def executable_schema(patch_input_type: str) -> GraphQLSchema:
    """Return the schema.

    :param patch_input_type: what it calls the input type of patchEvalTask.
    """
    sdl = load_schema_from_path(str(SCHEMA_PATH)).replace(PATCH_INPUT_TYPE, patch_input_type)
    shown = cast("GraphQLObjectType", build_schema(sdl).type_map["OnlineTask"]).fields
    query = QueryType()
    named = names.bindables(query)
    query.set_field("rateLimit", lambda _, info: {"limit": COST_LIMIT, "cost": info.context.cost})
    mutation = MutationType()
    mutation.set_field("createEvalTask", _resolve_create)
    mutation.set_field("patchEvalTask", _resolve_patch)
    mutation.set_field("runOnlineTask", _resolve_run)
    task = ObjectType("OnlineTask")
    task.set_field("samplingRate", _resolve_sampling_rate)
    task.set_field("filters", _resolve_filters)
    for name, field in settable("graphql"):
        if name in shown and name != "samplingRate":
            task.set_alias(name, field.name)
    node = InterfaceType("Node", names.type_of)
    result = UnionType("RunOnlineTaskResult", lambda value, *_: value["__typename"])
    return make_executable_schema(
        sdl,
        [query, mutation, *named, task, node, result, *scalars()],
    )


# -- queries --------------------------------------------------------------------------------------


def _resolve_sampling_rate(task: Task, info: GraphQLResolveInfo[Context]) -> float:
    percent = info.context.state.settings.sampling_rate_unit == "percent"
    return task.sampling_rate * 100 if percent else task.sampling_rate


def _resolve_filters(task: Task, _: GraphQLResolveInfo[Context]) -> list[dict[str, Any]]:
    comparisons = _COMPARISON.findall(_TEXT_LITERAL.sub("''", task.query_filter or ""))
    return [
        {
            "dimension": {"id": ids.encode("Dimension", zlib.crc32(name.encode())), "name": name},
            "operator": _OPERATORS[operator],
        }
        for name, operator in comparisons
    ]


# -- mutations ------------------------------------------------------------------------------------


def _refusing(resolver: Any) -> Any:
    """Turn what the task book refuses into GraphQL errors."""

    @functools.wraps(resolver)
    def refuse(_: Any, info: GraphQLResolveInfo[Context], input: dict[str, Any]) -> Any:  # noqa: A002 -- the argument's name in the schema
        try:
            return resolver(info.context, input)
        except UnknownObjectError as error:
            raise coded_error(str(error), "NOT_FOUND") from error
        except RefusedInputError as error:
            raise coded_error(str(error), "BAD_USER_INPUT") from error

    return refuse


@_refusing
def _resolve_create(context: Context, fields: dict[str, Any]) -> dict[str, Any]:
    state = context.state
    values = _task_values(state, fields)
    hub = [
        state.hub.attached(
            each["evaluatorId"], position=position if each.get("position") is None else each["position"]
        )
        for position, each in enumerate(fields.get("evaluators") or [])
    ]
    inline = values.pop("evaluators", [])
    if hub and inline:
        names = " and ".join(kind.graphql_field for kind in KINDS.values())
        raise RefusedInputError(f"Give either evaluators or {names}, not both")
    task = state.tasks.create(model_id=fields["modelId"], evaluators=hub or inline, **values)
    return {"evalTask": task}


@_refusing
def _resolve_patch(context: Context, fields: dict[str, Any]) -> dict[str, Any]:
    state = context.state
    task = state.tasks.get(fields["onlineTaskId"])
    changes = _task_values(state, fields, task)
    return {"evalTask": state.tasks.patch(task, changes)}


def _task_values(state: EmulatorState, fields: dict[str, Any], task: Task | None = None) -> dict[str, Any]:
    """Read the fields that create and patch share; absent ones stay absent."""
    values = {field.name: fields[name] for name, field in given("graphql", fields)}
    if "sampling_rate" in values and state.settings.sampling_rate_unit == "percent":
        values["sampling_rate"] /= 100
    llm_config = values.get("llm_config", task.llm_config if task else None)
    inline = [
        Evaluator(
            name=each["name"],
            kind=kind.name,
            position=each["position"],
            granularity=each.get("dataGranularityType") or "span",
            query_filter=each.get("queryFilter"),
            **kind.of_graphql(each, llm_config),
        )
        for kind in KINDS.values()
        for each in fields.get(kind.graphql_field) or []
    ]
    return {**values, "evaluators": inline} if inline else values


@_refusing
def _resolve_run(context: Context, fields: dict[str, Any]) -> dict[str, Any]:
    state, fault = context.state, context.task_error
    if fault is not None:
        return _task_error(fault.message or "The task run could not be started", fault.code or "INTERNAL")
    max_spans = DEFAULT_MAX_SPANS if fields.get("maxSpans") is None else fields["maxSpans"]
    if max_spans < 1:
        raise RefusedInputError(f"maxSpans is {max_spans}; it has to be 1 or more")
    try:
        task = state.tasks.get(fields["onlineTaskId"])
    except UnknownObjectError as error:
        return _task_error(str(error), "NOT_FOUND")
    start, end = fields.get("dataStartTime"), fields.get("dataEndTime")
    start = task.last_run_at if start is None else start
    end = state.clock.stamp() if end is None else end
    if start is None:
        return _task_error("dataStartTime is required on the first run of a task", "INVALID_ARGUMENT")
    if start >= end:
        return _task_error("dataStartTime has to be before dataEndTime", "INVALID_ARGUMENT")
    days = state.settings.graphql_max_window_days
    if days is not None and end - start > days * 86_400:
        return _task_error(f"The data window spans more than {days} days", "INVALID_ARGUMENT")
    try:
        run = state.runs.create(
            task,
            start=start,
            end=end,
            max_spans=max_spans,
            override=bool(fields.get("overrideEvaluations")),
            take_fate=state.faults.take_fate,
        )
    except NoDataError as error:
        return _task_error(str(error), "NO_DATA")
    state.tasks.save(task)
    return {"result": {"__typename": "CreateTaskRunResponse", "runId": run.id}}


def _task_error(message: str, code: str) -> dict[str, Any]:
    return {"result": {"__typename": "TaskError", "message": message, "code": code}}
