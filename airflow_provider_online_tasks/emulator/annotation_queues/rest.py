"""Annotation queues over REST: where spans wait for people to annotate them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from airflow_provider_online_tasks.emulator.datasets.rest import DATASETS
from airflow_provider_online_tasks.emulator.errors import NotFoundError, RequestError
from airflow_provider_online_tasks.emulator.records import Record, Records, listed_items, shown
from airflow_provider_online_tasks.emulator.rest import (
    DAY,
    Body,
    Call,
    Moment,
    Operation,
    checked_id,
    project_id,
)
from airflow_provider_online_tasks.emulator.spans.rest import spans_of_records

if TYPE_CHECKING:
    from collections.abc import Iterable

QUEUES = Records("annotation_queue", "AnnotationQueue")

_MOST_RECORDS = 500
_MOST_DAYS = 7
_SpanIds = Annotated[list[str], Field(min_length=1, max_length=500)]
_SessionIds = Annotated[list[str], Field(min_length=1, max_length=100)]


class _Window(Body):
    project_id: str
    start_time: Moment
    end_time: Moment


class SpanSource(_Window):
    """Spans of a project."""

    record_type: Literal["SPAN"]
    span_ids: _SpanIds


class TraceSource(_Window):
    """Traces of a project."""

    record_type: Literal["TRACE"]
    trace_ids: _SpanIds


class SessionSource(_Window):
    """Sessions of a project."""

    record_type: Literal["SESSION"]
    session_ids: _SessionIds


class ExampleSource(Body):
    """Examples of a dataset."""

    record_type: Literal["EXAMPLE"]
    dataset_id: str
    dataset_version_id: str | None = None
    example_ids: list[str] | None = None


Source = Annotated[
    SpanSource | TraceSource | SessionSource | ExampleSource, Field(discriminator="record_type")
]
Sources = Annotated[list[Source], Field(min_length=1, max_length=2)]
_Names = Annotated[list[str], Field(min_length=1)]


class QueueInput(Body):
    """A new annotation queue."""

    name: Annotated[str, Field(min_length=1)]
    space_id: str
    instructions: str | None = None
    annotation_config_ids: _Names
    annotator_emails: _Names
    assignment_method: str | None = None
    record_sources: Sources | None = None
    column_allowlist: Any = None


class RecordsInput(Body):
    """Records to add to a queue."""

    record_sources: Sources


def list_annotation_queues(call: Call) -> Record:
    """List the matching annotation queues, newest first."""
    return QUEUES.listed(call, "annotation_queues")


def create_annotation_queue(call: Call) -> Record:
    """Create an annotation queue."""
    body: QueueInput = call.body
    queue = QUEUES.create(
        call,
        body.name,
        body.space_id,
        instructions=body.instructions,
        annotation_configs=[],
        annotators=[],
    )
    _add_records(call, queue, body.record_sources or [])
    return shown(queue)


def get_annotation_queue(call: Call) -> Record:
    """Return an annotation queue."""
    return shown(QUEUES.get(call))


def add_annotation_queue_records(call: Call) -> Record:
    """Add spans, traces, sessions or dataset examples to a queue."""
    return {"record_sources": _add_records(call, QUEUES.get(call), call.body.record_sources)}


def list_annotation_queue_records(call: Call) -> Record:
    """List the records of a queue, oldest first."""
    return listed_items(call, "records", QUEUES.get(call))


def _add_records(call: Call, queue: Record, sources: Iterable[Source]) -> list[Record]:
    records = [
        {
            "id": str(uuid.uuid4()),
            "annotation_queue_id": queue["id"],
            "source_type": "DATASET" if isinstance(source, ExampleSource) else "SPANS",
            "granularity": None if isinstance(source, ExampleSource) else source.record_type,
            "data": data,
            "annotations": [],
            "evaluations": [],
            "assigned_users": [],
        }
        for source in sources
        for data in (_examples(call, source) if isinstance(source, ExampleSource) else _spans(call, source))
    ]
    if len(records) > _MOST_RECORDS:
        raise RequestError(
            400, f"record_sources has {len(records)} records; at most {_MOST_RECORDS} are allowed"
        )
    queue["items"] += records
    QUEUES.save(call.state, queue)
    return records


def _examples(call: Call, source: ExampleSource) -> list[Record]:
    dataset = DATASETS.find(call.state, checked_id(source.dataset_id, "Dataset"))
    wanted = source.example_ids
    return [example for example in dataset["items"] if not wanted or example["id"] in wanted]


def _spans(call: Call, source: SpanSource | TraceSource | SessionSource) -> list[Record]:
    project, spans = project_id(source.project_id), call.state.spans
    if source.start_time >= source.end_time:
        raise RequestError(400, "start_time must be before end_time")
    if source.end_time - source.start_time > _MOST_DAYS * DAY:
        raise RequestError(400, f"The time range is longer than {_MOST_DAYS} days")
    match source:
        case SpanSource():
            keys = source.span_ids
        case SessionSource():
            keys = source.session_ids
        case _:
            roots = spans.root_spans("trace", source.trace_ids)
            missing = [key for key in source.trace_ids if key not in roots]
            if missing:
                raise NotFoundError(f"Trace {missing[0]!r} not found in the time range")
            keys = list(roots.values())
    window = (source.start_time, source.end_time)
    found = spans_of_records(spans, project, source.record_type, keys, window)
    return [
        {
            "name": span["name"],
            "context.span_id": span["span_id"],
            "context.trace_id": span["trace_id"],
            **{f"attributes.{name}": value for name, value in span["attributes"].items()},
        }
        for span in spans.get([found[key] for key in keys])
    ]


_QUEUE = "/v2/annotation-queues/{annotation_queue_id}"
_RECORDS = f"{_QUEUE}/records"
OPERATIONS = (
    Operation("GET", "/v2/annotation-queues", list_annotation_queues, "annotation_queues"),
    Operation("POST", "/v2/annotation-queues", create_annotation_queue, body=QueueInput, status=201),
    Operation("GET", _QUEUE, get_annotation_queue),
    Operation("GET", _RECORDS, list_annotation_queue_records, "records"),
    Operation("POST", _RECORDS, add_annotation_queue_records, "record_sources", RecordsInput, status=201),
)
