"""The GraphQL API: the schema with its resolvers, and how a request reaches them."""

from __future__ import annotations

import functools
import json
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ariadne import (
    MutationType,
    ScalarType,
    UnionType,
    graphql_sync,
    load_schema_from_path,
    make_executable_schema,
)
from graphql import (
    EnumValueNode,
    FieldNode,
    FragmentSpreadNode,
    GraphQLError,
    OperationDefinitionNode,
    OperationType,
    get_operation_ast,
    parse,
    print_ast,
    value_from_ast_untyped,
)
from starlette.responses import Response
from starlette.routing import Route

from airflow_provider_online_tasks.emulator.clock import read_time
from airflow_provider_online_tasks.emulator.graphql import Context, coded_error
from airflow_provider_online_tasks.emulator.rest import READ, WRITE
from airflow_provider_online_tasks.emulator.runs.api import run_online_task
from airflow_provider_online_tasks.emulator.server.requests import ApiRequest
from airflow_provider_online_tasks.emulator.spaces import COST_LIMIT, resolvers
from airflow_provider_online_tasks.emulator.tasks.api import create_eval_task, patch_eval_task, task_type

if TYPE_CHECKING:
    from collections.abc import Mapping

    from graphql import GraphQLSchema
    from starlette.requests import Request

    from airflow_provider_online_tasks.emulator.control.faults import Fault
    from airflow_provider_online_tasks.emulator.state import EmulatorState

PATCH_INPUT_TYPE = "PatchEvalTaskMutationInput"
SCHEMA_PATH = Path(__file__).parents[2] / "api" / "schema.graphql"

_ENTERPRISE_ONLY = "GraphQL Mutation access is only available for enterprise accounts"
_MAIN_FIELDS: dict[str, tuple[str, ...]] = {
    "createEvalTask": ("data", "createEvalTask", "evalTask", "id"),
    "patchEvalTask": ("data", "patchEvalTask", "evalTask", "id"),
    "runOnlineTask": ("data", "runOnlineTask", "result", "runId"),
}

# Ariadne logs every rejected request as an error.
_silent = logging.Logger("emulator.graphql")  # noqa: LOG001 -- outside the hierarchy on purpose
_silent.addHandler(logging.NullHandler())


@functools.lru_cache
def executable_schema(patch_input_type: str) -> GraphQLSchema:
    """Return the schema with its resolvers."""
    sdl = load_schema_from_path(str(SCHEMA_PATH)).replace(PATCH_INPUT_TYPE, patch_input_type)
    mutation = MutationType()
    mutation.set_field("createEvalTask", create_eval_task)
    mutation.set_field("patchEvalTask", patch_eval_task)
    mutation.set_field("runOnlineTask", run_online_task)
    result = UnionType("RunOnlineTaskResult", lambda value, *_: value["__typename"])
    scalars = [
        ScalarType("DateTime", value_parser=_date_time),
        ScalarType("JSONObject", value_parser=_json_object),
        _open_enum("ExternalLLMProviderModel"),
        _open_enum("LLMIntegrationProvider"),
    ]
    return make_executable_schema(sdl, [mutation, *resolvers(), task_type(), result, *scalars])


def _date_time(value: Any) -> float:
    try:
        return read_time(value)
    except ValueError as error:
        raise coded_error(f"DateTime cannot represent {value!r}: {error}", "BAD_USER_INPUT") from error


def _json_object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise coded_error(f"JSONObject cannot represent {value!r}: expected an object", "BAD_USER_INPUT")
    return value


def _open_enum(name: str) -> ScalarType:
    """Return a scalar that reads as an enum, but accepts any value: the documented lists grow."""

    def parse_value(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z_]\w*", value):
            raise coded_error(f'Value {value!r} does not exist in "{name}" enum.', "BAD_USER_INPUT")
        return value

    def parse_literal(node: Any, variables: Any = None) -> str:  # noqa: ARG001
        if not isinstance(node, EnumValueNode):
            raise coded_error(
                f'Enum "{name}" cannot represent a value that is not an enum.', "BAD_USER_INPUT"
            )
        return node.value

    return ScalarType(name, value_parser=parse_value, literal_parser=parse_literal)


def route(state: EmulatorState) -> Route:
    """Return the route of the GraphQL API."""

    async def endpoint(request: Request) -> Response:
        return await _request(state, request, await request.body()).respond()

    return Route("/graphql", endpoint, methods=["POST"])


def _request(state: EmulatorState, request: Request, body: bytes) -> ApiRequest:
    try:
        data = json.loads(body)
    except ValueError:
        data = None
    definition = _definition(data)
    name = "query"
    if definition is not None and definition.operation is OperationType.MUTATION:
        selections = definition.selection_set.selections
        name = next((each.name.value for each in selections if isinstance(each, FieldNode)), "mutation")

    def execute(task_error: Fault | None) -> Response:
        if not isinstance(data, dict):
            return _error(400, "The body is not a JSON object with a query", "BAD_REQUEST")
        if name != "query" and not state.settings.mutations_permitted:
            return _error(200, _ENTERPRISE_ONLY, "FORBIDDEN")
        values = data.get("variables")
        cost = max(1, _cost(definition, values if isinstance(values, dict) else {}))
        if cost > COST_LIMIT:
            message = f"The call costs {cost} points; the limit is {COST_LIMIT}"
            return _error(200, message, "COST_LIMIT_EXCEEDED")
        schema = executable_schema(state.settings.patch_input_type)
        context = Context(state, cost, task_error)
        _, document = graphql_sync(schema, data, context_value=context, logger=_silent)
        _add_codes(document)
        # Without data, the document itself was rejected.
        status = 200 if "data" in document else 400
        return Response(json.dumps(document), status, media_type="application/json")

    variables = definition.variable_definitions if definition is not None else None
    input_type = print_ast(variables[0].type).strip("!") if variables else "Input"
    return ApiRequest(
        state=state,
        request=request,
        operation=f"graphql.{name}",
        budget=READ if name == "query" else WRITE,
        key=request.headers.get("x-api-key", ""),
        main_field=_MAIN_FIELDS.get(name, ("data",)),
        execute=execute,
        error=_error,
        rate_limit=(
            state.settings.graphql_rate_limit_status,
            "TOO_MANY_REQUESTS: the rate limit is exceeded, retry in a minute",
            "TOO_MANY_REQUESTS",
        ),
        errors={
            "graphql_error": (200, "Internal server error", "INTERNAL_SERVER_ERROR"),
            "not_found": (200, "not found", "NOT_FOUND"),
            "unknown_type": (400, f'Unknown type "{input_type}".', "GRAPHQL_VALIDATION_FAILED"),
        },
    )


def _error(
    status: int, message: str, code: str | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    error = {"message": message, "extensions": {"code": code or "INTERNAL_SERVER_ERROR"}}
    document = {"errors": [error], "data": None}
    return Response(json.dumps(document), status, headers, media_type="application/json")


def _add_codes(document: dict[str, Any]) -> None:
    """Add a code to each error without one."""
    for error in document.get("errors", ()):
        if "data" not in document:
            code = "GRAPHQL_VALIDATION_FAILED"
        elif "path" in error:
            code = "INTERNAL_SERVER_ERROR"
        else:
            code = "BAD_USER_INPUT"  # the variables do not fit, so no field was resolved
        error["extensions"] = {"code": code, **error.get("extensions", {})}


def _definition(data: Any) -> OperationDefinitionNode | None:
    """Return the requested operation; None if it is not clear, so that the execution reports the error."""
    if not isinstance(data, dict) or not isinstance(data.get("query"), str):
        return None
    try:
        return get_operation_ast(parse(data["query"]), data.get("operationName"))
    except GraphQLError:
        return None


def _cost(node: Any, variables: Mapping[str, Any]) -> int:
    """Return the cost of a node's selections: a point per object and field, times the size of the page.

    ``edges``, ``pageInfo`` and fragments cost nothing themselves.
    """
    cost = 0
    for each in node.selection_set.selections if node is not None and node.selection_set else ():
        name = each.name.value if isinstance(each, FieldNode) else ""
        if name == "pageInfo" or name.startswith("__") or isinstance(each, FragmentSpreadNode):
            continue
        sizes = [
            value_from_ast_untyped(argument.value, dict(variables))
            for argument in getattr(each, "arguments", None) or ()
            if argument.name.value in {"first", "last"}
        ]
        inner = _cost(each, variables)
        if sizes:
            cost += inner * (sizes[0] if isinstance(sizes[0], int) and sizes[0] > 0 else 1)
        else:
            cost += inner + (name not in {"", "edges"})
    return cost
