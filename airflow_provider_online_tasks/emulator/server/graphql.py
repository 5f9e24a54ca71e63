"""The GraphQL API: the schema with its resolvers, and how a request reaches them."""

from __future__ import annotations

import functools
import json
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ariadne
import graphql
from starlette.responses import Response
from starlette.routing import Route

from airflow_provider_online_tasks.emulator.clock import read_time
from airflow_provider_online_tasks.emulator.graphql import Context, coded_error
from airflow_provider_online_tasks.emulator.rest import READ, WRITE
from airflow_provider_online_tasks.emulator.runs.api import run_online_task
from airflow_provider_online_tasks.emulator.server.requests import ApiRequest
from airflow_provider_online_tasks.emulator.spaces import resolvers
from airflow_provider_online_tasks.emulator.tasks.api import create_eval_task, patch_eval_task, task_type

if TYPE_CHECKING:
    from collections.abc import Mapping

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
def executable_schema(patch_input_type: str) -> graphql.GraphQLSchema:
    """Return the schema with its resolvers."""
    sdl = ariadne.load_schema_from_path(str(SCHEMA_PATH)).replace(PATCH_INPUT_TYPE, patch_input_type)
    mutation = ariadne.MutationType()
    mutation.set_field("createEvalTask", create_eval_task)
    mutation.set_field("patchEvalTask", patch_eval_task)
    mutation.set_field("runOnlineTask", run_online_task)
    result = ariadne.UnionType("RunOnlineTaskResult", lambda value, *_: value["__typename"])
    scalars = [
        ariadne.ScalarType("DateTime", value_parser=_date_time),
        ariadne.ScalarType("JSONObject", value_parser=_json_object),
        _open_enum("ExternalLLMProviderModel"),
        _open_enum("LLMIntegrationProvider"),
    ]
    return ariadne.make_executable_schema(sdl, [mutation, *resolvers(), task_type(), result, *scalars])


def _date_time(value: Any) -> float:
    try:
        return read_time(value)
    except ValueError as error:
        raise coded_error(f"DateTime cannot represent {value!r}: {error}", "BAD_USER_INPUT") from error


def _json_object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise coded_error(f"JSONObject cannot represent {value!r}: expected an object", "BAD_USER_INPUT")
    return value


def _open_enum(name: str) -> ariadne.ScalarType:
    """Return a scalar that reads as an enum, but accepts any value: the documented lists grow."""

    def parse_value(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z_]\w*", value):
            raise coded_error(f'Value {value!r} does not exist in "{name}" enum.', "BAD_USER_INPUT")
        return value

    def parse_literal(node: Any, variables: Any = None) -> str:  # noqa: ARG001
        if not isinstance(node, graphql.EnumValueNode):
            raise coded_error(
                f'Enum "{name}" cannot represent a value that is not an enum.', "BAD_USER_INPUT"
            )
        return node.value

    return ariadne.ScalarType(name, value_parser=parse_value, literal_parser=parse_literal)


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
    if definition is not None and definition.operation is graphql.OperationType.MUTATION:
        selections = definition.selection_set.selections
        name = next(
            (each.name.value for each in selections if isinstance(each, graphql.FieldNode)), "mutation"
        )

    def execute(task_error: Fault | None) -> Response:
        if not isinstance(data, dict):
            return _error(400, "The body is not a JSON object with a query", "BAD_REQUEST")
        if name != "query" and not state.settings.mutations_permitted:
            return _error(200, _ENTERPRISE_ONLY, "FORBIDDEN")
        schema = executable_schema(state.settings.patch_input_type)
        context = Context(state, task_error)
        _, document = ariadne.graphql_sync(schema, data, context_value=context, logger=_silent)
        _add_codes(document)
        # Without data, the document itself was rejected.
        status = 200 if "data" in document else 400
        return Response(json.dumps(document), status, media_type="application/json")

    variables = definition.variable_definitions if definition is not None else None
    input_type = graphql.print_ast(variables[0].type).strip("!") if variables else "Input"
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


def _definition(data: Any) -> graphql.OperationDefinitionNode | None:
    """Return the requested operation; None if it is not clear, so that the execution reports the error."""
    if not isinstance(data, dict) or not isinstance(data.get("query"), str):
        return None
    try:
        return graphql.get_operation_ast(graphql.parse(data["query"]), data.get("operationName"))
    except graphql.GraphQLError:
        return None
