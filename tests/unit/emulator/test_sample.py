"""The shipped sample, and span files of users."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.spans.sample import SAMPLE_PATH, SpanFileError, load_spans

NOW = datetime(2026, 5, 4, 10, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def sample() -> list[dict[str, Any]]:
    return list(load_spans(None, now=NOW))


def test_sample_is_large_enough_to_evaluate_and_small_enough_to_ship(sample: list[dict[str, Any]]) -> None:
    projects = Counter(span.get("project_id", ids.PROJECT_ID) for span in sample)
    # More than one page of a reader, which is 500 spans.
    assert projects[ids.PROJECT_ID] > 500
    assert 50 < projects[ids.SECOND_PROJECT_ID] < 150
    assert SAMPLE_PATH.stat().st_size < 1_000_000
    assert {span["kind"] for span in sample} == {"AGENT", "CHAIN", "RETRIEVER", "LLM", "TOOL"}
    assert {span["status_code"] for span in sample} == {"OK", "ERROR"}


@pytest.mark.parametrize("hour", [0, 8, 16, 23])
def test_every_recent_day_has_spans_whenever_the_emulator_starts(hour: int) -> None:
    now = NOW.replace(hour=hour, minute=1)
    agents = [span for span in load_spans(None, now=now) if span["kind"] == "AGENT"]
    days = Counter(span["start_time"].date() for span in agents)
    for age in (1, 2, 3, 4):
        assert days[now.date() - timedelta(days=age)] >= 10
    assert any(span["start_time"] > now - timedelta(minutes=30) for span in agents)
    assert all(span["end_time"] <= now for span in agents)


def test_spans_form_traces(sample: list[dict[str, Any]]) -> None:
    by_id = {span["span_id"]: span for span in sample}
    assert len(by_id) == len(sample)
    roots = [span for span in sample if span["parent_id"] is None]
    assert {span["kind"] for span in roots} == {"AGENT"}
    assert len(roots) == len({span["trace_id"] for span in sample})
    for span in sample:
        assert span["start_time"] <= span["end_time"]
        if span["parent_id"] is not None:
            parent = by_id[span["parent_id"]]
            assert parent["trace_id"] == span["trace_id"]
            assert parent["start_time"] <= span["start_time"] <= span["end_time"] <= parent["end_time"]


def test_attributes_are_named_as_openinference_names_them(sample: list[dict[str, Any]]) -> None:
    for span in sample:
        attributes = span["attributes"]
        assert attributes["openinference.span.kind"] == span["kind"]
        assert attributes["session.id"]
        assert "input.value" in attributes
        assert all(not isinstance(value, dict | list) for value in attributes.values())
    model = next(span["attributes"] for span in sample if span["kind"] == "LLM")
    assert model["llm.model_name"]
    assert (
        model["llm.token_count.prompt"] + model["llm.token_count.completion"]
        == model["llm.token_count.total"]
    )
    assert model["llm.input_messages.1.message.content"] == model["input.value"]
    search = next(span["attributes"] for span in sample if span["kind"] == "RETRIEVER")
    assert 0 < search["retrieval.documents.0.document.score"] <= 1
    assert search["retrieval.documents.1.document.content"]


def test_sample_contains_unusual_outputs(sample: list[dict[str, Any]]) -> None:
    answers = [span["attributes"]["output.value"] for span in sample if span["kind"] == "AGENT"]
    assert "" in answers
    assert max(map(len, answers)) > 3000
    for character in ("日", "م", "б", "ह", "ש", "🔋"):
        assert any(character in answer for answer in answers), character
    metadata = [span["attributes"]["metadata"] for span in sample if span["kind"] == "AGENT"]
    assert 0 < sum(not is_json(text) for text in metadata) < len(metadata) / 5


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def load(tmp_path: Path, *lines: str) -> list[dict[str, Any]]:
    path = tmp_path / "spans.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8", errors="surrogateescape")
    return list(load_spans(path, now=NOW))


def test_minimal_span_file_is_accepted(tmp_path: Path) -> None:
    (span,) = load(tmp_path, '{"start_time": -60, "attributes": {"input": {"value": "Hello"}}}', "")
    assert span["start_time"] == span["end_time"] == NOW - timedelta(minutes=1)
    assert span["attributes"] == {"input.value": "Hello", "openinference.span.kind": "UNKNOWN"}
    assert (span["kind"], span["status_code"], span["parent_id"]) == ("UNKNOWN", "UNSET", None)
    assert len(span["span_id"]) == 16
    assert len(span["trace_id"]) == 32


def test_exported_spans_are_accepted(tmp_path: Path) -> None:
    exported = {
        "name": "search",
        "context": {"trace_id": "t1", "span_id": "s1"},
        "parent_id": "s0",
        "start_time": "2026-05-03T10:00:00+02:00",
        "end_time": "2026-05-03T08:00:01.500",
        "status_code": "ok",
        "attributes": {
            "openinference": {"span": {"kind": "retriever"}},
            "retrieval": {"documents": [{"document": {"content": "a"}}, {"document": {"content": "b"}}]},
            "tag": {"tags": ["x", "y"]},
        },
    }
    (span,) = load(tmp_path, json.dumps(exported))
    assert (span["trace_id"], span["span_id"], span["parent_id"]) == ("t1", "s1", "s0")
    assert (span["kind"], span["status_code"]) == ("RETRIEVER", "OK")
    assert span["end_time"] - span["start_time"] == timedelta(seconds=1.5)
    assert span["attributes"]["retrieval.documents.1.document.content"] == "b"
    assert span["attributes"]["tag.tags"] == ["x", "y"]


def test_spans_without_ids_get_stable_ids(tmp_path: Path) -> None:
    lines = ['{"start_time": -2}', '{"start_time": -1}']
    first, second = (span["span_id"] for span in load(tmp_path, *lines))
    assert first != second
    assert [first, second] == [span["span_id"] for span in load(tmp_path, *lines)]


def test_invalid_line_is_reported_with_its_number_and_field(tmp_path: Path) -> None:
    for line, field in (
        ("{", ""),
        ("[]", ""),
        ("[" * 100_000, ""),
        ('{"attributes": 1, "start_time": 0}', "attributes"),
        ("{}", "start_time"),
        ('{"start_time": true}', "start_time"),
        ('{"start_time": NaN}', "start_time"),
        ('{"start_time": "yesterday"}', "start_time"),
        ('{"start_time": 1e15}', "start_time"),
        ('{"start_time": 0, "end_time": -1}', "end_time"),
        ('{"start_time": 0, "status_code": "FINE"}', "status_code"),
        ('{"start_time": 0, "project": "x"}', "project"),
    ):
        with pytest.raises(SpanFileError, match=f"line 2: .*{field}"):
            load(tmp_path, '{"start_time": 0}', line)


def test_project_of_a_line_is_that_of_the_span(tmp_path: Path) -> None:
    first, second = load(tmp_path, '{"start_time": -2}', '{"start_time": -1, "project": "search-assistant"}')
    assert (first["project_id"], second["project_id"]) == (ids.PROJECT_ID, ids.SECOND_PROJECT_ID)


def test_sessions_have_several_traces_in_one_project(sample: list[dict[str, Any]]) -> None:
    sessions: dict[str, set[Any]] = {}
    for span in sample:
        session = sessions.setdefault(span["attributes"]["session.id"], set())
        session.add((span.get("project_id"), span["trace_id"]))
    assert len(sessions) > 40
    assert sum(len(traces) == 3 for traces in sessions.values()) > 40
    assert all(len({project for project, _ in traces}) == 1 for traces in sessions.values())


def test_unreadable_span_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SpanFileError, match="nowhere"):
        list(load_spans(tmp_path / "nowhere.jsonl", now=NOW))
    with pytest.raises(SpanFileError):
        load(tmp_path, "\udcff")
