"""Datasets over REST. A dataset has one version."""

from __future__ import annotations

import dataclasses
import uuid
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field

from airflow_provider_online_tasks.emulator import ids, rest
from airflow_provider_online_tasks.emulator.clock import write_time
from airflow_provider_online_tasks.emulator.errors import NotFoundError, RequestError

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator.state import EmulatorState

DATASETS = rest.Records("dataset", "Dataset")

_SERVER_FIELDS = frozenset({"id", "created_at", "updated_at"})


def _check_example(example: dict[str, Any]) -> dict[str, Any]:
    if not example or _SERVER_FIELDS & set(example):
        raise ValueError(f"an example needs a field, and none of {', '.join(sorted(_SERVER_FIELDS))}")
    return example


Examples = Annotated[
    list[Annotated[dict[str, Any], AfterValidator(_check_example)]], Field(min_length=1, max_length=1000)
]


class _ExamplesInput(rest.Body):
    examples: Examples


class _DatasetInput(_ExamplesInput):
    name: rest.Text
    space_id: str


class _Search(rest.Body):
    filter: str | None = None
    limit: int = 50
    cursor: str | None = None
    dataset_version_id: str | None = None


def create_dataset(call: rest.Call) -> rest.Record:
    """Create a dataset with its first examples."""
    body: _DatasetInput = call.body
    dataset = DATASETS.create(call, body.name, body.space_id)
    created = write_time(dataset["created_at"])
    version = {
        "id": ids.encode("DatasetVersion", call.state.storage.take_numbers("DatasetVersion")),
        "name": "v1",
        "dataset_id": dataset["id"],
        "created_at": created,
        "updated_at": created,
    }
    dataset["versions"] = [version]
    _add_examples(call.state, dataset, body.examples)
    return rest.shown(dataset)


def insert_dataset_examples(call: rest.Call) -> rest.Record:
    """Append examples to a dataset."""
    dataset = _dataset(call, call.query.get("dataset_version_id"))
    example_ids = _add_examples(call.state, dataset, call.body.examples)
    fields = {name: value for name, value in rest.shown(dataset).items() if name != "versions"}
    return {**fields, "dataset_version_id": dataset["versions"][-1]["id"], "example_ids": example_ids}


def list_dataset_examples(call: rest.Call) -> rest.Record:
    """List the examples of a dataset, oldest first."""
    return rest.listed_items(call, "examples", _dataset(call, call.query.get("dataset_version_id")))


def search_dataset_examples(call: rest.Call) -> rest.Record:
    """List the examples of a dataset, oldest first."""
    body = call.body
    dataset = _dataset(call, body.dataset_version_id)
    if body.filter is not None:
        raise RequestError(400, "filter: this emulator has no filter for examples")
    query = {"limit": str(body.limit), "cursor": body.cursor or ""}
    return rest.listed_items(dataclasses.replace(call, query=query), "examples", dataset)


def _dataset(call: rest.Call, version_id: str | None) -> rest.Record:
    """Return the dataset in the path; reject another version than its only one, the newest."""
    dataset = DATASETS.get(call)
    if version_id and version_id != dataset["versions"][-1]["id"]:
        raise NotFoundError(f"Dataset version {version_id!r} not found")
    return dataset


def _add_examples(state: EmulatorState, dataset: rest.Record, examples: list[rest.Record]) -> list[str]:
    dataset["updated_at"] = state.clock.stamp()
    now = write_time(dataset["updated_at"])
    added = [{"id": str(uuid.uuid4()), "created_at": now, "updated_at": now, **each} for each in examples]
    dataset["items"] += added
    DATASETS.save(state, dataset)
    return [each["id"] for each in added]


_EXAMPLES = "/v2/datasets/{dataset_id}/examples"
OPERATIONS = (
    *DATASETS.reads("/v2/datasets"),
    rest.Operation("POST", "/v2/datasets", create_dataset, body=_DatasetInput, status=201),
    rest.Operation("GET", _EXAMPLES, list_dataset_examples, "examples"),
    rest.Operation("POST", _EXAMPLES, insert_dataset_examples, "example_ids", _ExamplesInput, status=201),
    rest.Operation(
        "POST", f"{_EXAMPLES}/search", search_dataset_examples, "examples", _Search, budget=rest.READ
    ),
)
