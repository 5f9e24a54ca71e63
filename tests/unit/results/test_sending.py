"""Spans are sent on once, whatever goes wrong: real requests to the emulator, which keeps what it got."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
import requests

from airflow_provider_online_tasks.emulator import Fault
from airflow_provider_online_tasks.exceptions import (
    BadRequest,
    InvalidInput,
    Unavailable,
    UnexpectedResponse,
)
from airflow_provider_online_tasks.operators.spans import SendSpansOperator
from airflow_provider_online_tasks.results.sending import ChosenSpan, Dataset, Queue
from tests.support.evaluated_runs import NOW, arize_with, context, run_task, spans_file, tone
from tests.support.sent_spans import EXAMPLES, dataset_body, queue_body


class Places:
    """Queues and datasets, made and read as a person's own client does."""

    def __init__(self, emulator):
        self.emulator = emulator
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {emulator.api_key}"
        self.space_id = self._get("/v2/spaces")["spaces"][0]["id"]

    def _get(self, path):
        answer = self._session.get(self.emulator.url + path, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def _post(self, path, **body):
        answer = self._session.post(self.emulator.url + path, json=body, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def queue(self):
        return self._post(
            "/v2/annotation-queues",
            name="review",
            space_id=self.space_id,
            annotation_config_ids=["c"],
            annotator_emails=["a@example.com"],
        )["id"]

    def dataset(self):
        return self._post(
            "/v2/datasets", name="failures", space_id=self.space_id, examples=[{"question": "theirs"}]
        )["id"]

    def records(self, queue_id):
        return self._listed(f"/v2/annotation-queues/{queue_id}/records", "records")

    def examples(self, dataset_id):
        return self._listed(f"/v2/datasets/{dataset_id}/examples", "examples")

    def _listed(self, path, name):
        found, cursor = [], ""
        while True:
            page = self._get(f"{path}?limit=500{cursor}")
            found += page[name]
            if not page["pagination"]["has_more"]:
                return found
            cursor = f"&cursor={page['pagination']['next_cursor']}"


@pytest.fixture(scope="module")
def spans(tmp_path_factory):
    # Over nine days, so that one request cannot hold all of them.
    return spans_file(tmp_path_factory.mktemp("spans"), 1_800, begin=-9 * 86_400, seconds=9 * 86_400 - 600)


@pytest.fixture
def many(monkeypatch, spans):
    with arize_with(monkeypatch, spans) as emulator:
        yield emulator


def judged(emulator):
    _, run_id = run_task(emulator, evaluators=[tone()], start=NOW - timedelta(days=10))
    toxic = {one["span_id"] for one in emulator.evaluations(run_id=run_id) if one["label"] == "toxic"}
    assert len(toxic) == 600
    return run_id, toxic


def send(run_id, **arguments):
    given = {"evaluator": "tone", "labels": ["toxic"], "max_spans": 1_000, **arguments}
    return SendSpansOperator(task_id="send", run_id=run_id, **given).execute(context())


def test_every_span_with_the_label_reaches_the_queue_once(many):
    run_id, toxic = judged(many)
    places = Places(many)
    queue_id = places.queue()
    told = send(run_id, annotation_queue_id=queue_id)
    assert {**told, "span_ids": set(told["span_ids"])} == {
        "selected": 600,
        "sent": 600,
        "already_there": 0,
        "left_out": 0,
        "span_ids": toxic,
    }
    there = Counter(one["data"]["context.span_id"] for one in places.records(queue_id))
    assert set(there) == toxic
    assert set(there.values()) == {1}
    again = send(run_id, annotation_queue_id=queue_id)
    assert (again["sent"], again["already_there"]) == (0, 600)
    assert len(places.records(queue_id)) == 600


def test_examples_of_a_dataset_hold_input_output_label_and_explanation(many):
    run_id, toxic = judged(many)
    places = Places(many)
    dataset_id = places.dataset()
    assert send(run_id, dataset_id=dataset_id)["sent"] == 600
    theirs, *ours = places.examples(dataset_id)
    assert theirs["question"] == "theirs"
    assert {one["span_id"] for one in ours} == toxic
    assert len(ours) == 600
    for one in ours:
        assert (one["output"], one["label"], one["evaluator"]) == (
            "You stupid idiot, shut up.",
            "toxic",
            "tone",
        )
        assert one["input"].startswith("Question ")
        assert one["explanation"].startswith("Offline judge")
    assert send(run_id, dataset_id=dataset_id)["already_there"] == 600


def test_what_is_sent_is_what_arizes_sdk_reads_back():
    """The tests of conformance send the same bodies, and read them with the SDK."""
    start = datetime(2026, 11, 1, tzinfo=UTC)

    def chosen(**known):
        fields = ("span_id", "trace_id", "label", "score", "explanation", "input", "output")
        return ChosenSpan(start_time=start, **{name: known.get(name) for name in fields})

    [call] = Queue("Q").add("P", [chosen(span_id="a"), chosen(span_id="b")])
    assert (call.method, call.path) == ("POST", "/v2/annotation-queues/Q/records")
    assert call.body == queue_body(
        "P", start="2026-11-01T00:00:00Z", end="2026-11-01T00:00:00.001Z", span_ids=["a", "b"]
    )
    [call] = Dataset("D", "tone").add("P", [chosen(**example) for example in EXAMPLES])
    assert (call.method, call.path) == ("POST", "/v2/datasets/D/examples")
    assert call.body == dataset_body(EXAMPLES)


@pytest.mark.parametrize("kind", ["drop_after", "status_after", "drop_before"])
@pytest.mark.parametrize("place", ["queue", "dataset"])
def test_a_lost_answer_is_looked_for_and_nothing_is_sent_twice(many, place, kind):
    run_id, toxic = judged(many)
    places = Places(many)
    name, operation = {
        "queue": ("annotation_queue_id", "rest.add_annotation_queue_records"),
        "dataset": ("dataset_id", "rest.insert_dataset_examples"),
    }[place]
    place_id = places.queue() if place == "queue" else places.dataset()
    many.add_fault(Fault(operation, kind, status=502 if kind == "status_after" else None))
    assert send(run_id, **{name: place_id})["sent"] == 600
    if place == "queue":
        there = [one["data"]["context.span_id"] for one in places.records(place_id)]
    else:
        there = [one["span_id"] for one in places.examples(place_id) if "span_id" in one]
    assert Counter(there) == dict.fromkeys(toxic, 1)


def test_an_answer_that_is_lost_again_and_again_is_an_error(many):
    run_id, _ = judged(many)
    dataset_id = Places(many).dataset()
    many.add_fault(Fault("rest.insert_dataset_examples", "drop_before", times=None))
    with pytest.raises(Unavailable):
        send(run_id, dataset_id=dataset_id)
    assert len(many.requests("rest.insert_dataset_examples")) == 3


@pytest.mark.parametrize(
    ("place", "operation", "field"),
    [
        ("annotation_queue_id", "rest.list_annotation_queue_records", "records"),
        ("dataset_id", "rest.list_dataset_examples", "examples"),
    ],
)
def test_a_list_that_never_ends_is_an_error_and_nothing_is_sent(many, place, operation, field):
    run_id, _ = judged(many)
    places = Places(many)
    place_id = places.queue() if place == "annotation_queue_id" else places.dataset()
    page = {field: [], "pagination": {"has_more": True, "next_cursor": "again"}}
    many.add_fault(Fault(operation, "garbage", times=None, body=json.dumps(page)))
    with pytest.raises(UnexpectedResponse, match="came before"):
        send(run_id, **{place: place_id})
    assert len(many.requests(operation)) == 2
    assert many.requests("rest.add_annotation_queue_records") == []
    assert many.requests("rest.insert_dataset_examples") == []


@pytest.mark.parametrize("name", ["run_id", "evaluator", "labels", "annotation_queue_id"])
@pytest.mark.parametrize("rendered", ["", None])
def test_what_renders_to_nothing_is_refused_before_anything_is_asked(many, name, rendered):
    operator = SendSpansOperator(
        task_id="send", run_id="R", evaluator="tone", labels=["toxic"], annotation_queue_id="{{ params.q }}"
    )
    operator.annotation_queue_id = "Q"
    setattr(operator, name, rendered)
    many.clear_requests()
    with pytest.raises(InvalidInput):
        operator.execute(context())
    assert many.requests() == []


def test_what_is_refused_is_not_repeated(many):
    run_id, _ = judged(many)
    queue_id = Places(many).queue()
    many.add_fault(Fault("rest.add_annotation_queue_records", "status_before", status=422))
    with pytest.raises(BadRequest):
        send(run_id, annotation_queue_id=queue_id)
    assert len(many.requests("rest.add_annotation_queue_records")) == 1


def test_more_than_max_spans_are_left_out_and_reported(many):
    run_id, _ = judged(many)
    places = Places(many)
    queue_id = places.queue()
    told = send(run_id, annotation_queue_id=queue_id, max_spans=10)
    assert (told["selected"], told["sent"], told["left_out"]) == (600, 10, 590)
    assert len(places.records(queue_id)) == 10


def test_no_span_with_the_label_sends_nothing(many):
    run_id, _ = judged(many)
    queue_id = Places(many).queue()
    assert send(run_id, annotation_queue_id=queue_id, labels=["harmful"])["sent"] == 0
    assert many.requests("rest.add_annotation_queue_records") == []


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"annotation_queue_id": "q", "dataset_id": "d"},
        {"annotation_queue_id": "q", "labels": []},
        {"annotation_queue_id": "q", "labels": "toxic"},
        {"annotation_queue_id": "q", "max_spans": 0},
        {"annotation_queue_id": "None"},
        {"dataset_id": "d", "run_id": ""},
    ],
)
def test_arguments_that_say_nothing_or_two_things_are_refused_when_the_dag_is_parsed(arguments):
    given = {"run_id": "r", "evaluator": "tone", "labels": ["toxic"]} | arguments
    with pytest.raises(InvalidInput):
        SendSpansOperator(task_id="send", **given)
