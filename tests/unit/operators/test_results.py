"""Tests for EvalResultsOperator: real requests to the emulator, compared with its records."""

from __future__ import annotations

import dataclasses
import itertools
import json
import logging
import math
import sys
import time
from collections import Counter
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
from airflow.providers.standard.triggers.temporal import DateTimeTrigger

from airflow_provider_online_tasks._airflow import AirflowTaskTimeout, TaskDeferred
from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.api.client import Client
from airflow_provider_online_tasks.api.responses import RunStatus
from airflow_provider_online_tasks.emulator import Emulator, EmulatorSettings, Fault
from airflow_provider_online_tasks.exceptions import (
    EvalGateFailed,
    EvalGateInconclusive,
    EvalResultsIncomplete,
    InvalidInput,
    PermissionDenied,
    UnexpectedResponse,
)
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput
from airflow_provider_online_tasks.inputs.runs import RunInput
from airflow_provider_online_tasks.operators.gate import EvalGateOperator
from airflow_provider_online_tasks.operators.results import EvalResultsOperator
from airflow_provider_online_tasks.results import reading
from airflow_provider_online_tasks.results.history import RESULTS_KEY
from airflow_provider_online_tasks.results.rows import PARQUET_BATCH
from tests.support.evaluated_runs import (
    NOW,
    arize_with,
    context,
    evaluator,
    read,
    run_task,
    spans_file,
    tone,
)

LAG = 3600.0
TWO_DAYS = timedelta(days=2)
WINDOW = {"data_start_time": NOW - TWO_DAYS, "data_end_time": NOW}
LENIENT = {"correctness": {"correct": ">= 0"}}


def operator(run_id, **arguments):
    return EvalResultsOperator(task_id="results", run_id=run_id, **arguments)


def gate(found, rules=LENIENT, **arguments):
    operator = EvalGateOperator(task_id="gate", summary=found, rules=rules, **arguments)
    return operator.execute(context())


def run_again(task_id, **arguments):
    """Run a task over the window again; return the run's ID."""
    with OnlineTasksHook() as hook:
        run_id = hook.run_online_task(RunInput(online_task_id=task_id, **{**WINDOW, **arguments}))
        assert hook.get_task_run(run_id).is_over
    return run_id


@pytest.fixture
def many(monkeypatch, tmp_path):
    with arize_with(monkeypatch, spans_file(tmp_path, 1_200)) as emulator:
        yield emulator


# -- which evaluations are read


def test_summary_of_two_evaluators_equals_the_records_of_the_emulator(arize):
    _, run_id = run_task(arize, evaluators=[evaluator(), evaluator("tone")])
    summary = read(run_id=run_id)
    assert set(summary["evaluators"]) == {"correctness", "tone"}
    for name, found in summary["evaluators"].items():
        records = [one for one in arize.evaluations(run_id=run_id) if one["name"] == name]
        labels = Counter(one["label"] for one in records)
        assert found["evaluated"] == len(records) > 20
        assert {label: one["count"] for label, one in found["labels"].items()} == labels
        assert found["score_mean"] == pytest.approx(labels["correct"] / labels.total())
        assert found["not_evaluated"] == summary["spans"] - len(records)
        wrong = {one["span_id"] for one in records if one["label"] == "incorrect"}
        shown = Counter(one["label"] for one in found["examples"])
        assert shown == {"correct": 5, "incorrect": min(5, len(wrong))}
        assert {one["span_id"] for one in found["examples"] if one["label"] == "incorrect"} <= wrong


def test_runs_of_one_task_are_read_apart_and_the_task_has_both(arize):
    task_id, first = run_task(arize, start=NOW - TWO_DAYS, end=NOW - timedelta(days=1))
    second = run_again(task_id)
    counts = Counter(one["run_id"] for one in arize.evaluations())
    for run_id in (first, second):
        found = read(run_id=run_id, scope="run")
        assert found["evaluators"]["correctness"]["evaluated"] == counts[run_id] == found["read"]
        assert found["scope"] == "run"
    for both in (read(online_task_id=task_id, **WINDOW), read(run_id=second)):
        assert both["evaluators"]["correctness"]["evaluated"] == counts[first] + counts[second]
        assert both["scope"] == "window"
    assert both["evaluators"]["correctness"]["from_before"] == counts[first]
    assert (both["complete"], both["read"]) == (True, counts[second])


def test_evaluations_of_another_task_on_the_same_spans_are_not_read(arize):
    _, run_id = run_task(arize)
    run_task(arize, evaluators=[evaluator("other")])
    assert set(read(run_id=run_id)["evaluators"]) == {"correctness"}


def test_filter_of_the_task_selects_the_spans(arize):
    _, run_id = run_task(arize, query_filter="attributes.openinference.span.kind = 'LLM'")
    summary = read(run_id=run_id)
    assert summary["spans"] == summary["evaluators"]["correctness"]["evaluated"]
    assert summary["evaluators"]["correctness"]["not_evaluated"] == 0


def test_window_of_three_pages_is_read_completely(many):
    _, run_id = run_task(many)
    many.clear_requests()
    summary = read(run_id=run_id)
    records = many.evaluations(run_id=run_id)
    assert summary["spans"] == len(records) == summary["expected"] == summary["read"] == 1_200
    assert summary["complete"] is True
    assert len(many.requests("rest.list_spans")) == 4  # three pages, and one request for the examples


def test_requested_evaluator_without_evaluations_is_in_the_summary(arize):
    _, run_id = run_task(arize)
    summary = read(
        run_id=run_id, evaluators=["correctness", "never ran"], complete_within=0, on_incomplete="warn"
    )
    found = summary["evaluators"]
    assert (summary["complete"], summary["read"]) == (False, 0)
    assert (found["never ran"]["evaluated"], found["never ran"]["score_mean"]) == (0, None)
    assert found["correctness"]["evaluated"] > 0
    with pytest.raises(EvalGateFailed):
        gate(summary)


def test_evaluations_that_a_later_run_replaced_are_missing(monkeypatch, tmp_path):
    with arize_with(monkeypatch, spans_file(tmp_path, 100)) as emulator:
        task_id, earlier = run_task(emulator)
        emulator.advance(10)
        later = run_again(task_id, override_evaluations=True)
        replaced = read(run_id=earlier, complete_within=0, on_incomplete="warn")
        assert read(run_id=later)["complete"] is True
    assert (replaced["complete"], replaced["expected"], replaced["read"]) == (False, 100, 0)
    with pytest.raises(EvalGateFailed):
        gate(replaced)


def test_run_with_labelled_spans_has_results_of_window(many):
    task_id, first = run_task(many)
    run_id = run_again(task_id)
    found = read(run_id=run_id)
    assert (found["complete"], found["expected"], found["read"]) == (True, 0, 0)
    figures = found["evaluators"]["correctness"]
    assert (figures["from_run"], figures["from_before"]) == (0, 1_200)
    assert figures["labels"] == read(run_id=first)["evaluators"]["correctness"]["labels"]
    assert gate(found)["passed"] is True
    of_run = read(run_id=run_id, scope="run", complete_within=0, on_incomplete="warn")
    with pytest.raises(EvalGateFailed):
        gate(of_run)


def test_labels_that_are_not_indexed_yet_are_waited_for(monkeypatch, tmp_path):
    """A span that arrived after the first run has no label, and Arize says that all have one."""
    with arize_with(monkeypatch, spans_file(tmp_path, 100)) as arize:
        task_id, _ = run_task(arize, max_spans=99)
        run_id = run_again(task_id, max_spans=99)
        assert arize.runs()[-1]["status"] == "CANCELLED"
        results = operator(run_id)
        pause = pause_of(lambda: results.execute(context()))
        pause.kwargs["deadline"] = time.time() - 1
        assert resume(results, pause)["complete"] is True


def test_span_at_the_end_of_the_window_counts_for_the_next_window(monkeypatch, tmp_path):
    with arize_with(monkeypatch, spans_file(tmp_path, 100)) as arize:
        middle = NOW + timedelta(seconds=-86_000 + 800 * 50)  # when a span starts
        task_id, _ = run_task(arize, start=middle)
        before = run_again(task_id, data_end_time=middle)
        figures = read(run_id=before)["evaluators"]["correctness"]
        assert (figures["from_run"], figures["from_before"]) == (50, 0)


def test_spans_over_max_spans_are_not_evaluated_and_lower_the_coverage(many):
    _, run_id = run_task(many, max_spans=100)
    found = read(run_id=run_id)
    assert (found["complete"], found["read"], found["spans"]) == (True, 100, 1_200)
    with pytest.raises(EvalGateFailed):
        gate(found, {"correctness": {"correct": ">= 0", "min_coverage": 0.9}})
    passed = gate(found, {"correctness": {"correct": ">= 0", "min_coverage": 0.08}})
    [coverage] = [rule for rule in passed["rules"] if rule["measure"] == "min_coverage"]
    assert coverage["margin"] == pytest.approx(100 / 1_200 - 0.08)


def test_task_and_window_without_expected_count_pass_only_if_accepted(arize):
    task_id, _ = run_task(arize)
    summary = read(online_task_id=task_id, **WINDOW)
    assert (summary["complete"], summary["expected"], summary["run_id"]) == (None, None, None)
    with pytest.raises(EvalGateFailed):
        gate(summary)
    assert gate(summary, accept_unverified=True)["passed"] is True


def test_run_that_is_not_finished_is_rejected(arize):
    arize.configure(run_seconds=60)
    with OnlineTasksHook() as hook:
        task_id = hook.create_eval_task(
            EvalTaskInput(
                name="slow",
                model_id=arize.project_id,
                template_evaluators=[evaluator()],
                llm_config={"model_name": "GPT_4o", "provider": "openAI"},
            )
        )
        run_id = hook.run_online_task(RunInput(online_task_id=task_id, **WINDOW))
    with pytest.raises(InvalidInput):
        read(run_id=run_id)


@pytest.mark.parametrize("granularity", ["trace", "session"])
@pytest.mark.parametrize("named", [True, False])
def test_evaluations_of_traces_and_sessions_are_read(arize, granularity, named):
    _, run_id = run_task(arize, evaluators=[tone(data_granularity_type=granularity)])
    found = read(run_id=run_id, granularity=granularity, evaluators=["tone"] if named else None)
    records = arize.evaluations(run_id=run_id)
    assert len(records) > 5
    assert (found["complete"], found["expected"], found["read"]) == (True, len(records), len(records))
    assert found["evaluators"]["tone"]["evaluated"] == len(records)
    assert found["spans"] > len(records)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("granularity", ["trace", "session"])
def test_evaluations_on_spans_that_do_not_match_the_filter_are_read(arize, granularity, named):
    # The evaluation is on the root span, and the filter selects traces and sessions by another span.
    _, run_id = run_task(
        arize,
        evaluators=[tone(data_granularity_type=granularity)],
        query_filter="attributes.openinference.span.kind = 'LLM'",
    )
    found = read(run_id=run_id, granularity=granularity, evaluators=["tone"] if named else None)
    records = arize.evaluations(run_id=run_id)
    assert len(records) > 5
    assert (found["complete"], found["read"]) == (True, len(records))
    assert found["evaluators"]["tone"]["evaluated"] == len(records)
    assert found["evaluators"]["tone"]["not_evaluated"] == 0


@pytest.mark.parametrize("granularity", ["trace", "session"])
def test_wrong_granularity_of_filtered_task_is_named(arize, granularity):
    _, run_id = run_task(
        arize,
        evaluators=[tone(data_granularity_type=granularity)],
        query_filter="attributes.openinference.span.kind = 'LLM'",
    )
    with pytest.raises(InvalidInput, match=granularity):
        read(run_id=run_id, granularity="span", evaluators=["tone"])


@pytest.mark.parametrize("granularity", ["trace", "session"])
def test_traces_and_sessions_that_do_not_match_the_filter_are_not_counted(arize, granularity):
    _, run_id = run_task(arize, evaluators=[tone(data_granularity_type=granularity)])
    everything = read(run_id=run_id, granularity=granularity, evaluators=["tone"])
    question = everything["evaluators"]["tone"]["examples"][0]["input"]
    assert question
    _, filtered = run_task(
        arize,
        evaluators=[tone(data_granularity_type=granularity)],
        query_filter=f"attributes.input.value = '{question}'",
    )
    found = read(run_id=filtered, granularity=granularity, evaluators=["tone"])
    assert 0 < found["evaluators"]["tone"]["evaluated"] < everything["evaluators"]["tone"]["evaluated"]


def test_child_runs_of_two_granularities_have_their_own_results(arize):
    _, parent = run_task(arize, evaluators=[tone(data_granularity_type="trace"), evaluator("correctness")])
    children = [run for run in arize.runs() if run["id"] != parent]
    names = set()
    for run in children:
        records = [one for one in arize.evaluations() if run["id"] in one["metadata"].values()]
        [(name, granularity)] = {(one["name"], one["granularity"]) for one in records}
        found = read(run_id=run["id"], evaluators=[name], granularity=granularity)
        assert (found["complete"], found["expected"]) == (True, len(records))
        names.add(name)
    assert (len(children), names) == (2, {"tone", "correctness"})
    assert read(run_id=parent, complete_within=0, on_incomplete="warn")["complete"] is not True


def test_scores_that_are_not_finite_numbers_are_counted_as_invalid(arize):
    _, run_id = run_task(arize)
    scores = ["1e999", "-1e999", "NaN", "true", '"0.9"', "1" + "0" * 400, "0.5", "0", "null"]
    listed = [
        f'{{"context": {{"span_id": "s{place}", "trace_id": "t"}},'
        f' "start_time": "2026-01-01T00:00:{50 - place}Z",'
        f' "evaluations": [{{"name": "correctness", "label": "correct", "score": {score},'
        f' "metadata": {{"run_id": "{run_id}"}}}}]}}'
        for place, score in enumerate(scores)
    ]
    arize.add_fault(Fault("rest.list_spans", "garbage", body=f'{{"spans": [{", ".join(listed)}]}}'))
    summary = read(run_id=run_id, complete_within=0, on_incomplete="warn")
    found = summary["evaluators"]["correctness"]
    assert (found["evaluated"], found["scored"], found["invalid_scores"]) == (9, 2, 6)
    assert found["score_mean"] == 0.25
    assert found["score_quantiles"] == {"p05": 0.0, "p25": 0.0, "p50": 0.0, "p75": 0.5, "p95": 0.5}
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_list_whose_cursor_leads_back_is_an_error(many, monkeypatch):
    _, run_id = run_task(many)
    send, cursors = Client.send, []

    def send_with_same_cursor(self, call):
        page = send(self, call)
        if call.name != "list spans":
            return page
        cursors.append(page.next_cursor)
        return dataclasses.replace(page, next_cursor=cursors[0])

    monkeypatch.setattr(Client, "send", send_with_same_cursor)
    with pytest.raises(UnexpectedResponse):
        operator(run_id).execute(context())


@pytest.mark.parametrize(
    ("successes", "errors", "status", "complete"),
    [
        (0, 0, RunStatus.COMPLETED, True),
        (-1, 1, RunStatus.COMPLETED, True),
        (-1, 0, RunStatus.COMPLETED, None),
        (0, 0, RunStatus.CANCELLED, None),
        (1, 0, RunStatus.COMPLETED, False),
    ],
)
def test_completeness_depends_on_counts_and_status_of_the_run(
    arize, monkeypatch, successes, errors, status, complete
):
    _, run_id = run_task(arize)
    get_task_run = OnlineTasksHook.get_task_run

    def changed(hook, run_id):
        run = get_task_run(hook, run_id)
        counts = {"num_successes": run.num_successes + successes, "num_errors": errors}
        return dataclasses.replace(run, status=status, **counts)

    monkeypatch.setattr(OnlineTasksHook, "get_task_run", changed)
    assert read(run_id=run_id, complete_within=0, on_incomplete="warn")["complete"] is complete


def run_hub_task(arize, filters):
    """Run a task with Eval Hub evaluators that have these filters; return the run's ID."""
    with OnlineTasksHook() as hook:
        evaluators = [
            {"evaluator_id": arize.evaluator_ids[name], **({"query_filter": own} if own else {})}
            for name, own in filters.items()
        ]
        task = {"name": "filtered", "model_id": arize.project_id, "evaluators": evaluators}
        return run_again(hook.create_eval_task(EvalTaskInput.read(task)))


ONE_SPAN = "attributes.input.value = 'Question 7'"


@pytest.mark.parametrize("other", [None, "name = 'answer'"])
def test_evaluator_with_its_own_filter_is_complete_for_its_spans(monkeypatch, tmp_path, other):
    with arize_with(monkeypatch, spans_file(tmp_path, 100)) as arize:
        run_id = run_hub_task(arize, {"output_present": other, "json_parseable": ONE_SPAN})
        found = read(run_id=run_id)
    assert (found["complete"], found["expected"], found["read"]) == (True, 100, 100)
    assert found["evaluators"]["json_parseable"]["evaluated"] == 1
    gate(found, {"json_parseable": {"min_evaluated": 1}, "output_present": {"min_evaluated": 100}})


def test_evaluator_with_filter_without_evaluation_is_incomplete(monkeypatch, tmp_path):
    with arize_with(monkeypatch, spans_file(tmp_path, 100)) as arize:
        run_id = run_hub_task(arize, {"output_present": None, "json_parseable": ONE_SPAN})
        send = Client.send

        def without_evaluation(self, call, **arguments):
            page = send(self, call, **arguments)
            if call.name != "list spans":
                return page
            spans = [
                dataclasses.replace(
                    span, evaluations=tuple(one for one in span.evaluations if one.name == "output_present")
                )
                for span in page.items
            ]
            return dataclasses.replace(page, items=tuple(spans))

        monkeypatch.setattr(Client, "send", without_evaluation)
        found = read(run_id=run_id, complete_within=0, on_incomplete="warn")
    assert (found["complete"], found["expected"], found["read"]) == (False, 100, 99)


@pytest.mark.parametrize(
    ("evaluated", "granularity"), [("span", "session"), ("span", "trace"), ("trace", "span")]
)
@pytest.mark.parametrize("again", [False, True])
def test_granularity_that_is_not_that_of_the_evaluations_is_rejected(arize, evaluated, granularity, again):
    task_id, run_id = run_task(arize, evaluators=[tone(data_granularity_type=evaluated)])
    if again:
        run_id = run_again(task_id)
    with pytest.raises(InvalidInput, match=evaluated):
        read(run_id=run_id, granularity=granularity)


# -- segments, baseline, examples


def test_segments_of_two_values_add_up_to_all_evaluations(many):
    _, run_id = run_task(many, evaluators=[tone()])
    found = read(run_id=run_id, evaluators=["tone"], group_by="attributes.metadata.tier")
    figures = found["evaluators"]["tone"]
    assert {name: one["evaluated"] for name, one in figures["segments"].items()} == {"free": 600, "paid": 600}
    total = Counter()
    for segment in figures["segments"].values():
        total.update({label: one["count"] for label, one in segment["labels"].items()})
    assert total == {label: one["count"] for label, one in figures["labels"].items()}
    means = [segment["score_mean"] for segment in figures["segments"].values()]
    assert sum(means) / 2 == pytest.approx(figures["score_mean"])


@pytest.mark.parametrize("granularity", ["trace", "session"])
def test_segments_of_traces_and_sessions_have_the_value_of_any_span(arize, granularity):
    _, run_id = run_task(arize, evaluators=[tone(data_granularity_type=granularity)])
    # Only LLM spans have a model; the evaluations are on the root spans.
    found = read(
        run_id=run_id, granularity=granularity, evaluators=["tone"], group_by="attributes.llm.model_name"
    )
    figures = found["evaluators"]["tone"]
    assert "(none)" not in figures["segments"]
    assert sum(each["evaluated"] for each in figures["segments"].values()) == figures["evaluated"] > 5


@pytest.mark.parametrize("names", [["tone"], None])
def test_segments_beyond_max_segments_are_counted_as_other(many, names):
    _, run_id = run_task(many, evaluators=[tone()])
    found = read(run_id=run_id, evaluators=names, group_by="attributes.input.value", max_segments=3)
    segments = found["evaluators"]["tone"]["segments"]
    assert len(segments) == 4
    assert segments["(other)"]["evaluated"] == 1_197


def test_segments_of_a_misspelled_attribute_do_not_pass_the_gate(many):
    _, run_id = run_task(many)
    rules = {"correctness": {"each_segment": {"correct": ">= 0"}}}
    found = read(run_id=run_id, evaluators=["correctness"], group_by="attributes.metadata.teir")
    assert set(found["evaluators"]["correctness"]["segments"]) == {"(none)"}
    with pytest.raises(EvalGateFailed):
        gate(found, rules)
    assert gate(read(run_id=run_id, group_by="attributes.metadata.tier"), rules)["passed"]


@pytest.mark.parametrize("scope", ["window", "run"])
def test_baseline_is_the_time_before_the_window(many, scope):
    middle = NOW - timedelta(hours=12)
    task_id, earlier = run_task(many, evaluators=[tone()], start=NOW - TWO_DAYS, end=middle)
    run_id = run_again(task_id, data_start_time=middle)
    found = read(run_id=run_id, baseline=TWO_DAYS, scope=scope)
    before = found["baseline"]["evaluators"]["tone"]
    assert before["evaluated"] == len(many.evaluations(run_id=earlier)) > 300
    assert found["evaluators"]["tone"]["evaluated"] == len(many.evaluations(run_id=run_id)) > 300
    assert "examples" not in before
    verdict = gate(found, {"tone": {"polite": ">= 0.5", "max_drop": 0.1}})
    assert verdict["passed"] is True
    assert verdict["rules"][-1]["measure"] == "drop of polite"


def test_baseline_without_spans_is_empty_and_inconclusive(many):
    _, run_id = run_task(many, evaluators=[tone()])
    found = read(run_id=run_id, baseline=timedelta(days=1))
    assert found["baseline"]["spans"] == 0
    verdict = gate(found, {"tone": {"polite": ">= 0.5", "max_drop": 0.1}}, on_inconclusive="pass")
    assert verdict["outcome"] == "inconclusive"


def test_spans_over_max_spans_count_as_failures_if_the_rules_say_so(many):
    _, run_id = run_task(many, evaluators=[tone()], max_spans=600)
    found = read(run_id=run_id)
    figures = found["evaluators"]["tone"]
    assert (figures["evaluated"], figures["not_evaluated"]) == (600, 600)
    rules = {"polite": ">= 0.5"}
    assert gate(found, {"tone": rules})["passed"]
    with pytest.raises(EvalGateFailed) as failed:
        gate(found, {"tone": {**rules, "missing_evaluations": "fail"}})
    measured = {rule["measure"]: rule["measured"] for rule in failed.value.verdict["rules"]}
    assert measured["polite"] == figures["labels"]["polite"]["count"] / 1_200


def session_spans(path, sessions, size):
    """Write spans of sessions whose answers are all good or all bad; one session in ten is bad."""
    with path.open("w") as lines:
        for number in range(sessions * size):
            at, session = NOW - timedelta(hours=2, seconds=number), number // size
            answer = "You stupid idiot, shut up." if session % 10 == 0 else "Thank you, with pleasure."
            attributes = {"input.value": "?", "output.value": answer, "session.id": f"session {session}"}
            span = {"name": "answer", "kind": "LLM", "start_time": wire_time(at), "end_time": wire_time(at)}
            lines.write(json.dumps({**span, "attributes": attributes}) + "\n")
    return path


@pytest.fixture
def sessions(monkeypatch, tmp_path):
    with arize_with(monkeypatch, session_spans(tmp_path / "spans.jsonl", 30, 10)) as emulator:
        yield emulator


@pytest.mark.parametrize("names", [["tone"], None])
def test_sessions_make_a_gate_inconclusive_that_independent_spans_would_pass(sessions, names):
    _, run_id = run_task(sessions, evaluators=[tone()])
    rules = {"tone": {"polite": ">= 0.85"}}
    independent = read(run_id=run_id, evaluators=names, cluster_by=None)
    assert independent["evaluators"]["tone"]["clusters"] is None
    assert gate(independent, rules, confidence=0.95)["passed"]
    found = read(run_id=run_id, evaluators=names, baseline=timedelta(days=1))
    assert found["evaluators"]["tone"]["clusters"]["count"] == 30
    with pytest.raises(EvalGateInconclusive) as inconclusive:
        gate(found, rules, confidence=0.95)
    [rule] = [each for each in inconclusive.value.verdict["rules"] if each["measure"] == "polite"]
    assert rule["evaluations"] == 300
    assert 20 < rule["effective_evaluations"] < 31
    assert rule["evaluations_needed"] > 300


def test_examples_have_input_output_explanation_and_url(many):
    _, run_id = run_task(many, evaluators=[tone()])
    examples = read(run_id=run_id)["evaluators"]["tone"]["examples"]
    records = {one["span_id"]: one for one in many.evaluations(run_id=run_id)}
    assert [example["label"] for example in examples] == ["toxic"] * 5 + ["polite"] * 5
    for example in examples:
        assert example["input"].startswith("Question ")
        assert example["output"] == (
            "You stupid idiot, shut up." if example["label"] == "toxic" else "Thank you, with pleasure."
        )
        assert example["explanation"] == records[example["span_id"]]["explanation"]
        url = urlsplit(example["url"])
        query = parse_qs(url.query)
        assert url.path.startswith("/organizations/")
        assert query["selectedSpanId"] == [example["span_id"]]
        assert query["selectedTraceId"] == [example["trace_id"]]


def test_examples_of_two_evaluators_have_their_own_explanations(many):
    _, run_id = run_task(many, evaluators=[tone(), evaluator()])
    found = read(run_id=run_id)["evaluators"]
    records = {(one["name"], one["span_id"]): one for one in many.evaluations(run_id=run_id)}
    for name in ("tone", "correctness"):
        for example in found[name]["examples"]:
            assert example["explanation"] == records[name, example["span_id"]]["explanation"]


def test_examples_that_cannot_be_read_do_not_fail_the_task(many):
    _, run_id = run_task(many, evaluators=[tone()])
    many.add_fault(Fault("rest.list_spans", "forbidden", skip=3))
    found = read(run_id=run_id)
    assert found["complete"] is True
    assert "input" not in found["evaluators"]["tone"]["examples"][0]


def test_examples_are_in_the_verdict_of_the_gate(many):
    _, run_id = run_task(many, evaluators=[tone()])
    with pytest.raises(EvalGateFailed) as failed:
        gate(read(run_id=run_id), {"tone": {"polite": "== 1"}})
    examples = failed.value.verdict["examples"]
    assert [example["label"] for example in examples] == ["toxic"] * 5
    assert all(example["input"] and example["url"] for example in examples)


def test_examples_of_rails_without_known_scores_violate_the_rule(monkeypatch, tmp_path):
    """Rails have no documented scores, and the emulator scores the first one lowest."""
    path = tmp_path / "spans.jsonl"
    with path.open("w") as lines:
        for number in range(60):
            at = NOW - timedelta(hours=2, seconds=number)
            question = "Again?" if number % 2 else f"Question {number}"
            answer = "You stupid idiot, shut up." if number % 3 == 0 else "Thank you, with pleasure."
            attributes = {"input.value": question, "output.value": answer}
            span = {"name": "answer", "kind": "LLM", "start_time": wire_time(at), "end_time": wire_time(at)}
            lines.write(json.dumps({**span, "attributes": attributes}) + "\n")
    with arize_with(monkeypatch, path) as emulator:
        without_scores = tone()
        del without_scores["classification_choices"]
        _, run_id = run_task(emulator, evaluators=[without_scores])
        with pytest.raises(EvalGateFailed) as failed:
            gate(read(run_id=run_id), {"tone": {"polite": ">= 0.9"}})
    examples = failed.value.verdict["examples"]
    assert [example["label"] for example in examples] == ["toxic"] * 5
    assert len({example["input"] for example in examples}) == 5
    assert all(example["explanation"] for example in examples)


def test_progress_of_a_long_read_is_logged(many, monkeypatch, caplog):
    _, run_id = run_task(many, evaluators=[tone()])
    clock = itertools.count(0, 6)  # each call is 6 seconds later
    monkeypatch.setattr(reading, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(EvalResultsOperator, "log", logging.getLogger("task"))
    caplog.set_level(logging.INFO, logger="task")
    read(run_id=run_id, evaluators=["tone"])
    assert [record.args for record in caplog.records if record.args[:1] == (1200,)] == [(1200,)]


# -- rows


def test_rows_as_json_lines_equal_the_records(arize, tmp_path):
    _, run_id = run_task(arize)
    path = tmp_path / "deep" / "rows.jsonl"
    summary = read(run_id=run_id, rows_path=f"file://{path}")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    records = {(one["span_id"], one["label"], one["explanation"]) for one in arize.evaluations(run_id=run_id)}
    assert {(row["span_id"], row["label"], row["explanation"]) for row in rows} == records
    assert summary["rows_written"] == len(rows) == len(records)


def test_rows_as_parquet_have_all_records(arize, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    _, run_id = run_task(arize)
    path = tmp_path / "rows.parquet"
    summary = read(run_id=run_id, rows_path=f"file://{path}", rows_format="parquet")
    table = parquet.read_table(path)
    assert table.num_rows == summary["rows_written"] == len(arize.evaluations(run_id=run_id))
    assert parquet.ParquetFile(path).num_row_groups == -(-table.num_rows // PARQUET_BATCH)


def test_parquet_rows_without_pyarrow_rejected_before_any_request(arize, tmp_path, monkeypatch):
    _, run_id = run_task(arize)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    arize.clear_requests()
    with pytest.raises(InvalidInput):
        read(run_id=run_id, rows_path=f"file://{tmp_path}/rows.parquet", rows_format="parquet")
    assert arize.requests() == []
    assert list(tmp_path.glob("*.parquet")) == []
    assert read(run_id=run_id, rows_format="parquet")["rows_written"] == 0  # without rows_path


@pytest.mark.parametrize("scheme", ["s3", "gs", "abfs", "unknown"])
def test_rows_on_a_storage_without_its_package_are_rejected_before_any_request(arize, scheme):
    _, run_id = run_task(arize)
    arize.clear_requests()
    with pytest.raises(InvalidInput, match="rows_path"):
        read(run_id=run_id, rows_path=f"{scheme}://bucket/rows.jsonl")
    assert arize.requests() == []


@pytest.mark.parametrize("empty", ["None", "", " "])
def test_template_of_an_empty_parameter_leaves_optional_text_out(arize, tmp_path, monkeypatch, empty):
    monkeypatch.chdir(tmp_path)
    _, run_id = run_task(arize)
    task = operator(run_id, rows_path="{{ params.path }}", group_by="{{ params.key }}")
    task.rows_path = task.group_by = task.rows_conn_id = empty
    summary = task.execute(context())
    assert (summary["rows_path"], summary["rows_written"], summary["group_by"]) == (None, 0, None)
    assert list(tmp_path.iterdir()) == []


# -- arguments


@pytest.mark.parametrize("name", ["run_id", "evaluators"])
def test_argument_rendered_empty_rejected_before_any_request(arize, name):
    results = operator(
        "R", evaluators=["correctness"], group_by="attributes.metadata.tier", rows_path="file:///rows.jsonl"
    )
    setattr(results, name, "")
    arize.clear_requests()
    with pytest.raises(InvalidInput):
        results.execute(context())
    assert arize.requests() == []


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"run_id": "r", "online_task_id": "t"},
        {"run_id": "r", "data_start_time": "2026-01-01"},
        {"online_task_id": "t"},
        {"online_task_id": "t", "data_start_time": "2026-01-01"},
        {"online_task_id": "t", "data_end_time": "2026-01-01"},
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
        {"run_id": "r", "evaluators": []},
    ],
)
def test_arguments_incomplete_or_contradictory_rejected_at_parse_time(arguments):
    with pytest.raises(InvalidInput):
        EvalResultsOperator(task_id="results", **arguments)


# -- waiting for complete results


@contextmanager
def lagging(monkeypatch, spans=None, **settings):
    chosen = {"run_seconds": 0, "queries_per_minute": None, "mutations_per_minute": None, "index_delay": LAG}
    with Emulator(EmulatorSettings(**chosen | settings, spans=spans)) as emulator:
        monkeypatch.setenv("AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT", emulator.connection_json)
        yield emulator


@pytest.fixture
def late(monkeypatch, tmp_path):
    """An Arize that indexes evaluations an hour late."""
    with lagging(monkeypatch, spans_file(tmp_path, 400)) as emulator:
        yield emulator


def pause_of(execute):
    """Return until when an execution pauses, and the arguments of its resumption as the database has them."""
    with pytest.raises(TaskDeferred) as deferred:
        execute()
    assert deferred.value.method_name == "execute_complete"
    assert isinstance(deferred.value.trigger, DateTimeTrigger)
    kwargs = json.loads(json.dumps(deferred.value.kwargs))
    del kwargs["deferred"]
    return SimpleNamespace(until=deferred.value.trigger.moment.timestamp(), kwargs=kwargs)


def resume(results, pause):
    return results.execute_complete(context(), None, **pause.kwargs)


def seconds_from_now(pause):
    return pause.until - time.time()


def test_incomplete_results_are_read_again_until_they_are_complete(late):
    _, run_id = run_task(late)
    first = pause_of(lambda: operator(run_id).execute(context()))
    second = pause_of(lambda: resume(operator(run_id), first))
    late.advance(LAG + 1)
    summary = resume(operator(run_id), second)
    assert (summary["complete"], summary["expected"], summary["read"]) == (True, 400, 400)
    assert summary["evaluators"]["correctness"]["evaluated"] == len(late.evaluations(run_id=run_id)) == 400


def test_pauses_double_up_to_ten_minutes_and_end_at_the_deadline(late):
    _, run_id = run_task(late)
    results = operator(run_id, poll_interval=100)
    pause, lengths = pause_of(lambda: results.execute(context())), []
    for _ in range(4):
        lengths.append(seconds_from_now(pause))
        previous = pause
        pause = pause_of(lambda: resume(results, previous))  # noqa: B023
    assert lengths == pytest.approx([100, 200, 400, 600], abs=5)
    previous.kwargs["deadline"] = time.time() + 60
    assert seconds_from_now(pause_of(lambda: resume(results, previous))) == pytest.approx(60, abs=5)


@pytest.mark.promise("execution-timeout")
def test_execution_timeout_counts_over_pauses(late):
    _, run_id = run_task(late)
    results = operator(run_id, poll_interval=40, execution_timeout=timedelta(seconds=100))
    first = pause_of(lambda: results.execute(context()))
    assert seconds_from_now(first) == pytest.approx(40, abs=5)
    first.kwargs["task_deadline"] -= 40
    second = pause_of(lambda: resume(results, first))
    assert seconds_from_now(second) == pytest.approx(60, abs=5)
    second.kwargs["task_deadline"] -= 60
    with pytest.raises(AirflowTaskTimeout):
        resume(results, second)


@pytest.mark.promise("execution-timeout")
def test_results_that_are_complete_at_the_execution_timeout_are_returned(late):
    _, run_id = run_task(late)
    results = operator(run_id, execution_timeout=timedelta(seconds=100))
    pause = pause_of(lambda: results.execute(context()))
    pause.kwargs["task_deadline"] -= 100
    late.advance(LAG + 1)
    assert resume(results, pause)["complete"] is True


def test_pause_after_thousands_of_pauses_is_still_ten_minutes(late):
    _, run_id = run_task(late)
    pause = pause_of(lambda: operator(run_id).execute(context()))
    pause.kwargs.update(pauses=5_000, deadline=time.time() + 100_000)
    assert seconds_from_now(pause_of(lambda: resume(operator(run_id), pause))) == pytest.approx(600, abs=5)


def test_pause_is_long_enough_for_the_scheduler_to_note_the_deferral(late):
    _, run_id = run_task(late)
    pause = pause_of(lambda: operator(run_id, poll_interval=0.1).execute(context()))
    assert seconds_from_now(pause) > 3


def test_pause_carries_no_secret(late):
    _, run_id = run_task(late)
    pause = pause_of(lambda: operator(run_id).execute(context()))
    assert set(pause.kwargs) == {"pauses", "deadline", "task_deadline"}


def test_retry_of_a_resumed_task_does_not_extend_the_deadline(late):
    _, run_id = run_task(late)
    first = pause_of(lambda: operator(run_id).execute(context()))
    second = pause_of(lambda: resume(operator(run_id), first))
    retried = pause_of(lambda: operator(run_id).execute(context()))
    assert first.kwargs["deadline"] == second.kwargs["deadline"] == retried.kwargs["deadline"]
    assert (second.kwargs["pauses"], retried.kwargs["pauses"]) == (2, 1)


def test_rows_are_written_once_the_results_are_complete(late, tmp_path):
    _, run_id = run_task(late)
    path = tmp_path / "rows.jsonl"
    results = operator(run_id, rows_path=f"file://{path}")
    pause = pause_of(lambda: results.execute(context()))
    assert not path.exists()
    late.advance(LAG + 1)
    resume(results, pause)
    assert len(path.read_text().splitlines()) == 400


@pytest.mark.parametrize("rows_format", ["jsonl", "parquet"])
def test_failed_read_leaves_an_existing_file_unchanged(monkeypatch, tmp_path, rows_format):
    if rows_format == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / "rows"
    path.write_text("yesterday's")
    rows = {"rows_path": f"file://{path}", "rows_format": rows_format}
    with lagging(monkeypatch, spans_file(tmp_path, 600), index_delay=0) as arize:
        _, run_id = run_task(arize)
        arize.add_fault(Fault("rest.list_spans", "forbidden", skip=1))  # the second page
        with pytest.raises(PermissionDenied):
            operator(run_id, **rows).execute(context())
        assert path.read_text() == "yesterday's"
        assert operator(run_id, **rows).execute(context())["rows_written"] == 600
    assert b"yesterday" not in path.read_bytes()


def test_incomplete_results_after_the_deadline_fail_with_what_was_read(late):
    _, run_id = run_task(late)
    pushed = {}
    task = SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value}), try_number=1)
    with pytest.raises(EvalResultsIncomplete) as failed:
        operator(run_id, complete_within=0).execute({"ti": task})
    summary = failed.value.summary
    assert (summary["complete"], summary["read"], summary["expected"]) == (False, 0, 400)
    assert pushed["return_value"] == summary
    assert pushed[RESULTS_KEY]["complete"] is False
    with pytest.raises(EvalGateFailed):
        gate(summary)


def test_incomplete_results_after_the_deadline_are_read_once_per_retry(late):
    _, run_id = run_task(late)
    pause = pause_of(lambda: operator(run_id).execute(context()))
    pause.kwargs["deadline"] = time.time() - 1
    with pytest.raises(EvalResultsIncomplete):
        resume(operator(run_id), pause)
    results = operator(run_id, complete_within=0.001)
    with pytest.raises(EvalResultsIncomplete):
        results.execute(context())
    late.advance(LAG + 1)
    assert results.execute(context())["complete"] is True


def test_incomplete_results_with_warn_are_returned_and_fail_the_gate(late):
    _, run_id = run_task(late)
    summary = operator(run_id, complete_within=0, on_incomplete="warn").execute(context())
    assert (summary["complete"], summary["read"], summary["expected"]) == (False, 0, 400)
    for arguments in ({"on_inconclusive": "pass", "confidence": 0.95}, {"accept_unverified": True}):
        with pytest.raises(EvalGateFailed):
            gate(summary, **arguments)


def test_results_of_two_runs_wait_only_for_the_incomplete_one(late):
    task_id, first = run_task(late)
    late.advance(LAG + 1)
    second = run_again(task_id, override_evaluations=True)
    assert pause_of(lambda: operator(second).execute(context()))
    assert read(run_id=first, complete_within=0, on_incomplete="warn")["run_id"] == first
