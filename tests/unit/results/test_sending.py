"""Spans are sent to annotation queues and datasets once: real requests to the emulator."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta

import pytest

from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.api.client import Client
from airflow_provider_online_tasks.api.responses import Evaluation, Span
from airflow_provider_online_tasks.emulator import Emulator, EmulatorSettings, Fault
from airflow_provider_online_tasks.exceptions import (
    BadRequest,
    EvalResultsIncomplete,
    InvalidInput,
    Unavailable,
    UnexpectedResponse,
)
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.operators.spans import SendSpansOperator
from airflow_provider_online_tasks.results.selection import SelectedSpan, select_spans
from airflow_provider_online_tasks.results.sending import AnnotationQueue, Dataset
from tests.support.evaluated_runs import NOW, arize_with, evaluator, run_task, spans_file, tone
from tests.support.late_server import LateServer
from tests.support.review_places import Places
from tests.support.sent_spans import EXAMPLES, dataset_body, queue_body
from tests.support.task_instance import Killed, TaskInstance
from tests.support.tries import Time

# By the operator's argument: the operations of the emulator that add and list, and the call that adds.
DESTINATIONS = {
    "annotation_queue_id": (
        "rest.add_annotation_queue_records",
        "rest.list_annotation_queue_records",
        "add annotation queue records",
    ),
    "dataset_id": ("rest.insert_dataset_examples", "rest.list_dataset_examples", "add dataset examples"),
}


@pytest.fixture(scope="module")
def many_spans(tmp_path_factory):
    # Over nine days, so that one request cannot hold all of them.
    return spans_file(tmp_path_factory.mktemp("many"), 1_800, begin=-9 * 86_400, seconds=9 * 86_400 - 600)


@pytest.fixture
def many(monkeypatch, many_spans):
    with arize_with(monkeypatch, many_spans) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def few_spans(tmp_path_factory):
    return spans_file(tmp_path_factory.mktemp("few"), 12)


@pytest.fixture
def few(monkeypatch, few_spans):
    with arize_with(monkeypatch, few_spans) as emulator:
        yield emulator


@pytest.fixture
def time(few, monkeypatch):
    """Clocks that only sleeping moves."""
    time = Time(few)
    time.install(monkeypatch)
    return time


@pytest.fixture(params=DESTINATIONS)
def destination(request, few):
    """A queue or a dataset: the operator's argument and its ID."""
    places = Places(few)
    new = places.queue if request.param == "annotation_queue_id" else places.dataset
    return {request.param: new()}


def evaluated(emulator, **arguments):
    """Run a task and return the run and the IDs of its toxic spans."""
    given = {"evaluators": [tone()], "start": NOW - timedelta(days=10), **arguments}
    _, run_id = run_task(emulator, **given)
    evaluations = emulator.evaluations(run_id=run_id)
    return run_id, {each["span_id"] for each in evaluations if each["label"] == "toxic"}


def send(run_id, *, task=None, **arguments):
    given = {"evaluator": "tone", "labels": ["toxic"], "max_spans": 1_000, **arguments}
    operator = SendSpansOperator(task_id="send", run_id=run_id, **given)
    return operator.execute((task or TaskInstance()).next_try())


def held(emulator, destination):
    """How often each span is in a queue or dataset."""
    ((name, place_id),) = destination.items()
    if name == "annotation_queue_id":
        return Counter(record["data"]["context.span_id"] for record in Places(emulator).records(place_id))
    return Counter(
        example["span_id"] for example in Places(emulator).examples(place_id) if "span_id" in example
    )


def operations(destination):
    return DESTINATIONS[next(iter(destination))]


# What is sent


def test_queue_receives_each_labelled_span_once(many):
    run_id, toxic = evaluated(many)
    assert len(toxic) == 600
    queue = {"annotation_queue_id": Places(many).queue()}
    sent = send(run_id, **queue)
    assert sent.pop("sample")["is_random"] is False
    assert set(sent.pop("selected_span_ids")) == toxic
    assert {**sent, "span_ids": set(sent["span_ids"])} == {
        "selected": 600,
        "sent": 600,
        "already_there": 0,
        "left_out": 0,
        "span_ids": toxic,
    }
    assert held(many, queue) == dict.fromkeys(toxic, 1)
    for request in many.requests("rest.add_annotation_queue_records"):
        assert request["status"] == 201
    again = send(run_id, **queue)
    assert (again["sent"], again["already_there"]) == (0, 600)
    assert held(many, queue) == dict.fromkeys(toxic, 1)


def test_dataset_examples_hold_input_output_label_and_explanation(few):
    run_id, toxic = evaluated(few)
    places = Places(few)
    dataset_id = places.dataset()
    assert send(run_id, dataset_id=dataset_id)["sent"] == len(toxic) == 4
    theirs, *ours = places.examples(dataset_id)
    assert theirs["question"] == "theirs"
    assert {example["span_id"] for example in ours} == toxic
    for example in ours:
        assert (example["output"], example["label"], example["evaluator"]) == (
            "You stupid idiot, shut up.",
            "toxic",
            "tone",
        )
        assert example["input"].startswith("Question ")
        assert example["explanation"]
    assert send(run_id, dataset_id=dataset_id)["already_there"] == 4


def test_request_bodies_match_those_that_arizes_sdk_reads():
    """The conformance tests send the same bodies and read them with the SDK."""

    def selected(span_id, trace_id=None, evaluator="tone", **known):
        attributes = {f"{name}.value": known.pop(name) for name in ("input", "output") if name in known}
        evaluation = Evaluation(name=evaluator, **known)
        start_time = "2026-11-01T00:00:00Z"
        return SelectedSpan(
            Span(span_id=span_id, trace_id=trace_id, start_time=start_time, attributes=attributes), evaluation
        )

    call = AnnotationQueue("Q").add("P", [selected("a"), selected("b")])
    assert (call.method, call.path) == ("POST", "/v2/annotation-queues/Q/records")
    assert call.body == queue_body(
        "P", start="2026-11-01T00:00:00Z", end="2026-11-01T00:00:00.001Z", span_ids=["a", "b"]
    )
    call = Dataset("D").add("P", [selected(**example) for example in EXAMPLES])
    assert (call.method, call.path) == ("POST", "/v2/datasets/D/examples")
    assert call.body == dataset_body(EXAMPLES)


def span(span_id, *evaluations):
    return Span(
        span_id=span_id,
        start_time="2026-11-01T00:00:00Z",
        evaluations=tuple(Evaluation(name=name, label=label) for name, label in evaluations),
    )


def test_selection_matches_evaluator_and_label():
    pages = [
        [span("1", ("tone", "polite"), ("strict", "toxic"))],
        [span("2", ("strict", "toxic")), span("3", ("strict", "toxic"), ("tone", "rude"))],
        [span("4", ("strict", "fine"), ("tone", "toxic")), span("5")],
    ]
    selection = select_spans(pages, evaluator="tone", labels={"toxic", "rude"}, max_spans=9)
    assert [(each.id, each.evaluation.label) for each in selection.spans] == [("3", "rude"), ("4", "toxic")]
    assert (selection.left_out, selection.evaluated) == (0, 3)


def test_selection_counts_span_on_two_pages_once():
    pages = [[span(span_id, ("tone", "toxic")) for span_id in "112"], [span("1", ("tone", "toxic"))]]
    chosen = {"evaluator": "tone", "labels": {"toxic"}}
    selection = select_spans(pages, max_spans=9, **chosen)
    assert ([each.id for each in selection.spans], selection.left_out) == (["1", "2"], 0)
    selection = select_spans([*pages, *pages], max_spans=1, **chosen)
    assert ([each.id for each in selection.spans], selection.left_out) == (["1"], 1)


def spans_at(*hours):
    return [
        SelectedSpan(
            Span(span_id=f"{number}", start_time=wire_time(NOW + timedelta(hours=hour))),
            Evaluation(name="tone"),
        )
        for number, hour in enumerate(hours)
    ]


def test_queue_batches_hold_at_most_500_spans_of_at_most_seven_days():
    batches = list(AnnotationQueue("Q").batches(spans_at(*[0] * 1_001)))
    assert [len(batch) for batch in batches] == [500, 500, 1]
    week = 7 * 24
    batches = list(AnnotationQueue("Q").batches(spans_at(week, 0, week - 1, 3 * week)))
    assert [[span.id for span in batch] for batch in batches] == [["1", "2"], ["0"], ["3"]]
    assert list(AnnotationQueue("Q").batches([])) == []


def test_dataset_batches_hold_at_most_1000_examples():
    batches = list(Dataset("D").batches(spans_at(*range(2_001))))
    assert [len(batch) for batch in batches] == [1_000, 1_000, 1]


def test_spans_labelled_by_an_earlier_run_are_sent_too(few, destination):
    half = NOW - timedelta(hours=14)
    _, earlier_toxic = evaluated(few, start=NOW - timedelta(days=2), end=half)
    later, later_toxic = evaluated(few, start=NOW - timedelta(days=2))
    # The later run evaluated only what the earlier one left, and its window holds the labels of both.
    assert earlier_toxic
    assert later_toxic
    assert not earlier_toxic & later_toxic

    sent = send(later, **destination)

    assert set(sent["span_ids"]) == earlier_toxic | later_toxic
    assert set(held(few, destination)) == earlier_toxic | later_toxic


@pytest.mark.parametrize("granularity", ["trace", "session"])
def test_spans_of_traces_and_sessions_are_sent(monkeypatch, granularity):
    settings = EmulatorSettings(run_seconds=0, queries_per_minute=None, mutations_per_minute=None)
    with Emulator(settings) as emulator:
        monkeypatch.setenv("AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT", emulator.connection_json)
        # The filter matches no span that carries the evaluation.
        query_filter = "attributes.openinference.span.kind = 'LLM'"
        run_id, _ = evaluated(
            emulator, evaluators=[tone(data_granularity_type=granularity)], query_filter=query_filter
        )
        polite = {
            each["span_id"] for each in emulator.evaluations(run_id=run_id) if each["label"] == "polite"
        }
        queue = {"annotation_queue_id": Places(emulator).queue()}
        sent = send(run_id, labels=["polite"], granularity=granularity, **queue)
        assert set(sent["span_ids"]) == polite
        assert len(polite) > 5


@pytest.mark.parametrize(
    "arguments",
    [{"evaluator": "Tone"}, {"evaluator": "tone2"}, {"labels": ["Toxic"]}, {"labels": ["toxic", " Polite"]}],
)
def test_misspelled_evaluator_or_label_is_rejected_before_sending(few, destination, arguments):
    run_id, _ = evaluated(few)
    with pytest.raises(InvalidInput):
        send(run_id, **destination, **arguments)
    assert few.requests(operations(destination)[0]) == []


def test_wrong_granularity_is_an_error_that_a_retry_may_resolve(few, destination):
    run_id, _ = evaluated(few)
    with pytest.raises(EvalResultsIncomplete):
        send(run_id, granularity="trace", **destination)


def test_evaluations_not_readable_yet_raise_and_retry_reads_them(few, destination):
    run_id, toxic = evaluated(few)
    few.add_fault(Fault("rest.list_spans", "garbage", body='{"spans": []}'))
    with pytest.raises(EvalResultsIncomplete):
        send(run_id, **destination)
    assert set(send(run_id, **destination)["span_ids"]) == toxic


def test_labels_of_another_evaluator_are_not_sent(few, destination):
    strict = evaluator("strict", template="{attributes.output.value}", rails=["toxic", "fine"])
    strict["classification_choices"] = {"toxic": 0, "fine": 1}
    run_id, _ = evaluated(few, evaluators=[tone(), strict])
    evaluations = few.evaluations(run_id=run_id)
    names = {each["name"] for each in evaluations}
    assert names == {"tone", "strict"}
    toxic = {each["span_id"] for each in evaluations if (each["name"], each["label"]) == ("tone", "toxic")}
    assert set(send(run_id, **destination)["span_ids"]) == toxic


def test_spans_over_max_spans_are_left_out(few, destination):
    run_id, _ = evaluated(few)
    sent = send(run_id, max_spans=3, **destination)
    assert (sent["selected"], sent["sent"], sent["left_out"]) == (4, 3, 1)
    assert sum(held(few, destination).values()) == 3


def test_no_span_with_label_sends_nothing(few, destination):
    run_id, _ = evaluated(few)
    assert send(run_id, labels=["harmful"], **destination)["sent"] == 0
    assert few.requests(operations(destination)[0]) == []


def test_two_tasks_send_to_two_queues(few):
    run_id, toxic = evaluated(few)
    places = Places(few)
    first, second = ({"annotation_queue_id": places.queue()} for _ in range(2))
    task = TaskInstance()
    send(run_id, task=task, **first)
    assert send(run_id, task=task, **second)["sent"] == len(toxic)
    assert held(few, second) == held(few, first) == dict.fromkeys(toxic, 1)


# Lost responses


@pytest.mark.parametrize("kind", ["drop_after", "status_after", "drop_before"])
def test_lost_response_sends_no_span_twice(few, time, destination, kind):
    run_id, toxic = evaluated(few)
    few.add_fault(Fault(operations(destination)[0], kind, status=502 if kind == "status_after" else None))
    assert send(run_id, **destination)["sent"] == len(toxic)
    assert held(few, destination) == dict.fromkeys(toxic, 1)
    assert len(few.requests(operations(destination)[0])) == (2 if kind == "drop_before" else 1)


@pytest.mark.promise("sent-spans")
@pytest.mark.parametrize("seconds", [5, 55])
def test_server_slower_than_timeout_receives_no_span_twice(few, time, monkeypatch, destination, seconds):
    run_id, toxic = evaluated(few)
    late = LateServer(time, operations(destination)[2], seconds).install(monkeypatch)
    assert send(run_id, **destination)["sent"] == len(toxic)
    assert held(few, destination) == dict.fromkeys(toxic, 1)
    assert late.received == 1


def test_server_slower_than_timeout_every_batch_sent_once(many, monkeypatch):
    time = Time(many)
    time.install(monkeypatch)
    run_id, toxic = evaluated(many)
    queue = {"annotation_queue_id": Places(many).queue()}
    late = LateServer(time, operations(queue)[2], 20, times=99).install(monkeypatch)
    assert send(run_id, **queue)["sent"] == 600
    assert held(many, queue) == dict.fromkeys(toxic, 1)
    assert late.received == 2


def test_request_that_was_executed_in_part_is_completed(few, time, monkeypatch, destination):
    run_id, toxic = evaluated(few)
    late = LateServer(time, operations(destination)[2], None).install(monkeypatch)
    task = TaskInstance()

    def add_one():
        late.times = 0
        if not held(few, destination):
            send(run_id, max_spans=1, **destination)
            late.times = 1

    late.time.on_sleep = add_one
    send(run_id, task=task, **destination)
    assert held(few, destination) == dict.fromkeys(toxic, 1)


def test_outage_raises_after_three_requests_and_next_try_sends(few, time, destination):
    run_id, toxic = evaluated(few)
    task = TaskInstance()
    few.add_fault(Fault(operations(destination)[0], "drop_before", times=None))
    with pytest.raises(Unavailable):
        send(run_id, task=task, **destination)
    assert len(few.requests(operations(destination)[0])) == 3
    few.clear_faults()
    assert send(run_id, task=task, **destination)["sent"] == len(toxic)
    assert held(few, destination) == dict.fromkeys(toxic, 1)


@pytest.mark.promise("sent-spans")
@pytest.mark.parametrize("is_kept", [True, False], ids=["3.3", "3.0"])
def test_next_try_of_killed_task_waits_for_late_server(few, time, monkeypatch, destination, is_kept):
    run_id, toxic = evaluated(few)
    task = TaskInstance(is_kept=is_kept)
    late = LateServer(time, operations(destination)[2], 30, raises=Killed).install(monkeypatch)
    with pytest.raises(Killed):
        send(run_id, task=task, **destination)

    send(run_id, task=task, **destination)

    assert held(few, destination) == dict.fromkeys(toxic, 1)
    assert late.received == 1


def test_next_try_after_failed_search_searches_first(few, time, monkeypatch, destination):
    run_id, toxic = evaluated(few)
    task = TaskInstance()
    late = LateServer(time, operations(destination)[2], 0).install(monkeypatch)
    few.add_fault(Fault(operations(destination)[1], "status_before", status=403, skip=1))
    with pytest.raises(Unavailable):
        send(run_id, task=task, **destination)
    send(run_id, task=task, **destination)
    assert held(few, destination) == dict.fromkeys(toxic, 1)
    assert late.received == 1


def test_next_try_does_not_search_after_success(few, time, destination):
    run_id, toxic = evaluated(few)
    task = TaskInstance()
    send(run_id, task=task, **destination)
    assert task.store.values == {}
    assert send(run_id, task=task, **destination)["already_there"] == len(toxic)
    assert time.slept == []


def test_next_try_with_another_queue_does_not_wait_for_first(few, time, monkeypatch):
    run_id, toxic = evaluated(few)
    places = Places(few)
    first, second = ({"annotation_queue_id": places.queue()} for _ in range(2))
    task = TaskInstance()
    LateServer(time, operations(first)[2], None, raises=Killed).install(monkeypatch)
    with pytest.raises(Killed):
        send(run_id, task=task, **first)
    assert send(run_id, task=task, **second)["sent"] == len(toxic)
    assert time.slept == []


def test_first_try_without_state_store_does_not_wait(few, time, destination):
    run_id, _ = evaluated(few)
    send(run_id, task=TaskInstance(is_kept=False), **destination)
    assert time.slept == []


def test_process_that_dies_between_two_batches_sends_the_rest(many, monkeypatch):
    run_id, toxic = evaluated(many)
    queue = {"annotation_queue_id": Places(many).queue()}
    task = TaskInstance()
    exchange, added = Client.exchange, []

    def die(client, call, **options):
        if call.name == operations(queue)[2]:
            added.append(call)
            if len(added) == 2:
                raise Killed
        return exchange(client, call, **options)

    time = Time(many)
    time.install(monkeypatch)
    monkeypatch.setattr(Client, "exchange", die)
    with pytest.raises(Killed):
        send(run_id, task=task, **queue)
    assert 0 < sum(held(many, queue).values()) < 600
    send(run_id, task=task, **queue)
    assert held(many, queue) == dict.fromkeys(toxic, 1)


def test_rejected_request_is_not_repeated(few, destination):
    run_id, _ = evaluated(few)
    task = TaskInstance()
    few.add_fault(Fault(operations(destination)[0], "status_before", status=422))
    with pytest.raises(BadRequest):
        send(run_id, task=task, **destination)
    assert len(few.requests(operations(destination)[0])) == 1
    assert task.store.values == {}


def test_endless_list_is_rejected_and_nothing_is_sent(few, destination):
    run_id, _ = evaluated(few)
    add, listing, _ = operations(destination)
    field = "records" if "annotation_queue_id" in destination else "examples"
    page = {field: [], "pagination": {"has_more": True, "next_cursor": "again"}}
    few.add_fault(Fault(listing, "garbage", times=None, body=json.dumps(page)))
    with pytest.raises(UnexpectedResponse):
        send(run_id, **destination)
    assert len(few.requests(listing)) == 2
    assert few.requests(add) == []


# Arguments


@pytest.mark.parametrize("name", ["run_id", "evaluator", "labels", "annotation_queue_id"])
@pytest.mark.parametrize("rendered", ["", None])
def test_argument_rendered_to_nothing_rejected_before_any_request(arize, name, rendered):
    operator = SendSpansOperator(
        task_id="send", run_id="R", evaluator="tone", labels=["toxic"], annotation_queue_id="{{ params.q }}"
    )
    operator.annotation_queue_id = "Q"
    setattr(operator, name, rendered)
    with pytest.raises(InvalidInput):
        operator.execute(TaskInstance().next_try())
    assert arize.requests() == []


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"annotation_queue_id": "q", "dataset_id": "d"},
        {"annotation_queue_id": "q", "labels": []},
        {"annotation_queue_id": "q", "labels": "toxic"},
        {"annotation_queue_id": "q", "max_spans": 0},
        {"annotation_queue_id": "None"},
        {"dataset_id": "None"},
        {"dataset_id": "d", "run_id": ""},
        {"dataset_id": "d", "evaluator": " "},
    ],
)
def test_wrong_literal_argument_is_rejected_at_parse_time(arguments):
    given = {"run_id": "r", "evaluator": "tone", "labels": ["toxic"]} | arguments
    with pytest.raises(InvalidInput):
        SendSpansOperator(task_id="send", **given)


def test_run_that_is_not_finished_is_rejected(few, destination):
    from airflow_provider_online_tasks.emulator import RunFate
    from airflow_provider_online_tasks.inputs.runs import RunInput

    task_id, _ = run_task(few, evaluators=[tone()])
    few.next_run(RunFate("hang", pending_seconds=0))
    with OnlineTasksHook() as hook:
        run_id = hook.run_online_task(
            RunInput(online_task_id=task_id, data_start_time=NOW - timedelta(days=3), data_end_time=NOW)
        )
    with pytest.raises(InvalidInput):
        send(run_id, **destination)
    assert held(few, destination) == {}
