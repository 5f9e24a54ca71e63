"""Annotation queues over REST: where spans wait for people to annotate them."""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Literal

from pydantic import Field

from airflow_provider_online_tasks.emulator.errors import RequestError
from airflow_provider_online_tasks.emulator.records import Record, Records, listed_items, shown
from airflow_provider_online_tasks.emulator.rest import DAY, Body, Call, Moment, Operation, project_id
from airflow_provider_online_tasks.emulator.spans.api import spans_of_records

QUEUES = Records("annotation_queue", "AnnotationQueue")

_MOST_DAYS = 7


class _Source(Body):
    record_type: Literal["SPAN"]
    project_id: str
    start_time: Moment
    end_time: Moment
    span_ids: Annotated[list[str], Field(min_length=1, max_length=500)]


_Sources = Annotated[list[_Source], Field(min_length=1, max_length=2)]
_Names = Annotated[list[str], Field(min_length=1)]


class _QueueInput(Body):
    name: Annotated[str, Field(min_length=1)]
    space_id: str
    instructions: str | None = None
    annotation_config_ids: _Names
    annotator_emails: _Names
    assignment_method: str | None = None
    record_sources: _Sources | None = None
    column_allowlist: Any = None


class _RecordsInput(Body):
    record_sources: _Sources


def list_annotation_queues(call: Call) -> Record:
    """List the matching annotation queues, newest first."""
    return QUEUES.listed(call, "annotation_queues")


def create_annotation_queue(call: Call) -> Record:
    """Create an annotation queue."""
    body: _QueueInput = call.body
    queue = QUEUES.create(
        call, body.name, body.space_id, instructions=body.instructions, annotation_configs=[], annotators=[]
    )
    _add_records(call, queue, body.record_sources or [])
    return shown(queue)


def get_annotation_queue(call: Call) -> Record:
    """Return an annotation queue."""
    return shown(QUEUES.get(call))


def add_annotation_queue_records(call: Call) -> Record:
    """Add spans to a queue."""
    return {"record_sources": _add_records(call, QUEUES.get(call), call.body.record_sources)}


def list_annotation_queue_records(call: Call) -> Record:
    """List the records of a queue, oldest first."""
    return listed_items(call, "records", QUEUES.get(call))


def _add_records(call: Call, queue: Record, sources: list[_Source]) -> list[Record]:
    records = []
    for source in sources:
        if source.start_time >= source.end_time:
            raise RequestError(400, "start_time must be before end_time")
        if source.end_time - source.start_time > _MOST_DAYS * DAY:
            raise RequestError(400, f"The time range is longer than {_MOST_DAYS} days")
        window = (source.start_time, source.end_time)
        spans_of_records(call.state.spans, project_id(source.project_id), "SPAN", source.span_ids, window)
        records += [
            {
                "id": str(uuid.uuid4()),
                "annotation_queue_id": queue["id"],
                "source_type": "SPANS",
                "granularity": "SPAN",
                "data": {
                    "name": span["name"],
                    "context.span_id": span["span_id"],
                    "context.trace_id": span["trace_id"],
                    **{f"attributes.{name}": value for name, value in span["attributes"].items()},
                },
                "annotations": [],
                "evaluations": [],
                "assigned_users": [],
            }
            for span in call.state.spans.get(source.span_ids)
        ]
    if len(records) > 500:
        raise RequestError(400, f"record_sources has {len(records)} records; at most 500 are allowed")
    queue["items"] += records
    QUEUES.save(call.state, queue)
    return records


_QUEUE = "/v2/annotation-queues/{annotation_queue_id}"
_RECORDS = f"{_QUEUE}/records"
OPERATIONS = (
    Operation("GET", "/v2/annotation-queues", list_annotation_queues, "annotation_queues"),
    Operation("POST", "/v2/annotation-queues", create_annotation_queue, body=_QueueInput, status=201),
    Operation("GET", _QUEUE, get_annotation_queue),
    Operation("GET", _RECORDS, list_annotation_queue_records, "records"),
    Operation("POST", _RECORDS, add_annotation_queue_records, "record_sources", _RecordsInput, status=201),
)
