"""Every field of a task and every kind of evaluator is known to both APIs."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from graphql import GraphQLInputObjectType

from airflow_provider_online_tasks.emulator.evaluators.api import VersionInput
from airflow_provider_online_tasks.emulator.evaluators.kinds import KIND_OF_TYPE, KINDS
from airflow_provider_online_tasks.emulator.server.graphql import PATCH_INPUT_TYPE, executable_schema
from airflow_provider_online_tasks.emulator.tasks.api import FIELDS
from airflow_provider_online_tasks.emulator.tasks.models import Task

if TYPE_CHECKING:
    from tests.support.emulator_api import Api

# These are not fields of a task: its ID, its project, and its evaluators.
OTHERS = {"modelId", "onlineTaskId", "evaluators", *(kind.graphql_field for kind in KINDS.values())}


def schema_fields(name: str) -> dict[str, Any]:
    found = executable_schema(PATCH_INPUT_TYPE).type_map[name]
    assert isinstance(found, GraphQLInputObjectType)
    return dict(found.fields)


def test_schema_inputs_have_the_fields_of_a_task() -> None:
    assert set(schema_fields("CreateEvalTaskMutationInput")) - OTHERS == set(FIELDS)
    assert set(schema_fields(PATCH_INPUT_TYPE)) - OTHERS == set(FIELDS)
    assert set(FIELDS.values()) < {field.name for field in dataclasses.fields(Task)}


def test_rest_shows_the_fields_that_graphql_sets(api: Api) -> None:
    api.create(samplingRate=0.5, runContinuously=True)
    [shown] = api.rest("GET", "tasks").json()["tasks"]
    [stored] = api.emulator.tasks()
    for name in ("name", "sampling_rate", "query_filter", "query_filters", "is_continuous"):
        assert shown[name] == stored[name]


def test_every_evaluator_kind_is_in_the_schema_and_in_the_hub() -> None:
    fields = schema_fields("CreateEvalTaskMutationInput")
    for kind in KINDS.values():
        assert kind.graphql_field in fields
        assert KIND_OF_TYPE[kind.hub_type] is kind
        assert kind.config_field in VersionInput.model_fields
