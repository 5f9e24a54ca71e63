"""Whether the GraphQL schema of an Arize is what this version sends and reads. It asks by introspection only.

graphql-core compares: it validates what this version sends against the schema that Arize shows, as Arize's
own server does, and compares the part that the mutations reach with the documented one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.inputs import (
    CodeEvaluator,
    EvalTaskInput,
    EvalTaskPatch,
    HubEvaluator,
    RunInput,
    TemplateEvaluator,
)

if TYPE_CHECKING:
    from graphql import DocumentNode, GraphQLSchema

    from airflow_provider_online_tasks.api.calls import GraphQLCall

Query = Callable[[str], Mapping[str, Any]]
# The schema that Arize documents. The emulator serves the same file.
DOCUMENTED = Path(__file__).parents[1] / "api" / "schema.graphql"
_ID = "T25saW5lVGFzazoxOmFiY2Q="


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that agrees with this version, or does not.

    :param subject: what was looked at.
    :param agrees: whether it is as expected.
    :param found: what was found, for a person.
    :param matters: whether a difference makes calls fail.
    """

    subject: str
    agrees: bool
    found: str
    matters: bool = True


def check_schema(query: Query) -> Iterator[Check]:
    """Yield what agrees and what differs.

    :param query: sends a GraphQL query and returns its data.
    :raises CallError: the question was refused.
    """
    from graphql import GraphQLError, build_client_schema, build_schema, get_introspection_query

    try:
        schema = build_client_schema(query(get_introspection_query(descriptions=False)))  # type: ignore[arg-type]
    except (GraphQLError, TypeError, ValueError, LookupError, AttributeError) as error:
        yield Check(
            subject="schema",
            agrees=False,
            found=f"Arize does not show its schema, so nothing can be compared: {error}",
            matters=False,
        )
        return
    for sent in _sent():
        yield from _check_call(schema, sent)
    yield from _changes(build_schema(DOCUMENTED.read_text(encoding="utf-8")), schema)


def _sent() -> Iterator[list[GraphQLCall[Any]]]:
    """Yield, by mutation, calls that hold no more than this version always sends."""
    template = TemplateEvaluator(name="one", template="{attributes.output.value}", rails=["yes", "no"])
    code = CodeEvaluator(name="two")
    hub = HubEvaluator(evaluator_id=_ID)
    end = datetime.now(UTC)
    unit = "fraction"
    yield [
        calls.create_eval_task(EvalTaskInput(name="a", model_id=_ID, **evaluators), unit)
        for evaluators in (
            {"template_evaluators": [template]},
            {"code_evaluators": [code]},
            {"evaluators": [hub]},
        )
    ]
    yield [calls.patch_eval_task(EvalTaskPatch(online_task_id=_ID, name="a"), unit)]
    yield [
        calls.run_online_task(
            RunInput(online_task_id=_ID, data_start_time=end - timedelta(days=1), data_end_time=end)
        )
    ]


def _check_call(schema: GraphQLSchema, sent: list[GraphQLCall[Any]]) -> Iterator[Check]:
    """Validate what is sent for a mutation, and what is read of its answer."""
    from graphql import parse, validate

    name, expected = sent[0].name, sent[0].input_type
    mutation = schema.mutation_type.fields.get(name) if schema.mutation_type else None
    if mutation is None:
        yield Check(subject=name, agrees=False, found="there is no such mutation")
        return
    argument = mutation.args.get("input")
    if argument is None:
        yield Check(subject=f"{name}(input:)", agrees=False, found="it takes no argument named input")
        return
    real = str(argument.type).rstrip("!")
    yield Check(
        subject=f"{name}(input:)",
        agrees=real == expected,
        found=real if real == expected else f"{real} in place of {expected}; calls adapt to it",
        matters=False,
    )
    document = parse(sent[0].document(real))
    errors = [one.message for one in validate(schema, document)]
    for call in sent:
        errors += _refusals(schema, document, call.input)
    yield from (Check(subject=name, agrees=False, found=message) for message in dict.fromkeys(errors))
    if not errors:
        yield Check(subject=name, agrees=True, found="what is sent is accepted, and what is read is there")


def _refusals(schema: GraphQLSchema, document: DocumentNode, value: Mapping[str, Any]) -> list[str]:
    """Return why the schema refuses an input."""
    from graphql import OperationDefinitionNode
    from graphql.execution import get_variable_values

    (operation,) = document.definitions
    assert isinstance(operation, OperationDefinitionNode)  # noqa: S101  it is made here
    read = get_variable_values(schema, operation.variable_definitions or (), {"input": dict(value)})
    return [error.message for error in read] if isinstance(read, list) else []


def _changes(documented: GraphQLSchema, schema: GraphQLSchema) -> Iterator[Check]:
    """Yield how the part of the schema that the mutations reach differs from the documented one."""
    from graphql import find_breaking_changes

    changes = find_breaking_changes(_reached(documented), _reached(schema))
    for change in changes:
        yield Check(subject="documented", agrees=False, found=change.description, matters=False)
    if not changes:
        yield Check(subject="documented", agrees=True, found="all that is documented is there")


def _reached(schema: GraphQLSchema) -> GraphQLSchema:
    """Return the part of a schema that this version's mutations reach."""
    from graphql import GraphQLField, GraphQLObjectType, GraphQLSchema, GraphQLString

    given = schema.mutation_type.fields if schema.mutation_type else {}
    fields = {name: field for name, field in given.items() if name in calls.MUTATION_INPUT_TYPES}
    return GraphQLSchema(
        query=GraphQLObjectType("Query", {"unused": GraphQLField(GraphQLString)}),
        mutation=GraphQLObjectType("Mutation", fields) if fields else None,
    )
