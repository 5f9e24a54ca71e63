"""The shipped sample, and span files of users."""

from __future__ import annotations

import json
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_online_tasks.emulator import Emulator, EmulatorSettings, ids
from airflow_provider_online_tasks.emulator.spans.sample import SAMPLE_PATH, SpanFileError, load_spans
from tests.support.emulator_api import Api, days_ago

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


def test_phoenix_export_is_accepted(tmp_path: Path) -> None:
    exported = {
        "id": "U3Bhbjox",
        "name": "ChatCompletion",
        "context": {"trace_id": "t1", "span_id": "s1"},
        "span_kind": "LLM",
        "parent_id": "s0",
        "start_time": "2026-05-03T10:00:00.250000+00:00",
        "end_time": "2026-05-03T10:00:02.500000+00:00",
        "status_code": "OK",
        "status_message": "",
        "attributes": {"input.value": "Hello"},
        "events": [],
    }
    (span,) = load(tmp_path, json.dumps(exported))
    assert (span["kind"], span["parent_id"]) == ("LLM", "s0")
    assert span["attributes"]["openinference.span.kind"] == "LLM"


OPENTELEMETRY = """{
    "name": "invoke",
    "context": {"trace_id": "0xabc1", "span_id": "0xdef2", "trace_state": "[]"},
    "kind": "SpanKind.INTERNAL",
    "parent_id": "0xdef1",
    "start_time": "2026-05-03T10:00:00.250000Z",
    "end_time": "2026-05-03T10:00:02.500000Z",
    "status": {
        "status_code": "ERROR",
        "description": "ValueError: no"
    },
    "attributes": {"openinference.span.kind": "TOOL", "tool.name": "search"},
    "events": [{"name": "exception", "timestamp": "2026-05-03T10:00:02Z", "attributes": {"a": "b"}}],
    "links": [],
    "resource": {"attributes": {"service.name": "x"}, "schema_url": ""}
}"""


def test_output_of_the_opentelemetry_sdk_is_accepted(tmp_path: Path) -> None:
    # Its console exporter writes one text of several lines after the other.
    first, second = load(tmp_path, OPENTELEMETRY, OPENTELEMETRY.replace("def2", "def3"))
    assert (first["trace_id"], first["span_id"], first["parent_id"]) == ("abc1", "def2", "def1")
    assert (first["kind"], first["status_code"], first["status_message"]) == (
        "TOOL",
        "ERROR",
        "ValueError: no",
    )
    [event] = first["events"]
    assert event == {"name": "exception", "timestamp": "2026-05-03T10:00:02.000Z", "attributes": {"a": "b"}}
    assert second["span_id"] == "def3"
    with pytest.raises(SpanFileError, match="line 17: "):
        load(tmp_path, OPENTELEMETRY, '{"start_time": "never"}')


def test_array_of_spans_is_accepted_and_its_lines_are_counted(tmp_path: Path) -> None:
    spans = [
        {"context": {"span_id": f"s{number}", "trace_id": "t"}, "kind": "LLM", "start_time": -number}
        | {"evaluations": [], "annotations": [], "latency_ms": 3}
        for number in range(3)
    ]
    for indent in (None, 2):
        found = load(tmp_path, json.dumps(spans, indent=indent))
        assert [span["span_id"] for span in found] == ["s0", "s1", "s2"]
    assert load(tmp_path, "[]") == load(tmp_path, "") == []
    with pytest.raises(SpanFileError, match="line 3: start_time"):
        load(tmp_path, "[", '{"start_time": 0},', '{"start_time": "never"}', "]")
    with pytest.raises(SpanFileError, match="line 2: "):
        load(tmp_path, "[", '{"start_time": 0}')


FLAT = {
    "context.span_id": "0012",
    "context.trace_id": "0034",
    "parent_id": None,
    "name": "answer",
    "span_kind": "AGENT",
    "status_code": "OK",
    "start_time": "2026-05-03T10:00:00+00:00",
    "end_time": "2026-05-03T10:00:01+00:00",
    "attributes.input.value": "Where is\nmy parcel?",
    "attributes.llm.token_count.total": 12,
    "attributes.output.value": None,
    "eval.tone.label": "calm",
    "latency_ms": 1000.0,
}


def check_flat(span: dict[str, Any]) -> None:
    assert (span["span_id"], span["trace_id"], span["parent_id"]) == ("0012", "0034", None)
    assert (span["kind"], span["end_time"] - span["start_time"]) == ("AGENT", timedelta(seconds=1))
    assert span["attributes"] == {
        "input.value": "Where is\nmy parcel?",
        "llm.token_count.total": 12,
        "openinference.span.kind": "AGENT",
    }


def test_flat_columns_of_a_data_frame_are_accepted(tmp_path: Path) -> None:
    check_flat(*load(tmp_path, json.dumps(FLAT)))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_tables_are_accepted(tmp_path: Path, suffix: str) -> None:
    frames = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    other = {**FLAT, "context.span_id": "0013", "attributes.llm.token_count.total": float("nan")}
    frame = frames.DataFrame([FLAT, other, {**other, "attributes.output.value": "On its way."}])
    frame["start_time"] = frames.to_datetime(frame["start_time"])
    path = tmp_path / f"spans{suffix}"
    if suffix == ".csv":
        frame.to_csv(path)
    else:
        frame["attributes.llm.input_messages"] = [[{"message.role": "user"}]] * 3
        frame.to_parquet(path)
    first, second, third = load_spans(path, now=NOW)
    first["attributes"].pop("llm.input_messages.0.message.role", None)
    check_flat(first)
    assert "llm.token_count.total" not in second["attributes"]
    assert third["attributes"]["output.value"] == "On its way."
    path.write_text("name\nx\n") if suffix == ".csv" else path.write_bytes(b"PAR1")
    with pytest.raises(SpanFileError):
        list(load_spans(path, now=NOW))


def test_table_without_pyarrow_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "spans.csv").write_text("start_time\n-1\n")
    with pytest.raises(SpanFileError, match="pyarrow"):
        list(load_spans(tmp_path / "spans.csv", now=NOW))


@pytest.mark.parametrize("unit", [1, 1_000, 1_000_000, 1_000_000_000])
def test_epochs_are_accepted_in_seconds_to_nanoseconds(tmp_path: Path, unit: int) -> None:
    epoch = int(NOW.timestamp())
    (span,) = load(tmp_path, json.dumps({"start_time": epoch * unit, "end_time": (epoch + 2) * unit}))
    assert (span["start_time"], span["end_time"]) == (NOW, NOW + timedelta(seconds=2))


def test_event_without_a_timestamp_gets_the_start_of_its_span(tmp_path: Path) -> None:
    event = {"name": "exception", "exception.message": "no"}
    (span,) = load(tmp_path, json.dumps({"start_time": "2026-05-03T10:00:00Z", "events": [event]}))
    assert span["events"] == [{**event, "attributes": {}, "timestamp": "2026-05-03T10:00:00.000Z"}]


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
        ('{"start_time": 0, "attributes": {"a": NaN}}', ""),
        ('{"start_time": 0, "attributes": {"a": 1e999}}', ""),
        ('{"start_time": 0, "attributes": {"a": "\\ud800"}}', ""),
        ('{"start_time": 0, "colour": "red"}', "colour"),
        ('{"start_time": 0, "span_kind": "magic"}', "kind"),
        ('{"start_time": 0, "events": [{"timestamp": "late"}]}', ""),
        ('{"start_time": 0, "attributes": ' + '{"a": ' * 2000 + "1" + "}" * 2001, ""),
        ('{"start_time": "yesterday"}', "start_time"),
        ('{"start_time": 1e21}', "start_time"),
        ('{"start_time": -1e12}', "start_time"),
        ('{"start_time": "0001-01-01T00:00:00+14:00"}', "start_time"),
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


def test_equal_span_ids_of_several_traces_are_kept_apart(tmp_path: Path) -> None:
    spans = [
        {
            "span_id": "1",
            "trace_id": trace,
            "start_time": -start,
            "attributes": {"input.value": trace, "output.value": "Fine."},
        }
        for trace, start in (("a", 100), ("b", 200), ("c", 300), ("a", 100))
    ]
    path = tmp_path / "spans.jsonl"
    path.write_text("\n".join(map(json.dumps, spans)))
    settings = EmulatorSettings(run_seconds=0, spans=path, queries_per_minute=None, mutations_per_minute=None)
    with Emulator(settings) as emulator:
        api = Api(emulator)

        def listed(**fields: Any) -> list[dict[str, Any]]:
            body = {"project_id": emulator.project_id, **fields}
            found: list[dict[str, Any]] = api.rest("POST", "spans", json=body).json()["spans"]
            return found

        assert [span["context"] for span in listed()] == [
            {"trace_id": trace, "span_id": "1"} for trace in ("a", "b", "c")
        ]
        run_id = api.run(api.create(queryFilter="attributes.input.value != 'b'"))
        assert api.counts(run_id) == (2, 0, 0)
        evaluated = listed(filter="context.span_id = '1' AND eval.\"answer quality\".label IS NOT NULL")
        assert [span["attributes"]["input.value"] for span in evaluated] == ["a", "c"]
        # Of several spans with the same ID, the newest in the window is annotated.
        body = {
            "project_id": emulator.project_id,
            "granularity": "TRACE",
            "end_time": days_ago(150 / 86_400),
            "annotations": [{"record_id": "1", "values": [{"name": "a", "label": "x"}]}],
        }
        assert api.rest("POST", "spans/annotate", json=body).status_code == 202
        assert [len(span["trace_annotations"]) for span in listed()] == [0, 1, 0]


def test_name_that_is_a_value_and_a_prefix_does_not_break_a_query(tmp_path: Path) -> None:
    attributes: list[dict[str, Any]] = [
        {"llm": "x", "llm.model_name": "y"},
        {"retrieval.documents": "x", "retrieval.documents.0.document": "y"},
        {"retrieval.documents.0": "x", "retrieval.documents.0.document.content": "z"},
        {"metadata": 5, "metadata.a": 1, "metadata.a.b": 2},
        {"a": {"": 1, "b": {"": "x"}}, "a.b": "y"},
    ]
    path = tmp_path / "spans.jsonl"
    path.write_text("\n".join(json.dumps({"start_time": -9, "attributes": each}) for each in attributes))
    with Emulator(EmulatorSettings(spans=path, queries_per_minute=None)) as emulator:
        api = Api(emulator)
        for name in ("llm", "retrieval.documents", "retrieval.documents.contents", "metadata.a", "a.b"):
            for operator in ("= 'x'", "> 3", "IS NOT NULL", "CONTAINS 'x'"):
                body = {"project_id": emulator.project_id, "filter": f"attributes.{name} {operator}"}
                columns = {"included_columns": [f"attributes.{name}"]}
                assert api.rest("POST", "spans", json={**body, **columns}).status_code == 200
