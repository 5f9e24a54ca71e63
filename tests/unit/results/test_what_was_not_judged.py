"""Ways to make a gate pass on what was not judged: none of them does."""

from __future__ import annotations

import dataclasses
import math
from datetime import timedelta
from types import SimpleNamespace

import pytest

from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.api.responses.spans import Evaluation
from airflow_provider_online_tasks.exceptions import InvalidInput, OnlineTasksError, UnexpectedResponse
from airflow_provider_online_tasks.gate.rules import read_rules
from airflow_provider_online_tasks.gate.verdict import judge, verdict
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.inputs import RunInput
from airflow_provider_online_tasks.operators.gate import EvalGateOperator
from airflow_provider_online_tasks.operators.results import EvalResultsOperator
from airflow_provider_online_tasks.results.reading import whole
from airflow_provider_online_tasks.results.statistics import Results
from tests.support.evaluated_runs import NOW, arize_with, evaluator, read, run_task, spans, spans_file
from tests.support.summaries import results, summary

LENIENT = {"correctness": {"correct": ">= 0"}}


def context():
    return {"ti": SimpleNamespace(xcom_push=lambda **_: None, try_number=1)}


def gate(found, rules=LENIENT, **arguments):
    return EvalGateOperator(task_id="gate", summary=found, rules=rules, **arguments).execute(context())


def judged(rules, found, **arguments):
    """The verdict of one evaluator's rules, and its findings by measure and segment."""
    arguments["labels"] = {"e": arguments["labels"]} if "labels" in arguments else None
    findings = judge(read_rules({"e": rules}), found, **arguments)
    named = {one.measure if one.segment is None else (one.measure, one.segment): one for one in findings}
    return verdict(findings)["passed"], named


def labels(**counts):
    return results(labels=counts)


# -- what a run did not judge


@pytest.fixture
def many(monkeypatch, tmp_path):
    with arize_with(monkeypatch, spans_file(tmp_path, 600)) as emulator:
        yield emulator


def test_spans_beyond_the_runs_cap_are_shown_and_can_be_demanded(many):
    _, run_id = run_task(many, max_spans=50)
    found = read(run_id=run_id)
    assert (found["complete"], found["read"], found["spans"]) == (True, 50, 600)
    [_, enough, *_] = gate(found)["rules"]
    assert (enough["measure"], enough["note"]) == (
        "min_evaluated",
        "550 more were read that it did not judge",
    )
    with pytest.raises(OnlineTasksError, match=r"min_coverage is 0.08333, not >= 0.9"):
        gate(found, {"correctness": {"correct": ">= 0", "min_coverage": 0.9}})
    passed = gate(found, {"correctness": {"correct": ">= 0", "min_coverage": 0.08}})
    assert passed["passed"]
    [coverage] = [rule for rule in passed["rules"] if rule["measure"] == "min_coverage"]
    assert coverage["margin"] == pytest.approx(50 / 600 - 0.08)


@pytest.mark.parametrize("coverage", [0, -0.1, 1.1, True, "most", math.nan, math.inf])
def test_a_coverage_that_demands_nothing_or_cannot_be_reached_is_refused(coverage):
    with pytest.raises(InvalidInput, match="min_coverage"):
        read_rules({"e": {"correct": ">= 0.9", "min_coverage": coverage}})


def test_a_coverage_that_nobody_knows_is_not_kept():
    figures = labels(correct=100)
    del figures["not_evaluated"]
    passed, found = judged({"correct": ">= 0.9", "min_coverage": 0.1}, summary(e=figures))
    assert (passed, found["min_coverage"].outcome) == (False, "failed")
    assert found["min_coverage"].note == "nothing says how many items there are"


@pytest.mark.parametrize(
    ("without", "outcome", "note"),
    [(10, "passed", ""), (30, "failed", "30 were not judged: sampling, the run's cap, or skipped")],
)
def test_a_coverage_that_is_known_says_what_lacks(without, outcome, note):
    figures = labels(correct=90) | {"not_evaluated": without}
    _, found = judged({"correct": ">= 0.5", "min_coverage": 0.8}, summary(e=figures))
    assert (found["min_coverage"].outcome, found["min_coverage"].note) == (outcome, note)


def test_an_earlier_runs_evaluations_of_the_same_spans_are_not_this_runs(monkeypatch, tmp_path):
    """The index still shows what the run before has said of each of the spans."""
    spans = spans_file(tmp_path, 100)
    with arize_with(monkeypatch, spans) as emulator:
        task_id, earlier = run_task(emulator)
        emulator.advance(10)
        with OnlineTasksHook() as hook:
            window = {"data_start_time": NOW - timedelta(days=2), "data_end_time": NOW}
            run_id = hook.run_online_task(
                RunInput(online_task_id=task_id, override_evaluations=True, **window)
            )
            assert hook.get_task_run(run_id).counts.successes == 100
        # All evaluations are the second run's now. Of the first one, nothing is left that may pass.
        found = read(run_id=earlier, complete_within=0, on_incomplete="warn")
    assert (found["complete"], found["expected"], found["read"]) == (False, 100, 0)
    with pytest.raises(OnlineTasksError, match="complete is 0"):
        gate(found)


def test_a_run_that_found_everything_labelled_has_judged_nothing(many):
    task_id, _ = run_task(many)
    with OnlineTasksHook() as hook:
        window = {"data_start_time": NOW - timedelta(days=2), "data_end_time": NOW}
        run_id = hook.run_online_task(RunInput(online_task_id=task_id, **window))
        assert hook.get_task_run(run_id).is_over
    found = read(run_id=run_id, complete_within=0, on_incomplete="warn")
    assert found["complete"] is not True
    with pytest.raises(OnlineTasksError, match="complete"):
        gate(found)


def test_one_evaluator_of_two_that_has_not_been_read_keeps_the_other_from_passing(many):
    _, run_id = run_task(many, evaluators=[evaluator(), evaluator("tone")])
    found = read(
        run_id=run_id, evaluators=["correctness", "no such"], complete_within=0, on_incomplete="warn"
    )
    assert (found["complete"], found["read"]) == (False, 0)
    assert found["evaluators"]["correctness"]["evaluated"] == 600
    with pytest.raises(OnlineTasksError, match="complete is 0"):
        gate(found)


def test_a_task_whose_evaluators_nobody_knows_is_not_whole():
    results_ = Results(run_id="r", online_task_id="t")
    for span in spans(10):
        results_.add(span)
    state = whole(results_, expected=10, evaluators=0, have_filters=False)
    assert state.complete is None
    assert "name them in evaluators" in state.reason


def test_more_than_the_run_counts_is_the_count_of_something_else():
    """A run over traces counts 4, and 10 of perhaps 12 spans carry an evaluation that names it."""
    results_ = Results(run_id="r", online_task_id="t", evaluators=["e"])
    for span in spans(10):
        results_.add(span)
    state = whole(results_, expected=4, evaluators=1, have_filters=False)
    assert state.complete is None
    assert "another granularity" in state.reason
    # An item that one of several evaluators failed to judge is an error of the run.
    assert whole(results_, expected=9, errors=1, evaluators=1, have_filters=False).complete is True


# -- what is read twice, or not to the end


def test_a_span_that_is_listed_again_much_later_at_the_same_instant_counts_once():
    at = wire_time(NOW)
    listed = [dataclasses.replace(span, start_time=at) for span in spans(3_000)]
    results_ = Results(run_id="r", online_task_id="t")
    for span in [*listed, *listed[:500]]:
        results_.add(span)
    assert (results_.spans, results_.repeated) == (3_000, 500)
    assert whole(results_, expected=3_500, evaluators=1, have_filters=False).complete is False


def test_a_start_time_that_is_none_is_no_order():
    first, second = spans(2)
    results_ = Results(run_id="r", online_task_id="t")
    results_.add(first)
    results_.add(dataclasses.replace(second, start_time="when it was"))
    state = whole(results_, expected=2, evaluators=1, have_filters=False)
    assert (state.complete, "did not come in order" in state.reason) == (None, True)


def twice(span, **more):
    return dataclasses.replace(
        span, evaluations=(span.evaluations[0], dataclasses.replace(span.evaluations[0], **more))
    )


def test_an_evaluation_that_a_span_lists_twice_counts_once():
    results_ = Results(run_id="r", online_task_id="t")
    for span in spans(10):
        results_.add(twice(span))
    found = results_.summary()["evaluators"]["e"]
    assert (found["evaluated"], found["labels"]["ok"]["count"]) == (10, 10)
    assert whole(results_, expected=20, evaluators=1, have_filters=False).complete is False
    assert whole(results_, expected=10, evaluators=1, have_filters=False).complete is True


def test_two_evaluations_of_one_span_that_differ_are_no_verdict():
    results_ = Results(run_id="r", online_task_id="t")
    for span in spans(10):
        results_.add(twice(span, label="bad"))
    state = whole(results_, expected=10, evaluators=1, have_filters=False)
    assert state.complete is None
    assert "differ" in state.reason


def test_a_list_that_leads_back_to_an_earlier_page_is_an_error(many):
    _, run_id = run_task(many)
    operator = EvalResultsOperator(task_id="results", run_id=run_id)
    first = None

    def send(call, *, _send):
        nonlocal first
        page = _send(call)
        if call.name != "list spans":
            return page
        first = first or page.next_cursor
        return dataclasses.replace(page, next_cursor=first)

    from airflow_provider_online_tasks.api.client import Client

    original = Client.send
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Client, "send", lambda self, call: send(call, _send=lambda one: original(self, one)))
        with pytest.raises(UnexpectedResponse, match="cursor that came before"):
            operator.execute(context())


# -- labels


def test_a_demanded_share_of_all_is_not_reached_by_labels_in_another_spelling():
    """Upper bounds take an unknown label for the worst; of == that would be the best."""
    found = summary(e=labels(correct=90, **{"Incorrect ": 10}))
    passed, findings = judged({"correct": "== 1"}, found, labels=["correct", "incorrect"])
    assert (passed, findings["correct"].measured) == (False, 0.9)
    passed, _ = judged({"incorrect": "== 0"}, found, labels=["correct", "incorrect"])
    assert passed is False
    passed, _ = judged(
        {"correct": "== 1"}, summary(e=labels(correct=90) | {"other_labels": 10, "evaluated": 100})
    )
    assert passed is False


def test_a_label_that_was_renamed_since_the_baseline_hides_no_drop():
    before = {"evaluators": {"e": labels(right=950, wrong=50)}}
    rules = {"correct": ">= 0.5", "max_drop": 0.02}
    now = summary(e=labels(correct=700, incorrect=300))
    passed, found = judged(rules, now, baseline=before)
    assert (passed, found["drop of correct"].outcome) == (False, "inconclusive")
    assert "renamed" in found["drop of correct"].note
    # Some of the baseline carries the new name: only who knows all labels can tell.
    mixed = {"evaluators": {"e": labels(right=900, correct=50, wrong=50)}}
    passed, found = judged(rules, now, baseline=mixed, labels=["correct", "incorrect"])
    assert (passed, found["drop of correct"].outcome) == (False, "inconclusive")
    assert "950 evaluations of the baseline" in found["drop of correct"].note


@pytest.mark.parametrize("run_id", ["run 2", None])
def test_a_summary_is_not_compared_with_itself(run_id):
    window = {"online_task_id": "t", "data_start_time": "2026-01-01", "data_end_time": "2026-01-02"}
    found = summary(e=labels(correct=70, incorrect=30)) | window | {"run_id": run_id}
    passed, findings = judged({"correct": ">= 0.5", "max_drop": 0.02}, found, baseline=[dict(found)])
    assert passed is False
    assert "no earlier result" in findings["drop of correct"].note


def test_a_window_that_is_judged_again_is_no_earlier_one():
    window = {"online_task_id": "t", "data_start_time": "2026-01-01", "data_end_time": "2026-01-02"}
    found = summary(e=labels(correct=70, incorrect=30)) | window
    passed, _ = judged(
        {"correct": ">= 0.5", "max_drop": 0.02}, found, baseline={**found, "run_id": "another"}
    )
    assert passed is False


def test_a_judge_that_some_evaluations_do_not_name_is_another_one():
    judge_1 = {"evaluator_version_id": "v1"}
    before = {"evaluators": {"e": labels(correct=95, incorrect=5) | {"evaluator_versions": [judge_1]}}}
    now = summary(e=labels(correct=95, incorrect=5) | {"evaluator_versions": [judge_1, {}]})
    passed, found = judged({"correct": ">= 0.5", "max_drop": 0.02}, now, baseline=before)
    assert passed is False
    assert "not named" in found["drop of correct"].note


@pytest.mark.parametrize(
    ("before", "now"), [([{"evaluator_version_id": "v1"}], [{}]), ([{}], [{"evaluator_version_id": "v1"}])]
)
def test_judges_of_which_one_is_not_named_at_all_are_not_known_to_differ(before, now):
    earlier = {"evaluators": {"e": labels(correct=950, incorrect=50) | {"evaluator_versions": before}}}
    passed, found = judged(
        {"correct": ">= 0.5", "max_drop": 0.02},
        summary(e=labels(correct=950, incorrect=50) | {"evaluator_versions": now}),
        baseline=earlier,
    )
    assert (passed, "evaluator version" in found["drop of correct"].note) == (True, False)


# -- segments


def segmented(**parts):
    total = {"correct": sum(parts.values())} if parts else {}
    return results(labels=total, segments={name: labels(correct=count) for name, count in parts.items()})


def test_a_segment_that_has_vanished_is_missed():
    rules = {"each_segment": {"correct": ">= 0.9", "segments": ["free", "paid"]}}
    passed, _ = judged(rules, summary(e=segmented(free=100, paid=100)))
    assert passed is True
    passed, found = judged(rules, summary(e=segmented(free=100)))
    assert (passed, found["min_evaluated", "paid"].outcome) == (False, "failed")
    assert "has to be there" in found["min_evaluated", "paid"].note
    passed, found = judged(rules, summary(e=segmented(free=100, **{"(other)": 50})))
    assert passed is False
    assert "max_segments" in found["min_evaluated", "paid"].note


@pytest.mark.parametrize("segments", ["paid", [1], [""], {"paid": 1}, 7, None])
def test_segments_that_are_no_list_of_names_are_refused(segments):
    with pytest.raises(InvalidInput, match=r"each_segment\.segments"):
        read_rules({"e": {"each_segment": {"correct": ">= 0.9", "segments": segments}}})


def test_an_attribute_that_no_span_has_tells_no_segments_apart(many):
    _, run_id = run_task(many)
    rules = {"correctness": {"each_segment": {"correct": ">= 0"}}}
    found = read(run_id=run_id, evaluators=["correctness"], group_by="attributes.metadata.teir")
    with pytest.raises(OnlineTasksError, match="segments is 0"):
        gate(found, rules)
    assert gate(read(run_id=run_id, group_by="attributes.metadata.tier"), rules)["passed"]


def test_a_large_segment_that_shows_late_stands_alone():
    results_ = Results(run_id="r", online_task_id="t", group_by="attributes.user", max_segments=1)
    for place, span in enumerate(spans(3_000)):
        user = f"user {place}" if place < 1_000 else "the largest"
        results_.add(dataclasses.replace(span, attributes={"user": user}))
    segments = results_.summary()["evaluators"]["e"]["segments"]
    assert {name: one["evaluated"] for name, one in segments.items()} == {
        "the largest": 2_000,
        "(other)": 1_000,
    }


# -- nothing, and numbers that are none


@pytest.mark.parametrize(
    "rules",
    [
        {"correct": ">= 0"},
        {"correct": "<= 1"},
        {"score_mean": ">= -1e9"},
        {"score_p05": ">= 0"},
        {"min_evaluated": 1},
        {"each_segment": {"correct": ">= 0"}},
    ],
)
@pytest.mark.parametrize(
    "found", [summary(), summary(e=results(evaluated=0)), summary(other=labels(correct=9))]
)
def test_rules_that_demand_nothing_do_not_pass_without_an_evaluation(rules, found):
    passed, _ = judged(rules, found, labels=["correct"])
    assert passed is False


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf, True, "0.9", 10**400])
def test_one_score_that_is_no_number_keeps_rules_on_scores_from_passing(score):
    results_ = Results(run_id="r", online_task_id="t")
    for place, span in enumerate(spans(100, score=lambda place: 1.0)):
        if place == 50:
            told = {"name": "e", "label": "ok", "score": score, "metadata": {"run_id": "r"}}
            span = dataclasses.replace(span, evaluations=(Evaluation.from_wire(told),))  # noqa: PLW2901
        results_.add(span)
    found = {**summary(), **results_.summary()}
    for rule in ({"score_mean": ">= 0.8"}, {"score_p50": ">= 0.8"}):
        passed, findings = judged(rule, found)
        assert passed is False
        [measure] = rule
        assert "1 scores are no finite numbers" in findings[measure].note


@pytest.mark.parametrize("on_inconclusive", ["pass", "skip"])
def test_incomplete_results_are_not_undecided(on_inconclusive):
    found = summary(e=labels(correct=1_000)) | {"complete": False, "read": 14, "expected": 400}
    with pytest.raises(OnlineTasksError, match="complete is 14, not >= 400"):
        gate(found, {"e": {"correct": ">= 0.9"}}, on_inconclusive=on_inconclusive, confidence=0.95)
    with pytest.raises(OnlineTasksError, match="complete"):
        gate(found, {"e": {"correct": ">= 0.9"}}, accept_unverified=True)
