"""Spans over REST: read them with their evaluations, and annotate them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.clock import write_time
from airflow_provider_online_tasks.emulator.errors import InvalidError, NotFoundError, RequestError
from airflow_provider_online_tasks.emulator.graphql import USER
from airflow_provider_online_tasks.emulator.rest import DAY, READ, Body, Call, Moment, Operation, project_id
from airflow_provider_online_tasks.emulator.spans.filters import checked_filter
from airflow_provider_online_tasks.emulator.spans.values import column, is_computed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow_provider_online_tasks.emulator.spans.store import SpanStore
    from airflow_provider_online_tasks.emulator.state import EmulatorState

_ANNOTATOR = {"id": ids.USER_ID, "email": USER["email"]}
# The prefixes of columns.
_PREFIXES = {"span": "", "trace": "trace_", "session": "session_"}
_LOOKBACK_DAYS = {"SPAN": 31, "TRACE": 31, "SESSION": 7}
_MOST_ANNOTATED = {"SPAN": 1000, "TRACE": 1000, "SESSION": 100}
_Columns = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=1000)]


class _SpanQuery(Body):
    project_id: str
    start_time: Moment | None = None
    end_time: Moment | None = None
    filter: str | None = None
    included_columns: _Columns | None = None
    excluded_columns: _Columns | None = None
    truncate_string_length: Annotated[int, Field(ge=1)] | None = None

    def shows(self, name: str) -> bool:
        """Whether the response contains a column."""
        if self.included_columns is not None:
            return name in self.included_columns
        return self.excluded_columns is None or name not in self.excluded_columns


class AnnotationValue(Body):
    """A value of an annotation; a field that is missing keeps its value."""

    name: Annotated[str, Field(min_length=1)]
    score: float | None = None
    label: str | None = None
    text: str | None = None

    @model_validator(mode="after")
    def _has_value(self) -> Self:
        if (self.label, self.score, self.text) == (None, None, None):
            raise ValueError("an annotation needs a label, a score or a text")
        return self


class _AnnotatedRecord(Body):
    record_id: Annotated[str, Field(min_length=1)]
    values: Annotated[list[AnnotationValue], Field(min_length=1)]


class _Annotations(Body):
    project_id: str
    start_time: Moment | None = None
    end_time: Moment | None = None
    granularity: Literal["SPAN", "TRACE", "SESSION"] | None = None
    annotations: Annotated[list[_AnnotatedRecord], Field(min_length=1, max_length=1000)]


def list_spans(call: Call) -> dict[str, Any]:
    """List the matching spans of a window, newest first."""
    state, query = call.state, call.body
    project = project_id(query.project_id)
    if query.filter is not None and not query.filter.strip():
        raise InvalidError("filter is empty; omit it to list all spans")
    if query.included_columns is not None and query.excluded_columns is not None:
        raise InvalidError("Set only one of included_columns and excluded_columns")
    now = state.clock.stamp()
    start = now - 7 * DAY if query.start_time is None else query.start_time
    end = now if query.end_time is None else query.end_time
    if start > end:
        raise InvalidError("start_time must not be after end_time")
    readable_until = now - state.settings.index_delay
    matching = state.spans.matching(
        project_id=project,
        start=start,
        end=end,
        end_inclusive=True,
        compiled=checked_filter(query.filter, state.spans.attribute_names(project)),
        readable_until=readable_until,
    )
    page, pagination = call.page(matching, lambda row: row, most=500)
    span_ids = [span_id for _, _, span_id in page]
    values = values_of_spans(state, span_ids, query.shows)
    spans = [
        {**_span(span, query), **values[span_id]}
        for span_id, span in zip(span_ids, state.spans.get(span_ids), strict=True)
    ]
    return {"spans": spans, "pagination": pagination}


def values_of_spans(
    state: EmulatorState, span_ids: list[str], shows: Callable[[str], bool] = lambda _: True
) -> dict[str, dict[str, list[Any]]]:
    """Return the annotations and evaluations of spans that can be read now.

    :param shows: whether the response contains a column.
    """
    fields = (*(f"{prefix}annotations" for prefix in _PREFIXES.values()), "evaluations")
    values: dict[str, dict[str, list[Any]]] = {each: {field: [] for field in fields} for each in span_ids}
    readable_until = state.clock.stamp() - state.settings.index_delay

    def requested(each: dict[str, Any], kind: str, fields: Iterable[str]) -> dict[str, Any]:
        column = f"{_PREFIXES[each['granularity']]}{kind}.{each['name']}"
        return {field: each[field] for field in fields if shows(f"{column}.{field}")}

    for each in state.storage.evaluations(span_ids=span_ids, made_until=readable_until):
        shown = requested(each, "eval", ("label", "score", "explanation"))
        if shown:
            shown = {"name": each["name"], **shown, "metadata": each["metadata"]}
            values[each["span_id"]]["evaluations"].append(shown)
    for each in state.spans.annotations(span_ids):
        present = [field for field in ("label", "score", "text") if each[field] is not None]
        if shown := requested(each, "annotation", present):
            shown |= {"name": each["name"], "updated_at": write_time(each["updated_at"])}
            field = f"{_PREFIXES[each['granularity']]}annotations"
            values[each["span_id"]][field].append({**shown, "annotator": each["annotator"]})
    return values


def _span(span: dict[str, Any], query: _SpanQuery) -> dict[str, Any]:
    attributes = dict(span["attributes"])
    for name in query.included_columns or ():
        key = name.removeprefix("attributes.")
        if name != key and is_computed(key) and (value := column(attributes, key)) is not None:
            attributes.setdefault(key, value)
    start, end = span["start_time"], span["end_time"]
    return {
        **{name: span[name] for name in ("name", "kind", "parent_id", "status_code", "status_message")},
        "context": {"trace_id": span["trace_id"], "span_id": span["shown_id"]},
        "start_time": write_time(start.timestamp()),
        "end_time": write_time(end.timestamp()),
        "latency_ms": round((end - start).total_seconds() * 1000, 3),
        "attributes": {
            name: _truncated(value, query.truncate_string_length)
            for name, value in attributes.items()
            if query.shows(f"attributes.{name}")
        },
        "events": span["events"],
    }


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


def annotate_spans(call: Call) -> None:
    """Annotate spans, traces or sessions; write nothing if one of them does not exist."""
    spans, body = call.state.spans, call.body
    project = project_id(body.project_id)
    granularity = body.granularity or "SPAN"
    if len(body.annotations) > _MOST_ANNOTATED[granularity]:
        raise RequestError(400, f"annotations must have at most {_MOST_ANNOTATED[granularity]} entries")
    record_ids = [each.record_id for each in body.annotations]
    for names in (record_ids, *([value.name for value in each.values] for each in body.annotations)):
        if len(set(names)) < len(names):
            raise RequestError(400, "annotations contains a record_id twice, or a name twice for a record")
    now, days = call.state.clock.stamp(), _LOOKBACK_DAYS[granularity]
    end = now if body.end_time is None else body.end_time
    start = end - days * DAY if body.start_time is None else body.start_time
    if not start < end <= now or end - start > days * DAY:
        problem = f"The time range must be at most {days} days long and must not end in the future"
        raise RequestError(400, problem)
    roots = spans_of_records(spans, project, granularity, record_ids, (start, end))
    for each in body.annotations:
        values = [value.model_dump(exclude_none=True) for value in each.values]
        spans.annotate(granularity.lower(), roots[each.record_id], values, now, _ANNOTATOR)


def spans_of_records(
    spans: SpanStore, project: str, granularity: str, keys: list[str], window: tuple[float, float]
) -> dict[str, str]:
    """Return the span that holds each record; reject the request if a record is not in the window.

    :param keys: span IDs; for traces, the IDs of their root spans; for sessions, session IDs.
    """
    start, end = window
    rows = spans.matching(project_id=project, start=start, end=end, end_inclusive=True, compiled=None)
    in_window = [span_id for _, _, span_id in rows]
    if granularity == "SESSION":
        sessions = set(spans.unit_keys("session", in_window).values())
        found = spans.root_spans("session", [key for key in keys if key in sessions])
    else:
        found = spans.with_ids(keys, in_window)
    if granularity == "TRACE":
        traces = spans.unit_keys("trace", list(found.values()))
        roots = spans.root_spans("trace", list(traces.values()))
        for key, span_id in found.items():
            if roots[traces[span_id]] != span_id:
                raise InvalidError(f"{key!r} is not the root span of its trace")
    missing = [key for key in keys if key not in found]
    if missing:
        raise NotFoundError(f"{granularity.capitalize()} {missing[0]!r} not found in the time range")
    return found


OPERATIONS = (
    Operation("POST", "/v2/spans", list_spans, "spans", _SpanQuery, budget=READ),
    Operation("POST", "/v2/spans/annotate", annotate_spans, "", _Annotations, status=202),
)
