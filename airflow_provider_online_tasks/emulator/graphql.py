"""The GraphQL API: three mutations, and a few queries to find things with."""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ariadne import (
    InterfaceType,
    MutationType,
    ObjectType,
    QueryType,
    ScalarType,
    UnionType,
    graphql_sync,
    load_schema_from_path,
    make_executable_schema,
)
from graphql import (
    EnumValueNode,
    FieldNode,
    GraphQLError,
    OperationDefinitionNode,
    OperationType,
    Visitor,
    parse,
    visit,
)
from starlette.responses import Response
from starlette.routing import Route

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.clock import read_time
from airflow_provider_online_tasks.emulator.endpoint import READ, WRITE, serve
from airflow_provider_online_tasks.emulator.runs import DEFAULT_MAX_SPANS, NoDataError
from airflow_provider_online_tasks.emulator.tasks import (
    Evaluator,
    RefusedInputError,
    Task,
    UnknownObjectError,
    hub_evaluator,
    hub_evaluator_ids,
)

if TYPE_CHECKING:
    from graphql import DocumentNode, GraphQLResolveInfo, GraphQLSchema
    from starlette.requests import Request

    from airflow_provider_online_tasks.emulator.faults import Fault
    from airflow_provider_online_tasks.emulator.state import EmulatorState

PATCH_INPUT_TYPE = "PatchEvalTaskMutationInput"
COST_LIMIT = 1000

_SCHEMA_PATH = Path(__file__).with_name("schema.graphql")
_ENTERPRISE_ONLY = "GraphQL Mutation access is only available for enterprise accounts"
_RUN_MUTATION = "runOnlineTask"
_MAIN_FIELDS: dict[str, tuple[str, ...]] = {
    "graphql.createEvalTask": ("data", "createEvalTask", "evalTask", "id"),
    "graphql.patchEvalTask": ("data", "patchEvalTask", "evalTask", "id"),
    "graphql.runOnlineTask": ("data", "runOnlineTask", "result", "runId"),
}

# Ariadne logs every refused request as an error; here it is what the client asked for.
_quiet = logging.Logger("emulator.graphql")  # noqa: LOG001 -- deliberately outside the hierarchy
_quiet.addHandler(logging.NullHandler())

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
class _Context:
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


def _error(message: str, code: str) -> GraphQLError:
    return GraphQLError(message, extensions={"code": code})


# -- the HTTP side --------------------------------------------------------------------------------


def route(state: EmulatorState) -> Route:
    """Return the route of the GraphQL API."""

    async def endpoint(request: Request) -> Response:
        answers = GraphQLAnswers(state, await request.body())
        return await serve(state, request, answers.operation, answers.budget, answers)

    return Route("/graphql", endpoint, methods=["POST"])


class GraphQLAnswers:
    """The GraphQL side of a request, see :class:`endpoint.Answers`."""

    def __init__(self, state: EmulatorState, body: bytes) -> None:
        self._state = state
        try:
            self._data = json.loads(body)
        except ValueError:
            self._data = None
        self._definition = _operation(self._data)
        self._is_mutation = (
            self._definition is not None and self._definition.operation is OperationType.MUTATION
        )
        self.budget = WRITE if self._is_mutation else READ
        self.operation = "graphql.query"
        if self._is_mutation and self._definition is not None:
            fields = [
                each for each in self._definition.selection_set.selections if isinstance(each, FieldNode)
            ]
            self.operation = f"graphql.{fields[0].name.value}" if fields else "graphql.mutation"

    def key(self, request: Request) -> str:
        """Return the key of the ``x-api-key`` header."""
        return request.headers.get("x-api-key", "")

    def error(
        self,
        request: Request,
        status: int,
        message: str,
        code: str | None = None,
        headers: dict[str, str] | None = None,  # noqa: ARG002
    ) -> Response:
        """Write an error with an HTTP status of its own."""
        return _errors(message, code or "INTERNAL_SERVER_ERROR", status, headers)

    def rate_limited(
        self, request: Request, status: int | None, message: str | None, headers: dict[str, str]
    ) -> Response:  # noqa: ARG002
        """Write the refusal of a request over the limit, as an error in the answer or as a status."""
        if status is None:
            status = self._state.settings.graphql_rate_limit_status
        message = message or "TOO_MANY_REQUESTS: the rate limit is exceeded, try again in a minute"
        return _errors(message, "TOO_MANY_REQUESTS", status, headers)

    def fault(self, request: Request, fault: Fault) -> Response | None:  # noqa: ARG002
        """Write the answer of the faults that GraphQL puts into an answer of its own kind."""
        if fault.kind == "graphql_error":
            message = fault.message or "Internal server error"
            return _errors(message, fault.code or "INTERNAL_SERVER_ERROR", fault.status or 200)
        if fault.kind == "not_found":
            return _errors(fault.message or "not found", fault.code or "NOT_FOUND", fault.status or 200)
        if fault.kind == "unknown_type":
            message = fault.message or f'Unknown type "{self._input_type()}".'
            return _errors(message, fault.code or "GRAPHQL_VALIDATION_FAILED", fault.status or 400)
        if fault.kind == "task_error":
            return self._execute(fault)
        return None

    def main_field(self) -> tuple[str, ...]:
        """Return the path to what the operation is about."""
        return _MAIN_FIELDS.get(self.operation, ("data",))

    def execute(self, request: Request) -> Response:  # noqa: ARG002
        """Execute the document."""
        return self._execute(None)

    def _execute(self, task_error: Fault | None) -> Response:
        if not isinstance(self._data, dict):
            return _errors("The body is not a JSON object with a query", "BAD_REQUEST", 400)
        if self._is_mutation and not self._state.settings.mutations_permitted:
            return _errors(_ENTERPRISE_ONLY, "FORBIDDEN", 200)
        _, answer = graphql_sync(
            _schema(self._state.settings.patch_input_type),
            self._data,
            context_value=_Context(self._state, _cost(self._definition), task_error),
            logger=_quiet,
            error_formatter=_formatted,
        )
        # Without data there was no execution: the document itself was refused.
        status = 200 if "data" in answer else 400
        return Response(json.dumps(answer), status, media_type="application/json")

    def _input_type(self) -> str:
        if self._definition is not None:
            for variable in self._definition.variable_definitions or ():
                return variable.type.loc.source.body[variable.type.loc.start : variable.type.loc.end].strip(
                    "!"
                )  # type: ignore[union-attr]
        return "Input"


def _errors(message: str, code: str, status: int, headers: dict[str, str] | None = None) -> Response:
    document = {"errors": [{"message": message, "extensions": {"code": code}}], "data": None}
    return Response(json.dumps(document), status, headers, media_type="application/json")


def _formatted(error: GraphQLError, debug: bool = False) -> dict[str, Any]:  # noqa: ARG001, FBT001, FBT002 -- Ariadne's signature
    """Write an error, with a code in any case."""
    formatted: dict[str, Any] = dict(error.formatted)
    if "code" not in formatted.get("extensions", {}):
        original = error.original_error
        if original is not None:
            code = "INTERNAL_SERVER_ERROR"
        elif (
            error.path is not None
            or "got invalid value" in error.message
            or "was not provided" in error.message
        ):
            code = "BAD_USER_INPUT"
        else:
            code = "GRAPHQL_VALIDATION_FAILED"
        formatted["extensions"] = {**formatted.get("extensions", {}), "code": code}
    return formatted


def _operation(data: Any) -> OperationDefinitionNode | None:
    """Return the operation a request asks for; None where it cannot be told, and execution will say why."""
    if not isinstance(data, dict) or not isinstance(data.get("query"), str):
        return None
    try:
        document: DocumentNode = parse(data["query"])
    except GraphQLError:
        return None
    operations = [each for each in document.definitions if isinstance(each, OperationDefinitionNode)]
    wanted = data.get("operationName")
    named = [each for each in operations if wanted is None or (each.name and each.name.value == wanted)]
    return named[0] if named else None


def _cost(definition: OperationDefinitionNode | None) -> int:
    """Return what a call costs: a point for each field."""
    if definition is None:
        return 1
    fields: list[FieldNode] = []

    class Counter(Visitor):
        def enter_field(self, node: FieldNode, *_: Any) -> None:
            fields.append(node)

    visit(definition, Counter())
    return max(1, len(fields))


# -- the schema -----------------------------------------------------------------------------------


@functools.lru_cache
def _schema(patch_input_type: str) -> GraphQLSchema:
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
        [query, mutation, viewer, space, task, node, result, *_scalars()],
    )


def _scalars() -> list[ScalarType]:
    date_time, json_object = ScalarType("DateTime"), ScalarType("JSONObject")

    @date_time.value_parser
    def parse_date_time(value: Any) -> float:
        if not isinstance(value, str):
            raise _error(f"DateTime cannot represent {value!r}", "BAD_USER_INPUT")
        try:
            return read_time(value)
        except ValueError as error:
            raise _error(
                f"DateTime cannot represent an invalid date-time-string {value!r}", "BAD_USER_INPUT"
            ) from error

    @json_object.value_parser
    def parse_json_object(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _error(
                f"JSONObject cannot represent a value that is no object: {value!r}", "BAD_USER_INPUT"
            )
        return value

    return [
        date_time,
        json_object,
        _open_enum("ExternalLLMProviderModel"),
        _open_enum("LLMIntegrationProvider"),
    ]


def _open_enum(name: str) -> ScalarType:
    """Return a scalar that reads as an enum does, but knows no list of values."""
    scalar = ScalarType(name)

    @scalar.value_parser
    def parse_value(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z_]\w*", value):
            raise _error(f'Value {value!r} does not exist in "{name}" enum.', "BAD_USER_INPUT")
        return value

    @scalar.literal_parser
    def parse_literal(node: Any, variables: Any = None) -> str:  # noqa: ARG001
        if not isinstance(node, EnumValueNode):
            raise _error(f'Enum "{name}" cannot represent a value that is no enum value.', "BAD_USER_INPUT")
        return node.value

    return scalar


# -- queries --------------------------------------------------------------------------------------

_SPACE = _Named("Space", ids.SPACE_ID, ids.SPACE_NAME)
_MODEL = _Named("Model", ids.PROJECT_ID, ids.PROJECT_NAME)
_ORGANIZATION = _Named("AccountOrganization", ids.ORGANIZATION_ID, ids.ORGANIZATION_NAME)


def _resolve_node(_: Any, info: GraphQLResolveInfo, id: str) -> Any:  # noqa: A002 -- the argument's name in the schema
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
    useExactSearchMatch: bool | None = None,
    **_: Any,  # noqa: N803 -- the argument's name
) -> dict[str, Any]:
    wanted, name = (search or "").lower(), only.name.lower()
    found = wanted in ("", name) if useExactSearchMatch else wanted in name
    return {"edges": [{"node": only}] if found else [], "pageInfo": {"hasNextPage": False, "endCursor": None}}


def _resolve_sampling_rate(task: Task, info: GraphQLResolveInfo) -> float:
    percent = info.context.state.settings.sampling_rate_unit == "percent"
    return task.sampling_rate * 100 if percent else task.sampling_rate


def _resolve_filters(task: Task, _: GraphQLResolveInfo) -> list[dict[str, Any]]:
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
    def refuse(_: Any, info: GraphQLResolveInfo, input: dict[str, Any]) -> Any:  # noqa: A002 -- the argument's name in the schema
        try:
            return resolver(info.context, input)
        except UnknownObjectError as error:
            raise _error(str(error), "NOT_FOUND") from error
        except RefusedInputError as error:
            raise _error(str(error), "BAD_USER_INPUT") from error

    return refuse


@_refusing
def _resolve_create(context: _Context, fields: dict[str, Any]) -> dict[str, Any]:
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
def _resolve_patch(context: _Context, fields: dict[str, Any]) -> dict[str, Any]:
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
def _resolve_run(context: _Context, fields: dict[str, Any]) -> dict[str, Any]:
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
