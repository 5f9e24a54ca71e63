"""The GraphQL schema with what answers its fields: three mutations, and a few queries to find things with."""

from __future__ import annotations

import dataclasses
import functools
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ariadne import (
    InterfaceType,
    MutationType,
    ObjectType,
    QueryType,
    UnionType,
    load_schema_from_path,
    make_executable_schema,
)

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.graphql.scalars import coded_error, scalars
from airflow_provider_online_tasks.emulator.runs.engine import DEFAULT_MAX_SPANS
from airflow_provider_online_tasks.emulator.runs.run import NoDataError
from airflow_provider_online_tasks.emulator.runs.tasks import (
    Evaluator,
    RefusedInputError,
    Task,
    UnknownObjectError,
    hub_evaluator,
    hub_evaluator_ids,
)

if TYPE_CHECKING:
    from graphql import GraphQLResolveInfo, GraphQLSchema

    from airflow_provider_online_tasks.emulator.control.faults import Fault
    from airflow_provider_online_tasks.emulator.state import EmulatorState

PATCH_INPUT_TYPE = "PatchEvalTaskMutationInput"
COST_LIMIT = 1000

_SCHEMA_PATH = Path(__file__).with_name("schema.graphql")
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


@dataclasses.dataclass(frozen=True)
class _Named:
    """A node that is nothing but its name."""

    type: str
    id: str
    name: str


# -- the schema -----------------------------------------------------------------------------------


@functools.lru_cache
def executable_schema(patch_input_type: str) -> GraphQLSchema:
    """Return the schema.

    :param patch_input_type: what it calls the input type of patchEvalTask.
    """
    sdl = load_schema_from_path(str(_SCHEMA_PATH)).replace(PATCH_INPUT_TYPE, patch_input_type)
    query = QueryType()
    query.set_field("node", _resolve_node)
    query.set_field("viewer", lambda *_: {"id": ids.USER_ID})
    query.set_field("rateLimit", lambda _, info: {"limit": COST_LIMIT, "cost": info.context.cost})
    mutation = MutationType()
    mutation.set_field("createEvalTask", _resolve_create)
    mutation.set_field("patchEvalTask", _resolve_patch)
    mutation.set_field("runOnlineTask", _resolve_run)
    viewer, space, task = ObjectType("Viewer"), ObjectType("Space"), ObjectType("OnlineTask")
    viewer.set_field("spaces", lambda _, info, **found: _connection(_SPACE, **found))  # noqa: ARG005
    space.set_field("models", lambda _, info, **found: _connection(_MODEL, **found))  # noqa: ARG005
    task.set_field("samplingRate", _resolve_sampling_rate)
    task.set_field("filters", _resolve_filters)
    task.set_alias("queryFilter", "query_filter")
    task.set_alias("runContinuously", "is_continuous")
    node = InterfaceType("Node", lambda value, *_: "OnlineTask" if isinstance(value, Task) else value.type)
    result = UnionType("RunOnlineTaskResult", lambda value, *_: value["__typename"])
    return make_executable_schema(
        sdl,
        [query, mutation, viewer, space, task, node, result, *scalars()],
    )


# -- queries --------------------------------------------------------------------------------------

_SPACE = _Named("Space", ids.SPACE_ID, ids.SPACE_NAME)
_MODEL = _Named("Model", ids.PROJECT_ID, ids.PROJECT_NAME)
_ORGANIZATION = _Named("AccountOrganization", ids.ORGANIZATION_ID, ids.ORGANIZATION_NAME)


def _resolve_node(_: Any, info: GraphQLResolveInfo[Context], id: str) -> Any:  # noqa: A002 -- the argument's name in the schema
    state: EmulatorState = info.context.state
    for named in (_SPACE, _MODEL, _ORGANIZATION):
        if named.id == id:
            return named
    for name, evaluator_id in hub_evaluator_ids().items():
        if evaluator_id == id:
            return _Named("Evaluator", id, name)
    try:
        decoded = ids.decode(id)
        if decoded is not None and decoded.type == "TaskRun":
            return _Named("TaskRun", state.runs.get(id).id, "")
        return state.tasks.get(id)
    except UnknownObjectError:
        return None


def _connection(
    only: _Named,
    *,
    search: str | None = None,
    useExactSearchMatch: bool | None = None,  # noqa: N803 -- the argument's name in the schema
    **_: Any,
) -> dict[str, Any]:
    wanted, name = (search or "").lower(), only.name.lower()
    found = wanted in ("", name) if useExactSearchMatch else wanted in name
    return {"edges": [{"node": only}] if found else [], "pageInfo": {"hasNextPage": False, "endCursor": None}}


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
        hub_evaluator(
            each["evaluatorId"], position=position if each.get("position") is None else each["position"]
        )
        for position, each in enumerate(fields.get("evaluators") or [])
    ]
    inline = values.pop("evaluators", [])
    if hub and inline:
        raise RefusedInputError("Give either evaluators or templateEvaluators and codeEvaluators, not both")
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
    values: dict[str, Any] = {}
    if "name" in fields:
        values["name"] = fields["name"]
    if fields.get("samplingRate") is not None:
        rate = fields["samplingRate"]
        values["sampling_rate"] = rate / 100 if state.settings.sampling_rate_unit == "percent" else rate
    if "queryFilter" in fields:
        values["query_filter"] = fields["queryFilter"]
    if fields.get("runContinuously") is not None:
        values["is_continuous"] = fields["runContinuously"]
    if "llmConfig" in fields:
        values["llm_config"] = fields["llmConfig"]
    if fields.get("templateEvaluators") or fields.get("codeEvaluators"):
        llm_config = values.get("llm_config", task.llm_config if task else None)
        values["evaluators"] = [
            *(_template_evaluator(each, llm_config) for each in fields.get("templateEvaluators") or []),
            *(_code_evaluator(each) for each in fields.get("codeEvaluators") or []),
        ]
    return values


def _template_evaluator(fields: dict[str, Any], llm_config: dict[str, Any] | None) -> Evaluator:
    if llm_config is None and fields.get("llmConfig") is None:
        raise RefusedInputError(
            f"Template evaluator {fields['name']!r} needs an llmConfig, its own or the task's"
        )
    choices = fields.get("classificationChoices")
    return Evaluator(
        name=fields["name"],
        kind="template",
        position=fields["position"],
        template=fields["template"],
        rails=fields.get("rails") or list(choices or {}),
        choices=choices,
        explain=fields["includeExplanations"],
        granularity=fields.get("dataGranularityType") or "span",
        query_filter=fields.get("queryFilter"),
    )


def _code_evaluator(fields: dict[str, Any]) -> Evaluator:
    parameters = dict(fields.get("evaluationInputParams") or {})
    if fields.get("spanAttributes"):
        parameters.setdefault("span_attribute", fields["spanAttributes"][0])
    return Evaluator(
        name=fields["name"],
        kind="code",
        position=fields["position"],
        granularity=fields.get("dataGranularityType") or "span",
        query_filter=fields.get("queryFilter"),
        evaluation_class=fields.get("evaluationClass"),
        parameters=parameters,
    )


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
