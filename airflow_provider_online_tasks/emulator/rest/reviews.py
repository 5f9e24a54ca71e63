"""Where spans go that people should look at: annotations, annotation queues and datasets, over REST."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.clock import write_time
from airflow_provider_online_tasks.emulator.errors import RefusedInputError, UnknownObjectError
from airflow_provider_online_tasks.emulator.rest.fields import (
    DAY,
    identifier,
    is_in_space,
    json_response,
    moment,
    number,
    only,
    page_of,
    paged,
    path_id,
    text,
)
from airflow_provider_online_tasks.emulator.rest.problems import ProblemError

if TYPE_CHECKING:
    from starlette.requests import Request

    from airflow_provider_online_tasks.emulator.state import EmulatorState

_LOOKBACK_DAYS = {"SPAN": 31, "TRACE": 31, "SESSION": 7}
_MOST_ANNOTATED = {"SPAN": 1000, "TRACE": 1000, "SESSION": 100}
_SOURCES = {"SPAN": ("span_ids", 500), "TRACE": ("trace_ids", 500), "SESSION": ("session_ids", 100)}
_QUEUE_DAYS = 7


# -- annotations ----------------------------------------------------------------------------------


def annotate_spans(state: EmulatorState, _: Request, fields: dict[str, Any]) -> Response:
    """Annotate spans, traces or sessions; nothing is written if one of them is not there."""
    only(fields, "project_id start_time end_time granularity annotations")
    project_id = _project(fields)
    granularity = text(fields, "granularity") or "SPAN"
    if granularity not in _LOOKBACK_DAYS:
        raise ProblemError(
            400, f"granularity is {granularity!r}; it has to be one of {', '.join(_LOOKBACK_DAYS)}"
        )
    end = moment(fields, "end_time")
    end = state.clock.stamp() if end is None else end
    start = moment(fields, "start_time")
    start = end - _LOOKBACK_DAYS[granularity] * DAY if start is None else start
    annotations = fields.get("annotations")
    most = _MOST_ANNOTATED[granularity]
    if not isinstance(annotations, list) or not 1 <= len(annotations) <= most:
        raise ProblemError(400, f"annotations needs one to {most} entries")
    wanted = [(_record_id(each), _values(each)) for each in annotations]
    anchors = _anchors(state, project_id, granularity, [record_id for record_id, _ in wanted], start, end)
    if granularity == "TRACE":
        for record_id, span_id in anchors.items():
            if record_id != span_id:
                raise RefusedInputError(f"{record_id!r} is not the root span of its trace")
    now = state.clock.stamp()
    for record_id, values in wanted:
        state.store.annotate(granularity.lower(), anchors[record_id], values, now)
    return Response(status_code=202)


def _record_id(each: Any) -> str:
    if not isinstance(each, dict):
        raise ProblemError(400, "Each of annotations has to be an object")
    only(each, "record_id values", "annotations.")
    record_id: str = text(each, "record_id", required=True)
    return record_id


def _values(each: dict[str, Any]) -> list[dict[str, Any]]:
    values = each.get("values")
    if not isinstance(values, list) or not values:
        raise ProblemError(400, "annotations.values needs at least one entry")
    read = []
    for value in values:
        if not isinstance(value, dict):
            raise ProblemError(400, "Each of annotations.values has to be an object")
        only(value, "name score label text", "annotations.values.")
        given: dict[str, Any] = {"name": text(value, "name", required=True)}
        if value.get("score") is not None:
            given["score"] = number(value, "score")
        given |= {name: text(value, name) for name in ("label", "text") if value.get(name) is not None}
        if len(given) == 1:
            raise ProblemError(400, "An annotation needs a label, a score or a text")
        read.append(given)
    return read


def _anchors(  # noqa: PLR0917 -- a window in a project
    state: EmulatorState, project_id: str, granularity: str, keys: list[str], start: float, end: float
) -> dict[str, str]:
    """Return the span that stands for each record; refuse the request if one is not in the window.

    A trace is named by its root span here, a session by its session ID.
    """
    rows = state.store.matching_spans(
        project_id=project_id, start=start, end=end, end_inclusive=True, compiled=None
    )
    in_window = [span_id for _, _, span_id in rows]
    if granularity == "SESSION":
        sessions = set(state.store.units("session", in_window).values())
        anchors = state.store.anchors("session", [key for key in keys if key in sessions])
    else:
        there = set(in_window)
        anchors = {key: key for key in keys if key in there}
        if granularity == "TRACE":
            traces = state.store.units("trace", list(anchors))
            roots = state.store.anchors("trace", list(traces.values()))
            anchors = {key: roots[traces[key]] for key in anchors}
    missing = [key for key in keys if key not in anchors]
    if missing:
        raise UnknownObjectError(f"{granularity.capitalize()} {missing[0]!r} not found in the time range")
    return anchors


# -- annotation queues ----------------------------------------------------------------------------


def list_annotation_queues(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    """List the annotation queues that match, newest first."""
    return _listed(state, request, "annotation_queue", "annotation_queues")


def create_annotation_queue(state: EmulatorState, _: Request, fields: dict[str, Any]) -> Response:
    """Create an annotation queue."""
    only(
        fields,
        "name space_id instructions annotation_config_ids annotator_emails assignment_method record_sources "
        "column_allowlist",
    )
    for name in ("annotation_config_ids", "annotator_emails"):
        if not isinstance(fields.get(name), list) or not fields[name]:
            raise ProblemError(400, f"{name} needs at least one entry")
    about = {"instructions": text(fields, "instructions"), "annotation_configs": [], "annotators": []}
    queue = _created(state, fields, "annotation_queue", "AnnotationQueue", about)
    if fields.get("record_sources"):
        _add_records(state, queue, fields["record_sources"])
    return json_response(_shown(queue), 201)


def get_annotation_queue(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    """Return an annotation queue."""
    return json_response(_shown(_found(state, request, "annotation_queue", "AnnotationQueue")))


def add_annotation_queue_records(state: EmulatorState, request: Request, fields: dict[str, Any]) -> Response:
    """Add spans, traces, sessions or dataset examples to a queue."""
    only(fields, "record_sources")
    queue = _found(state, request, "annotation_queue", "AnnotationQueue")
    return json_response({"record_sources": _add_records(state, queue, fields.get("record_sources"))}, 201)


def list_annotation_queue_records(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    """List the records of a queue, oldest first."""
    queue = _found(state, request, "annotation_queue", "AnnotationQueue")
    numbered = list(enumerate(queue["items"]))
    page, pagination = paged(request, numbered, lambda each: -each[0], limit=500)
    return json_response({"records": [record for _, record in page], "pagination": pagination})


def _add_records(state: EmulatorState, queue: dict[str, Any], sources: Any) -> list[dict[str, Any]]:
    if not isinstance(sources, list) or not 1 <= len(sources) <= 2:
        raise ProblemError(400, "record_sources needs one or two entries")
    added = [record for source in sources for record in _records_of(state, queue, source)]
    if len(added) > 500:
        raise ProblemError(400, f"record_sources names {len(added)} records; at most 500 are allowed")
    queue["items"] += added
    state.store.save_record("annotation_queue", queue["number"], queue)
    return added


def _records_of(state: EmulatorState, queue: dict[str, Any], source: Any) -> list[dict[str, Any]]:
    kind = source.get("record_type") if isinstance(source, dict) else None
    if kind == "EXAMPLE":
        return _example_records(state, queue, source)
    if kind not in _SOURCES:
        known = ", ".join((*_SOURCES, "EXAMPLE"))
        raise ProblemError(400, f"record_type is {kind!r}; it has to be one of {known}")
    name, most = _SOURCES[kind]
    only(source, f"record_type project_id start_time end_time {name}", "record_sources.")
    project_id = _project(source)
    start, end = moment(source, "start_time"), moment(source, "end_time")
    if start is None or end is None or start >= end:
        raise ProblemError(400, "start_time and end_time are required, and start_time comes first")
    if end - start > _QUEUE_DAYS * DAY:
        raise ProblemError(400, f"The time range spans more than {_QUEUE_DAYS} days")
    keys = source.get(name)
    if not isinstance(keys, list) or not 1 <= len(keys) <= most:
        raise ProblemError(400, f"{name} needs one to {most} entries")
    if kind == "TRACE":
        roots = state.store.anchors("trace", keys)
        missing = [key for key in keys if key not in roots]
        if missing:
            raise UnknownObjectError(f"Trace {missing[0]!r} not found in the time range")
        keys = list(roots.values())
    anchors = _anchors(state, project_id, kind, keys, start, end)
    spans = state.store.spans([anchors[key] for key in keys])
    return [_record(queue, "SPANS", kind, _span_data(span)) for span in spans]


def _span_data(span: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": span["name"],
        "context.span_id": span["span_id"],
        "context.trace_id": span["trace_id"],
        **{f"attributes.{name}": value for name, value in span["attributes"].items()},
    }


def _example_records(state: EmulatorState, queue: dict[str, Any], source: Any) -> list[dict[str, Any]]:
    only(source, "record_type dataset_id dataset_version_id example_ids", "record_sources.")
    dataset_id = identifier(text(source, "dataset_id", required=True), "Dataset")
    dataset = next((each for each in state.store.records("dataset") if each["id"] == dataset_id), None)
    if dataset is None:
        raise UnknownObjectError(f"Dataset {dataset_id!r} not found")
    wanted = source.get("example_ids")
    return [
        _record(queue, "DATASET", None, example)
        for example in dataset["items"]
        if not wanted or example["id"] in wanted
    ]


def _record(
    queue: dict[str, Any], source: str, granularity: str | None, data: dict[str, Any]
) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "annotation_queue_id": queue["id"],
        "source_type": source,
        "granularity": granularity,
        "data": data,
        "annotations": [],
        "evaluations": [],
        "assigned_users": [],
    }


# -- datasets -------------------------------------------------------------------------------------


def list_datasets(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    """List the datasets that match, newest first."""
    return _listed(state, request, "dataset", "datasets")


def create_dataset(state: EmulatorState, _: Request, fields: dict[str, Any]) -> Response:
    """Create a dataset with its first examples."""
    only(fields, "name space_id examples")
    examples = _examples(fields)
    dataset = _created(state, fields, "dataset", "Dataset", {"versions": []})
    dataset["versions"] = [_dataset_version(state, dataset)]
    _add_examples(state, dataset, examples)
    return json_response(_shown(dataset), 201)


def get_dataset(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    """Return a dataset."""
    return json_response(_shown(_found(state, request, "dataset", "Dataset")))


def insert_dataset_examples(state: EmulatorState, request: Request, fields: dict[str, Any]) -> Response:
    """Append examples to a dataset's newest version."""
    only(fields, "examples")
    dataset = _found(state, request, "dataset", "Dataset")
    version_id = request.query_params.get("dataset_version_id")
    if version_id is not None and version_id not in {each["id"] for each in dataset["versions"]}:
        raise UnknownObjectError(f"Dataset version {version_id!r} not found")
    example_ids = _add_examples(state, dataset, _examples(fields))
    shown = {name: dataset[name] for name in ("id", "name", "space_id")}
    times = {name: write_time(dataset[name]) for name in ("created_at", "updated_at")}
    version = {"dataset_version_id": dataset["versions"][-1]["id"], "example_ids": example_ids}
    return json_response({**shown, **times, **version}, 201)


def list_dataset_examples(state: EmulatorState, request: Request, _: dict[str, Any]) -> Response:
    """List the examples of a dataset, oldest first."""
    dataset = _found(state, request, "dataset", "Dataset")
    numbered = list(enumerate(dataset["items"]))
    page, pagination = paged(request, numbered, lambda each: -each[0], limit=500)
    return json_response({"examples": [example for _, example in page], "pagination": pagination})


def search_dataset_examples(state: EmulatorState, request: Request, fields: dict[str, Any]) -> Response:
    """List the examples of a dataset, oldest first, as the address of a list cannot ask for."""
    only(fields, "filter limit cursor dataset_version_id")
    dataset = _found(state, request, "dataset", "Dataset")
    if text(fields, "filter") is not None:
        raise ProblemError(400, "filter: this emulator has none for examples")
    if text(fields, "dataset_version_id") is not None:
        raise ProblemError(400, "dataset_version_id: this emulator keeps the newest version only")
    limit = fields.get("limit", 50)
    page, pagination = page_of(
        list(enumerate(dataset["items"])),
        lambda each: -each[0],
        count=limit if isinstance(limit, int) and not isinstance(limit, bool) else None,
        given=limit,
        cursor=text(fields, "cursor"),
        limit=500,
    )
    return json_response({"examples": [example for _, example in page], "pagination": pagination})


def _examples(fields: dict[str, Any]) -> list[dict[str, Any]]:
    examples = fields.get("examples")
    if not isinstance(examples, list) or not 1 <= len(examples) <= 1000:
        raise ProblemError(400, "examples needs one to a thousand entries")
    reserved = {"id", "created_at", "updated_at"}
    for each in examples:
        if not isinstance(each, dict) or not each:
            raise ProblemError(400, "Each of examples has to be an object with at least one field")
        if reserved & set(each):
            raise ProblemError(400, f"The server gives an example its {', '.join(sorted(reserved))}")
    return examples


def _add_examples(state: EmulatorState, dataset: dict[str, Any], examples: list[dict[str, Any]]) -> list[str]:
    now = state.clock.stamp()
    added = [
        {"id": str(uuid.uuid4()), "created_at": write_time(now), "updated_at": write_time(now), **each}
        for each in examples
    ]
    dataset["items"] += added
    dataset["updated_at"] = now
    state.store.save_record("dataset", dataset["number"], dataset)
    return [each["id"] for each in added]


def _dataset_version(state: EmulatorState, dataset: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": ids.encode("DatasetVersion", state.store.take_numbers("DatasetVersion")),
        "name": "v1",
        "dataset_id": dataset["id"],
        "created_at": write_time(dataset["created_at"]),
        "updated_at": write_time(dataset["created_at"]),
    }


# -- what queues and datasets share ---------------------------------------------------------------


def _project(fields: dict[str, Any]) -> str:
    project_id = identifier(text(fields, "project_id", required=True), "Model")
    if project_id not in ids.PROJECTS:
        raise UnknownObjectError(f"Project {project_id!r} not found")
    return project_id


def _created(
    state: EmulatorState, fields: dict[str, Any], kind: str, type_name: str, about: dict[str, Any]
) -> dict[str, Any]:
    name = text(fields, "name", required=True)
    if identifier(text(fields, "space_id", required=True), "Space") != ids.SPACE_ID:
        raise UnknownObjectError(f"Space {fields['space_id']!r} not found")
    if any(each["name"] == name for each in state.store.records(kind)):
        raise ProblemError(409, f"The name {name!r} is taken in this space")
    number_ = state.store.take_numbers(type_name)
    now = state.clock.stamp()
    record = {
        "number": number_,
        "id": ids.encode(type_name, number_),
        "name": name,
        "space_id": ids.SPACE_ID,
        "created_at": now,
        "updated_at": now,
        "items": [],
        **about,
    }
    state.store.save_record(kind, number_, record)
    return record


def _found(state: EmulatorState, request: Request, kind: str, type_name: str) -> dict[str, Any]:
    wanted = path_id(request, f"{kind}_id", type_name)
    for record in state.store.records(kind):
        if record["id"] == wanted:
            return record
    raise UnknownObjectError(f"{type_name} {wanted!r} not found")


def _listed(state: EmulatorState, request: Request, kind: str, field: str) -> Response:
    name = request.query_params.get("name", "").lower()
    records = [
        each for each in state.store.records(kind) if is_in_space(request) and name in each["name"].lower()
    ]
    page, pagination = paged(request, records[::-1], lambda each: each["number"])
    return json_response({field: [_shown(each) for each in page], "pagination": pagination})


def _shown(record: dict[str, Any]) -> dict[str, Any]:
    shown = {name: value for name, value in record.items() if name not in {"number", "items"}}
    return {**shown, **{name: write_time(record[name]) for name in ("created_at", "updated_at")}}
