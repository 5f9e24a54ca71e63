"""Spans and lists that are larger than a response may be are read in parts, and one span may be skipped."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.emulator import Emulator, Fault
from airflow_provider_online_tasks.exceptions import ResponseTooLarge
from airflow_provider_online_tasks.operators.spans import SendSpansOperator
from tests.support.connections import changed
from tests.support.evaluated_runs import NOW, arize_with, read, run_task
from tests.support.servers import RecordingServer, forward
from tests.support.task_instance import TaskInstance

SPANS = 40
MANY_BYTES = 200_000
TOO_MANY_BYTES = 4_000_000
TOO_LARGE = json.dumps({"spans": ["x" * TOO_MANY_BYTES]})


@pytest.fixture(scope="module")
def large_spans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Agents' conversations: 76 attributes, and outputs of 200 kB. The last span's output has 4 MB."""
    path: Path = tmp_path_factory.mktemp("large") / "spans.jsonl"
    with path.open("w") as lines:
        for number in range(SPANS):
            start = NOW - timedelta(hours=1, minutes=number)
            size = TOO_MANY_BYTES if number == SPANS - 1 else MANY_BYTES
            attributes = {f"llm.input_messages.{place}.message.content": "Hello " * 20 for place in range(74)}
            attributes |= {"input.value": f"Question {number}", "output.value": f"{number} " + "o" * size}
            span = {"name": "answer", "kind": "LLM", "attributes": attributes}
            times = {"start_time": wire_time(start), "end_time": wire_time(start + timedelta(seconds=1))}
            lines.write(json.dumps({**span, **times}) + "\n")
    return path


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch, large_spans: Path) -> Iterator[Emulator]:
    with arize_with(monkeypatch, large_spans) as emulator:
        yield emulator


def call(arize: Emulator, method: str, path: str, **body: Any) -> Any:
    headers = {"Authorization": f"Bearer {arize.api_key}"}
    response = requests.request(method, arize.url + path, json=body or None, headers=headers, timeout=30)
    response.raise_for_status()
    return response.json()


def new_dataset(arize: Emulator) -> str:
    space_id = call(arize, "GET", "/v2/spaces")["spaces"][0]["id"]
    dataset = {"name": "failures", "space_id": space_id, "examples": [{"question": "theirs"}]}
    return str(call(arize, "POST", "/v2/datasets", **dataset)["id"])


def examples_of(arize: Emulator, dataset_id: str) -> list[dict[str, Any]]:
    examples = call(arize, "GET", f"/v2/datasets/{dataset_id}/examples?limit=500")["examples"]
    return [example for example in examples if "span_id" in example]


def send(run_id: str, **destination: str) -> Any:
    operator = SendSpansOperator(
        task_id="send", run_id=run_id, evaluator="correctness", labels=["correct", "incorrect"], **destination
    )
    return operator.execute(TaskInstance().next_try())


@pytest.fixture
def span_requests(large: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[Any]]]:
    """Return the bodies of the requests for spans since the last call."""
    with RecordingServer(forward) as proxy:
        extra = {**json.loads(large.connection_json)["extra"], "proxy": proxy.url}
        connection = json.dumps(changed(large, extra=extra))
        monkeypatch.setenv("AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT", connection)

        def bodies() -> list[Any]:
            found = [seen.json for seen in proxy.seen if "/v2/spans" in seen.target]
            proxy.seen.clear()
            return found

        yield bodies


def test_large_spans_are_sent_to_a_dataset_with_their_texts(
    large: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    _, run_id = run_task(large)
    dataset_id = new_dataset(large)
    assert send(run_id, dataset_id=dataset_id)["sent"] == SPANS
    examples = examples_of(large, dataset_id)
    assert len(examples) == SPANS
    assert {len(example.get("output", "")) // MANY_BYTES for example in examples} == {0, 1}
    without_output = [example["span_id"] for example in examples if "output" not in example]
    assert len(without_output) == 1
    assert all(example["explanation"] for example in examples if "output" in example)
    assert without_output[0] in "".join(capsys.readouterr())


def test_texts_of_spans_that_are_not_sent_are_not_read(
    large: Emulator, span_requests: Callable[[], list[Any]]
) -> None:
    _, run_id = run_task(large)
    dataset_id = new_dataset(large)
    send(run_id, dataset_id=dataset_id)
    span_requests()
    assert send(run_id, dataset_id=dataset_id)["already_there"] == SPANS
    for body in span_requests():
        assert not [name for name in body["included_columns"] if name.startswith("attributes.")]
        assert not [name for name in body["included_columns"] if name.endswith(".explanation")]


def test_explanations_are_read_for_examples_and_rows_only(
    large: Emulator, span_requests: Callable[[], list[Any]], tmp_path: Path
) -> None:
    _, run_id = run_task(large)
    span_requests()
    read(run_id=run_id, evaluators=["correctness"])
    counting, describing = span_requests()
    assert "eval.correctness.explanation" not in counting["included_columns"]
    assert "eval.correctness.explanation" in describing["included_columns"]
    rows_path = tmp_path / "rows.jsonl"
    read(run_id=run_id, evaluators=["correctness"], rows_path=str(rows_path))
    rows = [json.loads(row) for row in rows_path.read_text().splitlines()]
    assert len(rows) == SPANS
    assert all(row["explanation"] for row in rows)


def test_span_that_is_too_large_is_skipped_with_a_warning(
    arize: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    _, run_id = run_task(arize)
    whole = read(run_id=run_id)
    arize.add_fault(Fault("rest.list_spans", "garbage", body=TOO_LARGE, times=9))
    summary = read(run_id=run_id, on_incomplete="warn", complete_within=0)
    assert summary["spans"] == whole["spans"] - 1
    assert (summary["complete"], summary["read"]) == (False, whole["read"] - 1)
    lines = "".join(capsys.readouterr()).splitlines()
    span_ids = {each["span_id"] for each in arize.evaluations(run_id=run_id)}
    assert len([line for line in lines if "3 MiB" in line and any(each in line for each in span_ids)]) == 1


def test_span_whose_id_is_too_large_as_well_is_an_error(arize: Emulator) -> None:
    _, run_id = run_task(arize)
    arize.clear_requests()
    arize.add_fault(Fault("rest.list_spans", "garbage", body=TOO_LARGE, times=None))
    with pytest.raises(ResponseTooLarge):
        read(run_id=run_id)
    assert len(arize.requests("rest.list_spans")) == 10  # 500, 250, … 1, and only the ID


def test_large_examples_of_a_dataset_are_listed(large: Emulator) -> None:
    _, run_id = run_task(large)
    dataset_id = new_dataset(large)
    send(run_id, dataset_id=dataset_id)
    assert send(run_id, dataset_id=dataset_id)["already_there"] == SPANS
