"""createEvalTask, patchEvalTask and the fields of OnlineTask."""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, Any, cast

from ariadne import ObjectType

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.errors import InvalidError
from airflow_provider_online_tasks.emulator.evaluators.kinds import KINDS
from airflow_provider_online_tasks.emulator.evaluators.models import Evaluator
from airflow_provider_online_tasks.emulator.graphql import Context, mutation
from airflow_provider_online_tasks.emulator.tasks.models import CLEARABLE, Task

if TYPE_CHECKING:
    from graphql import GraphQLObjectType, GraphQLResolveInfo, GraphQLSchema

    from airflow_provider_online_tasks.emulator.state import EmulatorState

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


def task_type(schema: GraphQLSchema) -> ObjectType:
    """Return the resolvers of OnlineTask."""
    task = ObjectType("OnlineTask")
    task.set_field("samplingRate", _sampling_rate)
    task.set_field("filters", _filters)
    shown = cast("GraphQLObjectType", schema.type_map["OnlineTask"]).fields
    for name, field in FIELDS.items():
        if name in shown and name != "samplingRate":
            task.set_alias(name, field)
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
    return {"evalTask": state.tasks.patch(task, _values(state, fields, task))}


def _values(state: EmulatorState, fields: dict[str, Any], task: Task | None = None) -> dict[str, Any]:
    """Return the fields of :class:`Task` that a mutation sets."""
    values = {
        field: fields[name]
        for name, field in FIELDS.items()
        if name in fields and (fields[name] is not None or field in CLEARABLE)
    }
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
            **kind.from_graphql(each, llm_config),
        )
        for kind in KINDS.values()
        for each in fields.get(kind.graphql_field) or []
    ]
    return {**values, "evaluators": inline} if inline else values
