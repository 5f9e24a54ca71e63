"""The spans that an emulator loads: the included sample, or a file of spans in one of the usual forms."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from airflow_provider_online_tasks.emulator.clock import write_time
from airflow_provider_online_tasks.emulator.errors import describe
from airflow_provider_online_tasks.emulator.ids import PROJECTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SAMPLE_PATH = Path(__file__).with_name("sample_spans.jsonl")
_KIND_ATTRIBUTE = "openinference.span.kind"
_KINDS = re.compile(
    "AGENT|CHAIN|DECISION|EMBEDDING|EVALUATOR|GUARDRAIL|LLM|PROMPT|RERANKER|RETRIEVER|TOOL|UNKNOWN"
)
# The kinds of OpenTelemetry say nothing about LLM applications; OpenInference's kind is an attribute there.
_OTHER_KINDS = re.compile("CLIENT|CONSUMER|INTERNAL|PRODUCER|SERVER|")
_PROJECT_IDS = {name: project_id for project_id, name in PROJECTS.items()}
# Other names of the fields: of OpenTelemetry's SDK, of Phoenix, and of data frames.
_FIELDS = {
    "context.span_id": "span_id",
    "context.trace_id": "trace_id",
    "parent_span_id": "parent_id",
    "span_kind": "kind",
    "status.description": "status_message",
    "status.status_code": "status_code",
}
# What an emulator computes itself, or what has no place in Arize's spans.
_IGNORED = re.compile(
    r"id|latency_ms|time|links|resource|context\.trace_state|evaluations|(trace_|session_)?annotations"
    r"|(annotation|eval|trace_eval|session_eval)\..*|__index_level_0__|"
)
_TEXT_COLUMNS = ("span_id", "trace_id", "parent_id", "parent_span_id", "context.span_id", "context.trace_id")


class SpanFileError(ValueError):
    """A span file that cannot be read; the message names the file, the line and the problem."""


def _time(value: Any) -> datetime | float:
    """Return an ISO 8601 time (without an offset: UTC), an epoch, or seconds relative to now."""
    if isinstance(value, str):
        moment = datetime.fromisoformat(value)
        try:
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        except OverflowError as error:
            raise ValueError("the time is out of range") from error
    if not isinstance(value, bool) and isinstance(value, int | float):
        if -1e9 < value < 1e8:
            return value
        for unit in (1, 1e3, 1e6, 1e9):
            if 1e8 <= value / unit < 1e11:
                return datetime.fromtimestamp(value / unit, UTC)
    raise ValueError("expected an ISO 8601 time, an epoch, or seconds relative to now")


def _kind(value: Any) -> Any:
    kind = str(value or "").rpartition(".")[2].upper()
    if _KINDS.fullmatch(kind):
        return kind
    if _OTHER_KINDS.fullmatch(kind):
        return None
    raise ValueError(f"expected one of {_KINDS.pattern.replace('|', ', ')}")


Time = Annotated[Any, BeforeValidator(_time)]


class _Span(BaseModel):
    model_config = ConfigDict(extra="forbid")

    span_id: str | None = None
    trace_id: str | None = None
    parent_id: str | None = None
    name: str | None = None
    kind: Annotated[str | None, BeforeValidator(_kind)] = None
    status_code: Annotated[
        Literal["OK", "ERROR", "UNSET"], BeforeValidator(lambda code: str(code or "UNSET").upper())
    ] = "UNSET"
    status_message: str | None = None
    start_time: Time
    end_time: Time | None = None
    attributes: dict[str, Any] = Field(default_factory=dict)
    events: list[dict[str, Any]] = Field(default_factory=list)
    project: str | None = None


def load_spans(path: Path | None, *, now: datetime) -> Iterator[dict[str, Any]]:
    """Yield the spans of a file with absolute times and flat, dotted attribute names.

    :param path: a JSON, JSONL, CSV or Parquet file, as docs/emulator.md describes; None: the sample.
    :param now: the time that relative times refer to, with a timezone.
    """
    source = SAMPLE_PATH if path is None else path
    try:
        rows = _table_rows(source) if source.suffix.lower() in {".csv", ".parquet"} else _json_rows(source)
        for place, row in rows:
            where = f"{source}, {place}"
            try:
                yield _span(row, now, where)
            except (ValueError, RecursionError) as error:
                problem = describe(error) if isinstance(error, ValidationError) else str(error)
                raise SpanFileError(f"{where}: {problem}") from error
    except OSError as error:
        raise SpanFileError(f"Cannot read spans from {source}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise SpanFileError(f"Cannot read spans from {source}: not UTF-8 text ({error.reason})") from error


def _json_rows(source: Path) -> Iterator[tuple[str, Any]]:
    """Yield the objects of JSONL, of an array, or of one text after the other, with their lines."""
    text = source.read_text(encoding="utf-8-sig").rstrip()
    decoder, line, position = json.JSONDecoder(), 1, 0
    separators = re.compile(r"\s*")
    if text.lstrip().startswith("["):
        separators = re.compile(r"[\s,]*")
        position = text.index("[") + 1
        line += text.count("\n", 0, position)
        if not text.endswith("]"):
            raise SpanFileError(f"{source}, line {text.count(chr(10)) + 1}: the array of spans is not closed")
        text = text[:-1].rstrip()
    while position < len(text):
        start = separators.match(text, position).end()  # type: ignore[union-attr]
        line += text.count("\n", position, start)
        try:
            row, position = decoder.raw_decode(text, start)
        except (ValueError, RecursionError) as error:
            raise SpanFileError(f"{source}, line {line}: {error}") from error
        yield f"line {line}", row
        line += text.count("\n", start, position)


def _table_rows(source: Path) -> Iterator[tuple[str, Any]]:
    """Yield the rows of a CSV or Parquet file without their empty columns."""
    try:
        from pyarrow import ArrowException, csv, parquet, string  # type: ignore[import-untyped]
    except ImportError as error:
        raise SpanFileError(f"Install pyarrow to read spans from {source}") from error
    try:
        if source.suffix.lower() == ".parquet":
            table = parquet.read_table(source)
        else:
            table = csv.read_csv(
                source,
                parse_options=csv.ParseOptions(newlines_in_values=True),
                convert_options=csv.ConvertOptions(
                    # Digits only are still an ID.
                    column_types=dict.fromkeys(_TEXT_COLUMNS, string()),
                    null_values=["", "nan", "NaN"],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )
    except ArrowException as error:
        raise SpanFileError(f"Cannot read spans from {source}: {error}") from error
    for number, row in enumerate(table.to_pylist(), start=1):
        # A missing number is not a number.
        yield f"row {number}", {name: value for name, value in row.items() if value == value}  # noqa: PLR0124


def flatten(attributes: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested objects, and lists of objects, as attributes with dotted names."""
    flat: dict[str, Any] = {}
    for key, value in attributes.items():
        name = f"{prefix}{key}"
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            value = dict(enumerate(value))  # noqa: PLW2901
        if isinstance(value, dict):
            flat.update(flatten(value, f"{name}."))
        elif value is not None:
            flat[name] = value
    return flat


def _fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a span, under any of the names that files have for them."""
    fields: dict[str, Any] = {}
    attributes: dict[str, Any] = {}
    for name, value in row.items():
        prefix, _, rest = name.partition(".")
        if name in {"context", "status"} and isinstance(value, dict):
            fields |= _fields({f"{name}.{field}": each for field, each in value.items()})
        elif prefix == "attributes" and rest:
            attributes[rest] = value
        elif value is not None and not _IGNORED.fullmatch(name):
            is_id = name.endswith("_id") and isinstance(value, str)
            fields[_FIELDS.get(name, name)] = value.removeprefix("0x") if is_id else value
    if attributes:
        fields["attributes"] = {**fields.get("attributes", {}), **attributes}
    if isinstance(fields.get("events"), str):
        fields["events"] = json.loads(fields["events"])
    return fields


def _span(row: Any, now: datetime, where: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise ValueError("expected an object")  # noqa: TRY004
    # Rejects what JSON and UTF-8 cannot express, and makes texts of the times of a table.
    text = json.dumps(row, allow_nan=False, ensure_ascii=False, default=str)
    text.encode()
    span = _Span.model_validate(_fields(json.loads(text)))
    start = _moment(span.start_time, now)
    end = start if span.end_time is None else _moment(span.end_time, now)
    if end < start:
        raise ValueError("end_time is before start_time")
    project_id = _PROJECT_IDS.get(span.project or next(iter(_PROJECT_IDS)))
    if project_id is None:
        raise ValueError(f"project must be one of {', '.join(_PROJECT_IDS)}, not {span.project!r}")
    # Without an ID, the position in the file gives one that is the same at every start.
    span_id = span.span_id or hashlib.sha256(where.encode()).hexdigest()[:16]
    attributes = flatten(span.attributes)
    attribute = str(attributes.get(_KIND_ATTRIBUTE) or "UNKNOWN").upper()
    kind = span.kind or (attribute if _KINDS.fullmatch(attribute) else "UNKNOWN")
    attributes.setdefault(_KIND_ATTRIBUTE, kind)
    return {
        "span_id": span_id,
        "trace_id": span.trace_id or span_id * 2,
        "parent_id": span.parent_id or None,
        "name": span.name or "span",
        "kind": kind,
        "status_code": span.status_code,
        "status_message": span.status_message or "",
        "start_time": start,
        "end_time": end,
        "attributes": attributes,
        "events": [_event(each, start, now) for each in span.events],
        "project_id": project_id,
    }


def _event(event: dict[str, Any], start: datetime, now: datetime) -> dict[str, Any]:
    """Return an event with a name and a timestamp, which clients of Arize need."""
    timestamp = _moment(start if event.get("timestamp") is None else _time(event["timestamp"]), now)
    return {"name": "event", "attributes": {}, **event, "timestamp": write_time(timestamp.timestamp())}


def _moment(time: datetime | float, now: datetime) -> datetime:
    return time if isinstance(time, datetime) else now + timedelta(seconds=time)
