"""Results read back from real runs on the emulator, held against the emulator's own records."""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
import sys
from collections import Counter
from datetime import timedelta

import pytest

from airflow_provider_online_tasks.api.responses.runs import RunStatus
from airflow_provider_online_tasks.emulator import Fault
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.gate.intervals import MeanOf, mean_interval, share_interval
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.inputs import EvalTaskInput, RunInput
from airflow_provider_online_tasks.operators.results import EvalResultsOperator
from airflow_provider_online_tasks.results.counts import MAX_WORST, Mean
from airflow_provider_online_tasks.results.reading import whole
from airflow_provider_online_tasks.results.rows import PARQUET_BATCH
from airflow_provider_online_tasks.results.statistics import Results
from tests.support.evaluated_runs import (
    NOW,
    arize_with,
    context,
    evaluator,
    read,
    run_task,
    spans,
    spans_file,
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
        assert found["not_evaluated"] == summary["spans"] - len(records)
        wrong = {one["span_id"] for one in records if one["label"] == "incorrect"}
        assert len(found["lowest_scoring_examples"]) == MAX_WORST
        assert {one["span_id"] for one in found["lowest_scoring_examples"][: len(wrong)]} <= wrong


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
    assert summary["evaluators"]["correctness"]["not_evaluated"] == 0


def test_more_spans_than_two_pages_hold_are_all_read(monkeypatch, tmp_path):
    with arize_with(monkeypatch, spans_file(tmp_path, 1_234)) as arize:
        _, run_id = run_task(arize)
        summary = read(run_id=run_id)
        records = arize.evaluations(run_id=run_id)
        pages = [one for one in arize.requests("rest.list_spans") if "IN (" not in str(one)]
    assert summary["spans"] == len(records) == summary["expected"] == summary["read"] == 1_234
    assert summary["complete"] is True
    assert summary["evaluators"]["correctness"]["evaluated"] == 1_234
    labels = Counter(one["label"] for one in records)
    assert {
        label: one["count"] for label, one in summary["evaluators"]["correctness"]["labels"].items()
    } == labels
    assert len(pages) == 4  # three pages, and one request for the worst examples


def test_an_evaluator_that_is_asked_for_and_said_nothing_is_in_the_summary(arize):
    _, run_id = run_task(arize)
    summary = read(
        run_id=run_id, evaluators=["correctness", "never ran"], complete_within=0, on_incomplete="warn"
    )
    found = summary["evaluators"]
    assert (summary["complete"], summary["read"]) == (False, 0)
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
    assert parquet.ParquetFile(path).num_row_groups == -(-table.num_rows // PARQUET_BATCH)


def test_parquet_without_pyarrow_is_refused_before_anything_is_asked(arize, tmp_path, monkeypatch):
    _, run_id = run_task(arize)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    arize.clear_requests()
    with pytest.raises(InvalidInput, match="needs pyarrow"):
        read(run_id=run_id, rows_path=f"file://{tmp_path}/rows.parquet", rows_format="parquet")
    assert arize.requests() == []
    assert list(tmp_path.glob("*.parquet")) == []
    assert read(run_id=run_id, rows_format="parquet")["rows_written"] == 0  # no file, nothing needed


@pytest.mark.parametrize("name", ["run_id", "evaluators", "group_by", "rows_path"])
def test_what_renders_to_nothing_is_refused_before_anything_is_asked(arize, name):
    operator = EvalResultsOperator(
        task_id="results",
        run_id="R",
        evaluators=["correctness"],
        group_by="attributes.metadata.tier",
        rows_path="file:///rows.jsonl",
    )
    setattr(operator, name, "")
    arize.clear_requests()
    with pytest.raises(InvalidInput, match=name):
        operator.execute(context())
    assert arize.requests() == []


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
        {"run_id": "r", "granularity": "word"},
        {"run_id": "r", "on_incomplete": "ignore"},
        {"run_id": "r", "max_segments": 0},
        {"run_id": "r", "baseline": -1},
        {"run_id": "r", "complete_within": math.nan},
        {"run_id": "r", "poll_interval": 0},
    ],
)
def test_arguments_that_say_nothing_or_two_things_are_refused_when_the_dag_is_parsed(arguments):
    with pytest.raises(InvalidInput):
        EvalResultsOperator(task_id="results", **arguments)


def test_what_is_no_number_never_counts_as_one(arize):
    _, run_id = run_task(arize)
    said = [
        ("1e999", "is infinite"),
        ("-1e999", "is infinite"),
        ("NaN", "is no number"),
        ("true", "is a boolean"),
        ('"0.9"', "is text"),
        ("1" + "0" * 400, "is beyond all floats"),
        ("0.5", "is a number"),
        ("0", "is a number"),
        ("null", "is missing"),
    ]
    listed = [
        f'{{"context": {{"span_id": "s{place}", "trace_id": "t"}},'
        f' "start_time": "2026-01-01T00:00:{50 - place}Z",'
        f' "evaluations": [{{"name": "correctness", "label": "correct", "score": {score},'
        f' "metadata": {{"run_id": "{run_id}"}}}}]}}'
        for place, (score, _) in enumerate(said)
    ]
    arize.add_fault(Fault("rest.list_spans", "garbage", body=f'{{"spans": [{", ".join(listed)}]}}'))
    found = read(run_id=run_id, complete_within=0, on_incomplete="warn")["evaluators"]["correctness"]
    assert (found["evaluated"], found["scored"], found["invalid_scores"]) == (9, 2, 6)
    assert found["score_mean"] == 0.25
    assert found["score_quantiles"] == {"p05": 0.0, "p25": 0.0, "p50": 0.0, "p75": 0.5, "p95": 0.5}
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_scores_too_large_to_add_up_have_no_mean():
    results = Results(run_id="r", online_task_id="t")
    for span in spans(10, score=lambda place: 1.7e308 * (-1) ** place):
        results.add(span)
    found = results.summary()["evaluators"]["e"]
    assert (found["scored"], found["score_mean"], found["score_variance"]) == (10, None, None)


def test_quantiles_and_the_worst_by_direction():
    for direction, worst in (("maximize", "0"), ("minimize", "100")):
        results = Results(run_id="r", online_task_id="t", direction=direction)
        for span in spans(101):
            results.add(span)
        found = results.summary()["evaluators"]["e"]
        assert found["score_quantiles"] == {"p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}
        assert found["lowest_scoring_examples"][0]["span_id"] == worst
        assert len(found["lowest_scoring_examples"]) == MAX_WORST


def test_an_example_shows_300_characters_of_its_explanation():
    results = Results(run_id="r", online_task_id="t")
    (span,) = spans(1)
    said = dataclasses.replace(span.evaluations[0], explanation="x" * 301)
    results.add(dataclasses.replace(span, evaluations=(said,)))
    (example,) = results.summary()["evaluators"]["e"]["lowest_scoring_examples"]
    assert example["explanation"] == "x" * 300


def test_of_a_trace_that_is_counted_another_evaluation_still_counts():
    results = Results(run_id="r", online_task_id="t", granularity="trace")
    for place, span in enumerate(spans(2)):
        (said,) = span.evaluations
        more = (dataclasses.replace(said, name="f"),) if place else ()
        results.add(dataclasses.replace(span, trace_id="one", evaluations=(said, *more)))
    found = results.summary()["evaluators"]
    assert {name: figures["evaluated"] for name, figures in found.items()} == {"e": 1, "f": 1}


def test_two_scores_have_an_interval_and_one_has_none():
    for number in (1, 2):
        results = Results(run_id="r", online_task_id="t")
        for span in spans(number):
            results.add(span)
        interval = results.summary()["evaluators"]["e"]["score_interval"]
        assert (interval is not None) is (number == 2)


def test_quantiles_are_exact_up_to_ten_thousand_scores():
    results = Results(run_id="r", online_task_id="t")
    for span in spans(10_000, score=float):
        results.add(span)
    found = results.summary()["evaluators"]["e"]
    assert found["score_percentiles"] == [float(round(each / 100 * 9_999)) for each in range(101)]


def test_a_single_score_has_a_mean_and_no_variance():
    results = Results(run_id="r", online_task_id="t")
    for span in spans(1, score=lambda _: 0.5):
        results.add(span)
    found = results.summary()["evaluators"]["e"]
    assert (found["scored"], found["score_mean"], found["score_variance"]) == (1, 0.5, None)


@pytest.mark.parametrize("is_binary", [False, True])
def test_the_score_interval_is_that_of_95_percent(is_binary):
    results = Results(run_id="r", online_task_id="t")
    scores = [0, 1, 1, 1, 1, 1] if is_binary else [0.1, 0.4, 0.5, 0.9]
    for span in spans(len(scores), score=lambda place: scores[place]):
        results.add(span)
    if is_binary:
        expected = share_interval(5, 6, 0.95)
    else:
        expected = mean_interval(MeanOf(statistics.mean(scores), statistics.variance(scores), 4), 0.95)
    assert results.summary()["evaluators"]["e"]["score_interval"] == pytest.approx(list(expected))


def test_without_scores_the_rarest_label_gives_the_examples():
    results = Results(run_id="r", online_task_id="t")
    for span in spans(100, score=lambda place: None, label=lambda place: "odd" if place % 25 == 0 else "ok"):
        results.add(span)
    assert [one["span_id"] for one in results.summary()["evaluators"]["e"]["lowest_scoring_examples"]] == [
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


@pytest.mark.parametrize("metadata", [{"run_id": "other", "task_id": "t"}, {"task_run": "other"}])
def test_another_runs_evaluations_never_count_while_those_of_this_run_are_not_there_yet(metadata):
    results = Results(run_id="r", online_task_id="t", evaluators=["e"])
    for span in spans(10, metadata=metadata):
        assert results.add(span) == []
    assert results.summary()["evaluators"]["e"]["evaluated"] == 0
    state = whole(results, expected=10, evaluators=1, have_filters=False)
    assert (state.complete, state.read) == (False, 0)


@pytest.mark.parametrize(("expected", "is_complete"), [(10, None), (9, None), (11, False)])
def test_filters_of_evaluators_explain_what_is_missing_only_of_items_the_run_has_judged(
    expected, is_complete
):
    results = Results(run_id="r", online_task_id="t")
    for place, span in enumerate(spans(10)):
        (said,) = span.evaluations
        more = (dataclasses.replace(said, name="filtered"),) if place < 5 else ()
        results.add(dataclasses.replace(span, evaluations=(said, *more)))
    assert whole(results, expected=expected, evaluators=2, have_filters=True).complete is is_complete
    assert whole(results, expected=expected, evaluators=2, have_filters=False).complete is False


def test_an_evaluation_without_label_and_score_is_none():
    results = Results(run_id="r", online_task_id="t")
    for span in spans(10, score=lambda place: None, label=lambda place: "ok" if place else None):
        results.add(span)
    found = results.summary()["evaluators"]["e"]
    assert (found["evaluated"], found["empty"]) == (9, 1)
    assert whole(results, expected=10, evaluators=1, have_filters=False).complete is False


def test_the_judge_of_most_evaluations_comes_first():
    results = Results(run_id="r", online_task_id="t")
    for place, span in enumerate(spans(5)):
        [said] = span.evaluations
        judge = {"run_id": "r", "task_id": "t", "evaluator_version_id": "v1" if place < 2 else "v2"}
        results.add(dataclasses.replace(span, evaluations=(dataclasses.replace(said, metadata=judge),)))
    found = results.summary()["evaluators"]["e"]
    assert [judge["evaluator_version_id"] for judge in found["evaluator_versions"]] == ["v2", "v1"]


def test_judges_beyond_the_twentieth_are_not_listed_and_those_that_are_still_count():
    results = Results(run_id="r", online_task_id="t")
    for place, span in enumerate(spans(28)):
        [said] = span.evaluations
        judge = {"run_id": "r", "task_id": "t", "evaluator_version_id": f"v{place if place < 25 else 19}"}
        results.add(dataclasses.replace(span, evaluations=(dataclasses.replace(said, metadata=judge),)))
    listed = [
        judge["evaluator_version_id"] for judge in results.summary()["evaluators"]["e"]["evaluator_versions"]
    ]
    assert listed == ["v19", *(f"v{place}" for place in range(19))]


def test_a_span_that_is_listed_twice_counts_once():
    results = Results(run_id="r", online_task_id="t")
    for span in [*spans(10), *spans(10)]:
        results.add(span)
    assert (results.spans, results.repeated) == (10, 10)
    assert whole(results, expected=20, evaluators=1, have_filters=False).complete is False


def test_spans_out_of_order_may_be_doubles_so_nobody_can_tell_whether_all_are_there():
    results = Results(run_id="r", online_task_id="t")
    for span in [*spans(1_500), *spans(1_500)]:
        results.add(span)
    state = whole(results, expected=3_000, evaluators=1, have_filters=False)
    assert state.complete is None
    assert "order" in state.reason


def test_each_evaluator_has_to_be_whole():
    results = Results(run_id="r", online_task_id="t")
    for span in spans(10):
        other = dataclasses.replace(span.evaluations[0], name="other")
        more = (other,) if int(span.span_id) < 9 else ()
        results.add(dataclasses.replace(span, evaluations=(*span.evaluations, *more)))
    state = whole(results, expected=10, evaluators=2, have_filters=False)
    assert (state.complete, state.read) == (False, 9)
    # An evaluator with a filter of its own judges fewer, and nobody knows how many.
    assert whole(results, expected=10, evaluators=2, have_filters=True).complete is None
    assert whole(results, expected=9, evaluators=2, have_filters=False).complete is True
    # A third one of which nothing can be read yet.
    assert whole(results, expected=9, evaluators=3, have_filters=False).complete is False


def test_evaluations_that_name_no_run_may_be_older_ones():
    results = Results(run_id="r", online_task_id="t", evaluators=["e"])
    for span in spans(10, metadata={}):
        results.add(span)
    assert whole(results, expected=10, evaluators=1, have_filters=False).complete is None
    assert whole(results, expected=0, evaluators=1, have_filters=False).complete is None
    assert whole(results, expected=11, evaluators=1, have_filters=False).complete is False


def test_a_run_that_did_not_complete_has_not_judged_everything():
    results = Results(run_id="r", online_task_id="t")
    for span in spans(10):
        results.add(span)
    state = whole(results, expected=10, evaluators=1, have_filters=False, ended=RunStatus.FAILED)
    assert state.complete is None
    assert "FAILED" in state.reason


def test_without_a_run_nothing_says_how_many_there_are():
    results = Results(run_id=None, online_task_id="t")
    for span in spans(10):
        results.add(span)
    state = whole(results, expected=None, evaluators=1, have_filters=False)
    assert (state.complete, state.expected, state.read) == (None, None, 10)


@pytest.mark.parametrize("granularity", ["trace", "session"])
def test_one_evaluation_of_a_trace_or_session_counts_once(granularity):
    results = Results(run_id="r", online_task_id="t", granularity=granularity)
    for span in spans(12):
        number = int(span.span_id) // 3
        attributes = {"session": {"id": f"session {number}"}}
        results.add(dataclasses.replace(span, trace_id=f"trace {number}", attributes=attributes))
    found = results.summary()["evaluators"]["e"]
    assert (found["evaluated"], found["not_evaluated"]) == (4, 0)
    assert (results.items, results.items_of_run) == (4, 4)
    assert whole(results, expected=4, evaluators=1, have_filters=False).complete is True
    assert whole(results, expected=5, evaluators=1, have_filters=False).complete is False


def test_mean_and_variance_are_those_of_the_whole_stream():
    results = Results(run_id="r", online_task_id="t")
    # Later scores are lower, so that the first ten thousand speak for no more than themselves.
    scores = [(place * 7919 % 1000) / (1000 if place < 10_000 else 2000) for place in range(25_000)]
    for span in spans(len(scores), score=lambda place: scores[place]):
        results.add(span)
    found = results.summary()["evaluators"]["e"]
    assert found["score_mean"] == pytest.approx(statistics.fmean(scores), rel=1e-12)
    assert found["score_variance"] == pytest.approx(statistics.variance(scores), rel=1e-9)
    # From a fair sample of the stream, not from its begin.
    assert found["score_quantiles"]["p50"] == pytest.approx(statistics.median(scores), abs=0.02)
    rising = Results(run_id="r", online_task_id="t")
    for span in spans(40_000, score=lambda place: place / 40_000):
        rising.add(span)
    assert rising.summary()["evaluators"]["e"]["score_quantiles"]["p50"] == pytest.approx(0.5, abs=0.03)


def test_scores_of_nothing_but_0_and_1_are_a_share():
    for scores, is_share in (([0.0, 1.0], True), ([0.0, 1.0, 2.0], False), ([0.0, 0.5, 1.0], False)):
        mean = Mean()
        for score in scores:
            mean.add(score)
        assert mean.summary()["score_is_binary"] is is_share


def test_a_rounding_error_is_no_variance():
    assert Mean(count=2, mean=0.5, squares=-1e-18).summary()["score_variance"] == 0.0


def test_two_means_make_that_of_all_their_numbers():
    numbers = [place * 7919 % 1000 / 1000 for place in range(50)]
    one, other = Mean(), Mean()
    for place, number in enumerate(numbers):
        (one if place < 20 else other).add(number)
    one.merge(other)
    found = one.summary()
    assert found["score_mean"] == pytest.approx(statistics.fmean(numbers), rel=1e-12)
    assert found["score_variance"] == pytest.approx(statistics.variance(numbers), rel=1e-12)


def test_of_examples_that_are_as_bad_as_each_other_the_first_are_shown():
    results = Results(run_id="r", online_task_id="t")
    for span in spans(2 * MAX_WORST, score=lambda place: 0.5 if place else 0.1):
        results.add(span)
    worst = results.summary()["evaluators"]["e"]["lowest_scoring_examples"]
    assert [one["span_id"] for one in worst] == [str(place) for place in range(MAX_WORST)]


def test_the_share_of_a_label_is_among_those_that_have_one():
    results = Results(run_id="r", online_task_id="t")
    for span in spans(10, label=lambda place: "ok" if place < 6 else None if place < 8 else "bad"):
        results.add(span)
    found = results.summary()["evaluators"]["e"]
    assert (found["evaluated"], found["labelled"]) == (10, 8)
    assert found["labels"] == {"ok": {"count": 6, "share": 0.75}, "bad": {"count": 2, "share": 0.25}}


def test_labels_beyond_the_two_hundredth_are_counted_as_others():
    results = Results(run_id="r", online_task_id="t")
    for span in spans(300, label=lambda place: f"label {place}"):
        results.add(span)
    found = results.summary()["evaluators"]["e"]
    assert (len(found["labels"]), found["other_labels"], found["labelled"]) == (200, 100, 300)


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
