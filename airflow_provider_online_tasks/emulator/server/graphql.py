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
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    build_schema,
    parse,
    print_ast,
    value_from_ast_untyped,
)
from starlette.responses import Response
from starlette.routing import Route

from airflow_provider_online_tasks.emulator.clock import read_time
from airflow_provider_online_tasks.emulator.graphql import Context, coded_error
from airflow_provider_online_tasks.emulator.rest import READ, WRITE
from airflow_provider_online_tasks.emulator.runs.graphql import run_online_task
from airflow_provider_online_tasks.emulator.server.requests import ApiRequest
from airflow_provider_online_tasks.emulator.spaces.graphql import COST_LIMIT, resolvers
from airflow_provider_online_tasks.emulator.tasks.graphql import create_eval_task, patch_eval_task, task_type

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
    "graphql.createEvalTask": ("data", "createEvalTask", "evalTask", "id"),
    "graphql.patchEvalTask": ("data", "patchEvalTask", "evalTask", "id"),
    "graphql.runOnlineTask": ("data", "runOnlineTask", "result", "runId"),
}

# Ariadne logs every rejected request as an error.
_silent = logging.Logger("emulator.graphql")  # noqa: LOG001 -- outside the hierarchy on purpose
_silent.addHandler(logging.NullHandler())


@functools.lru_cache
def executable_schema(patch_input_type: str) -> GraphQLSchema:
    """Return the schema with its resolvers.

    :param patch_input_type: the name of the input type of patchEvalTask.
    """
    sdl = load_schema_from_path(str(SCHEMA_PATH)).replace(PATCH_INPUT_TYPE, patch_input_type)
    mutation = MutationType()
    mutation.set_field("createEvalTask", create_eval_task)
    mutation.set_field("patchEvalTask", patch_eval_task)
    mutation.set_field("runOnlineTask", run_online_task)
    result = UnionType("RunOnlineTaskResult", lambda value, *_: value["__typename"])
    task = task_type(build_schema(sdl))
    return make_executable_schema(sdl, [mutation, *resolvers(), task, result, *_scalars()])


def _scalars() -> list[ScalarType]:
    """Return the scalars."""
    return [
        ScalarType("DateTime", value_parser=_date_time),
        ScalarType("JSONObject", value_parser=_json_object),
        _open_enum("ExternalLLMProviderModel"),
        _open_enum("LLMIntegrationProvider"),
    ]


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
        return await GraphQLRequest(state, request, await request.body()).respond()

    return Route("/graphql", endpoint, methods=["POST"])


class GraphQLRequest(ApiRequest):
    """A GraphQL request."""

    def __init__(self, state: EmulatorState, request: Request, body: bytes) -> None:
        try:
            self._data = json.loads(body)
        except ValueError:
            self._data = None
        self._definition = _definition(self._data)
        name = "query"
        if self._definition is not None and self._definition.operation is OperationType.MUTATION:
            selections = self._definition.selection_set.selections
            fields = [each.name.value for each in selections if isinstance(each, FieldNode)]
            name = fields[0] if fields else "mutation"
        self._is_mutation = name != "query"
        super().__init__(state, request, f"graphql.{name}", WRITE if self._is_mutation else READ)

    def key(self) -> str:
        """Return the ``x-api-key`` header."""
        return self.request.headers.get("x-api-key", "")

    def error(
        self, status: int, message: str, code: str | None = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        """Return a response with an error."""
        extensions = {"code": code or "INTERNAL_SERVER_ERROR"}
        document = {"errors": [{"message": message, "extensions": extensions}], "data": None}
        return Response(json.dumps(document), status, headers, media_type="application/json")

    def rate_limited(self, status: int | None, message: str | None, headers: dict[str, str]) -> Response:
        """Return the error of a rate limit, with the status of the settings."""
        status = self.state.settings.graphql_rate_limit_status if status is None else status
        message = message or "TOO_MANY_REQUESTS: the rate limit is exceeded, retry in a minute"
        return self.error(status, message, "TOO_MANY_REQUESTS", headers)

    def fault(self, fault: Fault) -> Response | None:
        """Return the faults that GraphQL reports in a response of its own."""
        match fault.kind:
            case "graphql_error":
                status, message, code = 200, "Internal server error", "INTERNAL_SERVER_ERROR"
            case "not_found":
                status, message, code = 200, "not found", "NOT_FOUND"
            case "unknown_type":
                status, code = 400, "GRAPHQL_VALIDATION_FAILED"
                message = f'Unknown type "{self._input_type()}".'
            case "task_error":
                return self._execute(fault)
            case _:
                return None
        return self.error(fault.status or status, fault.message or message, fault.code or code)

    def main_field(self) -> tuple[str, ...]:
        """Return the path of the main field of a mutation."""
        return _MAIN_FIELDS.get(self.operation, ("data",))

    def execute(self) -> Response:
        """Execute the document."""
        return self._execute(None)

    def _execute(self, task_error: Fault | None) -> Response:
        if not isinstance(self._data, dict):
            return self.error(400, "The body is not a JSON object with a query", "BAD_REQUEST")
        if self._is_mutation and not self.state.settings.mutations_permitted:
            return self.error(200, _ENTERPRISE_ONLY, "FORBIDDEN")
        variables = self._data.get("variables")
        cost = _cost(self._definition, variables if isinstance(variables, dict) else {})
        if cost > COST_LIMIT:
            message = f"The call costs {cost} points; the limit is {COST_LIMIT}"
            return self.error(200, message, "COST_LIMIT_EXCEEDED")
        _, document = graphql_sync(
            executable_schema(self.state.settings.patch_input_type),
            self._data,
            context_value=Context(self.state, cost, task_error),
            logger=_silent,
        )
        _add_codes(document)
        # Without data, the document itself was rejected.
        status = 200 if "data" in document else 400
        return Response(json.dumps(document), status, media_type="application/json")

    def _input_type(self) -> str:
        variables = self._definition.variable_definitions if self._definition is not None else ()
        return print_ast(variables[0].type).strip("!") if variables else "Input"


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
        definitions = parse(data["query"]).definitions
    except GraphQLError:
        return None
    name = data.get("operationName")
    for each in definitions:
        if isinstance(each, OperationDefinitionNode) and (
            name is None or (each.name and each.name.value == name)
        ):
            return each
    return None


def _cost(definition: OperationDefinitionNode | None, variables: Mapping[str, Any]) -> int:
    """Return the cost of a call: a point per object and field, times the size of the page.

    ``edges``, ``pageInfo`` and fragments cost nothing themselves.
    """

    def of_selections(node: OperationDefinitionNode | FieldNode | InlineFragmentNode) -> int:
        selections = node.selection_set.selections if node.selection_set else ()
        return sum(
            of_field(each) if isinstance(each, FieldNode) else of_selections(each)
            for each in selections
            if isinstance(each, FieldNode | InlineFragmentNode)
        )

    def of_field(field: FieldNode) -> int:
        if field.name.value == "pageInfo" or field.name.value.startswith("__"):
            return 0
        size = _page_size(field, variables)
        if size is not None:
            return size * of_selections(field)
        return (field.name.value != "edges") + of_selections(field)

    return max(1, of_selections(definition)) if definition is not None else 1


def _page_size(field: FieldNode, variables: Mapping[str, Any]) -> int | None:
    """Return the requested size of a connection's page, or None."""
    for argument in field.arguments or ():
        if argument.name.value in {"first", "last"}:
            value = value_from_ast_untyped(argument.value, dict(variables))
            return value if isinstance(value, int) and value > 0 else 1
    return None
