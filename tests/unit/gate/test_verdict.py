"""Tests for the verdict of a gate: which results pass, fail or are inconclusive."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.gate.checks import check_summary, decide, verdict
from airflow_provider_online_tasks.gate.intervals import (
    Interval,
    difference,
    quantile_ranks,
    share_interval,
)
from airflow_provider_online_tasks.gate.rules import Threshold, check_bounds, read_rules
from airflow_provider_online_tasks.gate.samples import ONE_CLUSTER, Scale, drop_interval
from airflow_provider_online_tasks.gate.summary import EvaluatorSummary
from tests.support.summaries import results, summary

KNOWN = {"e": ["correct", "incorrect"]}
DROP = {"correct": ">= 0.5", "max_drop": 0.02}


def check(rules, found, **arguments):
    """Return the rule results of evaluator e by measure, or by measure and segment."""
    return {
        (one.measure, one.segment) if one.segment else one.measure: one
        for one in check_summary(read_rules({"e": rules}), found, **arguments)
    }


def passes(rules, found, **arguments):
    return verdict(check_summary(read_rules({"e": rules}), found, **arguments))["passed"]


def labels(correct, incorrect=0, **more):
    return results(labels={"correct": correct, "incorrect": incorrect}, **more)


def drop_of(figures, before, **arguments):
    return check(DROP, summary(e=figures), baseline=before, **arguments)["drop of correct"]


def window(figures, **more):
    return {"evaluators": {"e": figures}, **more}


# -- thresholds without confidence

GOOD = summary(e=labels(97, 3, mean=0.9, percentiles=[0.4] * 20 + [1.0] * 81))


def test_gate_of_documented_example_passes_good_results():
    assert passes({"correct": ">= 0.95", "score_mean": ">= 0.8", "min_evaluated": 100}, GOOD)


@pytest.mark.parametrize(
    ("rule", "is_passed"),
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
def test_threshold_at_its_bound_compares_exactly(rule, is_passed):
    assert passes(rule, GOOD) is is_passed


@given(
    share=st.integers(0, 100),
    bound=st.integers(0, 100),
    comparison=st.sampled_from([">=", ">", "<=", "<", "=="]),
)
def test_threshold_agrees_with_arithmetic_and_margin_with_outcome(share, bound, comparison):
    assume((comparison, bound) not in ((">", 100), ("<", 0)))  # rejected, because they can never pass
    found = summary(e=labels(share, 100 - share))
    result = check({"correct": f"{comparison} {bound}%"}, found, labels=KNOWN)["correct"]
    expected = {
        ">=": share >= bound,
        ">": share > bound,
        "<=": share <= bound,
        "<": share < bound,
        "==": share == bound,
    }
    assert result.passed is expected[comparison]
    if share != bound:
        assert (result.margin >= 0) is result.passed


@pytest.mark.parametrize(
    ("rule", "is_passed"),
    [(">= 0.8", True), ("> 0.8", False), ("<= 0.8", True), ("< 0.8", False), ("== 0.8", True)],
)
@pytest.mark.parametrize("error", [-2e-16, 0, 2e-16])
def test_mean_at_its_bound_ignores_the_error_of_floats(rule, is_passed, error):
    assert passes({"score_mean": rule}, summary(e=results(mean=0.8 + error))) is is_passed


@pytest.mark.parametrize("percent", range(1, 100))
def test_max_missing_at_its_bound_is_accepted(percent):
    figures = results(labels={"correct": 100 - percent}, evaluated=100)
    assert passes({"correct": ">= 0.9", "max_missing": percent / 100}, summary(e=figures))
    assert not passes({"correct": ">= 0.9", "max_missing": (percent - 1) / 100}, summary(e=figures))


@pytest.mark.parametrize("rule", [">= 100%", "> 1", "<= 0", "< 0%"])
@pytest.mark.parametrize("where", ["rules", "each_segment"])
def test_rule_that_no_interval_satisfies_is_rejected(rule, where):
    rules = {"correct": rule} if where == "rules" else {"each_segment": {"correct": rule}}
    with pytest.raises(InvalidInput):
        check_bounds(read_rules({"e": rules}), 0.95)
    if "=" in rule:
        check_bounds(read_rules({"e": rules}), None)
    else:
        with pytest.raises(InvalidInput):
            check_bounds(read_rules({"e": rules}), None)
    check_bounds(read_rules({"e": {"correct": "== 1", "incorrect": "== 0"}}), 0.95)


def test_rules_of_two_evaluators_are_checked_against_their_own_results():
    rules = read_rules({"e": {"correct": ">= 0.9"}, "f": {"correct": ">= 0.5", "min_evaluated": 50}})
    found = check_summary(rules, summary(f=labels(60, 40), e=labels(95, 5)))
    outcomes = {(one.evaluator, one.measure): (one.measured, one.outcome) for one in found}
    assert outcomes["e", "correct"] == (0.95, "passed")
    assert outcomes["f", "correct"] == (0.6, "passed")
    assert [one.rule for one in found if one.measure == "min_evaluated"] == [">= 1", ">= 50"]


# -- thresholds with confidence


@pytest.mark.parametrize(
    ("counts", "rule", "expected"),
    [
        ((300, 0), ">= 0.95", "passed"),
        ((30, 0), ">= 0.95", "inconclusive"),
        ((294, 6), ">= 0.95", "passed"),
        ((29, 1), ">= 0.95", "inconclusive"),
        ((69, 29), ">= 0.7", "inconclusive"),
        ((240, 60), ">= 0.95", "failed"),
        ((0, 30), "> 0.5", "failed"),
        ((6, 294), "<= 0.05", "passed"),
        ((60, 240), "< 0.05", "failed"),
        ((100, 0), "== 1", "passed"),
        ((99, 1), "== 1", "failed"),
        ((0, 100), "== 0", "passed"),
    ],
)
def test_threshold_with_confidence_passes_fails_or_is_inconclusive(counts, rule, expected):
    result = check({"correct": rule}, summary(e=labels(*counts)), confidence=0.95, labels=KNOWN)["correct"]
    assert result.outcome == expected
    if expected == "inconclusive":
        assert result.evaluations_needed > sum(counts)
        assert result.low < float(rule.split()[1]) < result.high
    else:
        assert result.evaluations_needed is None


@pytest.mark.parametrize(
    ("comparison", "at_low", "at_high"),
    [
        (">=", "passed", "inconclusive"),
        (">", "inconclusive", "failed"),
        ("<=", "inconclusive", "passed"),
        ("<", "failed", "inconclusive"),
    ],
)
def test_decide_interval_that_ends_at_the_bound(comparison, at_low, at_high):
    assert decide(comparison, Interval(0.5, 0.9), 0.5) == at_low
    assert decide(comparison, Interval(0.1, 0.5), 0.5) == at_high


def test_inconclusive_rule_passes_the_gate_only_if_allowed():
    found = check_summary(read_rules({"e": {"correct": ">= 0.95"}}), summary(e=labels(30)), confidence=0.95)
    assert verdict(found)["outcome"] == "inconclusive"
    for on_inconclusive, is_passed in (("fail", False), ("skip", False), ("ask", False), ("pass", True)):
        assert verdict(found, on_inconclusive=on_inconclusive)["passed"] is is_passed


def test_failed_rule_outweighs_an_inconclusive_one():
    rules = read_rules({"e": {"correct": ">= 0.95", "min_evaluated": 31}})
    found = verdict(check_summary(rules, summary(e=labels(30)), confidence=0.95), on_inconclusive="pass")
    assert (found["passed"], found["outcome"]) == (False, "failed")
    assert [rule["passed"] for rule in found["rules"]] == [True, False, False]


FIRST_DAY = {"correct": ">= 0.9", "max_drop": 0.02}


@pytest.mark.parametrize(
    ("counts", "is_passed"), [((300, 0), True), ((12, 5), False), ((19, 1), False), ((150, 150), False)]
)
def test_first_day_passes_only_if_the_levels_pass(counts, is_passed):
    rules = read_rules({"e": {**FIRST_DAY, "on_inconclusive": {"max_drop": "pass"}}})
    found = verdict(check_summary(rules, summary(e=labels(*counts)), confidence=0.95))
    assert found["passed"] is is_passed


def test_inconclusive_setting_of_an_evaluator_applies_to_its_own_rules():
    figures = summary(e=labels(30), f=labels(30))
    lenient = {"correct": ">= 0.95", "on_inconclusive": "pass"}
    for rules_of_f, is_passed in ((lenient, True), ({"correct": ">= 0.95"}, False)):
        rules = read_rules({"e": lenient, "f": rules_of_f})
        found = verdict(check_summary(rules, figures, confidence=0.95))
        assert (found["passed"], found["outcome"]) == (is_passed, "inconclusive")


def test_inconclusive_setting_of_segments_applies_to_segments_only():
    parts = segmented(free=(30, 0), paid=(300, 0))
    rules = {"correct": ">= 0.97", "each_segment": {"correct": ">= 0.95", "on_inconclusive": "pass"}}
    assert passes(rules, summary(e=parts), confidence=0.95)
    assert not passes({**rules, "correct": ">= 0.995"}, summary(e=parts), confidence=0.95)


@pytest.mark.parametrize(
    ("reactions", "expected"),
    [
        (["pass", "ask"], "ask"),
        (["ask", "skip"], "skip"),
        (["skip", "fail"], "fail"),
        (["pass", "pass"], "pass"),
    ],
)
def test_strictest_setting_of_inconclusive_rules_decides(reactions, expected):
    rules = dict(zip(("correct", "right"), reactions, strict=True))
    given = {"correct": ">= 0.4", "right": ">= 0.4", "on_inconclusive": rules}
    found = check_summary(
        read_rules({"e": given}), summary(e=results(labels={"correct": 10, "right": 10})), confidence=0.95
    )
    assert verdict(found, on_inconclusive="fail")["reaction"] == expected


@pytest.mark.parametrize(
    ("on_failure", "on_inconclusive", "expected"),
    [
        ("warn", "fail", "fail"),
        ("warn", "ask", "ask"),
        ("warn", "pass", "warn"),
        ("ask", "skip", "skip"),
        ("fail", "pass", "fail"),
    ],
)
def test_strictest_setting_of_failed_and_inconclusive_rules_decides(on_failure, on_inconclusive, expected):
    rules = read_rules({"e": {"correct": ">= 0.4", "incorrect": ">= 0.9"}})
    found = check_summary(rules, summary(e=labels(10, 10)), confidence=0.95)
    reached = verdict(found, on_failure=on_failure, on_inconclusive=on_inconclusive)
    assert (reached["outcome"], reached["reaction"]) == ("failed", expected)


UNIT, LIKERT = {"e": (0.0, 1.0)}, {"e": (1.0, 5.0)}


def test_mean_without_a_range_has_students_interval():
    found = summary(e=results(mean=0.81, scored=1_000))
    result = check({"score_mean": ">= 0.8"}, found, confidence=0.95)["score_mean"]
    assert (result.low, result.high) == pytest.approx((0.797589, 0.822411), abs=1e-6)
    assert result.outcome == "inconclusive"
    more = summary(e=results(mean=0.81, scored=result.evaluations_needed))
    assert check({"score_mean": ">= 0.8"}, more, confidence=0.95)["score_mean"].outcome == "passed"


@pytest.mark.parametrize(
    "scores",
    [
        results(mean=0.9, variance=0.01, scored=999),
        results(mean=0.9, variance=0.0, scored=5_000),
        results(mean=0.9, variance=None, scored=1),
    ],
)
def test_mean_without_a_range_is_inconclusive_below_1000_scores_or_without_spread(scores):
    result = check({"score_mean": ">= 0.1"}, summary(e=scores), confidence=0.95)["score_mean"]
    assert (result.outcome, result.low, result.high) == ("inconclusive", None, None)


@pytest.mark.parametrize(
    ("figures", "rule", "outcome"),
    [
        (results(mean=0.9, variance=0.01, scored=20), ">= 0.6", "passed"),
        (results(mean=0.9, variance=0.01, scored=20), ">= 0.8", "inconclusive"),
        (results(mean=0.9, variance=0.01, scored=2_000), ">= 0.95", "failed"),
        (results(mean=0.9, variance=0.0, scored=500), ">= 0.8", "passed"),
        (results(mean=0.9, variance=0.0, scored=500), ">= 0.9", "inconclusive"),
        (results(mean=0.9, variance=None, scored=1), ">= 0.5", "inconclusive"),
    ],
)
def test_mean_with_a_range_is_decided_at_any_number_of_scores(figures, rule, outcome):
    found = check({"score_mean": rule}, summary(e=figures), confidence=0.95, score_ranges=UNIT)["score_mean"]
    assert found.outcome == outcome
    if outcome == "inconclusive" and rule != ">= 0.9":
        assert found.evaluations_needed > found.evaluations


def test_mean_of_equal_scores_at_an_end_of_the_range_is_decided():
    fives = summary(e=results(mean=5.0, variance=0.0, scored=300))
    rule = {"score_mean": ">= 4.9"}
    assert check(rule, fives, confidence=0.95, score_ranges=LIKERT)["score_mean"].outcome == "passed"
    few = summary(e=results(mean=5.0, variance=0.0, scored=30))
    assert check(rule, few, confidence=0.95, score_ranges=LIKERT)["score_mean"].outcome == "inconclusive"


def test_mean_of_scores_within_rounding_of_its_bound_is_inconclusive():
    at_bound = summary(e=results(mean=4.000000000000001, variance=0.8, scored=300))
    found = check({"score_mean": ">= 4"}, at_bound, confidence=0.95, score_ranges=LIKERT)["score_mean"]
    assert (found.outcome, found.evaluations_needed) == ("inconclusive", None)


def test_scores_that_are_too_large_to_be_added_up_are_inconclusive():
    days = [window(results(mean=mean, variance=1.0, scored=5_000)) for mean in (1e160, -1e160)]
    now = summary(e=results(mean=0.9, variance=1e200, scored=5_000))
    rules = {"score_mean": ">= -1e300", "max_drop": 0.1}
    found = check(rules, now, baseline=days, confidence=0.95)
    assert found["drop of score_mean"].outcome == "inconclusive"
    large = window(results(mean=0.9, variance=1e200, scored=5_000))
    drop = check(rules, now, baseline=large, confidence=0.95)["drop of score_mean"]
    assert (drop.outcome, drop.measured) == ("inconclusive", 0)


def test_mean_of_ones_on_another_scale_is_no_share():
    ones = summary(e=results(mean=1.0, variance=0.0, scored=100, binary=True))
    found = check({"score_mean": "<= 1.05"}, ones, confidence=0.95, score_ranges=LIKERT)["score_mean"]
    assert (found.outcome, found.low) == ("inconclusive", 1.0)
    assert found.high > 1.1


@pytest.mark.parametrize(
    "figures",
    [
        {"mean": 1.2},
        {"mean": -0.1},
        {"mean": 0.9, "score_min": 0.5, "score_max": 1.5},
        {"mean": 0.9, "score_min": -3.0, "score_max": 1.0},
    ],
)
def test_mean_of_scores_outside_of_the_range_is_inconclusive(figures):
    found = summary(e=results(scored=5_000, **figures))
    result = check({"score_mean": ">= 0.1"}, found, confidence=0.95, score_ranges=UNIT)["score_mean"]
    assert (result.outcome, result.low) == ("inconclusive", None)
    assert result.note
    part = results(mean=0.9, scored=5_000, segments={"free": results(scored=5_000, **figures)})
    rules = {"each_segment": {"score_mean": ">= 0.1"}}
    of_segment = check(rules, summary(e=part), confidence=0.95, score_ranges=UNIT)["score_mean", "free"]
    assert (of_segment.outcome, of_segment.low) == ("inconclusive", None)


def test_drop_from_a_baseline_with_scores_outside_of_the_range_is_inconclusive():
    inside, outside = ({"score_min": 0.1, "score_max": most} for most in (1.0, 1.5))
    days = [window(results(mean=0.9, scored=5_000, **day)) for day in (outside, inside)]
    now = summary(e=results(mean=0.9, scored=5_000, **inside))
    arguments = {"confidence": 0.95, "score_ranges": UNIT}
    for baseline, outcome in ((days, "inconclusive"), (days[1:] * 2, "passed")):
        found = check({"score_mean": ">= 0.1", "max_drop": 0.1}, now, baseline=baseline, **arguments)
        assert found["drop of score_mean"].outcome == outcome


def test_mean_of_a_segment_has_the_range_of_its_evaluator():
    part = results(mean=0.9, variance=0.01, scored=50)
    total = results(mean=0.9, variance=0.01, scored=100, segments={"free": part, "paid": part})
    rules = {"each_segment": {"score_mean": ">= 0.7"}}
    found = check(rules, summary(e=total), confidence=0.95, score_ranges=UNIT)
    assert found["score_mean", "free"].outcome == "passed"
    assert check(rules, summary(e=total), confidence=0.95)["score_mean", "free"].outcome == "inconclusive"


def test_mean_of_zeros_and_ones_is_checked_as_a_share():
    found = summary(e=results(mean=1.0, variance=0.0, scored=30, binary=True))
    result = check({"score_mean": ">= 0.95"}, found, confidence=0.95)["score_mean"]
    assert (result.outcome, result.low) == ("inconclusive", pytest.approx(0.8843, abs=1e-4))


def test_quantile_with_confidence_passes_fails_or_is_inconclusive():
    percentiles = [place / 100 for place in range(101)]
    found = summary(e=results(mean=0.5, scored=1_000, percentiles=percentiles))
    for rule, expected in ((">= 0.4", "passed"), (">= 0.49", "inconclusive"), (">= 0.6", "failed")):
        assert check({"score_p50": rule}, found, confidence=0.95)["score_p50"].outcome == expected
    few = summary(e=results(mean=0.5, scored=20, percentiles=percentiles))
    result = check({"score_p05": ">= 0"}, few, confidence=0.95)["score_p05"]
    assert (result.outcome, result.low) == ("inconclusive", None)


def test_quantile_interval_ends_at_the_scores_of_the_ranks():
    """Of 101 scores, each is a percentile."""
    found = summary(e=results(mean=50.0, scored=101, percentiles=[float(place) for place in range(101)]))
    result = check({"score_p50": ">= 0"}, found, confidence=0.95)["score_p50"]
    low, high = quantile_ranks(0.5, 101, 0.95)
    assert (result.low, result.high) == (low - 1, high - 1)


# -- results that never pass


@pytest.mark.parametrize("complete", [False, None, "true", 1])
def test_incomplete_results_fail_and_unverified_ones_unless_accepted(complete):
    found = summary(e=labels(400)) | {"complete": complete, "expected": 400, "read": 14}
    assert passes({"correct": ">= 0.95"}, found) is False
    assert passes({"correct": ">= 0.95"}, found, accept_unverified=True) is (complete is not False)


def test_summary_without_completeness_fails():
    found = summary(e=labels(400))
    del found["complete"]
    assert passes({"correct": ">= 0.95"}, found) is False


@pytest.mark.parametrize(
    ("read", "expected", "margin"), [(7, 10, -3), (10, 10, 0), (None, 10, None), (7, None, None)]
)
def test_completeness_margin_is_the_number_of_missing_evaluations(read, expected, margin):
    found = summary(e=labels(10)) | {"read": read, "expected": expected}
    assert check({"correct": ">= 0.9"}, found)["complete"].margin == margin


@pytest.mark.parametrize(("errors", "is_passed"), [(0, True), (5, True), (6, False), (None, True)])
def test_error_rate_above_maximum_fails(errors, is_passed):
    found = summary(e=labels(95)) | {"expected": 95, "read": 95, "errors": errors}
    assert passes({"correct": "== 1"}, found, max_error_rate=0.05) is is_passed


def test_error_rate_without_any_success_is_1():
    found = summary(e=labels(1)) | {"expected": 0, "read": 0, "errors": 6}
    assert check({"correct": "== 1"}, found, max_error_rate=0.5)["error_rate"].measured == 1


def test_too_few_evaluations_fail_the_minimum_and_each_rule():
    found = check({"correct": ">= 0.95", "min_evaluated": 200}, summary(e=results(labels={"correct": 3})))
    assert [(found[name].outcome, found[name].margin) for name in ("min_evaluated", "correct")] == [
        ("failed", -197),
        ("failed", pytest.approx(0.05)),
    ]


@pytest.mark.parametrize("found", [summary(), summary(other=labels(9)), summary(e=results(evaluated=0))])
@pytest.mark.parametrize(
    "rules",
    [
        {"correct": ">= 0"},
        {"correct": "<= 1"},
        {"score_mean": ">= -1e9"},
        {"score_mean": "<= 1"},
        {"score_p05": ">= 0"},
        {"min_evaluated": 1},
        {"each_segment": {"correct": ">= 0"}},
    ],
)
def test_evaluator_without_evaluations_fails_rules_that_demand_nothing(rules, found):
    assert passes(rules, found, labels={"e": ["correct"]}) is False


def test_evaluator_without_results_does_not_hide_the_other_one():
    rules = read_rules({"missing": {"correct": ">= 0.9"}, "e": {"correct": ">= 0.9"}})
    failed = [one for one in check_summary(rules, summary(e=labels(50, 50))) if not one.passed]
    assert [(one.evaluator, one.measure, one.margin) for one in failed] == [
        ("missing", "min_evaluated", -1),
        ("e", "correct", pytest.approx(-0.4)),
    ]


def test_rule_on_labels_or_scores_that_do_not_exist_fails():
    no_labels = check({"correct": ">= 0.5"}, summary(e=results(evaluated=10, labels={})))["correct"]
    assert (no_labels.outcome, no_labels.measured, no_labels.evaluations) == ("failed", None, 0)
    for rule in (">= 0", "<= 1"):
        assert not passes({"score_mean": rule}, summary(e=labels(10)))


def test_invalid_score_fails_rules_on_scores_and_not_those_on_labels():
    found = summary(e=labels(90, 10, mean=1.0, scored=99, invalid_scores=1))
    result = check({"score_mean": ">= 0.8", "correct": ">= 0.8", "max_missing": 0.5}, found)
    assert (result["score_mean"].outcome, result["correct"].outcome) == ("failed", "passed")


@pytest.mark.parametrize(
    ("rule", "figures"),
    [
        ({"score_mean": ">= 0.8"}, results(mean=1.0, evaluated=400, scored=1, variance=None)),
        ({"correct": ">= 0.8"}, results(labels={"correct": 1}, evaluated=400)),
    ],
)
def test_evaluations_without_measured_value_over_max_missing_fail(rule, figures):
    [measure] = rule
    for more, expected in (
        ({}, "failed"),
        ({"max_missing": 0.9974}, "failed"),
        ({"max_missing": 0.9975}, "passed"),
        ({"max_missing": 0.9975, "min_evaluated": 2}, "failed"),
    ):
        assert check({**rule, **more}, summary(e=figures))[measure].outcome == expected


@pytest.mark.parametrize(
    ("without", "bound", "expected"), [(10, 0.9, "passed"), (11, 0.9, "failed"), (None, 0.1, "failed")]
)
def test_coverage_below_minimum_or_unknown_fails(without, bound, expected):
    found = summary(e=labels(90) | {"not_evaluated": without})
    assert check({"correct": ">= 0.5", "min_coverage": bound}, found)["min_coverage"].outcome == expected


# -- clusters


def in_clusters(figures, count=30, effect=4.0):
    effects = dict.fromkeys(figures["labels"], effect)
    return figures | {"clusters": {"count": count, "size": 10.0, "labels": effects, "score": effect}}


def test_share_in_clusters_has_the_interval_of_the_effective_number():
    alone = check({"correct": ">= 0.9"}, summary(e=labels(285, 15)), confidence=0.95)["correct"]
    found = check({"correct": ">= 0.9"}, summary(e=in_clusters(labels(285, 15))), confidence=0.95)["correct"]
    size = 300 / 4 * (1.959964 / 2.045230) ** 2
    assert found.effective_evaluations == pytest.approx(size, rel=1e-5)
    assert (found.low, found.high) == pytest.approx(share_interval(0.95 * size, size, 0.95), rel=1e-5)
    assert (alone.outcome, found.outcome) == ("passed", "inconclusive")
    assert (alone.effective_evaluations, found.evaluations) == (300, 300)
    more = in_clusters(labels(*(round(found.evaluations_needed * share) for share in (0.95, 0.05))))
    assert check({"correct": ">= 0.9"}, summary(e=more), confidence=0.95)["correct"].outcome == "passed"


def test_share_without_confidence_ignores_clusters():
    found = check({"correct": ">= 0.9"}, summary(e=in_clusters(labels(285, 15))))["correct"]
    assert (found.outcome, found.effective_evaluations) == ("passed", None)


def test_evaluations_of_one_cluster_are_inconclusive():
    found = check({"correct": ">= 0.1"}, summary(e=in_clusters(labels(300), count=1)), confidence=0.95)
    assert found["correct"].outcome == "inconclusive"
    assert found["correct"].note


def test_mean_in_clusters_has_a_wider_interval():
    figures, rules = results(mean=0.9, variance=0.04, scored=400), {"score_mean": ">= 0.8"}
    arguments = {"confidence": 0.95, "score_ranges": UNIT}
    alone = check(rules, summary(e=figures), **arguments)["score_mean"]
    found = check(rules, summary(e=in_clusters(figures, effect=9.0)), **arguments)["score_mean"]
    fewer = check(rules, summary(e=results(mean=0.9, variance=0.04, scored=40)), **arguments)["score_mean"]
    assert found.low == pytest.approx(fewer.low)
    assert found.low < alone.low
    assert found.outcome == "inconclusive"


def test_mean_without_a_range_needs_1000_effective_scores():
    figures = results(mean=0.9, scored=2_000)
    assert check({"score_mean": ">= 0.8"}, summary(e=figures), confidence=0.95)["score_mean"].passed
    found = check({"score_mean": ">= 0.8"}, summary(e=in_clusters(figures)), confidence=0.95)["score_mean"]
    assert found.outcome == "inconclusive"


def test_drop_in_clusters_may_be_chance():
    now, before = labels(850, 150), labels(950, 50)
    assert drop_of(now, window(before)).outcome == "failed"
    assert drop_of(in_clusters(now, effect=30.0), window(before)).outcome == "passed"
    days = [window(in_clusters(labels(475, 25), effect=30.0)) for _ in range(2)]
    assert drop_of(now, days).outcome == "passed"


@pytest.mark.parametrize(("count", "is_one"), [(60, False), (1, True)])
def test_small_segment_is_not_said_to_be_one_cluster(count, is_one):
    """How many clusters a segment has is unknown: it is estimated by its part of the evaluations."""
    figures = in_clusters(segmented(free=(5, 0), paid=(990, 5)), count=count)
    found = check({"each_segment": {"correct": ">= 0.1"}}, summary(e=figures), confidence=0.95)
    assert found["correct", "free"].outcome == "inconclusive"
    assert (found["correct", "free"].note == ONE_CLUSTER) is is_one


def test_segment_has_the_design_effect_of_all_evaluations():
    parts = segmented(free=(285, 15), paid=(285, 15))
    rules = {"each_segment": {"correct": ">= 0.9"}}
    assert check(rules, summary(e=parts), confidence=0.95)["correct", "free"].outcome == "passed"
    found = check(rules, summary(e=in_clusters(parts, count=60)), confidence=0.95)["correct", "free"]
    alone = check({"correct": ">= 0.9"}, summary(e=in_clusters(labels(285, 15))), confidence=0.95)["correct"]
    assert (found.low, found.high, found.outcome) == (alone.low, alone.high, "inconclusive")


@pytest.mark.parametrize(
    "clusters",
    [
        {"count": -1, "size": 1.0, "labels": {}},
        {"count": 3, "size": 0.5, "labels": {}},
        {"count": 3, "size": 1.0, "labels": {"correct": 0.9}},
        {"count": 3, "size": 1.0, "labels": {"correct": float("inf")}},
    ],
)
def test_clusters_that_are_impossible_are_rejected(clusters):
    with pytest.raises(InvalidInput):
        check({"correct": ">= 0.9"}, summary(e=labels(300, clusters=clusters)), confidence=0.95)


# -- missing evaluations that count as failures

MISSING = {"missing_evaluations": "fail"}


def partial(**counts):
    """900 of 1,000 evaluations have a label, and 50 more items have no evaluation."""
    return results(labels=counts, evaluated=1_000, not_evaluated=50)


@pytest.mark.parametrize(
    ("rule", "measured", "outcome"),
    [
        ({"correct": ">= 0.92"}, 855 / 1_050, "failed"),
        ({"correct": ">= 0.8"}, 855 / 1_050, "passed"),
        ({"incorrect": "<= 0.1"}, (45 + 150) / 1_050, "failed"),
        ({"incorrect": "<= 0.2"}, (45 + 150) / 1_050, "passed"),
        ({"correct": "== 0.95"}, 855 / 1_050, "failed"),
    ],
)
def test_missing_evaluations_count_as_failures(rule, measured, outcome):
    result = check({**rule, **MISSING}, summary(e=partial(correct=855, incorrect=45)), labels=KNOWN)
    [name] = rule
    assert (result[name].measured, result[name].outcome) == (pytest.approx(measured), outcome)
    assert result[name].evaluations == 1_050
    ignored = check({**rule, "max_missing": 0.1}, summary(e=partial(correct=855, incorrect=45)), labels=KNOWN)
    assert ignored[name].evaluations == 900


def test_missing_evaluations_widen_no_interval_but_move_it():
    figures, whole = partial(correct=855, incorrect=45), labels(855, 195)
    found = check({"correct": ">= 0.8", **MISSING}, summary(e=figures), confidence=0.95)["correct"]
    same = check({"correct": ">= 0.8"}, summary(e=whole), confidence=0.95)["correct"]
    assert (found.low, found.high) == (same.low, same.high)


@pytest.mark.parametrize(
    ("rule", "expected"), [(">= 0.5", 0.9 * 900 / 1_050), ("<= 0.5", (810 + 150) / 1_050)]
)
def test_missing_scores_have_the_least_favorable_score(rule, expected):
    figures = results(1_000, mean=0.9, variance=0.01, scored=900, not_evaluated=50)
    found = check({"score_mean": rule, **MISSING}, summary(e=figures), score_ranges=UNIT)["score_mean"]
    assert found.measured == pytest.approx(expected)


def test_missing_evaluations_of_binary_scores_are_zeros():
    figures = results(100, mean=1.0, variance=0.0, scored=90, binary=True)
    found = check(
        {"score_mean": ">= 0.85", **MISSING}, summary(e=figures), score_ranges=UNIT, confidence=0.95
    )["score_mean"]
    assert (found.measured, found.low) == (0.9, pytest.approx(share_interval(90, 100, 0.95).low))


def test_missing_evaluations_do_not_count_towards_the_minimum():
    figures = results(labels={"correct": 10}, not_evaluated=500)
    found = check({"correct": ">= 0.01", "min_evaluated": 11, **MISSING}, summary(e=figures))
    assert found["correct"].outcome == found["min_evaluated"].outcome == "failed"


@pytest.mark.parametrize(
    ("now", "outcome", "drop"),
    [
        (labels(700, 300), "failed", 0.25),
        (labels(700, 300, not_evaluated=100), "failed", 0.25),
        (labels(950, 50, not_evaluated=100), "passed", 0.0),
        (labels(700, 300, not_evaluated=2_500), "passed", 250 / 3_500),
    ],
)
def test_missing_evaluations_of_the_baseline_hide_no_drop(now, outcome, drop):
    rules = {"correct": ">= 0.1", "max_drop": 0.1, **MISSING}
    before = window(labels(950, 50, not_evaluated=2_500))
    result = check(rules, summary(e=now), baseline=before)["drop of correct"]
    assert (result.outcome, result.measured) == (outcome, pytest.approx(drop))


def test_missing_evaluations_count_in_a_drop_in_both_windows():
    rules = {"correct": ">= 0.5", "max_drop": 0.02, **MISSING}
    now, before = labels(900, 0, not_evaluated=100), window(labels(990, 10, not_evaluated=0))
    result = check(rules, summary(e=now), baseline=before)["drop of correct"]
    assert (result.outcome, result.measured) == ("failed", pytest.approx(0.09))
    same = window(labels(900, 0, not_evaluated=100))
    assert check(rules, summary(e=now), baseline=same)["drop of correct"].measured == 0
    assert check({**DROP}, summary(e=now), baseline=before)["drop of correct"].outcome == "passed"


def test_missing_evaluations_of_unknown_number_fail():
    found = check({"correct": ">= 0.5", **MISSING}, summary(e=labels(90, not_evaluated=None)))["correct"]
    assert found.outcome == "failed"
    assert found.note


@pytest.mark.parametrize("confidence", [None, 0.95])
def test_missing_scores_without_a_range_are_rejected(confidence):
    figures = summary(e=results(mean=0.9, scored=90))
    with pytest.raises(InvalidInput):
        check({"score_mean": ">= 0.5", **MISSING}, figures, confidence=confidence)


# -- labels in another spelling


def test_misspelled_label_of_a_rule_fails_with_a_note():
    result = check({"corect": ">= 0.5"}, GOOD)["corect"]
    assert result.outcome == "failed"
    assert result.note
    assert check({"corect": ">= 0"}, GOOD)["corect"].note == ""


def test_label_that_only_a_segment_lacks_has_no_hint_of_a_misspelling():
    rules = {"each_segment": {"correct": ">= 0.5"}}
    found = check(rules, summary(e=segmented(free=(0, 9), paid=(9, 0))))
    assert (found["correct", "free"].outcome, found["correct", "free"].note) == ("failed", "")
    found = check({"each_segment": {"corect": ">= 0.5"}}, summary(e=segmented(free=(0, 9), paid=(9, 0))))
    assert found["corect", "free"].note


def test_label_among_the_known_labels_has_no_hint_of_a_misspelling():
    found = check({"correct": ">= 0.5"}, summary(e=results(labels={"incorrect": 9})), labels=KNOWN)
    assert (found["correct"].outcome, found["correct"].note) == ("failed", "")
    # The evaluator writes its labels in another case.
    found = check({"correct": ">= 0.5"}, summary(e=results(labels={"Correct": 9})), labels=KNOWN)
    assert found["correct"].note


def test_label_that_the_evaluator_does_not_have_is_rejected():
    with pytest.raises(InvalidInput):
        check({"corect": ">= 0.5"}, GOOD, labels=KNOWN)


def test_upper_bound_without_known_labels_is_rejected():
    with pytest.raises(InvalidInput):
        check({"incorrect": "<= 0.05"}, GOOD)
    assert passes({"incorrect": "<= 0.05"}, GOOD, labels=KNOWN)


@pytest.mark.parametrize(
    "figures",
    [
        results(labels={"correct": 90, "Incorrect": 10}),
        results(labels={"correct": 90}, evaluated=100, other_labels=10),
    ],
)
def test_unknown_label_counts_against_an_upper_bound(figures):
    result = check({"incorrect": "<= 0.05"}, summary(e=figures), labels=KNOWN)["incorrect"]
    assert (result.outcome, result.measured) == ("failed", 0.1)


def test_unknown_label_counts_against_a_demanded_share():
    found = summary(e=results(labels={"correct": 90, "Incorrect ": 10}))
    result = check({"correct": "== 1"}, found, labels=KNOWN)["correct"]
    assert (result.outcome, result.measured) == ("failed", 0.9)
    assert not passes({"incorrect": "== 0"}, found, labels=KNOWN)
    others = summary(e=labels(90) | {"other_labels": 10, "evaluated": 100})
    assert not passes({"correct": "== 1"}, others)


# -- baseline


def test_drop_fails_only_beyond_chance():
    before = window(labels(950, 50), run_id="run 1")
    assert drop_of(labels(90, 10), before).outcome == "passed"
    failed = drop_of(labels(870, 130), before)
    assert (failed.outcome, failed.measured) == ("failed", pytest.approx(0.08))
    assert failed.low > 0.02
    assert drop_of(labels(90, 10), before, confidence=0.95).outcome == "inconclusive"
    many = window(labels(95_000, 5_000), run_id="run 1")
    assert drop_of(labels(9_500, 500), many, confidence=0.95).outcome == "passed"


def test_drop_in_the_other_direction_passes():
    result = drop_of(labels(950, 50), window(labels(870, 130)))
    assert (result.outcome, result.measured) == ("passed", pytest.approx(-0.08))


def test_drop_of_two_measures_is_checked_for_each():
    rules = {"correct": ">= 0.5", "score_mean": ">= 0.1", "score_p05": ">= 0", "max_drop": 0.02}
    percentiles = [0.5] * 101
    before = window(labels(950, 50, mean=0.9, percentiles=percentiles))
    found = check(rules, summary(e=labels(940, 60, mean=0.5, percentiles=percentiles)), baseline=before)
    outcomes = {name: one.outcome for name, one in found.items() if str(name).startswith("drop")}
    assert outcomes == {"drop of correct": "passed", "drop of score_mean": "failed"}


def test_drop_of_the_mean_without_a_range_has_welchs_interval():
    rules = {"score_mean": ">= 0.1", "max_drop": 0.0}
    now = summary(e=results(mean=0.7, scored=1_000))
    result = check(rules, now, baseline=window(results(mean=0.9, scored=1_000)))["drop of score_mean"]
    assert (result.outcome, result.low) == ("failed", pytest.approx(0.18246, abs=1e-4))
    few = check(rules, now, baseline=window(results(mean=0.9, scored=900)))["drop of score_mean"]
    assert few.outcome == "inconclusive"


def test_drop_of_the_mean_with_a_range_is_decided_with_fewer_scores():
    rules = {"score_mean": ">= 0.1", "max_drop": 0.0}
    now, before = summary(e=results(mean=0.5, scored=50)), window(results(mean=0.9, scored=50))
    result = check(rules, now, baseline=before, score_ranges=UNIT)["drop of score_mean"]
    assert (result.outcome, result.measured) == ("failed", pytest.approx(0.4))
    assert check(rules, now, baseline=before)["drop of score_mean"].outcome == "inconclusive"


def test_drop_interval_of_shares_needs_zeros_and_ones_in_both_windows():
    def interval(before, now):
        return drop_interval(
            Threshold.read("e", "score_mean", ">= 0.1"),
            before=EvaluatorSummary.read("e", before),
            now=EvaluatorSummary.read("e", now),
            scale=Scale(),
            confidence=0.95,
        )

    binary = [
        results(mean=mean, scored=1_000, binary=True, variance=mean * (1 - mean)) for mean in (0.9, 0.7)
    ]
    other = [figures | {"score_is_binary": False} for figures in binary]
    welch = interval(*other)
    of_one, of_other = (share_interval(count, 1_000, 0.95) for count in (900, 700))
    assert interval(*binary) == difference(0.9, of_one, 0.7, of_other) != welch
    assert interval(binary[0], other[1]) == interval(other[0], binary[1]) == welch


def test_baseline_of_several_windows_is_added_up():
    days = [window(labels(95, 5), run_id=f"day {day}") for day in range(10)]
    result = drop_of(labels(870, 130), days)
    one = drop_of(labels(870, 130), window(labels(950, 50)))
    assert (result.outcome, result.low, result.measured) == ("failed", one.low, one.measured)


@pytest.mark.parametrize("baseline", [None, [], [None], {"evaluators": {}}, window(results(evaluated=0))])
def test_baseline_without_evaluations_is_inconclusive(baseline):
    result = drop_of(labels(400), baseline)
    assert (result.outcome, result.measured) == ("inconclusive", None)
    assert not passes(DROP, summary(e=labels(400)), baseline=baseline)


@pytest.mark.parametrize(
    ("complete", "outcome"), [(False, "inconclusive"), (True, "passed"), (None, "passed")]
)
def test_baseline_that_is_incomplete_is_inconclusive(complete, outcome):
    days = [
        window(labels(400), run_id="1", complete=True),
        window(labels(400), run_id="2", complete=complete),
    ]
    assert drop_of(labels(400), days).outcome == outcome


def test_baseline_below_the_minimum_is_inconclusive():
    rules = {**DROP, "min_evaluated": 50}
    found = check(rules, summary(e=labels(400)), baseline=window(labels(49)))
    assert found["drop of correct"].outcome == "inconclusive"


def test_drop_without_evaluations_now_fails():
    assert drop_of(results(evaluated=0), window(labels(95, 5))).outcome == "failed"


def test_baseline_within_the_summary_is_used_unless_another_is_given():
    found = summary(e=labels(870, 130)) | {"baseline": window(labels(950, 50))}
    assert check(DROP, found)["drop of correct"].outcome == "failed"
    given = check(DROP, found, baseline=window(labels(870, 130)))["drop of correct"]
    assert given.outcome == "passed"


def test_baseline_that_is_not_a_summary_is_rejected():
    with pytest.raises(InvalidInput):
        drop_of(labels(10), {"labels": {}})


WINDOW = {"data_start_time": "2026-01-01T00:00:00Z", "data_end_time": "2026-01-02T00:00:00Z"}


def of_task(task_id, figures, **more):
    return summary(e=figures) | WINDOW | {"run_id": None, "online_task_id": task_id} | more


def measured_drop(found, baseline):
    return check(DROP, found, baseline=baseline)["drop of correct"].measured


def test_baseline_of_another_task_over_same_window_is_compared():
    baseline = of_task("other", labels(950, 50))
    assert measured_drop(of_task("mine", labels(870, 130)), baseline) == pytest.approx(0.08)


def test_baseline_of_same_task_over_another_window_is_compared():
    baseline = of_task("mine", labels(950, 50), data_start_time="2025-12-31T00:00:00Z")
    assert measured_drop(of_task("mine", labels(870, 130)), baseline) == pytest.approx(0.08)


def test_baseline_of_same_task_and_window_is_ignored():
    for run_id in (None, "another run"):
        baseline = of_task("mine", labels(950, 50), run_id=run_id)
        assert measured_drop(of_task("mine", labels(870, 130)), baseline) is None


def test_baseline_of_same_run_is_ignored():
    found = summary(e=labels(870, 130))
    assert measured_drop(found, [dict(found)]) is None


def test_baseline_of_two_summaries_leaves_out_only_the_same_window():
    same, other = of_task("mine", labels(0, 1_000)), of_task("other", labels(950, 50))
    for baseline in ([same, other], [other, same, None]):
        assert measured_drop(of_task("mine", labels(870, 130)), baseline) == pytest.approx(0.08)


def test_baseline_with_renamed_label_is_inconclusive():
    now = labels(700, 300)
    renamed = results(labels={"right": 950, "wrong": 50})
    mixed = results(labels={"right": 900, "correct": 50, "wrong": 50})
    assert drop_of(now, window(renamed)).outcome == "inconclusive"
    # With some evaluations of the new name, only all labels of the evaluator show the change.
    assert drop_of(now, window(mixed), labels=KNOWN).outcome == "inconclusive"
    assert drop_of(now, window(labels(950, 50)), labels=KNOWN).outcome == "failed"


# -- segments


def segmented(**parts):
    total = {"correct": 0, "incorrect": 0}
    for correct, incorrect in parts.values():
        total["correct"] += correct
        total["incorrect"] += incorrect
    return results(labels=total, segments={name: labels(*counts) for name, counts in parts.items()})


def test_segment_rule_finds_the_bad_segment_behind_a_good_total():
    rules = {"correct": ">= 0.9", "each_segment": {"correct": ">= 0.9", "min_evaluated": 20}}
    found = check(rules, summary(e=segmented(paid=(1_000, 10), free=(20, 20))))
    assert found["correct"].outcome == "passed"
    assert found["correct", "paid"].outcome == "passed"
    assert found["correct", "free"].outcome == "failed"


@pytest.mark.parametrize("confidence", [None, 0.95])
@pytest.mark.parametrize("free", [(3, 0), (0, 3)])
def test_segment_with_too_few_evaluations_is_inconclusive(confidence, free):
    rules = {"each_segment": {"correct": ">= 0.9", "min_evaluated": 20}}
    found = check(rules, summary(e=segmented(paid=(1_000, 10), free=free)), confidence=confidence)
    assert found["min_evaluated", "free"].outcome == found["correct", "free"].outcome == "inconclusive"
    assert found["min_evaluated", "paid"].outcome == found["correct", "paid"].outcome == "passed"


@pytest.mark.parametrize("figures", [labels(400), segmented(**{"(none)": (400, 0)})])
def test_segment_rule_without_segments_fails(figures):
    result = check({"each_segment": {"correct": ">= 0.9"}}, summary(e=figures))["segments"]
    assert (result.outcome, result.margin) == ("failed", -1)


def test_segment_that_is_required_and_missing_fails():
    rules = {"each_segment": {"correct": ">= 0.9", "segments": ["free", "paid"], "min_evaluated": 5}}
    assert passes(rules, summary(e=segmented(free=(100, 0), paid=(100, 0))))
    for parts in ({"free": (100, 0)}, {"free": (100, 0), "(other)": (50, 0)}):
        found = check(rules, summary(e=segmented(**parts)))
        assert (found["min_evaluated", "paid"].outcome, found["min_evaluated", "paid"].margin) == (
            "failed",
            -5,
        )


def test_segments_pass_at_the_confidence_of_the_gate():
    rules = {"each_segment": {"correct": ">= 0.85"}}
    parts = {f"part {number}": (30, 0) for number in range(20)}
    found = check(rules, summary(e=segmented(**parts)), confidence=0.95)
    assert {found["correct", part].outcome for part in parts} == {"passed"}


def test_segment_that_fails_among_ten_has_the_corrected_interval():
    rules = {"each_segment": {"correct": ">= 0.9"}}
    parts = {f"part {number}": (100, 0) for number in range(9)}
    single = check({"correct": ">= 0.9"}, summary(e=labels(83, 17)), confidence=0.995)["correct"]
    for counts, outcome in (((83, 17), "inconclusive"), ((70, 30), "failed")):
        alone = check({"correct": ">= 0.9"}, summary(e=labels(*counts)), confidence=0.95)["correct"]
        assert alone.outcome == "failed"
        among = check(rules, summary(e=segmented(bad=counts, **parts)), confidence=0.95)["correct", "bad"]
        assert among.outcome == outcome
        if counts == (83, 17):
            assert (among.low, among.high) == (single.low, single.high)


def test_segments_that_fail_share_the_confidence_between_two_rules():
    part = labels(40, 60, mean=0.9, scored=100)
    total = results(
        labels={"correct": 80, "incorrect": 120}, mean=0.9, scored=200, segments={"free": part, "paid": part}
    )
    rules = {"each_segment": {"correct": ">= 0.9", "score_mean": ">= 0.1"}}

    found = check(rules, summary(e=total), confidence=0.95)

    single = check({"correct": ">= 0.9"}, summary(e=labels(40, 60)), confidence=1 - 0.05 / 4)["correct"]
    for segment in ("free", "paid"):
        assert (found["correct", segment].low, found["correct", segment].high) == (single.low, single.high)


def test_segment_rules_leave_the_confidence_of_other_rules_unchanged():
    rules = {"correct": ">= 0.9", "each_segment": {"correct": ">= 0.9"}}
    parts = {f"part {number}": (96, 4) for number in range(10)}
    found = check(rules, summary(e=segmented(**parts)), confidence=0.95)["correct"]
    single = check({"correct": ">= 0.9"}, summary(e=labels(960, 40)), confidence=0.95)["correct"]
    assert (found.low, found.high) == (single.low, single.high)


def test_segment_rule_counts_unknown_labels_against_an_upper_bound():
    segment = results(labels={"correct": 90, "Incorrect": 10})
    total = results(labels={"correct": 90, "Incorrect": 10}, segments={"free": segment})
    rules = {"each_segment": {"incorrect": "<= 0.05"}}
    assert check(rules, summary(e=total), labels=KNOWN)["incorrect", "free"].measured == 0.1


# -- two evaluators and large samples


def test_labels_of_two_evaluators_are_kept_apart():
    known = {"e": ["correct", "incorrect"], "f": ["polite", "rude"]}
    rules = read_rules({"e": {"incorrect": "<= 0.5"}, "f": {"rude": "<= 0.5"}})
    found = summary(e=labels(90, 10), f=results(labels={"polite": 90, "rude": 4, "Rude": 6}))
    for listed in (known, dict(reversed(known.items()))):
        measured = {one.measure: one.measured for one in check_summary(rules, found, labels=listed)}
        assert (measured["incorrect"], measured["rude"]) == (0.1, 0.1)


def test_mean_of_zeros_and_ones_counts_the_ones_exactly():
    for ones in range(101):
        found = summary(e=results(mean=ones / 100, variance=0.1, scored=100, binary=True))
        result = check({"score_mean": ">= 0.1"}, found, confidence=0.95)["score_mean"]
        assert (result.low, result.high) == share_interval(ones, 100, 0.95)


def test_quantile_of_sampled_scores_has_interval_of_sample():
    percentiles = [place / 100 for place in range(101)]
    of_sample, of_more = (
        check(
            {"score_p50": ">= 0"},
            summary(e=results(mean=0.5, scored=scored, percentiles=percentiles)),
            confidence=0.999999,
        )["score_p50"]
        for scored in (10_000, 1_000_000)
    )
    assert (of_more.low, of_more.high) == (of_sample.low, of_sample.high) == (0.47, 0.53)
    assert of_more.evaluations == 1_000_000
