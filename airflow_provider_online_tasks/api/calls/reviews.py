"""Annotation queues and datasets: the destinations of spans for human review.

Fields: https://arize.com/docs/api-reference/annotation-queues and https://arize.com/docs/api-reference/datasets
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.api.calls._pages import Page, read_page
from airflow_provider_online_tasks.api.calls._rest import RestCall, paged, part
from airflow_provider_online_tasks.api.responses.fields import identifier

if TYPE_CHECKING:
    from airflow_provider_online_tasks.inputs import DataWindow

REVIEW_PAGE = 500
# Limits of one request: records, days between its spans, and examples.
QUEUE_RECORDS, QUEUE_DAYS = 500, 7
DATASET_EXAMPLES = 1_000
SPAN_ID = "span_id"
_CONTEXT_SPAN_ID = f"context.{SPAN_ID}"


def list_queue_spans(queue_id: str, *, cursor: str | None = None) -> RestCall[Page[str | None]]:
    """GET /v2/annotation-queues/{id}/records: the span of each record; None for other records."""
    return RestCall(
        name="list annotation queue records",
        method="GET",
        path=f"/v2/annotation-queues/{part(queue_id)}/records",
        query=paged(REVIEW_PAGE, cursor),
        read=read_page("records", _span_of_record),
    )


def add_queue_spans(
    queue_id: str, *, project_id: str, window: DataWindow, span_ids: Sequence[str]
) -> RestCall[None]:
    """POST /v2/annotation-queues/{id}/records: add spans of a window of up to seven days."""
    source = {
        "record_type": "SPAN",
        "project_id": project_id,
        "start_time": wire_time(window.start),
        "end_time": wire_time(window.end),
        "span_ids": list(span_ids),
    }
    return RestCall(
        name="add annotation queue records",
        method="POST",
        path=f"/v2/annotation-queues/{part(queue_id)}/records",
        body={"record_sources": [source]},
        read=lambda _: None,
        repeatable=False,
    )


def list_dataset_spans(dataset_id: str, *, cursor: str | None = None) -> RestCall[Page[str | None]]:
    """GET /v2/datasets/{id}/examples: the span of each example; None if it has none."""
    return RestCall(
        name="list dataset examples",
        method="GET",
        path=f"/v2/datasets/{part(dataset_id)}/examples",
        query=paged(REVIEW_PAGE, cursor),
        read=read_page("examples", _span_of),
    )


def add_dataset_examples(dataset_id: str, examples: Sequence[Mapping[str, Any]]) -> RestCall[None]:
    """POST /v2/datasets/{id}/examples: add examples to the newest version."""
    return RestCall(
        name="add dataset examples",
        method="POST",
        path=f"/v2/datasets/{part(dataset_id)}/examples",
        body={"examples": [dict(example) for example in examples]},
        read=lambda _: None,
        repeatable=False,
    )


def _span_of_record(record: Any) -> str | None:
    return _span_of(record.get("data")) if isinstance(record, Mapping) else None


def _span_of(example: Any) -> str | None:
    if not isinstance(example, Mapping):
        return None
    try:
        return identifier(example.get(SPAN_ID) or example.get(_CONTEXT_SPAN_ID))
    except ValueError:
        return None  # it has no span
