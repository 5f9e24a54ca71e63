"""Random samples of spans for people to label: real requests to the emulator."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.api.responses import Evaluation, Span
from airflow_provider_online_tasks.emulator import Fault
from airflow_provider_online_tasks.exceptions import EvalResultsIncomplete, InvalidInput
from airflow_provider_online_tasks.operators.spans import SendSpansOperator
from airflow_provider_online_tasks.results.selection import MAX_STRATA, sample_spans
from tests.support.evaluated_runs import NOW, arize_with, run_task, spans_file, tone
from tests.support.review_places import Places
from tests.support.task_instance import TaskInstance

ADD = "rest.add_annotation_queue_records"
WINDOW = {"data_start_time": NOW - timedelta(days=2), "data_end_time": NOW}


@pytest.fixture(scope="module")
def file_of_spans(tmp_path_factory):
    return spans_file(tmp_path_factory.mktemp("sampled"), 600)


@pytest.fixture
def arize_of_spans(monkeypatch, file_of_spans):
    with arize_with(monkeypatch, file_of_spans) as emulator:
        yield emulator


@pytest.fixture
def labels(arize_of_spans):
    """The labels of an evaluated day by span: 200 toxic and 400 polite spans."""
    run_task(arize_of_spans, evaluators=[tone()])
    labels = {each["span_id"]: each["label"] for each in arize_of_spans.evaluations()}
    assert Counter(labels.values()) == {"toxic": 200, "polite": 400}
    return labels


def sample(emulator, *, queue, task=None, **arguments):
    """Send a sample of the spans of the emulator's only run."""
    [run] = emulator.runs()
    source = {"run_id": run["id"]} if "online_task_id" not in arguments else {}
    operator = SendSpansOperator(
        task_id="send", evaluator="tone", annotation_queue_id=queue, **source, **arguments
    )
    return operator.execute((task or TaskInstance()).next_try())


def in_queue(emulator, queue):
    return Counter(record["data"]["context.span_id"] for record in Places(emulator).records(queue))


def test_sample_with_shares_sends_each_label_its_share(arize_of_spans, labels):
    queue = Places(arize_of_spans).queue()

    sent = sample(arize_of_spans, queue=queue, sample=40, shares={"polite": 0.75, "toxic": 0.25})

    held = in_queue(arize_of_spans, queue)
    assert set(held.values()) == {1}
    assert Counter(labels[span_id] for span_id in held) == {"polite": 30, "toxic": 10}
    assert set(sent["span_ids"]) == set(held)
    assert sent["sample"] == {
        "evaluator": "tone",
        "is_random": True,
        "strata": {"polite": {"spans": 400, "selected": 30}, "toxic": {"spans": 200, "selected": 10}},
        **{name: wire_time(at) for name, at in WINDOW.items()},
    }


@pytest.mark.parametrize("shares", [{}, {"shares": "all"}])
def test_sample_without_shares_is_drawn_from_all_labels(arize_of_spans, labels, shares):
    queue = Places(arize_of_spans).queue()

    sent = sample(arize_of_spans, queue=queue, sample=60, **shares)

    strata = sent["sample"]["strata"]
    assert {label: each["spans"] for label, each in strata.items()} == {"polite": 400, "toxic": 200}
    assert sum(each["selected"] for each in strata.values()) == 60
    assert strata["toxic"]["selected"] == pytest.approx(20, abs=9)
    found = Counter(labels[span_id] for span_id in in_queue(arize_of_spans, queue))
    assert found == {label: each["selected"] for label, each in strata.items()}


def test_sample_of_a_window_reads_the_evaluations_of_all_runs(arize_of_spans, labels):
    queue = Places(arize_of_spans).queue()
    [task] = arize_of_spans.tasks()

    sent = sample(arize_of_spans, queue=queue, sample=30, online_task_id=task["id"], **WINDOW)

    assert len(sent["span_ids"]) == 30
    assert sum(each["spans"] for each in sent["sample"]["strata"].values()) == 600


@pytest.mark.promise("random-sample")
def test_sample_is_the_same_on_every_try_and_contains_smaller_samples(arize_of_spans, labels):
    places, shares = Places(arize_of_spans), {"polite": 0.75, "toxic": 0.25}
    queues = [places.queue() for _ in range(3)]
    samples = [
        set(sample(arize_of_spans, queue=queue, sample=size, shares=shares)["span_ids"])
        for queue, size in zip(queues, (20, 20, 50), strict=True)
    ]
    assert samples[0] == samples[1] < samples[2]

    again = sample(arize_of_spans, queue=queues[2], sample=50, shares=shares)

    assert (again["sent"], again["already_there"]) == (0, 50)
    assert again["sample"]["strata"]["polite"]["selected"] == 38
    assert set(in_queue(arize_of_spans, queues[2]).values()) == {1}


def test_lost_response_sends_sample_once(arize_of_spans, labels):
    queue = Places(arize_of_spans).queue()
    arize_of_spans.add_fault(Fault(ADD, "drop_after"))
    task = TaskInstance()

    sent = sample(arize_of_spans, queue=queue, task=task, sample=20)

    assert len(sent["span_ids"]) == 20
    assert in_queue(arize_of_spans, queue) == dict.fromkeys(sent["span_ids"], 1)
    assert len(arize_of_spans.requests(ADD)) == 1


def test_labels_without_sample_are_reported_as_not_random(arize_of_spans, labels):
    queue = Places(arize_of_spans).queue()

    sent = sample(arize_of_spans, queue=queue, labels=["toxic"], max_spans=50)

    assert sent["sample"]["is_random"] is False
    assert sent["sample"]["strata"] == {
        "polite": {"spans": 400, "selected": 0},
        "toxic": {"spans": 200, "selected": 50},
    }


@pytest.mark.parametrize("shares", [{"Polite": 0.75, "toxic": 0.25}, {"kind": 0.75, "toxic": 0.25}])
def test_share_of_a_label_that_no_span_has_is_rejected_before_sending(arize_of_spans, labels, shares):
    queue = Places(arize_of_spans).queue()
    with pytest.raises(InvalidInput):
        sample(arize_of_spans, queue=queue, sample=40, shares=shares)
    assert arize_of_spans.requests(ADD) == []


def test_sample_of_an_evaluator_without_evaluations_is_retried(arize_of_spans, labels):
    [task] = arize_of_spans.tasks()
    earlier = {name: at - timedelta(days=9) for name, at in WINDOW.items()}
    with pytest.raises(EvalResultsIncomplete):
        sample(
            arize_of_spans,
            queue=Places(arize_of_spans).queue(),
            sample=9,
            online_task_id=task["id"],
            **earlier,
        )


def test_misspelled_evaluator_of_a_window_is_rejected(arize_of_spans, labels):
    [task] = arize_of_spans.tasks()
    operator = SendSpansOperator(
        task_id="send",
        evaluator="tune",
        annotation_queue_id="Q",
        sample=9,
        online_task_id=task["id"],
        **WINDOW,
    )
    with pytest.raises(InvalidInput):
        operator.execute(TaskInstance().next_try())


def test_rendered_sample_and_shares_are_texts(arize_of_spans, labels):
    queue = Places(arize_of_spans).queue()
    [run] = arize_of_spans.runs()
    operator = SendSpansOperator(
        task_id="send",
        run_id=run["id"],
        evaluator="tone",
        annotation_queue_id=queue,
        sample="{{ params.sample }}",
        shares={"polite": "{{ params.polite }}", "toxic": 0.5},
    )
    operator.sample, operator.shares = "10", {"polite": "0.5", "toxic": 0.5}
    sent = operator.execute(TaskInstance().next_try())
    assert {each["selected"] for each in sent["sample"]["strata"].values()} == {5}


# Which spans are selected


def spans_of(labels, *, names=("e",)):
    return [
        Span(
            span_id=f"span-{number}",
            start_time=wire_time(NOW - timedelta(seconds=number)),
            evaluations=tuple(Evaluation(name=name, label=label) for name in names),
        )
        for number, label in enumerate(labels)
    ]


def selected(labels, size, shares="all"):
    selection = sample_spans([spans_of(labels)], evaluator="e", size=size, shares=shares)
    return {each.id for each in selection.spans}, selection.strata


def test_rare_label_is_selected_completely_and_others_fill_the_sample():
    span_ids, strata = selected(["good"] * 90 + ["bad"] * 10, 60, {"good": 0.5, "bad": 0.5})
    assert strata == {"good": (90, 50), "bad": (10, 10)}
    assert len(span_ids) == 60


def test_sample_larger_than_the_window_selects_everything():
    span_ids, strata = selected(["good"] * 9 + ["bad"], 60, {"good": 0.5, "bad": 0.5})
    assert strata == {"good": (9, 9), "bad": (1, 1)}
    assert len(span_ids) == 10


@pytest.mark.parametrize(
    "shares", ["all", {"a": 0.5, "b": 0.3, "c": 0.2}, {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}]
)
def test_every_larger_sample_contains_the_smaller_one(shares):
    labels, smaller = ["a"] * 60 + ["b"] * 20 + ["c"] * 5, set()
    for size in range(1, 90):
        larger, _ = selected(labels, size, shares)
        assert smaller <= larger
        assert len(larger) == min(size, 80 if "c" not in shares and shares != "all" else 85)
        smaller = larger


def test_selection_does_not_depend_on_the_order_of_the_spans():
    spans = spans_of(["good", "bad"] * 100)
    chosen = {"evaluator": "e", "size": 20, "shares": {"good": 0.5, "bad": 0.5}}
    forwards = sample_spans([spans], **chosen)
    backwards = sample_spans([spans[::-1]], **chosen)
    assert {each.id for each in forwards.spans} == {each.id for each in backwards.spans}


def test_every_span_of_a_label_is_equally_likely():
    # 400 spans, whose IDs are the only randomness: each quarter of the window gives about as many.
    span_ids, _ = selected(["good"] * 400, 200)
    quarters = Counter(int(span_id.removeprefix("span-")) // 100 for span_id in span_ids)
    assert all(abs(count - 50) < 20 for count in quarters.values())


def test_span_that_is_listed_twice_counts_once():
    spans = spans_of(["good"] * 10)
    selection = sample_spans([spans, spans[5:]], evaluator="e", size=20, shares="all")
    assert selection.strata == {"good": (10, 10)}
    assert len(selection.spans) == 10


def test_only_the_sample_is_kept_in_memory():
    import tracemalloc

    def peak(count):
        labels = (("good", "bad")[number % 2] for number in range(count))
        pages = ([span] for span in map(one_span, range(count), labels))
        tracemalloc.start()
        sample_spans(pages, evaluator="e", size=50, shares={"good": 0.5, "bad": 0.5})
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak(100)
    assert peak(20_000) < 1.5 * peak(2_000)


def one_span(number, label):
    at = wire_time(NOW - timedelta(seconds=number))
    return Span(span_id=f"{number}", start_time=at, evaluations=(Evaluation(name="e", label=label),))


def test_labels_beyond_the_limit_are_counted_together():
    _, strata = selected([f"label {number}" for number in range(2 * MAX_STRATA)], 10)
    assert len(strata) == MAX_STRATA + 1
    assert sum(spans for spans, _ in strata.values()) == 2 * MAX_STRATA
    assert sum(count for _, count in strata.values()) == 10


# Arguments

VALID = {"run_id": "R", "evaluator": "tone", "annotation_queue_id": "Q", "sample": 200}


@pytest.mark.parametrize(
    "arguments",
    [
        {"sample": 0},
        {"sample": -5},
        {"sample": 2.5},
        {"sample": True},
        {"sample": "many"},
        {"sample": 501},
        {"sample": None},
        {"sample": None, "shares": "all"},
        {"sample": None, "labels": ["toxic"], "shares": "all"},
        {"labels": ["toxic"]},
        {"shares": "some"},
        {"shares": {}},
        {"shares": ["toxic"]},
        {"shares": {"polite": 0.75, "toxic": 0.2}},
        {"shares": {"polite": 75, "toxic": 25}},
        {"shares": {"polite": 1, "toxic": 0}},
        {"shares": {"polite": 1.5, "toxic": -0.5}},
        {"shares": {"polite": float("nan"), "toxic": 0.5}},
        {"shares": {"polite": "much", "toxic": 0.5}},
        {"shares": {" ": 0.5, "toxic": 0.5}},
        {"shares": {3: 0.5, "toxic": 0.5}},
        {"shares": {"{{ params.label }}": 0.5, "toxic": 0.5}},
        {"run_id": None},
        {"online_task_id": "T"},
        {"run_id": None, "online_task_id": "T"},
        {"run_id": None, "online_task_id": "T", "data_start_time": "2026-11-01"},
        {"data_start_time": "2026-11-01", "data_end_time": "2026-11-02"},
        {
            "run_id": None,
            "online_task_id": "T",
            "data_start_time": "2026-11-02",
            "data_end_time": "2026-11-01",
        },
    ],
)
def test_wrong_literal_is_rejected_when_parsed(arguments):
    with pytest.raises(InvalidInput):
        SendSpansOperator(task_id="send", **VALID | arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"shares": {"polite": 1 / 3, "toxic": 2 / 3}},
        {"shares": "all"},
        {"sample": 1_000, "max_spans": 1_000},
        {"sample": "{{ params.sample }}", "shares": "{{ params.shares }}"},
        {"shares": {"polite": "{{ params.polite }}", "toxic": 0.5}},
        {"run_id": None, "online_task_id": "T", "data_start_time": "{{ ds }}", "data_end_time": "{{ ds }}"},
    ],
)
def test_valid_arguments_are_accepted_when_parsed(arguments):
    SendSpansOperator(task_id="send", **VALID | arguments)


@pytest.mark.parametrize(
    "rendered", [{"sample": "0"}, {"sample": "900"}, {"sample": ""}, {"shares": {"polite": "0.5"}}]
)
def test_wrong_rendered_value_is_rejected_before_any_request(arize, rendered):
    operator = SendSpansOperator(task_id="send", **VALID)
    for name, value in rendered.items():
        setattr(operator, name, value)
    with pytest.raises(InvalidInput):
        operator.execute(TaskInstance().next_try())
    assert arize.requests() == []
