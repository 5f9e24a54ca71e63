"""Tests for parsing the rules of a gate, at run time and when the DAG is parsed."""

from __future__ import annotations

import math

import pytest

from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.gate.rules import (
    Threshold,
    check_labels,
    check_rules,
    read_rules,
    read_score_ranges,
)

LABELS = {"correctness": ["correct", "incorrect"]}


def check(rules, labels=LABELS):
    check_rules(rules, labels=labels, min_evaluated=1)


@pytest.mark.parametrize(
    ("rule", "comparison", "bound"),
    [
        (">= 0.95", ">=", 0.95),
        ("  >0.9 ", ">", 0.9),
        ("<= 5%", "<=", 0.05),
        ("<= 0.7%", "<=", 0.007),
        ("== 0", "==", 0),
        ("< 1e-3", "<", 0.001),
        (">= 97.5 %", ">=", 0.975),
    ],
)
def test_threshold_in_each_form_is_parsed(rule, comparison, bound):
    threshold = Threshold.read("e", "correct", rule)
    assert (threshold.comparison, threshold.bound) == (comparison, bound)


def test_threshold_of_every_tenth_of_a_percent_equals_the_fraction():
    for tenths in range(1_001):
        assert Threshold.read("e", "ok", f">= {tenths / 10}%").bound == tenths / 1_000


def test_threshold_on_scores_may_be_negative_or_above_1():
    assert Threshold.read("e", "score_mean", ">= -2.5").bound == -2.5
    assert Threshold.read("e", "score_p05", "<= 100").quantile == 5


@pytest.mark.parametrize(
    "rules",
    [
        {},
        None,
        [],
        {"correctness": {}},
        {"correctness": ">= 1"},
        {"correctness": {"correct": 0.95}},
        {"correctness": {"correct": "0.95"}},
        {"correctness": {"correct": "=> 0.95"}},
        {"correctness": {"correct": ">= x"}},
        {"correctness": {"correct": ">= 95"}},
        {"correctness": {"correct": "<= 1.5"}},
        {"correctness": {"score_mean": ">= 1e999"}},
        {"correctness": {"min_evaluated": 0}},
        {"correctness": {"min_evaluated": "many"}},
        {"correctness": {"min_evaluated": 1.5}},
        {"correctness": {"min_evaluated": True}},
        {"correctness": {"min_evaluated": None}},
        {"correctness": {"correct": ">= 0.9", "max_missing": -0.1}},
        {"correctness": {"correct": ">= 0.9", "max_missing": 1}},
        {"correctness": {"correct": ">= 0.9", "max_drop": -1}},
        {"correctness": {"correct": ">= 0.9", "max_drop": math.nan}},
        {"correctness": {"incorrect": "<= 0.1", "max_drop": 0.1}},
        {"correctness": {"score_p05": ">= 0.9", "max_drop": 0.1}},
        {"correctness": {"correct": ">= 0.9", "missing_evaluations": "pass"}},
        {"correctness": {"correct": ">= 0.9", "missing_evaluations": None}},
        {"correctness": {"correct": ">= 0.9", "missing_evaluations": "fail", "max_missing": 0.1}},
        {"correctness": {"score_p05": ">= 0.9", "missing_evaluations": "fail"}},
        {"correctness": {"each_segment": {"correct": ">= 0.9", "missing_evaluations": "fail"}}},
        {"correctness": {"correct": ">= 0.9", "each_segment": {}}},
        {"correctness": {"correct": ">= 0.9", "each_segment": {"min_evaluated": 3}}},
        {"correctness": {"correct": ">= 0.9", "each_segment": {"score_p05": ">= 0"}}},
        {"correctness": {"each_segment": {"correct": ">= 0.9", "max_drop": 0.1}}},
        *(
            {"correctness": {"correct": ">= 0.9", "on_inconclusive": reaction}}
            for reaction in ("passed", True, {"correct": "no"}, {"corect": "pass"}, {"max_drop": "pass"})
        ),
        {"correctness": {"correct": ">= 0.9", "each_segment": {"correct": ">= 0.9", "on_inconclusive": 1}}},
        *(
            {"correctness": {"correct": ">= 0.9", "min_coverage": coverage}}
            for coverage in (0, -0.1, 1.1, True, "most", math.nan, math.inf)
        ),
        *(
            {"correctness": {"each_segment": {"correct": ">= 0.9", "segments": segments}}}
            for segments in ("paid", [1], [""], {"paid": 1}, 7, None)
        ),
    ],
)
def test_rules_that_cannot_be_parsed_are_rejected(rules):
    with pytest.raises(InvalidInput):
        read_rules(rules)
    with pytest.raises(InvalidInput):
        check(rules)


def test_rules_with_rendered_numbers_are_parsed():
    rendered = {"min_evaluated": "200", "max_drop": "0.02", "max_missing": "0", "min_coverage": "1"}
    (rules,) = read_rules({"correctness": {"correct": ">= 0.9", **rendered}})
    assert (rules.min_evaluated, rules.max_drop, rules.max_missing, rules.min_coverage) == (200, 0.02, 0, 1)
    assert [threshold.measure for threshold in rules.thresholds] == ["correct"]


def test_rules_of_two_evaluators_keep_their_own_settings():
    rules = {
        "a": {"ok": ">= 0.9", "min_evaluated": 5, "each_segment": {"ok": ">= 0.8"}},
        "b": {"ok": ">= 0.7"},
    }
    one, other = read_rules(rules, min_evaluated=30)
    assert (one.min_evaluated, other.min_evaluated) == (5, 30)
    assert one.each_segment.min_evaluated == 1
    assert other.each_segment is None
    assert [threshold.bound for threshold in one.all_thresholds] == [0.9, 0.8]


def test_segments_named_twice_are_required_once():
    (rules,) = read_rules({"e": {"each_segment": {"ok": ">= 0.9", "segments": ["a", "b", "a"]}}})
    assert rules.each_segment.segments == ("a", "b")


def test_label_called_segments_is_a_label_outside_of_each_segment():
    (rules,) = read_rules({"e": {"segments": ">= 0.9"}})
    assert [threshold.measure for threshold in rules.thresholds] == ["segments"]


# -- labels


def test_label_of_lower_bound_without_known_labels_is_accepted():
    check_labels(read_rules({"correctness": {"correct": ">= 0.5"}}), {})


@pytest.mark.parametrize("rule", ["<= 0.05", "< 0.05", "== 0"])
def test_label_of_upper_bound_without_known_labels_is_rejected(rule):
    rules = read_rules({"correctness": {"incorrect": rule}})
    for labels in ({}, {"tone": ["incorrect"]}):
        with pytest.raises(InvalidInput):
            check_labels(rules, labels)
    check_labels(rules, LABELS)


def test_unknown_label_rejected_also_within_segments():
    for rules in ({"corect": ">= 0.5"}, {"each_segment": {"corect": ">= 0.5"}}):
        with pytest.raises(InvalidInput):
            check_labels(read_rules({"correctness": rules}), LABELS)


@pytest.mark.parametrize("labels", ["correct", {"e": "correct"}, {"e": [1]}, 3])
def test_labels_that_are_not_lists_of_names_are_rejected(labels):
    with pytest.raises(InvalidInput):
        check({"e": {"correct": ">= 0.9"}}, labels)


# -- when the DAG is parsed


@pytest.mark.parametrize(
    "rules",
    [
        "{{ params.rules }}",
        {"correctness": "{{ params.rules }}"},
        {"correctness": {"correct": "{{ params.rule }}", "max_drop": "{{ params.drop }}"}},
        {"correctness": {"correct": ">= {{ params.least }}", "min_evaluated": "{{ params.n }}"}},
        {"correctness": {"max_missing": "{{ params.n }}", "min_coverage": "{{ params.n }}"}},
        {"correctness": {"max_drop": 0.1, "score_p05": "{{ params.rule }}"}},
        {"correctness": {"each_segment": "{{ params.rules }}"}},
        {"correctness": {"each_segment": {"correct": "{{ params.rule }}", "segments": "{{ params.list }}"}}},
        {"correctness": {"each_segment": {"correct": ">= 0.9", "segments": ["{{ params.one }}", "paid"]}}},
    ],
)
def test_templates_in_rules_are_accepted_at_parse_time(rules):
    check(rules)


@pytest.mark.parametrize(
    "rules",
    [
        {"tone": "{{ params.rules }}", "correctness": {"correct": ">= 95"}},
        {"tone": {"rude": "{{ params.rule }}"}, "correctness": {}},
        {"correctness": {"correct": "{{ params.rule }}", "min_evaluated": 0}},
        {"correctness": {"correct": "{{ params.rule }}", "corect": ">= 0.9"}},
        {"correctness": {"correct": "{{ params.rule }}", "each_segment": {"corect": ">= 0.9"}}},
        {"correctness": {"each_segment": {"correct": "{{ params.rule }}", "max_drop": 0.1}}},
        {"{{ params.evaluator }}": {"correct": ">= 0.9"}},
        {"correctness": {"{{ params.label }}": ">= 0.9"}},
        {"correctness": {"each_segment": {"{{ params.label }}": ">= 0.9"}}},
    ],
)
def test_literals_next_to_templates_are_checked_at_parse_time(rules):
    with pytest.raises(InvalidInput):
        check(rules)


def test_labels_that_are_templates_are_not_checked_at_parse_time():
    check({"correctness": {"incorrect": "<= 0.1"}}, labels="{{ params.labels }}")


# -- ranges of scores


@pytest.mark.parametrize(
    ("given", "expected"),
    [(None, {}), ({}, {}), ({"e": (0, 1)}, {"e": (0.0, 1.0)}), ({"e": ["1", "5"]}, {"e": (1.0, 5.0)})],
)
def test_score_ranges_are_read(given, expected):
    assert read_score_ranges(given) == expected


@pytest.mark.parametrize(
    "given",
    [
        "0-1",
        (0, 1),
        {"e": 1},
        {"e": "01"},
        {"e": (1,)},
        {"e": (0, 1, 2)},
        {"e": (1, 0)},
        {"e": (1, 1)},
        {"e": (0, math.inf)},
        {"e": (0, None)},
        {"e": (False, True)},
    ],
)
def test_score_ranges_that_are_none_are_rejected(given):
    with pytest.raises(InvalidInput):
        read_score_ranges(given)
