"""Traces and sessions: what is evaluated, from which spans, and where the results are stored."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks.emulator import Emulator, EmulatorSettings
from airflow_provider_online_tasks.emulator.integrations import INTEGRATIONS
from airflow_provider_online_tasks.emulator.spans.values import Unit
from tests.support.emulator_api import AGENTS, Api, template_evaluator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG: dict[str, Any] = {
    "name": "calm",
    "template": "{conversation}",
    "include_explanations": True,
    "use_function_calling": False,
    "classification_choices": {"bad": 0, "good": 1},
    "data_granularity": "SESSION",
    "llm_config": {
        "ai_integration_id": INTEGRATIONS[0].id,
        "model_name": "gpt-4o",
        "invocation_parameters": {},
        "provider_parameters": {},
    },
}


def span(trace: str, number: int, start: float, **fields: Any) -> dict[str, Any]:
    session = fields.pop("session", None)
    attributes = fields.pop("attributes", {})
    if session:
        attributes["session.id"] = session
    return {
        "span_id": f"{trace}-{number}",
        "trace_id": trace,
        "parent_id": None if number == 1 else f"{trace}-1",
        "name": f"step {number}",
        "kind": "AGENT" if number == 1 else "TOOL",
        "start_time": start,
        "end_time": start + 1,
        "attributes": attributes,
        **fields,
    }


def asked(question: str, answer: str) -> dict[str, Any]:
    return {"input.value": question, "output.value": answer}


SPANS = [
    span("t1", 1, -400, session="s1", attributes=asked("one?", "1")),
    span("t1", 2, -399, session="s1", attributes={"tool.name": "add"}),
    span("t1", 3, -398, session="s1", attributes={"tool.name": "look"}, status_code="ERROR"),
    span("t2", 1, -300, session="s1", attributes=asked("two?", "2")),
    span("t3", 1, -200, session="s2", attributes=asked("three?", "3")),
    span("t4", 1, -100, attributes=asked("alone?", "4")),
]


@pytest.fixture
def arize(tmp_path: Path) -> Iterator[Api]:
    path = tmp_path / "spans.jsonl"
    path.write_text("\n".join(map(json.dumps, SPANS)))
    settings = EmulatorSettings(run_seconds=0, spans=path, queries_per_minute=None, mutations_per_minute=None)
    with Emulator(settings) as emulator:
        yield Api(emulator)


def about(
    granularity: str, name: str = "judge", template: str = "{attributes.input.value}", **fields: Any
) -> Any:
    return template_evaluator(name, template=template, dataGranularityType=granularity, **fields)


def judged(arize: Api, *evaluators: Any, **fields: Any) -> list[tuple[str, str, str]]:
    """Run a task and return its evaluations: granularity, span, name."""
    run_id = arize.run(
        arize.create(**{"queryFilter": None, **fields, "templateEvaluators": list(evaluators)})
    )
    assert arize.read(run_id)["status"] == "COMPLETED"
    return sorted(
        (each["granularity"], each["span_id"], each["name"])
        for each in arize.emulator.evaluations(run_id=run_id)
    )


def test_trace_evaluator_gives_one_result_per_trace_at_its_root(arize: Api) -> None:
    assert judged(arize, about("trace")) == [("trace", f"t{i}-1", "judge") for i in (1, 2, 3, 4)]


def test_session_evaluator_has_one_result_per_session_at_first_root(arize: Api) -> None:
    assert judged(arize, about("session")) == [("session", "t1-1", "judge"), ("session", "t3-1", "judge")]


@pytest.mark.parametrize(("granularity", "found"), [("span", []), ("trace", ["t1-1"]), ("session", ["t1-1"])])
def test_filter_selects_traces_with_a_matching_span(arize: Api, granularity: str, found: list[str]) -> None:
    # The matching span has no input: it is evaluated with the input of its trace or session.
    results = judged(arize, about(granularity), queryFilter="status_code = 'ERROR'")
    assert [span_id for _, span_id, _ in results] == found


def test_max_spans_counts_traces_and_sessions(arize: Api) -> None:
    task_id = arize.create(queryFilter=None, templateEvaluators=[about("trace")])
    assert arize.counts(arize.run(task_id, maxSpans=2)) == (2, 0, 0)
    assert {each["span_id"] for each in arize.emulator.evaluations()} == {"t3-1", "t4-1"}
    assert arize.counts(arize.run(task_id)) == (2, 0, 2)


def test_filters_use_evaluations_of_traces_and_sessions(arize: Api) -> None:
    judged(arize, about("trace", "t"), name="traces")
    judged(arize, about("session", "s"), name="sessions")
    judged(arize, about("span", "x"), name="spans")

    def found(query_filter: str) -> set[str]:
        body = {"project_id": arize.emulator.info()["project_id"], "filter": query_filter}
        spans = arize.rest("POST", "spans", json=body).json()["spans"]
        return {each["context"]["span_id"] for each in spans}

    assert found("trace_eval.t.label IS NOT NULL") == {"t1-1", "t2-1", "t3-1", "t4-1"}
    assert found("session_eval.s.label IS NOT NULL") == {"t1-1", "t3-1"}
    assert found("eval.x.label IS NOT NULL") == {"t1-1", "t2-1", "t3-1", "t4-1"}
    assert found("eval.t.label IS NOT NULL") == found("trace_eval.x.label IS NOT NULL") == set()


def test_evaluations_of_traces_are_read_with_the_root_span(arize: Api) -> None:
    run_id = arize.run(arize.create(queryFilter=None, templateEvaluators=[about("session")]))
    arize.read(run_id)
    body = {
        "project_id": arize.emulator.info()["project_id"],
        "included_columns": ["session_eval.judge.score", "session_eval.judge.label"],
    }
    spans = arize.rest("POST", "spans", json=body).json()["spans"]
    read = {span["context"]["span_id"]: span["evaluations"] for span in spans if span["evaluations"]}
    assert set(read) == {"t1-1", "t3-1"}
    (evaluation,) = read["t1-1"]
    assert evaluation["metadata"]["run_id"] == run_id
    assert evaluation["metadata"]["granularity"] == "SESSION"


def test_several_granularities_start_child_runs(arize: Api) -> None:
    task_id = arize.create(
        queryFilter=None, templateEvaluators=[about("span", "x"), about("trace", "t"), about("session", "s")]
    )
    run_id = arize.run(task_id)
    # Four spans have an input, two of the tools' do not; t4 has no session and is not fetched at all.
    assert arize.counts(run_id) == (3 + 3 + 2, 0, 2)
    parent, *children = arize.emulator.runs(task_id)
    assert (parent["id"], parent["status"]) == (run_id, "COMPLETED")
    assert [child["parent_id"] for child in children] == [run_id] * 3
    assert parent["children"] == [child["id"] for child in children]
    evaluations = arize.emulator.evaluations(run_id=run_id)
    assert {each["metadata"]["child_run_id"] for each in evaluations} == set(parent["children"])
    assert {each["span_id"] for each in evaluations if each["name"] == "x"} == {"t1-1", "t2-1", "t3-1"}


def test_cancelling_a_parent_run_cancels_its_children(arize: Api) -> None:
    arize.emulator.configure(run_seconds=600)
    run_id = arize.run(
        arize.create(queryFilter=None, templateEvaluators=[about("span", "x"), about("trace", "t")])
    )
    assert arize.rest("POST", f"task-runs/{run_id}/cancel").json()["status"] == "CANCELLED"
    assert {run["status"] for run in arize.emulator.runs()} == {"CANCELLED"}


# --- what a variable stands for -----------------------------------------------------------------------------


def subject(granularity: str, *spans: dict[str, Any]) -> Unit:
    whole = tuple({"status_code": "OK", **each} for each in spans)
    return Unit(granularity, whole[0]["span_id"], whole)


def test_text_reads_any_span_of_a_trace_or_session() -> None:
    trace = subject("trace", *SPANS[:3])
    assert trace.text("attributes.tool.name") == "add,look"
    assert trace.text("attributes.tool.name", within={"t1-3"}) == "look"
    assert trace.text("attributes.tool.name", within=set()) is None
    assert trace.text("attributes.no.such") is None
    assert trace.text("conversation") is None


def test_conversation_is_a_json_array_of_turns() -> None:
    conversation = subject("session", *SPANS[:4]).text("conversation")
    assert json.loads(conversation or "") == [
        {"input": "one?", "output": "1"},
        {"input": "two?", "output": "2"},
    ]
    unanswered = span("t5", 1, -50, attributes={"input.value": "why?"})
    silent = span("t6", 1, -40, attributes={"tool.name": "add"})
    conversation = subject("session", unanswered, silent).text("conversation")
    assert json.loads(conversation or "") == [{"input": "why?", "output": None}]
    assert subject("session", silent).text("conversation") is None


@pytest.mark.parametrize(
    ("granularity", "length"), [("span", 150_000), ("trace", 100_000 + 1 + 5), ("session", 100_000)]
)
def test_long_values_are_cut_in_traces_and_sessions(granularity: str, length: int) -> None:
    texts = ["x" * 150_000] if granularity == "span" else ["x" * 150_000, "short"]
    spans = [span("t7", number, -60 + number, attributes={"a": each}) for number, each in enumerate(texts, 1)]
    assert len(subject(granularity, *spans).text("attributes.a") or "") == length


def test_spans_not_indexed_yet_are_ignored_in_traces_and_sessions(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    spans = [
        span("t1", 1, -8000, session="s1"),
        span("t1", 2, -4000, session="s1", attributes={"tool.name": "second"}),
        span("t1", 3, -10, session="s1", attributes={"tool.name": "third"}),
    ]
    path.write_text("\n".join(map(json.dumps, spans)))
    settings = EmulatorSettings(run_seconds=0, spans=path, queries_per_minute=None, index_delay=2000)
    with Emulator(settings) as emulator:
        arize = Api(emulator)
        judge = {
            "name": "seen",
            "position": 0,
            "evaluationClass": "ExactMatch",
            "evaluationInputParams": {"expected": "second"},
            "spanAttributes": ["attributes.tool.name"],
        }
        for granularity in ("trace", "session"):
            code = {**judge, "dataGranularityType": granularity}
            fields = {"templateEvaluators": None, "llmConfig": None, "codeEvaluators": [code]}
            run_id = arize.run(arize.create(name=granularity, queryFilter=None, **fields))
            assert arize.counts(run_id) == (1, 0, 0)
        # The newest span of the unit that code reads is the second, until the third is indexed.
        assert {each["label"] for each in emulator.evaluations()} == {"pass"}


def test_conversation_is_evaluated_over_rest(arize: Api) -> None:
    evaluator = hub_evaluator(arize, CONFIG)
    mapping = {"variable_name": "conversation", "query_ids": [], "attribute_path": "conversation"}
    task = rest_task(arize, evaluator["id"], [mapping], [{"id": "A", "filter": AGENTS}])
    run_id = arize.run(task["id"])
    assert arize.counts(run_id) == (2, 0, 0)


def test_query_mapping_reads_only_the_spans_of_its_queries(arize: Api) -> None:
    config = {**CONFIG, "data_granularity": "TRACE", "template": "{tool}"}
    evaluator = hub_evaluator(arize, config)
    filters = [{"id": "A", "filter": AGENTS}, {"id": "B", "filter": "status_code = 'ERROR'"}]

    def counts(query_ids: list[str], name: str) -> tuple[int, int, int]:
        mapping = {"variable_name": "tool", "query_ids": query_ids, "attribute_path": "attributes.tool.name"}
        task = rest_task(arize, evaluator["id"], [mapping], filters, name=name)
        return arize.counts(arize.run(task["id"], overrideEvaluations=True))

    assert counts(["B"], "failed tools") == (1, 0, 3)
    assert counts(["A"], "tools of agents") == (0, 0, 4)


def test_query_mapping_with_undeclared_query_is_rejected(arize: Api) -> None:
    evaluator = hub_evaluator(arize, {**CONFIG, "data_granularity": "TRACE"})
    mapping = {
        "variable_name": "conversation",
        "query_ids": ["C"],
        "attribute_path": "attributes.input.value",
    }
    refused = rest_task(arize, evaluator["id"], [mapping], [{"id": "A", "filter": AGENTS}])
    assert refused["status"] == 422


def hub_evaluator(arize: Api, config: dict[str, Any]) -> Any:
    body = {
        "space_id": arize.emulator.info()["space_id"],
        "name": "calm",
        "type": "TEMPLATE",
        "version": {"commit_message": "First", "template_config": config},
    }
    return arize.rest("POST", "evaluators", json=body).json()


def rest_task(
    arize: Api, evaluator_id: str, mappings: list[Any], filters: list[Any], name: str = "traces"
) -> Any:
    body = {
        "name": name,
        "type": "TEMPLATE_EVALUATION",
        "project_id": arize.emulator.info()["project_id"],
        "query_filters": {"filters": filters, "expression": " OR ".join(each["id"] for each in filters)},
        "evaluators": [{"evaluator_id": evaluator_id, "query_mappings": mappings}],
    }
    return arize.rest("POST", "tasks", json=body).json()
