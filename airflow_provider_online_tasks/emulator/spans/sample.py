"""The spans that an emulator loads: the included sample, or a JSONL file."""

from __future__ import annotations

import hashlib
import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.emulator.ids import PROJECTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SAMPLE_PATH = Path(__file__).with_name("sample_spans.jsonl")
_KIND_ATTRIBUTE = "openinference.span.kind"
_STATUS_CODES = ("OK", "ERROR", "UNSET")


class SpanFileError(ValueError):
    """A line of a span file is not a span; the message names the file, the line and the problem."""


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
                    where = f"{source}, line {number}"
                    yield _span(_record(line, where), now, where)
    except OSError as error:
        raise SpanFileError(f"Cannot read spans from {source}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise SpanFileError(
            f"Cannot read spans from {source}: it is not UTF-8 text ({error.reason})"
        ) from error


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


def _record(line: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise SpanFileError(f"{where}: not JSON ({error})") from error
    if not isinstance(record, dict):
        raise SpanFileError(f"{where}: expected an object, got {type(record).__name__}")
    return record


def _span(record: dict[str, Any], now: datetime, where: str) -> dict[str, Any]:
    context = record.get("context")
    ids = {**context, **record} if isinstance(context, dict) else record
    attributes = record.get("attributes") or {}
    if not isinstance(attributes, dict):
        raise SpanFileError(f"{where}: attributes must be an object")
    attributes = flatten(attributes)
    start = end = _time(record.get("start_time"), now, f"{where}: start_time")
    if record.get("end_time") is not None:
        end = _time(record["end_time"], now, f"{where}: end_time")
    if end < start:
        raise SpanFileError(f"{where}: end_time is before start_time")
    # Without an ID, the position in the file gives one that is the same at every start.
    span_id = str(ids.get("span_id") or hashlib.sha256(where.encode()).hexdigest()[:16])
    status = str(record.get("status_code") or "UNSET").upper()
    if status not in _STATUS_CODES:
        raise SpanFileError(f"{where}: status_code must be one of {', '.join(_STATUS_CODES)}, got {status!r}")
    kind = str(record.get("kind") or attributes.get(_KIND_ATTRIBUTE) or "UNKNOWN").upper()
    attributes.setdefault(_KIND_ATTRIBUTE, kind)
    return {
        "span_id": span_id,
        "trace_id": str(ids.get("trace_id") or span_id * 2),
        "parent_id": str(record["parent_id"]) if record.get("parent_id") else None,
        "name": str(record.get("name") or "span"),
        "kind": kind,
        "status_code": status,
        "status_message": str(record.get("status_message") or ""),
        "start_time": start,
        "end_time": end,
        "attributes": attributes,
        "events": record.get("events") or [],
        **_project(record.get("project"), where),
    }


def _project(name: Any, where: str) -> dict[str, str]:
    """Return the project of a line; without a name, the span belongs to the first project."""
    if name is None:
        return {}
    for project_id, project_name in PROJECTS.items():
        if project_name == name:
            return {"project_id": project_id}
    known = ", ".join(PROJECTS.values())
    raise SpanFileError(f"{where}: there is no project {name!r}; the projects are {known}")


def _time(value: Any, now: datetime, where: str) -> datetime:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        try:
            return now + timedelta(seconds=value)
        except OverflowError as error:
            raise SpanFileError(f"{where} is out of range: {value} seconds from now") from error
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError as error:
            raise SpanFileError(f"{where} is not an ISO 8601 time: {value!r}") from error
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    raise SpanFileError(f"{where} must be an ISO 8601 time or seconds relative to now, got {value!r}")
