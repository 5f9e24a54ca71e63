"""Datasets over REST. A dataset has one version."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.clock import write_time
from airflow_provider_online_tasks.emulator.errors import NotFoundError, RequestError
from airflow_provider_online_tasks.emulator.records import Record, Records, listed_items, shown
from airflow_provider_online_tasks.emulator.rest import READ, Body, Call, Operation

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator.state import EmulatorState

DATASETS = Records("dataset", "Dataset")

_SERVER_FIELDS = frozenset({"id", "created_at", "updated_at"})


def _check_example(example: dict[str, Any]) -> dict[str, Any]:
    if not example or _SERVER_FIELDS & set(example):
        raise ValueError(f"an example needs a field, and none of {', '.join(sorted(_SERVER_FIELDS))}")
    return example


Examples = Annotated[
    list[Annotated[dict[str, Any], AfterValidator(_check_example)]], Field(min_length=1, max_length=1000)
]


class _DatasetInput(Body):
    name: Annotated[str, Field(min_length=1)]
    space_id: str
    examples: Examples


class _ExamplesInput(Body):
    examples: Examples


class _Search(Body):
    filter: str | None = None
    limit: int = 50
    cursor: str | None = None
    dataset_version_id: str | None = None


def list_datasets(call: Call) -> Record:
    """List the matching datasets, newest first."""
    return DATASETS.listed(call, "datasets")


def create_dataset(call: Call) -> Record:
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
    return shown(dataset)


def get_dataset(call: Call) -> Record:
    """Return a dataset."""
    return shown(DATASETS.get(call))


def insert_dataset_examples(call: Call) -> Record:
    """Append examples to a dataset."""
    dataset = _dataset(call, call.query.get("dataset_version_id"))
    example_ids = _add_examples(call.state, dataset, call.body.examples)
    fields = {name: value for name, value in shown(dataset).items() if name != "versions"}
    return {**fields, "dataset_version_id": dataset["versions"][-1]["id"], "example_ids": example_ids}


def list_dataset_examples(call: Call) -> Record:
    """List the examples of a dataset, oldest first."""
    return listed_items(call, "examples", _dataset(call, call.query.get("dataset_version_id")))


def search_dataset_examples(call: Call) -> Record:
    """List the examples of a dataset, oldest first."""
    body = call.body
    dataset = _dataset(call, body.dataset_version_id)
    if body.filter is not None:
        raise RequestError(400, "filter: this emulator has no filter for examples")
    query = {"limit": str(body.limit), "cursor": body.cursor or ""}
    return listed_items(call, "examples", dataset, query)


def _dataset(call: Call, version_id: str | None) -> Record:
    """Return the dataset in the path; reject another version than its only one, the newest."""
    dataset = DATASETS.get(call)
    if version_id and version_id != dataset["versions"][-1]["id"]:
        raise NotFoundError(f"Dataset version {version_id!r} not found")
    return dataset


def _add_examples(state: EmulatorState, dataset: Record, examples: list[Record]) -> list[str]:
    dataset["updated_at"] = state.clock.stamp()
    now = write_time(dataset["updated_at"])
    added = [{"id": str(uuid.uuid4()), "created_at": now, "updated_at": now, **each} for each in examples]
    dataset["items"] += added
    DATASETS.save(state, dataset)
    return [each["id"] for each in added]


_DATASET = "/v2/datasets/{dataset_id}"
_EXAMPLES = f"{_DATASET}/examples"
OPERATIONS = (
    Operation("GET", "/v2/datasets", list_datasets, "datasets"),
    Operation("POST", "/v2/datasets", create_dataset, body=_DatasetInput, status=201),
    Operation("GET", _DATASET, get_dataset),
    Operation("GET", _EXAMPLES, list_dataset_examples, "examples"),
    Operation("POST", _EXAMPLES, insert_dataset_examples, "example_ids", _ExamplesInput, status=201),
    Operation("POST", f"{_EXAMPLES}/search", search_dataset_examples, "examples", _Search, budget=READ),
)
