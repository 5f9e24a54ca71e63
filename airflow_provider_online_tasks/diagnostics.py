"""Check that a connection works and that Arize's schema is what this version expects. Changes nothing.

Run ``airflow online-tasks doctor --conn-id arize_online_tasks_default``, or before Airflow 3.2
``python -m airflow_provider_online_tasks.diagnostics``.

Exit code 0: no problem. 1: a difference makes calls fail, or the project doesn't exist. 2: no usable
response. 3: the connection is missing or wrong. 4: Arize rejects the key. The largest one counts.

graphql-core validates the documents and inputs of this version against the schema that Arize shows, as
Arize's server does, and compares the part that the mutations use with the documented schema.
"""

from __future__ import annotations

import argparse
import enum
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks import __version__
from airflow_provider_online_tasks._airflow import AirflowNotFoundException, find_connections_in_database
from airflow_provider_online_tasks._defaults import DEFAULT_CONN_ID
from airflow_provider_online_tasks.api import calls, reachability
from airflow_provider_online_tasks.exceptions import (
    AuthenticationFailed,
    BadRequest,
    CallError,
    InvalidConnection,
    NotFound,
    PermissionDenied,
    ResponseTooLarge,
)
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput, EvalTaskPatch
from airflow_provider_online_tasks.inputs.evaluators import (
    CodeEvaluator,
    HubEvaluator,
    LlmConfig,
    TemplateEvaluator,
)
from airflow_provider_online_tasks.inputs.runs import RunInput

if TYPE_CHECKING:
    from graphql import GraphQLSchema

    from airflow_provider_online_tasks.api.client import Client

NO_PROBLEM, CALLS_FAIL, UNREACHABLE, CONNECTION_WRONG, KEY_REJECTED = range(5)
# Why Arize doesn't show its schema although it accepts the key.
HIDDEN = (BadRequest, PermissionDenied, NotFound, ResponseTooLarge)
# The schema that Arize documents.
DOCUMENTED = Path(__file__).parent / "api" / "schema.graphql"
_ID = "an-id"


class Status(enum.Enum):
    """What a check found."""

    OK = "ok"
    WARNING = "warning"
    """An optional part differs."""
    ERROR = "error"
    """A difference makes calls fail."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """What was checked, and what was found."""

    subject: str
    detail: str
    status: Status = Status.OK
    exit_code: int = CALLS_FAIL  # if it is an error


def run_doctor(conn_id: str, *, show_all: bool = False) -> int:
    """Check a connection, print what was found, and return the exit code.

    :param show_all: whether to print successful checks, too.
    """
    with OnlineTasksHook(conn_id) as hook:
        try:
            checks = list(check_connection(hook.client))
        except (InvalidConnection, AirflowNotFoundException) as error:
            detail = str(error)
            checks = [
                Check(subject="connection", status=Status.ERROR, detail=detail, exit_code=CONNECTION_WRONG)
            ]
    shown = [check for check in checks if show_all or check.status is not Status.OK]
    width = max((len(check.subject) for check in shown), default=0)
    for check in shown:
        print(f"{check.status.value:7}  {check.subject:{width}}  {check.detail}")  # noqa: T201
    counts = {status: sum(check.status is status for check in checks) for status in Status}
    print(  # noqa: T201
        f"airflow-provider-online-tasks {__version__}: {counts[Status.OK]} ok, {counts[Status.ERROR]} errors "
        f"(calls fail), {counts[Status.WARNING]} warnings (optional parts differ)."
    )
    return max((check.exit_code for check in checks if check.status is Status.ERROR), default=NO_PROBLEM)


def check_connection(client: Client) -> Iterator[Check]:
    """Check each API, then the project over REST and the schema over GraphQL."""
    endpoint = client.settings.endpoint
    rest = _check_api("REST", endpoint.rest_url, lambda: reachability.ask_rest(client))
    graphql = _check_api("GraphQL", endpoint.graphql_url, lambda: reachability.ask_graphql(client))
    yield from (rest, graphql)
    if rest.status is Status.OK:
        try:
            reachability.ask_project(client)
        except (NotFound, BadRequest) as error:
            yield Check(subject="model_id", status=Status.ERROR, detail=str(error))
        except CallError as error:
            yield _failed("model_id", error)
    if graphql.status is Status.OK:
        yield from check_schema(lambda document: client.query(document, name="introspection"))


def _check_api(name: str, url: str, ask: Callable[[], object]) -> Check:
    try:
        ask()
    except CallError as error:
        return _failed(name, error)
    return Check(subject=name, detail=f"{url} accepts the key")


def _failed(subject: str, error: CallError) -> Check:
    is_rejected = isinstance(error, AuthenticationFailed | PermissionDenied)
    code = KEY_REJECTED if is_rejected else UNREACHABLE
    return Check(subject=subject, status=Status.ERROR, detail=str(error), exit_code=code)


def check_schema(query: Callable[[str], Mapping[str, Any]]) -> Iterator[Check]:
    """Yield what matches and what differs.

    :param query: sends a GraphQL query and returns its data.
    """
    from graphql import (
        GraphQLError,
        build_client_schema,
        build_schema,
        find_breaking_changes,
        get_introspection_query,
    )

    try:
        schema = build_client_schema(query(get_introspection_query(descriptions=False)))  # type: ignore[arg-type]
    except (*HIDDEN, GraphQLError, TypeError, ValueError, LookupError, AttributeError) as error:
        detail = f"Arize does not show its schema, so nothing was compared: {error}"
        yield Check(subject="schema", status=Status.WARNING, detail=detail)
        return
    except CallError as error:
        yield _failed("schema", error)
        return
    for minimal_calls in _minimal_calls():
        yield from _check_mutation(schema, minimal_calls)
    documented = build_schema(DOCUMENTED.read_text(encoding="utf-8"))
    changes = find_breaking_changes(_used_part(documented), _used_part(schema))
    for change in changes:
        yield Check(subject="documented", status=Status.WARNING, detail=change.description)
    if not changes:
        yield Check(subject="documented", detail="everything documented exists")


def _minimal_calls() -> Iterator[list[calls.GraphQLCall[Any]]]:
    """Yield, per mutation, calls with only the fields that this version always sends."""
    template = TemplateEvaluator(name="one", template="{attributes.output.value}", rails=["yes", "no"])
    evaluators: tuple[dict[str, Any], ...] = (
        {"template_evaluators": [template], "llm_config": LlmConfig(model_name="m")},
        {"code_evaluators": [CodeEvaluator(name="two")]},
        {"evaluators": [HubEvaluator(evaluator_id=_ID)]},
    )
    end = datetime.now(UTC)
    run = RunInput(online_task_id=_ID, data_start_time=end - timedelta(days=1), data_end_time=end)
    tasks = [EvalTaskInput(name="a", model_id=_ID, **arguments) for arguments in evaluators]
    yield [calls.create_eval_task(task, "fraction") for task in tasks]
    yield [calls.patch_eval_task(EvalTaskPatch(online_task_id=_ID, name="a"), "fraction")]
    yield [calls.run_online_task(run)]


def _check_mutation(schema: GraphQLSchema, minimal_calls: list[calls.GraphQLCall[Any]]) -> Iterator[Check]:
    """Validate what is sent to a mutation and what is read from its response."""
    from graphql import parse, validate
    from graphql.execution import get_variable_values

    name, documented_type = minimal_calls[0].name, minimal_calls[0].input_type
    mutation = schema.mutation_type.fields.get(name) if schema.mutation_type else None
    argument = mutation.args.get("input") if mutation else None
    if argument is None:
        detail = "the mutation has no argument input" if mutation else "the mutation is missing"
        yield Check(subject=name, status=Status.ERROR, detail=detail)
        return
    input_type = str(argument.type).rstrip("!")
    if input_type != documented_type:
        detail = f"{input_type} instead of {documented_type}; calls adapt to it"
        yield Check(subject=f"{name}(input:)", status=Status.WARNING, detail=detail)
    document = parse(minimal_calls[0].document(input_type))
    errors = [error.message for error in validate(schema, document)]
    variables = document.definitions[0].variable_definitions  # type: ignore[attr-defined]
    for call in minimal_calls:
        values = get_variable_values(schema, variables, {"input": dict(call.input)})
        errors += [error.message for error in values] if isinstance(values, list) else []
    for message in dict.fromkeys(errors):
        yield Check(subject=name, status=Status.ERROR, detail=message)
    if not errors:
        yield Check(subject=name, detail="accepts what is sent and returns what is read")


def _used_part(schema: GraphQLSchema) -> GraphQLSchema:
    """Return the part of a schema that this version's mutations use."""
    from graphql import GraphQLObjectType, GraphQLSchema

    mutations = schema.mutation_type.fields if schema.mutation_type else {}
    fields = {name: field for name, field in mutations.items() if name in calls.MUTATION_INPUT_TYPES}
    return GraphQLSchema(mutation=GraphQLObjectType("Mutation", fields))


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the arguments, run the doctor, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_online_tasks.diagnostics", description=__doc__
    )
    parser.add_argument(
        "--conn-id", default=DEFAULT_CONN_ID, help="Airflow connection (default: %(default)s)"
    )
    parser.add_argument("--all", action="store_true", help="print successful checks, too")
    options = parser.parse_args(arguments)
    find_connections_in_database()
    return run_doctor(options.conn_id, show_all=options.all)


if __name__ == "__main__":
    sys.exit(main())
