"""Results read back from real runs on the emulator, held against the emulator's own records."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from airflow_provider_online_tasks.api.calls.spans import Evaluation, Span
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.inputs import EvalTaskInput, RunInput
from airflow_provider_online_tasks.operators.results import EvalResultsOperator
from airflow_provider_online_tasks.results.statistics import MAX_WORST, Results

NOW = datetime.now(UTC).replace(microsecond=0)


def evaluator(name="correctness", **more):
    return {
        "name": name,
        "template": "Right? {attributes.output.value}",
        "rails": ["correct", "incorrect"],
        "classification_choices": {"correct": 1, "incorrect": 0},
        "include_explanations": True,
        **more,
    }


def run_task(arize, *, evaluators=None, query_filter=None, start=NOW - timedelta(days=2), end=NOW, **run):
    with OnlineTasksHook() as hook:
        task_id = hook.create_eval_task(
            EvalTaskInput(
                name=f"task {len(arize.tasks())}",
                model_id=arize.project_id,
                query_filter=query_filter,
                template_evaluators=evaluators or [evaluator()],
                llm_config={"model_name": "GPT_4o", "provider": "openAI"},
            )
        )
        run_id = hook.run_online_task(
            RunInput(online_task_id=task_id, data_start_time=start, data_end_time=end, **run)
        )
        assert hook.get_task_run(run_id).is_over
    return task_id, run_id


def read(**arguments):
    return EvalResultsOperator(task_id="results", **arguments).execute(
        {"ti": SimpleNamespace(xcom_push=lambda **_: None)}
    )


def test_the_summary_is_what_the_emulator_has_on_record(arize):
    _, run_id = run_task(arize, evaluators=[evaluator(), evaluator("tone")])
    summary = read(run_id=run_id)
    assert summary["matched_by"] == "run_id"
    assert set(summary["evaluators"]) == {"correctness", "tone"}
    for name, found in summary["evaluators"].items():
        records = [one for one in arize.evaluations(run_id=run_id) if one["name"] == name]
        labels = Counter(one["label"] for one in records)
        assert found["evaluated"] == len(records) > 20
        assert {label: one["count"] for label, one in found["labels"].items()} == labels
        assert found["score_mean"] == pytest.approx(labels["correct"] / labels.total())
        assert found["without"] == summary["spans"] - len(records)
        wrong = {one["span_id"] for one in records if one["label"] == "incorrect"}
        assert len(found["worst"]) == MAX_WORST
        assert {one["span_id"] for one in found["worst"][: len(wrong)]} <= wrong


def test_only_this_run_s_evaluations_count(arize):
    task_id, first = run_task(arize, start=NOW - timedelta(days=2), end=NOW - timedelta(days=1))
    with OnlineTasksHook() as hook:
        second = hook.run_online_task(
            RunInput(online_task_id=task_id, data_start_time=NOW - timedelta(days=2), data_end_time=NOW)
        )
        hook.get_task_run(second)
    of_first, of_second = read(run_id=first), read(run_id=second)
    counts = Counter(one["run_id"] for one in arize.evaluations())
    assert of_first["evaluators"]["correctness"]["evaluated"] == counts[first]
    assert of_second["evaluators"]["correctness"]["evaluated"] == counts[second]
    both = read(online_task_id=task_id, data_start_time=NOW - timedelta(days=2), data_end_time=NOW)
    assert both["evaluators"]["correctness"]["evaluated"] == counts[first] + counts[second]
    assert both["matched_by"] == "evaluator"


def test_another_task_s_evaluations_of_the_same_spans_do_not_count(arize):
    _, mine = run_task(arize)
    run_task(arize, evaluators=[evaluator("other")])
    assert set(read(run_id=mine)["evaluators"]) == {"correctness"}


def test_the_task_s_filter_says_which_spans_are_read(arize):
    _, run_id = run_task(arize, query_filter="attributes.openinference.span.kind = 'LLM'")
    summary = read(run_id=run_id)
    assert summary["spans"] == summary["evaluators"]["correctness"]["evaluated"]
    assert summary["evaluators"]["correctness"]["without"] == 0


def test_more_spans_than_a_page_holds_are_all_read(arize):
    start = NOW - timedelta(days=30)
    _, run_id = run_task(arize, start=start)
    summary = read(run_id=run_id)
    pages = arize.requests(operation="rest.list_spans")
    assert summary["spans"] > 300
    assert summary["evaluators"]["correctness"]["evaluated"] == len(arize.evaluations(run_id=run_id))
    assert len(pages) == -(-summary["spans"] // 500)


def test_an_evaluator_that_is_asked_for_and_said_nothing_is_in_the_summary(arize):
    _, run_id = run_task(arize)
    found = read(run_id=run_id, evaluators=["correctness", "never ran"])["evaluators"]
    assert found["never ran"]["evaluated"] == 0
    assert found["never ran"]["score_mean"] is None
    assert found["correctness"]["evaluated"] > 0


def test_rows_go_to_a_file_of_json_lines(arize, tmp_path):
    _, run_id = run_task(arize)
    path = tmp_path / "deep" / "rows.jsonl"
    summary = read(run_id=run_id, rows_path=f"file://{path}")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    records = {(one["span_id"], one["label"], one["explanation"]) for one in arize.evaluations(run_id=run_id)}
    assert {(row["span_id"], row["label"], row["explanation"]) for row in rows} == records
    assert summary["rows_written"] == len(rows) == len(records)


def test_rows_go_to_a_parquet_file(arize, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    _, run_id = run_task(arize)
    path = tmp_path / "rows.parquet"
    summary = read(run_id=run_id, rows_path=f"file://{path}", rows_format="parquet")
    table = parquet.read_table(path)
    assert table.num_rows == summary["rows_written"] == len(arize.evaluations(run_id=run_id))


def test_a_run_that_is_not_over_has_no_results_yet(arize):
    arize.configure(run_seconds=60)
    with OnlineTasksHook() as hook:
        task_id, _ = None, None
        task_id = hook.create_eval_task(
            EvalTaskInput(
                name="slow",
                model_id=arize.project_id,
                template_evaluators=[evaluator()],
                llm_config={"model_name": "GPT_4o", "provider": "openAI"},
            )
        )
        run_id = hook.run_online_task(
            RunInput(online_task_id=task_id, data_start_time=NOW - timedelta(days=1), data_end_time=NOW)
        )
    with pytest.raises(InvalidInput, match="not complete"):
        read(run_id=run_id)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"run_id": "r", "online_task_id": "t"},
        {"online_task_id": "t"},
        {"online_task_id": "t", "data_start_time": "2026-01-01"},
        {"run_id": "None"},
        {"run_id": ""},
        {"run_id": "r", "direction": "up"},
        {"run_id": "r", "rows_format": "csv"},
    ],
)
def test_arguments_that_say_nothing_or_two_things_are_refused_when_the_dag_is_parsed(arguments):
    with pytest.raises(InvalidInput):
        EvalResultsOperator(task_id="results", **arguments)


def spans(count, *, score=lambda place: place / 100, label=lambda place: "ok", metadata=None):
    for place in range(count):
        said = Evaluation(
            name="e",
            label=label(place),
            score=score(place),
            explanation=None,
            metadata=metadata if metadata is not None else {"run_id": "r", "task_id": "t"},
        )
        yield Span(span_id=str(place), trace_id=None, name=None, start_time=None, evaluations=(said,))


def test_quantiles_and_the_worst_by_direction():
    for direction, worst in (("maximize", "0"), ("minimize", "100")):
        results = Results(run_id="r", online_task_id="t", direction=direction)
        for span in spans(101):
            results.add(span)
        found = results.summary()["evaluators"]["e"]
        assert found["score_quantiles"] == {"p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}
        assert found["worst"][0]["span_id"] == worst
        assert len(found["worst"]) == MAX_WORST


def test_without_scores_the_rarest_label_gives_the_examples():
    results = Results(run_id="r", online_task_id="t")
    for span in spans(100, score=lambda place: None, label=lambda place: "odd" if place % 25 == 0 else "ok"):
        results.add(span)
    assert [one["span_id"] for one in results.summary()["evaluators"]["e"]["worst"]] == [
        "0",
        "25",
        "50",
        "75",
    ]


def test_without_metadata_the_evaluators_named_count_and_the_summary_says_so():
    named = Results(run_id="r", online_task_id="t", evaluators=["e"])
    unnamed = Results(run_id="r", online_task_id="t")
    for span in spans(10, metadata={}):
        named.add(span)
        unnamed.add(span)
    assert named.summary()["matched_by"] == "evaluator"
    assert named.summary()["evaluators"]["e"]["evaluated"] == 10
    assert unnamed.summary()["evaluators"] == {}


def test_memory_does_not_grow_with_the_window():
    import tracemalloc

    def peak(count):
        tracemalloc.start()
        results = Results(run_id="r", online_task_id="t")
        for span in spans(count, score=lambda place: place * 1.1, label=lambda place: f"label {place}"):
            results.add(span)
        results.summary()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(100)
    assert peak(60_000) < 1.5 * peak(20_000)
