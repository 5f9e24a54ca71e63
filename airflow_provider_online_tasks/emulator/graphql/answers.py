"""The GraphQL API's side of HTTP: the key, the status, and errors inside answers."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from ariadne import graphql_sync
from graphql import (
    FieldNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    parse,
    print_ast,
    value_from_ast_untyped,
)
from starlette.responses import Response
from starlette.routing import Route

from airflow_provider_online_tasks.emulator.endpoint import READ, WRITE, serve
from airflow_provider_online_tasks.emulator.graphql.schema import COST_LIMIT, Context, executable_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from graphql import DocumentNode
    from starlette.requests import Request

    from airflow_provider_online_tasks.emulator.control.faults import Fault
    from airflow_provider_online_tasks.emulator.state import EmulatorState

_ENTERPRISE_ONLY = "GraphQL Mutation access is only available for enterprise accounts"
_MAIN_FIELDS: dict[str, tuple[str, ...]] = {
    "graphql.createEvalTask": ("data", "createEvalTask", "evalTask", "id"),
    "graphql.patchEvalTask": ("data", "patchEvalTask", "evalTask", "id"),
    "graphql.runOnlineTask": ("data", "runOnlineTask", "result", "runId"),
}

# Ariadne logs every refused request as an error; here it is what the client asked for.
_quiet = logging.Logger("emulator.graphql")  # noqa: LOG001 -- deliberately outside the hierarchy
_quiet.addHandler(logging.NullHandler())


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
        headers: dict[str, str] | None = None,
    ) -> Response:
        """Write an error with an HTTP status of its own."""
        return _errors(message, code or "INTERNAL_SERVER_ERROR", status, headers)

    def rate_limited(
        self, request: Request, status: int | None, message: str | None, headers: dict[str, str]
    ) -> Response:
        """Write the refusal of a request over the limit, as an error in the answer or as a status."""
        if status is None:
            status = self._state.settings.graphql_rate_limit_status
        message = message or "TOO_MANY_REQUESTS: the rate limit is exceeded, try again in a minute"
        return _errors(message, "TOO_MANY_REQUESTS", status, headers)

    def fault(self, request: Request, fault: Fault) -> Response | None:
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

    def execute(self, request: Request) -> Response:
        """Execute the document."""
        return self._execute(None)

    def _execute(self, task_error: Fault | None) -> Response:
        if not isinstance(self._data, dict):
            return _errors("The body is not a JSON object with a query", "BAD_REQUEST", 400)
        if self._is_mutation and not self._state.settings.mutations_permitted:
            return _errors(_ENTERPRISE_ONLY, "FORBIDDEN", 200)
        variables = self._data.get("variables")
        cost = _cost(self._definition, variables if isinstance(variables, dict) else {})
        if cost > COST_LIMIT:
            return _errors(
                f"The call costs {cost} points; the limit is {COST_LIMIT}", "COST_LIMIT_EXCEEDED", 200
            )
        _, answer = graphql_sync(
            executable_schema(self._state.settings.patch_input_type),
            self._data,
            context_value=Context(self._state, cost, task_error),
            logger=_quiet,
        )
        _add_codes(answer)
        # Without data there was no execution: the document itself was refused.
        status = 200 if "data" in answer else 400
        return Response(json.dumps(answer), status, media_type="application/json")

    def _input_type(self) -> str:
        variables = self._definition.variable_definitions if self._definition is not None else ()
        return print_ast(variables[0].type).strip("!") if variables else "Input"


def _errors(message: str, code: str, status: int, headers: dict[str, str] | None = None) -> Response:
    document = {"errors": [{"message": message, "extensions": {"code": code}}], "data": None}
    return Response(json.dumps(document), status, headers, media_type="application/json")


def _add_codes(answer: dict[str, Any]) -> None:
    """Give each error a code that has none."""
    for error in answer.get("errors", ()):
        if "data" not in answer:
            code = "GRAPHQL_VALIDATION_FAILED"
        elif "path" in error:
            code = "INTERNAL_SERVER_ERROR"
        else:
            # Execution began, but no field was reached: the variables do not fit.
            code = "BAD_USER_INPUT"
        error["extensions"] = {"code": code, **error.get("extensions", {})}


def _operation(data: Any) -> OperationDefinitionNode | None:
    """Return the operation a request asks for; None where that is not clear, and execution says why."""
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


def _cost(definition: OperationDefinitionNode | None, variables: Mapping[str, Any]) -> int:
    """Return what a call costs: a point for each object and each of its fields, times the size of the page.

    What a page is made of, ``edges`` and ``pageInfo``, costs nothing of its own, and no more do fragments.
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
    """Return how many of a connection's objects are asked for; None where it says nothing of it."""
    for argument in field.arguments or ():
        if argument.name.value in {"first", "last"}:
            value = value_from_ast_untyped(argument.value, dict(variables))
            return value if isinstance(value, int) and value > 0 else 1
    return None
