"""Results of eval tasks that evaluate traces or sessions, which may start before the window."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.api.responses import QueueRecord, RunStatus, TaskRun
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.inputs.runs import RunInput
from airflow_provider_online_tasks.operators.spans import SendSpansOperator
from airflow_provider_online_tasks.results.reading import labels_exist
from tests.support.evaluated_runs import NOW, arize_with, read, run_task, tone
from tests.support.review_places import Places

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator

START, END = NOW - timedelta(hours=2), NOW - timedelta(hours=1)
AGENT, LLM = (f"attributes.openinference.span.kind = '{kind}'" for kind in ("AGENT", "LLM"))


def span(number: int, trace: int, at: datetime, kind: str, *, parent: int | None = None) -> dict[str, Any]:
    return {
        "span_id": f"{number:016x}",
        "trace_id": f"{trace:032x}",
        "parent_id": None if parent is None else f"{parent:016x}",
        "name": "answer",
        "kind": kind,
        "start_time": wire_time(at),
        "end_time": wire_time(at + timedelta(seconds=1)),
        "attributes": {
            "input.value": "Hello",
            "output.value": "You stupid idiot" if trace % 2 else "Thank you",
            "openinference.span.kind": kind,
            "session.id": f"session {trace}",
        },
    }


def conversations() -> Iterator[dict[str, Any]]:
    """Yield four traces in the window, one that starts before it, and six tools without an LLM."""
    begins = [START + timedelta(minutes=5 + trace) for trace in range(4)] + [START - timedelta(seconds=2)]
    for trace, begin in enumerate(begins):
        yield span(trace, trace, begin, "AGENT")
        yield span(100 + trace, trace, begin + timedelta(seconds=5), "LLM", parent=trace)
    for tool in range(200, 206):
        yield span(tool, tool, START + timedelta(minutes=tool - 180), "TOOL")


@pytest.fixture
def arize(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    path = tmp_path / "spans.jsonl"
    path.write_text("".join(f"{json.dumps(each)}\n" for each in conversations()))
    with arize_with(monkeypatch, path) as emulator:
        yield emulator


@pytest.mark.parametrize("query_filter", [None, LLM])
@pytest.mark.parametrize("granularity", ["trace", "session"])
def test_item_that_started_before_the_window_is_read(
    arize: Emulator, granularity: str, query_filter: str | None
) -> None:
    _, run_id = run_task(
        arize,
        evaluators=[tone(data_granularity_type=granularity)],
        start=START,
        end=END,
        query_filter=query_filter,
    )

    found = read(run_id=run_id, granularity=granularity, complete_within=0)

    expected = 5 if query_filter else 11
    assert (found["complete"], found["expected"], found["read"]) == (True, expected, expected)
    tones = found["evaluators"]["tone"]
    assert (tones["evaluated"], tones["not_evaluated"]) == (expected, 0)
    assert {example["input"] for example in tones["examples"]} == {"Hello"}


@pytest.mark.parametrize(("start", "requests"), [(START, 3), (START - timedelta(minutes=1), 2)])
def test_time_before_the_window_is_read_only_if_an_evaluation_may_be_there(
    arize: Emulator, start: datetime, requests: int
) -> None:
    _, run_id = run_task(arize, evaluators=[tone(data_granularity_type="trace")], start=start, end=END)
    arize.clear_requests()

    read(run_id=run_id, granularity="trace", complete_within=0)

    assert len(arize.requests("rest.list_spans")) == requests  # with one for the examples


def test_spans_without_a_session_are_not_counted_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans = [span(number, number, START + timedelta(minutes=number), "LLM") for number in range(5)]
    for each in spans[3:]:
        del each["attributes"]["session.id"]
    path = tmp_path / "spans.jsonl"
    path.write_text("".join(f"{json.dumps(each)}\n" for each in spans))
    with arize_with(monkeypatch, path) as arize:
        evaluators = [tone(data_granularity_type="session")]
        _, run_id = run_task(arize, evaluators=evaluators, start=START, end=END)

        found = read(run_id=run_id, granularity="session", complete_within=0)

    tones = found["evaluators"]["tone"]
    assert (tones["evaluated"], tones["not_evaluated"]) == (3, 0)


def test_trace_that_started_before_the_window_is_sent_to_a_queue(arize: Emulator) -> None:
    _, run_id = run_task(arize, evaluators=[tone(data_granularity_type="trace")], start=START, end=END)
    queue_id, _ = Places(arize).labelled_queue("polite", "toxic")

    sent = SendSpansOperator(
        task_id="send",
        run_id=run_id,
        evaluator="tone",
        labels=["polite"],
        granularity="trace",
        annotation_queue_id=queue_id,
    ).execute(context())

    assert f"{4:016x}" in sent["span_ids"]


def test_human_labels_of_traces_are_compared_with_the_evaluator(arize: Emulator) -> None:
    start = START - timedelta(minutes=1)
    _, run_id = run_task(arize, evaluators=[tone(data_granularity_type="trace")], start=start, end=END)
    places = Places(arize)
    queue_id, annotation = places.labelled_queue("polite", "toxic")
    send = SendSpansOperator(
        task_id="send",
        run_id=run_id,
        evaluator="tone",
        sample=5,
        granularity="trace",
        annotation_queue_id=queue_id,
    )
    assert send.execute(context())["sent"] == 5
    assert send.execute(context())["sent"] == 0
    assert {each["granularity"] for each in places.records(queue_id)} == {"TRACE"}
    assert arize.label_records(queue_id, evaluator="tone", annotation=annotation, positive="polite") == 5

    found = read(run_id=run_id, granularity="trace", human_labels={"tone": annotation})

    assert found["evaluators"]["tone"]["human_labels"]["labelled"] == 5
    records = [QueueRecord.from_wire({**each, "assigned_users": []}) for each in places.records(queue_id)]
    assert all(record.is_completed for record in records)


def context() -> Any:
    return {"ti": SimpleNamespace(try_number=1, max_tries=0, xcom_push=lambda **_: None)}


def test_long_session_that_started_before_the_window_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans = [span(number, 0, START - timedelta(seconds=1 - 2 * number), "LLM") for number in range(2)]
    for each in spans:
        each["attributes"]["session.id"] = "s" * 150
    path = tmp_path / "spans.jsonl"
    path.write_text("".join(f"{json.dumps(each)}\n" for each in spans))
    with arize_with(monkeypatch, path) as arize:
        evaluators = [tone(data_granularity_type="session")]
        _, run_id = run_task(arize, evaluators=evaluators, start=START, end=END)
        assert read(run_id=run_id, granularity="session", complete_within=0)["complete"] is True


def test_span_that_starts_when_the_window_ends_belongs_to_the_next_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "spans.jsonl"
    spans = [span(number, number, START + timedelta(minutes=30 * number), "LLM") for number in (0, 2)]
    path.write_text("".join(f"{json.dumps(each)}\n" for each in spans))
    with arize_with(monkeypatch, path) as arize:
        task_id, _ = run_task(arize, evaluators=[tone()], start=START, end=END + timedelta(minutes=1))
        queue_id, _ = Places(arize).labelled_queue("polite", "toxic")

        sent = SendSpansOperator(
            task_id="send",
            online_task_id=task_id,
            data_start_time=START,
            data_end_time=END,
            evaluator="tone",
            labels=["polite"],
            annotation_queue_id=queue_id,
        ).execute(context())

    assert sent["span_ids"] == [f"{0:016x}"]


def test_named_filters_of_the_eval_task_select_what_is_counted(arize: Emulator) -> None:
    mapping = {"variable_name": "conversation", "query_ids": ["A"], "attribute_path": "conversation"}
    with OnlineTasksHook() as hook:
        task_id = hook.create_eval_task(
            {
                "name": "sessions",
                "model_id": arize.project_id,
                "query_filters": {"filters": [{"id": "A", "filter": AGENT}]},
                "evaluators": [
                    {"evaluator_id": arize.evaluator_ids["user_frustration"], "query_mappings": [mapping]}
                ],
            }
        )
        start = START - timedelta(minutes=1)
        run_id = hook.run_online_task(
            RunInput(online_task_id=task_id, data_start_time=start, data_end_time=END)
        )
        while not hook.get_task_run(run_id).is_over:
            pass

    found = read(run_id=run_id, granularity="session", complete_within=0)

    [figures] = found["evaluators"].values()
    assert (figures["evaluated"], figures["not_evaluated"]) == (5, 0)


@pytest.mark.parametrize(
    ("granularity", "query_filter", "start"),
    [
        ("trace", None, START),
        ("trace", LLM, START),
        ("session", LLM, START),
        ("session", LLM, START + timedelta(minutes=5, seconds=3)),  # the labelled spans are earlier
    ],
)
def test_labels_are_found_if_a_run_skipped_all(
    arize: Emulator, granularity: str, query_filter: str | None, start: datetime
) -> None:
    evaluators = [tone(data_granularity_type=granularity)]
    task_id, _ = run_task(arize, evaluators=evaluators, start=START, end=END, query_filter=query_filter)
    with OnlineTasksHook() as hook:
        assert labels_exist(hook, skipped_run(hook, task_id, start), log=hook.log)


def test_labels_of_traces_on_matching_spans_are_found_with_one_request(arize: Emulator) -> None:
    task_id, _ = run_task(arize, evaluators=[tone(data_granularity_type="trace")], start=START, end=END)
    with OnlineTasksHook() as hook:
        run = skipped_run(hook, task_id, START)
        arize.clear_requests()
        assert labels_exist(hook, run, log=hook.log)
    assert len(arize.requests("rest.list_spans")) == 1


def test_labels_of_spans_that_do_not_match_the_filter_are_not_found(arize: Emulator) -> None:
    run_task(arize, evaluators=[tone()], start=START, end=END, query_filter=AGENT)
    other = "attributes.openinference.span.kind = 'TOOL'"
    task_id, _ = run_task(arize, evaluators=[tone()], start=END, end=NOW, query_filter=other)
    with OnlineTasksHook() as hook:
        assert not labels_exist(hook, skipped_run(hook, task_id, START), log=hook.log)


def skipped_run(hook: OnlineTasksHook, task_id: str, start: datetime) -> TaskRun:
    """Return a run of a window that skipped a span."""
    given = RunInput(
        online_task_id=task_id, data_start_time=start, data_end_time=START + timedelta(minutes=6)
    )
    run = hook.get_task_run(hook.run_online_task(given))
    done = {"status": RunStatus.COMPLETED, "num_successes": 0, "num_errors": 0, "num_skipped": 1}
    return replace(run, **done)
