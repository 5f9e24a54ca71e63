"""The spans that an emulator loads: the included sample, or a JSONL file."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from airflow_provider_online_tasks.emulator.errors import describe
from airflow_provider_online_tasks.emulator.ids import PROJECTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SAMPLE_PATH = Path(__file__).with_name("sample_spans.jsonl")
_KIND_ATTRIBUTE = "openinference.span.kind"
_PROJECT_IDS = {name: project_id for project_id, name in PROJECTS.items()}


class SpanFileError(ValueError):
    """A line of a span file is not a span; the message names the file, the line and the problem."""


def _time(value: Any) -> datetime | float:
    """Return an ISO 8601 time (without an offset: UTC), or seconds relative to now."""
    if isinstance(value, str):
        moment = datetime.fromisoformat(value)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e11:
        raise ValueError("expected an ISO 8601 time or seconds relative to now")
    return value


Time = Annotated[Any, BeforeValidator(_time)]


class _Span(BaseModel):
    span_id: str | None = None
    trace_id: str | None = None
    context: dict[str, Any] = Field(default_factory=dict)
    parent_id: str | None = None
    name: str | None = None
    kind: str | None = None
    status_code: Annotated[
        Literal["OK", "ERROR", "UNSET"], BeforeValidator(lambda code: str(code or "UNSET").upper())
    ] = "UNSET"
    status_message: str | None = None
    start_time: Time
    end_time: Time | None = None
    attributes: dict[str, Any] | None = None
    events: list[Any] | None = None
    project: str | None = None


def load_spans(path: Path | None, *, now: datetime) -> Iterator[dict[str, Any]]:
    """
    Yield the spans of a JSONL file with absolute times and flat, dotted attribute names.

    Each line is an object with ``name``, ``start_time``, ``end_time`` and ``attributes`` (nested or flat),
    and optionally ``span_id``, ``trace_id`` (or both in ``context``), ``parent_id``, ``kind``,
    ``status_code``, ``status_message``, ``events`` and ``project``. A time is ISO 8601 (without an offset:
    UTC) or a number of seconds relative to ``now``.

    :param path: the file; None reads the included sample.
    :param now: the time that relative times refer to, with a timezone.
    """
    source = SAMPLE_PATH if path is None else path
    try:
        with source.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _span(line, now, f"{source}, line {number}")
    except OSError as error:
        raise SpanFileError(f"Cannot read spans from {source}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise SpanFileError(f"Cannot read spans from {source}: not UTF-8 text ({error.reason})") from error


def flatten(attributes: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested objects, and lists of objects, as attributes with dotted names."""
    flat: dict[str, Any] = {}
    for key, value in attributes.items():
        name = f"{prefix}{key}"
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            value = dict(enumerate(value))  # noqa: PLW2901
        if isinstance(value, dict):
            flat.update(flatten(value, f"{name}."))
        else:
            flat[name] = value
    return flat


def _span(line: str, now: datetime, where: str) -> dict[str, Any]:
    try:
        span = _Span.model_validate_json(line)
    except ValidationError as error:
        raise SpanFileError(f"{where}: {describe(error)}") from error
    start, end = (
        time if isinstance(time, datetime) else now + timedelta(seconds=time)
        for time in (span.start_time, span.start_time if span.end_time is None else span.end_time)
    )
    if end < start:
        raise SpanFileError(f"{where}: end_time is before start_time")
    project_id = _PROJECT_IDS.get(span.project or next(iter(_PROJECT_IDS)))
    if project_id is None:
        raise SpanFileError(
            f"{where}: project must be one of {', '.join(_PROJECT_IDS)}, not {span.project!r}"
        )
    # Without an ID, the position in the file gives one that is the same at every start.
    span_id = span.span_id or span.context.get("span_id") or hashlib.sha256(where.encode()).hexdigest()[:16]
    attributes = flatten(span.attributes or {})
    kind = str(span.kind or attributes.get(_KIND_ATTRIBUTE) or "UNKNOWN").upper()
    attributes.setdefault(_KIND_ATTRIBUTE, kind)
    return {
        "span_id": span_id,
        "trace_id": span.trace_id or span.context.get("trace_id") or span_id * 2,
        "parent_id": span.parent_id or None,
        "name": span.name or "span",
        "kind": kind,
        "status_code": span.status_code,
        "status_message": span.status_message or "",
        "start_time": start,
        "end_time": end,
        "attributes": attributes,
        "events": span.events or [],
        "project_id": project_id,
    }
