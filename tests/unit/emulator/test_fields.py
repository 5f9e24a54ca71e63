"""A field of a task is written down once, and an evaluator kind is one module: both APIs follow."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from graphql import GraphQLInputObjectType, GraphQLObjectType

from airflow_provider_online_tasks.emulator.graphql.schema import PATCH_INPUT_TYPE, executable_schema
from airflow_provider_online_tasks.emulator.judges.hub import KIND_OF_TYPE
from airflow_provider_online_tasks.emulator.judges.kinds import KINDS
from airflow_provider_online_tasks.emulator.rest.evaluators import _CONFIG_READERS
from airflow_provider_online_tasks.emulator.rest.tasks import _READERS
from airflow_provider_online_tasks.emulator.runs.tasks import Task, settable

if TYPE_CHECKING:
    from tests.support.emulator_api import Api

# Which task it is, and what evaluates: read by hand.
_OTHERS = {"modelId", "onlineTaskId", "evaluators", *(kind.graphql_field for kind in KINDS.values())}


def schema_fields(name: str) -> dict[str, Any]:
    found = executable_schema(PATCH_INPUT_TYPE).type_map[name]
    assert isinstance(found, GraphQLInputObjectType | GraphQLObjectType)
    return dict(found.fields)


def test_the_schema_takes_the_fields_that_a_task_declares() -> None:
    declared = {name for name, _ in settable("graphql")}
    assert set(schema_fields("CreateEvalTaskMutationInput")) - _OTHERS == declared
    assert set(schema_fields(PATCH_INPUT_TYPE)) - _OTHERS == declared


def test_rest_takes_and_shows_the_fields_that_a_task_declares(api: Api) -> None:
    api.create(samplingRate=0.5, runContinuously=True)
    [shown] = api.rest("GET", "tasks").json()["tasks"]
    [known] = api.emulator.tasks()
    for name, field in settable("rest"):
        assert shown[name] == known[field.name]
        assert field.metadata["type"] in _READERS


def test_every_evaluator_kind_is_in_the_schema_and_the_hub() -> None:
    fields = schema_fields("CreateEvalTaskMutationInput")
    for kind in KINDS.values():
        assert kind.graphql_field in fields
        assert KIND_OF_TYPE[kind.hub_type] is kind
        assert kind.hub_type in _CONFIG_READERS


def test_a_task_keeps_all_it_declares() -> None:
    assert {field.name for _, field in settable("graphql")} < {
        field.name for field in dataclasses.fields(Task)
    }
