"""Spans with their evaluations over REST."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.clock import write_time
from airflow_provider_online_tasks.emulator.errors import UnknownObjectError
from airflow_provider_online_tasks.emulator.rest.fields import (
    DAY,
    identifier,
    json_response,
    moment,
    only,
    paged,
    text,
)
from airflow_provider_online_tasks.emulator.rest.problems import ProblemError
from airflow_provider_online_tasks.emulator.runs.tasks import compiled
from airflow_provider_online_tasks.emulator.spans.columns import column, is_made

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from airflow_provider_online_tasks.emulator.state import EmulatorState


_PREFIXES = {"span": "eval", "trace": "trace_eval", "session": "session_eval"}


def list_spans(state: EmulatorState, request: Request, fields: dict[str, Any]) -> Response:
    """List the spans of a window that match, newest first."""
    only(
        fields,
        "project_id start_time end_time filter included_columns excluded_columns truncate_string_length",
    )
    project_id = identifier(text(fields, "project_id", required=True), "Model")
    if project_id not in ids.PROJECTS:
        raise UnknownObjectError(f"Project {project_id!r} not found")
    query_filter = text(fields, "filter")
    if query_filter is not None and not query_filter.strip():
        raise ProblemError(422, "filter is empty; leave it out to list all spans")
    included, excluded = _columns(fields, "included_columns"), _columns(fields, "excluded_columns")
    if included is not None and excluded is not None:
        raise ProblemError(422, "included_columns and excluded_columns exclude each other")
    length = fields.get("truncate_string_length")
    if length is not None and (not isinstance(length, int) or isinstance(length, bool) or length < 1):
        raise ProblemError(422, f"truncate_string_length is {length!r}; it has to be a number of 1 or more")
    start, end = moment(fields, "start_time"), moment(fields, "end_time")
    now = state.clock.stamp()
    readable_until = now - state.settings.index_delay
    matching = state.store.matching_spans(
        project_id=project_id,
        start=now - 7 * DAY if start is None else start,
        end=now if end is None else end,
        end_inclusive=True,
        compiled=compiled(query_filter, state.known_attributes(project_id)),
        readable_until=readable_until,
    )
    page, pagination = paged(request, matching, lambda row: row, limit=500)
    span_ids = [span_id for _, _, span_id in page]
    evaluations: dict[str, list[dict[str, Any]]] = {span_id: [] for span_id in span_ids}
    for each in state.store.evaluations(span_ids=span_ids, made_until=readable_until):
        evaluations[each["span_id"]].append(each)

    annotations = state.store.annotations(span_ids)

    def shown(column: str) -> bool:
        if included is not None:
            return column in included
        return excluded is None or column not in excluded

    spans = [
        {
            "name": span["name"],
            "context": {"trace_id": span["trace_id"], "span_id": span["span_id"]},
            "kind": span["kind"],
            "parent_id": span["parent_id"],
            "start_time": write_time(span["start_time"].timestamp()),
            "end_time": write_time(span["end_time"].timestamp()),
            "status_code": span["status_code"],
            "status_message": span["status_message"],
            "latency_ms": round((span["end_time"] - span["start_time"]).total_seconds() * 1000, 3),
            "attributes": {
                name: _truncated(value, length)
                for name, value in {**span["attributes"], **_made(span["attributes"], included)}.items()
                if shown(f"attributes.{name}")
            },
            "annotations": _annotations(annotations.get(span["span_id"], ()), "span"),
            "trace_annotations": _annotations(annotations.get(span["span_id"], ()), "trace"),
            "evaluations": [
                evaluation
                for each in evaluations[span["span_id"]]
                if (evaluation := _evaluation(each, shown)) is not None
            ],
            "events": span["events"],
        }
        for span in state.store.spans(span_ids)
    ]
    return json_response({"spans": spans, "pagination": pagination})


def _made(attributes: dict[str, Any], included: frozenset[str] | None) -> dict[str, Any]:
    """Return the columns asked for that Arize makes of a span's attributes."""
    keys = [name.removeprefix("attributes.") for name in included or () if name.startswith("attributes.")]
    found = {key: column(attributes, key) for key in keys if is_made(key) and key not in attributes}
    return {key: value for key, value in found.items() if value is not None}


def _evaluation(each: dict[str, Any], shown: Callable[[str], bool]) -> dict[str, Any] | None:
    """Write an evaluation with the columns asked for, or None where none of them is."""
    column = f"{_PREFIXES[each['granularity']]}.{each['name']}"
    fields = [name for name in ("label", "score", "explanation") if shown(f"{column}.{name}")]
    if not fields:
        return None
    return {"name": each["name"], **{name: each[name] for name in fields}, "metadata": each["metadata"]}


def _annotations(each: Sequence[dict[str, Any]], granularity: str) -> list[dict[str, Any]]:
    return [_annotation(found) for found in each if found["granularity"] == granularity]


def _annotation(found: dict[str, Any]) -> dict[str, Any]:
    """Write an annotation."""
    return {
        **{name: found[name] for name in ("name", "label", "score", "text") if found[name] is not None},
        "updated_at": write_time(found["updated_at"]),
    }


def _columns(fields: dict[str, Any], name: str) -> frozenset[str] | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not value or not all(isinstance(each, str) and each for each in value):
        raise ProblemError(422, f"{name} has to be a list of column names")
    return frozenset(value)


def _truncated(value: Any, length: int | None) -> Any:
    if length is None:
        return value
    if isinstance(value, str):
        return value if len(value) <= length else value[: length - 1] + "…"
    if isinstance(value, list):
        return [_truncated(each, length) for each in value]
    if isinstance(value, dict):
        return {name: _truncated(each, length) for name, each in value.items()}
    return value
