"""Annotation queues over REST: where spans wait for people to annotate them."""

from __future__ import annotations

import uuid
import zlib
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from starlette.responses import JSONResponse, Response

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.annotation_configs import CONFIGS
from airflow_provider_online_tasks.emulator.errors import RequestError
from airflow_provider_online_tasks.emulator.records import Record, Records, listed_items, shown
from airflow_provider_online_tasks.emulator.rest import DAY, Body, Call, Moment, Operation, project_id
from airflow_provider_online_tasks.emulator.spans.api import spans_of_records, values_of_spans

QUEUES = Records("annotation_queue", "AnnotationQueue")

_MOST_DAYS = 7


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value or "ALL"


class _Source(Body):
    record_type: Literal["SPAN"]
    project_id: str
    start_time: Moment
    end_time: Moment
    span_ids: Annotated[list[str], Field(min_length=1, max_length=500)]


_Sources = Annotated[list[_Source], Field(min_length=1, max_length=2)]
_Names = Annotated[list[str], Field(min_length=1)]


class _QueueInput(Body):
    name: Annotated[str, Field(min_length=1, max_length=255)]
    space_id: str
    instructions: Annotated[str, Field(max_length=5000)] | None = None
    annotation_config_ids: _Names
    annotator_emails: _Names
    # Arize's documents write both spellings.
    assignment_method: Annotated[Literal["ALL", "RANDOM"], BeforeValidator(_upper)] = "ALL"
    record_sources: _Sources | None = None
    column_allowlist: list[str] | None = None


class _RecordsInput(Body):
    record_sources: _Sources


def list_annotation_queues(call: Call) -> Record:
    """List the matching annotation queues, newest first."""
    return QUEUES.listed(call, "annotation_queues", _queue)


def create_annotation_queue(call: Call) -> Record:
    """Create an annotation queue."""
    body: _QueueInput = call.body
    configs = [shown(CONFIGS.get(call, each)) for each in body.annotation_config_ids]
    fields = body.model_dump(include={"instructions", "assignment_method", "column_allowlist"})
    annotators = [
        {"id": ids.encode("User", zlib.crc32(email.encode())), "email": email}
        for email in dict.fromkeys(body.annotator_emails)
    ]
    queue = QUEUES.create(
        call, body.name, body.space_id, annotation_configs=configs, annotators=annotators, **fields
    )
    _add_records(call, queue, body.record_sources or [])
    return _queue(queue)


def get_annotation_queue(call: Call) -> Record:
    """Return an annotation queue."""
    return _queue(QUEUES.get(call))


def add_annotation_queue_records(call: Call) -> Record | Response:
    """Add the spans that are not in the queue yet."""
    added = _add_records(call, QUEUES.get(call), call.body.record_sources)
    response = {"record_sources": _records(call, added)}
    return response if added else JSONResponse(response, 200)


def list_annotation_queue_records(call: Call) -> Record:
    """List the records of a queue with their annotations and evaluations, oldest first."""
    response = listed_items(call, "records", QUEUES.get(call))
    return {**response, "records": _records(call, response["records"])}


def _queue(queue: Record) -> Record:
    return {name: value for name, value in shown(queue).items() if name != "assignment_method"}


def _add_records(call: Call, queue: Record, sources: list[_Source]) -> list[Record]:
    spans: dict[str, None] = {}
    for source in sources:
        if source.start_time >= source.end_time:
            raise RequestError(400, "start_time must be before end_time")
        if source.end_time - source.start_time > _MOST_DAYS * DAY:
            raise RequestError(400, f"The time range is longer than {_MOST_DAYS} days")
        window = (source.start_time, source.end_time)
        found = spans_of_records(
            call.state.spans, project_id(source.project_id), "SPAN", source.span_ids, window
        )
        spans |= dict.fromkeys(found[each] for each in source.span_ids)
    if len(spans) > 500:
        raise RequestError(400, f"record_sources has {len(spans)} records; at most 500 are allowed")
    present = {each["span"] for each in queue["items"]}
    added = []
    for span in spans:
        if span not in present:
            users = queue["annotators"]
            if queue["assignment_method"] == "RANDOM":
                users = [users[zlib.crc32(span.encode()) % len(users)]]
            assigned = [{"user": user, "completion_status": "PENDING"} for user in users]
            item = {"id": str(uuid.uuid4()), "annotation_queue_id": queue["id"], "span": span}
            added.append({**item, "assigned_users": assigned})
    queue["items"] += added
    queue["updated_at"] = call.state.clock.stamp()
    QUEUES.save(call.state, queue)
    return added


def _records(call: Call, items: list[Record]) -> list[Record]:
    """Return items as responses contain them: with what is known of their spans now."""
    keys = [each["span"] for each in items]
    spans = call.state.spans.get(keys)
    values = values_of_spans(call.state, keys)
    return [
        {
            **{name: item[name] for name in ("id", "annotation_queue_id", "assigned_users")},
            "source_type": "SPANS",
            "granularity": "SPAN",
            "data": {
                "name": span["name"],
                "context.span_id": span["shown_id"],
                "context.trace_id": span["trace_id"],
                **{f"attributes.{name}": value for name, value in span["attributes"].items()},
            },
            **values[item["span"]],
        }
        for item, span in zip(items, spans, strict=True)
    ]


_QUEUE = "/v2/annotation-queues/{annotation_queue_id}"
_RECORDS = f"{_QUEUE}/records"
OPERATIONS = (
    Operation("GET", "/v2/annotation-queues", list_annotation_queues, "annotation_queues"),
    Operation("POST", "/v2/annotation-queues", create_annotation_queue, body=_QueueInput, status=201),
    Operation("GET", _QUEUE, get_annotation_queue),
    Operation("GET", _RECORDS, list_annotation_queue_records, "records"),
    Operation("POST", _RECORDS, add_annotation_queue_records, "record_sources", _RecordsInput, status=201),
)
