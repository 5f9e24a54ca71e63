"""The rules of a gate: what they say, and that nothing passes which was not shown to be good."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.gate.report import text_table
from airflow_provider_online_tasks.gate.rules import check_labels, read_rules
from airflow_provider_online_tasks.gate.verdict import judge, verdict
from airflow_provider_online_tasks.operators.gate import EvalGateOperator
from tests.support.summaries import results, summary


def findings_of(rules, found, **kwargs):
    """What is found, without the first finding, which is about completeness."""
    [complete, *others] = judge(read_rules(rules), found, **kwargs)
    assert (complete.measure, complete.outcome) == ("complete", "passed")
    return others


def passed(rules, found, **kwargs):
    return verdict(judge(read_rules(rules), found, **kwargs))["passed"]


GOOD = summary(
    correctness=results(
        labels={"correct": 97, "incorrect": 3},
        mean=0.9,
        percentiles=[0.4] * 20 + [1.0] * 81,
    )
)


def test_the_documented_example_holds_for_good_results():
    rules = {"correctness": {"correct": ">= 0.95", "score_mean": ">= 0.8", "min_evaluated": 100}}
    assert passed(rules, GOOD)


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ({"correct": ">= 0.97"}, True),
        ({"correct": "> 0.97"}, False),
        ({"correct": ">= 97%"}, True),
        ({"correct": ">= 97.5 %"}, False),
        ({"correct": "== 0.97"}, True),
        ({"score_mean": ">= 0.9"}, True),
        ({"score_mean": "> 0.9"}, False),
        ({"score_p05": ">= 0.5"}, False),
        ({"score_p50": ">= 0.5"}, True),
        ({"score_mean": "< 1"}, True),
    ],
)
def test_each_comparison_at_its_edge(rule, holds):
    assert passed({"correctness": rule}, GOOD) is holds


def test_too_few_evaluations_do_not_pass():
    few = summary(correctness=results(evaluated=3, labels={"correct": 3}))
    rules = {"correctness": {"correct": ">= 0.95", "min_evaluated": 200}}
    [least, share] = findings_of(rules, few)
    assert not least.passed
    assert least.margin == -197
    assert "too few" in least.note
    assert not share.passed


@pytest.mark.parametrize(
    ("found", "others"),
    [(summary(), "none"), (summary(b=results(evaluated=0), a=results(evaluated=0)), "'a', 'b'")],
)
def test_an_evaluator_without_results_does_not_pass(found, others):
    [finding] = findings_of({"correctness": {"correct": ">= 0"}}, found)
    assert not finding.passed
    assert finding.note == f"no evaluation of this evaluator; evaluators with results: {others}"


def test_nothing_evaluated_does_not_pass_even_a_rule_that_asks_for_nothing():
    assert not passed({"correctness": {"correct": ">= 0"}}, summary(correctness=results(evaluated=0)))


def test_a_score_that_is_not_there_does_not_pass():
    labels_only = summary(correctness=results(labels={"correct": 10}))
    assert not passed({"correctness": {"score_mean": ">= 0"}}, labels_only)
    assert not passed({"correctness": {"score_mean": "<= 1"}}, labels_only)


def test_a_misspelled_label_with_a_lower_bound_breaks_and_says_so():
    findings = findings_of({"correctness": {"corect": ">= 0.5"}}, GOOD)
    assert not findings[1].passed
    assert "spelled" in findings[1].note
    assert findings_of({"correctness": {"corect": ">= 0"}}, GOOD)[1].note == ""


def test_a_label_the_evaluator_does_not_have_is_refused_when_its_labels_are_known():
    rules = read_rules({"correctness": {"corect": ">= 0.5"}})
    with pytest.raises(InvalidInput, match=r"'corect'.*does not have.*'correct', 'incorrect'"):
        judge(rules, GOOD, labels={"correctness": ["correct", "incorrect"]})


def test_an_upper_bound_on_a_label_needs_the_labels_as_a_misspelled_one_would_always_pass():
    rules = {"correctness": {"incorrect": "<= 0.05"}}
    with pytest.raises(InvalidInput, match="give labels="):
        passed(rules, GOOD)
    with pytest.raises(InvalidInput, match="give labels="):
        check_labels(read_rules(rules), {"tone": ["rude"]})
    known = {"correctness": ["correct", "incorrect"]}
    assert passed(rules, GOOD, labels=known)
    all_good = summary(correctness=results(labels={"correct": 100}))
    assert passed(rules, all_good, labels=known)


@pytest.mark.parametrize(
    ("rules", "what"),
    [
        ({}, "no rules"),
        (None, "no rules"),
        ({"correctness": {}}, "must be a dict"),
        ({"correctness": ">= 1"}, "must be a dict"),
        ({"correctness": {"correct": 0.95}}, "cannot be read"),
        ({"correctness": {"correct": "0.95"}}, "cannot be read"),
        ({"correctness": {"correct": "=> 0.95"}}, "cannot be read"),
        ({"correctness": {"correct": ">= x"}}, "cannot be read"),
        ({"correctness": {"correct": ">= 95"}}, "between 0 and 1"),
        ({"correctness": {"correct": "<= 1.5"}}, "between 0 and 1"),
        ({"correctness": {"min_evaluated": 0}}, "min_evaluated"),
        ({"correctness": {"min_evaluated": "many"}}, "min_evaluated"),
        ({"correctness": {"min_evaluated": 1.5}}, "min_evaluated must be a whole number from 1 on, not 1.5"),
        ({"correctness": {"min_evaluated": True}}, "min_evaluated"),
        ({"correctness": {"correct": ">= 0.9", "max_missing": -0.1}}, "max_missing"),
        ({"correctness": {"correct": ">= 0.9", "min_coverage": 0}}, "min_coverage"),
        ({"correctness": {"correct": ">= 0.9", "min_coverage": 1.1}}, "min_coverage"),
        ({"correctness": {"incorrect": "<= 0.1", "max_drop": 0.1}}, "lower bound"),
        ({"correctness": {"correct": ">= 0.9", "max_drop": -1}}, "max_drop"),
        ({"correctness": {"correct": ">= 0.9", "max_drop": math.nan}}, "max_drop"),
        ({"correctness": {"score_p05": ">= 0.9", "max_drop": 0.1}}, "label or score_mean"),
        ({"correctness": {"correct": ">= 0.9", "max_missing": 1}}, "max_missing"),
        ({"correctness": {"correct": ">= 0.9", "each_segment": {}}}, "must be a dict"),
        ({"correctness": {"correct": ">= 0.9", "each_segment": {"min_evaluated": 3}}}, "needs rules"),
        ({"correctness": {"correct": ">= 0.9", "each_segment": {"score_p05": ">= 0"}}}, "needs rules"),
        ({"correctness": {"each_segment": {"correct": ">= 0.9", "max_drop": 0.1}}}, "cannot hold 'max_drop'"),
        ({"correctness": {"score_mean": ">= 1e999"}}, "finite"),
    ],
)
def test_a_rule_that_cannot_be_parsed_is_an_error(rules, what):
    with pytest.raises(InvalidInput, match=what):
        read_rules(rules)


def test_numbers_may_be_rendered_templates():
    written = {"min_evaluated": "200", "max_drop": "0.02", "max_missing": "0", "min_coverage": "1"}
    (read,) = read_rules({"correctness": {"correct": ">= 0.9", **written}})
    assert (read.min_evaluated, read.max_drop, read.max_missing, read.min_coverage) == (200, 0.02, 0, 1)
    assert [one.measure for one in read.thresholds] == ["correct"]


def gate(rules, **arguments):
    return EvalGateOperator(task_id="gate", summary="{{ ti.xcom_pull('results') }}", rules=rules, **arguments)


@pytest.mark.parametrize(
    "rules",
    [
        "{{ params.rules }}",
        {"correctness": "{{ params.rules }}"},
        {"correctness": {"correct": "{{ params.rule }}", "max_drop": "{{ params.drop }}"}},
        {"correctness": {"correct": ">= {{ params.least }}", "min_evaluated": "{{ params.n }}"}},
        {"correctness": {"max_missing": "{{ params.n }}", "min_coverage": "{{ params.n }}"}},
        {"correctness": {"each_segment": "{{ params.rules }}"}},
        {"correctness": {"each_segment": {"correct": "{{ params.rule }}", "segments": "{{ params.list }}"}}},
        {"correctness": {"each_segment": {"correct": ">= 0.9", "segments": ["{{ params.one }}", "paid"]}}},
    ],
)
def test_templates_in_rules_wait_for_the_task(rules):
    assert gate(rules, labels={"correctness": ["correct", "incorrect"]}).rules == rules


@pytest.mark.parametrize(
    ("rules", "what"),
    [
        ({"tone": "{{ params.rules }}", "correctness": {"correct": ">= 95"}}, "between 0 and 1"),
        ({"tone": {"rude": "{{ params.rule }}"}, "correctness": {}}, "must be a dict"),
        ({"correctness": {"correct": "{{ params.rule }}", "min_evaluated": 0}}, "min_evaluated"),
        ({"correctness": {"corect": "{{ params.rule }}"}}, "'corect'.*does not have"),
        ({"correctness": {"correct": ">= 0.9", "max_drop": "{{ params.drop }}", "tne": ">= 0"}}, "'tne'"),
        ({"correctness": {"each_segment": {"max_drop": "{{ params.drop }}"}}}, "cannot hold 'max_drop'"),
        ({"correctness": {"score_p05": "{{ params.rule }}", "max_drop": 0.1}}, "label or score_mean"),
        (
            {"{{ params.evaluator }}": {"correct": ">= 0.9"}},
            "rules has the key '{{ params",
        ),
        ({"correctness": {"{{ params.label }}": ">= 0.9"}}, r"rules\['correctness'\] has the key"),
    ],
)
def test_what_stands_beside_a_template_is_checked_when_the_dag_is_parsed(rules, what):
    with pytest.raises(InvalidInput, match=what):
        gate(rules, labels={"correctness": ["correct", "incorrect"]})


@pytest.mark.parametrize("found", [None, "", "None", {}, {"evaluators": None}, [1]])
def test_a_summary_that_is_none_is_an_error_not_a_pass(found):
    with pytest.raises(InvalidInput, match="EvalResultsOperator"):
        passed({"correctness": {"correct": ">= 0"}}, found)


def test_the_table_holds_every_rule_and_the_margin():
    told = text_table(findings_of({"correctness": {"correct": ">= 0.99"}}, GOOD))
    assert "correctness" in told
    assert "-0.02" in told
    assert "FAILED" in told
    assert "passed" in told
    assert "interval" not in told


@given(
    share=st.integers(0, 100),
    bound=st.integers(0, 100),
    comparison=st.sampled_from([">=", ">", "<=", "<", "=="]),
)
def test_a_finding_agrees_with_arithmetic_and_its_margin_with_the_verdict(share, bound, comparison):
    found = summary(correctness=results(labels={"correct": share, "incorrect": 100 - share}))
    [_, finding] = findings_of(
        {"correctness": {"correct": f"{comparison} {bound}%"}},
        found,
        labels={"correctness": ["correct", "incorrect"]},
    )
    wanted = {
        ">=": share >= bound,
        ">": share > bound,
        "<=": share <= bound,
        "<": share < bound,
        "==": share == bound,
    }
    assert finding.passed is wanted[comparison]
    if share != bound:
        assert (finding.margin >= 0) is finding.passed
