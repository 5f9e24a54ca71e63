"""Annotation queues over REST, where spans wait for people, and the configs of their annotations."""

from __future__ import annotations

import uuid
import zlib
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator
from starlette.responses import JSONResponse, Response

from airflow_provider_online_tasks.emulator import ids, rest
from airflow_provider_online_tasks.emulator.errors import RequestError
from airflow_provider_online_tasks.emulator.runs.plans import fraction
from airflow_provider_online_tasks.emulator.spans.api import spans_of_records, values_of_spans

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator.spans.store import SpanStore
    from airflow_provider_online_tasks.emulator.state import EmulatorState

QUEUES = rest.Records("annotation_queue", "AnnotationQueue")
_MOST_DAYS = 7
CONFIGS = rest.Records("annotation_config", "AnnotationConfig")
_FIELDS = {"CATEGORICAL": {"values"}, "CONTINUOUS": {"minimum_score", "maximum_score"}, "FREEFORM": set()}


class _Value(rest.Body):
    label: rest.Text
    score: float | None = None


class _ConfigInput(rest.Body):
    name: rest.Text
    space_id: str
    annotation_config_type: Literal["CATEGORICAL", "CONTINUOUS", "FREEFORM"]
    values: Annotated[list[_Value], Field(min_length=1)] | None = None
    minimum_score: float | None = None
    maximum_score: float | None = None
    optimization_direction: Literal["MAXIMIZE", "MINIMIZE", "NONE"] | None = None

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        needed = _FIELDS[self.annotation_config_type]
        if {name for name in set().union(*_FIELDS.values()) if getattr(self, name) is not None} != needed:
            fields = " and ".join(sorted(needed)) or "no values and scores"
            raise ValueError(f"an annotation config of type {self.annotation_config_type} needs {fields}")
        return self


def create_annotation_config(call: rest.Call) -> rest.Record:
    """Create an annotation config."""
    body: _ConfigInput = call.body
    kind = body.annotation_config_type
    fields = body.model_dump(include=_FIELDS[kind])
    if kind != "FREEFORM":
        fields["optimization_direction"] = body.optimization_direction or "NONE"
    config = CONFIGS.create(call, body.name, body.space_id, type=kind, **fields)
    CONFIGS.save(call.state, config)
    return rest.shown(config)


_Ids = Annotated[list[str], Field(min_length=1, max_length=500)]


class _SpanSource(rest.Body):
    record_type: Literal["SPAN"]
    project_id: str
    start_time: rest.Moment
    end_time: rest.Moment
    span_ids: _Ids


class _TraceSource(rest.Body):
    record_type: Literal["TRACE"]
    project_id: str
    start_time: rest.Moment
    end_time: rest.Moment
    trace_ids: _Ids


_Source = Annotated[_SpanSource | _TraceSource, Field(discriminator="record_type")]
_Sources = Annotated[list[_Source], Field(min_length=1, max_length=2)]
_Names = Annotated[list[str], Field(min_length=1)]
_Share = Annotated[float, Field(ge=0, le=1)]


class _QueueInput(rest.Body):
    name: Annotated[str, Field(min_length=1, max_length=255)]
    space_id: str
    instructions: Annotated[str, Field(max_length=5000)] | None = None
    annotation_config_ids: _Names
    annotator_emails: _Names
    assignment_method: Literal["ALL", "RANDOM"] = "ALL"
    record_sources: _Sources | None = None
    column_allowlist: list[str] | None = None


class _RecordsInput(rest.Body):
    record_sources: _Sources


def create_annotation_queue(call: rest.Call) -> rest.Record:
    """Create an annotation queue."""
    body: _QueueInput = call.body
    configs = [rest.shown(CONFIGS.find(call.state, each)) for each in body.annotation_config_ids]
    fields = body.model_dump(include={"instructions", "assignment_method", "column_allowlist"})
    annotators = [
        {"id": ids.encode("User", zlib.crc32(email.encode())), "email": email}
        for email in dict.fromkeys(body.annotator_emails)
    ]
    queue = QUEUES.create(
        call, body.name, body.space_id, annotation_configs=configs, annotators=annotators, **fields
    )
    _add_records(call, queue, body.record_sources or [])
    return rest.shown(queue)


def add_annotation_queue_records(call: rest.Call) -> rest.Record | Response:
    """Add the spans that are not in the queue yet."""
    added = _add_records(call, QUEUES.get(call), call.body.record_sources)
    response = {"record_sources": _records(call, added)}
    return response if added else JSONResponse(response, 200)


def list_annotation_queue_records(call: rest.Call) -> rest.Record:
    """List the records of a queue with their annotations and evaluations, oldest first."""
    response = rest.listed_items(call, "records", QUEUES.get(call))
    return {**response, "records": _records(call, response["records"])}


def _add_records(call: rest.Call, queue: rest.Record, sources: list[_Source]) -> list[rest.Record]:
    spans: dict[str, str] = {}  # with the granularity
    for source in sources:
        if source.start_time >= source.end_time:
            raise RequestError(400, "start_time must be before end_time")
        if source.end_time - source.start_time > _MOST_DAYS * rest.DAY:
            raise RequestError(400, f"The time range is longer than {_MOST_DAYS} days")
        window = (source.start_time, source.end_time)
        store, kind = call.state.spans, source.record_type
        keys = _roots(store, source.trace_ids) if isinstance(source, _TraceSource) else source.span_ids
        found = spans_of_records(store, rest.project_id(source.project_id), kind, keys, window)
        spans |= dict.fromkeys((found[each] for each in keys), kind)
    if len(spans) > 500:
        raise RequestError(400, f"record_sources has {len(spans)} records; at most 500 are allowed")
    present = {each["span"] for each in queue["items"]}
    added = []
    for span, granularity in spans.items():
        if span not in present:
            users = queue["annotators"]
            if queue["assignment_method"] == "RANDOM":
                users = [users[zlib.crc32(span.encode()) % len(users)]]
            assigned = [{"user": user, "completion_status": "PENDING"} for user in users]
            item = {"id": str(uuid.uuid4()), "annotation_queue_id": queue["id"], "span": span}
            added.append({**item, "granularity": granularity, "assigned_users": assigned})
    queue["items"] += added
    queue["updated_at"] = call.state.clock.stamp()
    QUEUES.save(call.state, queue)
    return added


def _roots(spans: SpanStore, trace_ids: list[str]) -> list[str]:
    """Return the IDs of the root spans of traces; a trace that doesn't exist stands for itself."""
    roots = spans.root_spans("trace", trace_ids)
    shown = {span["span_id"]: span["shown_id"] for span in spans.get(list(roots.values()))}
    return [shown[roots[each]] if each in roots else each for each in trace_ids]


def _records(call: rest.Call, items: list[rest.Record]) -> list[rest.Record]:
    """Return items as responses contain them: with what is known of their spans now."""
    keys = [each["span"] for each in items]
    spans = call.state.spans.get(keys)
    values = values_of_spans(call.state, keys)
    return [
        {
            **{name: item[name] for name in ("id", "annotation_queue_id", "granularity", "assigned_users")},
            "source_type": "SPANS",
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


class Labelling(rest.Body):
    """What :meth:`EmulatorControl.label_records` is given."""

    annotation_queue_id: str
    evaluator: str
    annotation: str
    positive: str
    sensitivity: _Share
    specificity: _Share
    share: _Share

    @model_validator(mode="after")
    def _is_better_than_chance(self) -> Self:
        if self.sensitivity + self.specificity <= 1:
            raise ValueError("sensitivity and specificity must add up to more than 1")
        return self


def label_records(state: EmulatorState, given: Labelling) -> int:
    """Annotate the pending records of a queue, and return their number.

    The truth is what makes the evaluator as good as given: among all its labels, a share of
    ``(positive + specificity - 1) / (sensitivity + specificity - 1)`` is positive in truth.
    """
    queue = QUEUES.find(state, given.annotation_queue_id)
    config = next((each for each in queue["annotation_configs"] if each["name"] == given.annotation), None)
    evaluated = {each["span_id"]: each["label"] for each in state.storage.evaluations(name=given.evaluator)}
    labels = Counter(evaluated.values())
    others = [label for label, _ in labels.most_common() if label != given.positive]
    if config is None or not labels[given.positive] or not others:
        problem = "needs an annotation of the queue, and labels of the evaluator, positive and others"
        raise RequestError(400, f"label_records {problem}")
    share = labels[given.positive] / labels.total()
    truth = (share + given.specificity - 1) / (given.sensitivity + given.specificity - 1)
    truth = min(max(truth, 0.0), 1.0)
    # How much of what the evaluator calls positive, and of the rest, is positive in truth.
    positive = {
        True: min(given.sensitivity * truth / share, 1.0),
        False: min((1 - given.sensitivity) * truth / (1 - share), 1.0),
    }
    scores = {each["label"]: each["score"] for each in config.get("values", ())}
    items = [each for each in queue["items"] if each["span"] in evaluated]
    items.sort(key=lambda each: fraction(each["span"]))
    places = dict.fromkeys(positive, 0)
    count = 0
    for item in items[: round(len(items) * given.share)]:
        label = evaluated[item["span"]]
        stratum = label == given.positive
        place, places[stratum] = places[stratum], places[stratum] + 1
        # Evenly spread, so that the first records already agree as often as all of them.
        is_positive = int((place + 1) * positive[stratum]) > int(place * positive[stratum])
        if all(each["completion_status"] == "COMPLETED" for each in item["assigned_users"]):
            continue
        human = given.positive if is_positive else others[0] if stratum else label
        value = {"name": given.annotation, "label": human, "score": scores.get(human)}
        user = item["assigned_users"][-1]["user"]
        state.spans.annotate(item["granularity"].lower(), item["span"], [value], state.clock.stamp(), user)
        for each in item["assigned_users"]:
            each["completion_status"] = "COMPLETED"
        count += 1
    QUEUES.save(state, queue)
    return count


_RECORDS = "/v2/annotation-queues/{annotation_queue_id}/records"
OPERATIONS = (
    *CONFIGS.reads("/v2/annotation-configs"),
    rest.Operation("POST", "/v2/annotation-configs", create_annotation_config, body=_ConfigInput, status=201),
    *QUEUES.reads("/v2/annotation-queues"),
    rest.Operation("POST", "/v2/annotation-queues", create_annotation_queue, body=_QueueInput, status=201),
    rest.Operation("GET", _RECORDS, list_annotation_queue_records, "records"),
    rest.Operation(
        "POST", _RECORDS, add_annotation_queue_records, "record_sources", _RecordsInput, status=201
    ),
)
