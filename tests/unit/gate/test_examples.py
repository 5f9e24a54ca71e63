"""Tests for the examples of a gate: spans that violate the rules that did not pass."""

from __future__ import annotations

import pytest

from airflow_provider_online_tasks.gate.checks import check_summary
from airflow_provider_online_tasks.gate.examples import select_examples
from airflow_provider_online_tasks.gate.rules import read_rules
from tests.support.summaries import results, summary


def example(span_id, label=None, score=None, question=None, segment=None):
    return {"span_id": span_id, "label": label, "score": score, "input": question, "segment": segment}


LABELLED = [example("a", "correct", 1.0), example("b", "incorrect", 0.0), example("c", "unsure", 0.5)]
SCORED = [example(str(number), None, number / 10) for number in range(10)]


def selected(rules, figures, **arguments):
    """Return the spans of the examples, by evaluator if there are several."""
    read, found = read_rules({"e": rules}), summary(e=figures)
    given = {"labels": {"e": ("correct", "incorrect", "unsure")}}
    checked = check_summary(read, found, **given, **arguments)
    return [each["span_id"] for each in select_examples(read, checked, found, **given)]


def labelled(correct, incorrect, unsure=0, examples=LABELLED, **more):
    counts = {"correct": correct, "incorrect": incorrect, "unsure": unsure}
    return results(labels=counts, examples=examples, **more)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"correct": ">= 0.99"}, ["b", "c"]),
        ({"correct": "> 0.99"}, ["b", "c"]),
        ({"correct": "== 1"}, ["b", "c"]),
        ({"correct": "<= 0.1"}, ["a"]),
        ({"incorrect": "< 0.01"}, ["b"]),
        ({"incorrect": "== 0"}, ["b"]),
        ({"unsure": "<= 0.01", "incorrect": "<= 0.01"}, ["c", "b"]),
        ({"correct": ">= 0.99", "incorrect": "<= 0.01"}, ["b", "c"]),
        ({"correct": ">= 0.5"}, []),
        ({"min_evaluated": 1_000}, []),
    ],
)
def test_examples_of_a_label_rule_violate_it(rules, expected):
    assert selected(rules, labelled(80, 15, 5)) == expected


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"score_mean": ">= 0.9"}, ["0", "1", "2", "3", "4"]),
        ({"score_mean": "<= 0.1"}, ["9", "8", "7", "6", "5"]),
        ({"score_mean": "== 0.9"}, ["0", "1", "2", "3", "4"]),
        ({"score_p50": "> 0.9"}, ["0", "1", "2", "3", "4"]),
        ({"score_p95": "< 0.1"}, ["9", "8", "7", "6", "5"]),
        ({"score_mean": ">= 0.1"}, []),
    ],
)
def test_examples_of_a_score_rule_have_low_or_high_scores(rules, expected):
    figures = results(100, mean=0.5, percentiles=[0.5] * 101, examples=SCORED)
    assert selected(rules, figures) == expected


def test_examples_of_an_inconclusive_rule_violate_it():
    assert selected({"correct": ">= 0.9"}, labelled(19, 1), confidence=0.95) == ["b", "c"]


def test_examples_of_a_drop_violate_the_lower_bound():
    before = {"evaluators": {"e": labelled(990, 10)}}
    assert selected({"correct": ">= 0.5", "max_drop": 0.02}, labelled(800, 200), baseline=before) == [
        "b",
        "c",
    ]


def test_examples_with_unknown_labels_violate_an_upper_bound():
    examples = [*LABELLED, example("d", "Incorrect")]
    figures = results(labels={"correct": 90, "Incorrect": 10}, examples=examples)
    assert selected({"incorrect": "<= 0.01"}, figures) == ["b", "d"]


def test_examples_of_a_segment_are_from_this_segment():
    free, paid = example("f", "incorrect", segment="free"), example("p", "incorrect", segment="paid")
    parts = {"free": labelled(50, 50), "paid": labelled(100, 0)}
    figures = labelled(150, 50, examples=[paid, free], segments=parts)
    assert selected({"each_segment": {"correct": ">= 0.9"}}, figures) == ["f"]


def test_examples_of_other_segments_are_those_of_no_segment_in_the_summary():
    named = [example(name, "incorrect", segment=name) for name in ("free", "small", "tiny")]
    parts = {"free": labelled(50, 50), "(other)": labelled(50, 50)}
    figures = labelled(100, 100, examples=named, segments=parts)
    rules = {"each_segment": {"correct": ">= 0.9"}}
    assert selected(rules, figures) == ["free", "small", "tiny"]
    assert selected(rules, {**figures, "segments": {**parts, "free": labelled(100, 0)}}) == ["small", "tiny"]


@pytest.mark.parametrize(
    ("rule", "expected"), [({"correct": ">= 0.9"}, "a"), ({"incorrect": "<= 0.1"}, "ab")]
)
def test_examples_of_a_calibrated_rule_are_those_that_the_evaluator_missed(rule, expected):
    pairs = {"a": ("correct", "incorrect"), "b": ("unsure", "incorrect"), "c": ("incorrect", "correct")}
    disagreements = [
        {**example(span_id, label), "human_label": human_label}
        for span_id, (label, human_label) in pairs.items()
    ]
    human_labels = {"strata": {"correct": {"labels": {"incorrect": 1}}}, "disagreements": disagreements}
    figures = labelled(80, 15, 5, human_labels=human_labels)
    assert selected({"calibrated": rule}, figures) == list(expected)


def test_examples_with_distinct_inputs_are_first_and_five():
    examples = [example(str(number), "incorrect", question="same") for number in range(6)]
    examples += [example("x", "incorrect", question="other"), example("y", "incorrect", question="third")]
    assert selected({"correct": ">= 0.99"}, labelled(80, 20, examples=examples)) == ["0", "x", "y", "1", "2"]


def test_examples_of_two_evaluators_are_those_of_the_failed_one():
    read = read_rules(
        {"e": {"correct": ">= 0.5"}, "f": {"correct": ">= 0.9"}, "missing": {"correct": ">= 0.9"}}
    )
    found = summary(e=labelled(80, 20), f=labelled(80, 20))
    examples = select_examples(read, check_summary(read, found), found, labels={})
    assert [(each["evaluator"], each["span_id"]) for each in examples] == [("f", "b"), ("f", "c")]


def test_examples_of_a_summary_without_any_are_none():
    figures = labelled(80, 20)
    del figures["examples"]
    assert selected({"correct": ">= 0.9"}, figures) == []
