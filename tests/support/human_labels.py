"""Label spans on the emulator as people would."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks._times import wire_time
from tests.support.emulator_api import Api
from tests.support.evaluated_runs import NOW

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_provider_online_tasks.emulator import Emulator

REVIEW = "review"
# The IDs of spans are unique within this time.
WEEK = {"start_time": wire_time(NOW - timedelta(days=6.9)), "end_time": wire_time(NOW)}


def annotate(arize: Emulator, values: Mapping[str, Mapping[str, Any]], **fields: Any) -> None:
    """Annotate spans, by their ID, with the values of the config."""
    annotations = [
        {"record_id": span_id, "values": [{"name": REVIEW, **value}]} for span_id, value in values.items()
    ]
    body = {"project_id": arize.project_id, **WEEK, "annotations": annotations, **fields}
    response = Api(arize).rest("POST", "spans/annotate", json=body)
    assert response.status_code == 202, response.text


def create_queue(arize: Emulator, labels: Iterable[str]) -> str:
    """Create an annotation queue whose config has these labels, and return its ID."""
    api, space = Api(arize), {"space_id": arize.space_id}
    config = {"name": REVIEW, "annotation_config_type": "CATEGORICAL", **space}
    config["values"] = [{"label": label} for label in labels]
    config_id = api.rest("POST", "annotation-configs", json=config).json()["id"]
    queue = {"name": "queue", "annotation_config_ids": [config_id], **space}
    queue["annotator_emails"] = ["ada@example.com"]
    queue_id: str = api.rest("POST", "annotation-queues", json=queue).json()["id"]
    return queue_id


def add_records(arize: Emulator, queue_id: str, span_ids: list[str]) -> None:
    """Add spans to a queue."""
    source = {"record_type": "SPAN", "project_id": arize.project_id, **WEEK, "span_ids": span_ids}
    path = f"annotation-queues/{queue_id}/records"
    response = Api(arize).rest("POST", path, json={"record_sources": [source]})
    assert response.status_code == 201, response.text
