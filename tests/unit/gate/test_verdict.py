"""What a gate makes of numbers: held, broken or undecided; and that nothing passes which was not judged."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.gate.evidence import Evidence
from airflow_provider_online_tasks.gate.intervals import Interval, quantile_ranks, share_difference
from airflow_provider_online_tasks.gate.report import html_table, markdown_table, text_table
from airflow_provider_online_tasks.gate.rules import Threshold, read_rules
from airflow_provider_online_tasks.gate.samples import difference, evaluations_for_drop
from airflow_provider_online_tasks.gate.verdict import decide, judge, verdict
from tests.support.summaries import results, summary


def find(rules, found, **kwargs):
    """The findings by measure and segment, of one evaluator."""
    findings = judge(read_rules({"e": rules}), found, **kwargs)
    return {(one.measure, one.segment) if one.segment else one.measure: one for one in findings}


def labels(correct, incorrect, **more):
    return results(labels={"correct": correct, "incorrect": incorrect}, **more)


@pytest.mark.parametrize(
    ("correct", "incorrect", "rule", "expected"),
    [
        (300, 0, ">= 0.95", "passed"),
        (30, 0, ">= 0.95", "inconclusive"),
        (294, 6, ">= 0.95", "passed"),
        (29, 1, ">= 0.95", "inconclusive"),
        (69, 29, ">= 0.7", "inconclusive"),
        (240, 60, ">= 0.95", "failed"),
        (0, 30, "> 0.5", "failed"),
        (6, 294, "<= 0.05", "passed"),
        (60, 240, "< 0.05", "failed"),
        (100, 0, "== 1", "passed"),
        (99, 1, "== 1", "failed"),
        (0, 100, "== 0", "passed"),
    ],
)
def test_with_confidence_a_rule_is_held_broken_or_undecided(correct, incorrect, rule, expected):
    found = summary(e=labels(correct, incorrect))
    finding = find({"correct": rule}, found, confidence=0.95, labels={"e": ["correct", "incorrect"]})[
        "correct"
    ]
    assert finding.outcome == expected
    if expected == "inconclusive":
        assert finding.evaluations_needed > correct + incorrect
        assert finding.low < float(rule.split()[1]) < finding.high


def test_an_undecided_rule_passes_only_if_that_is_said():
    found = judge(read_rules({"e": {"correct": ">= 0.95"}}), summary(e=labels(30, 0)), confidence=0.95)
    assert verdict(found)["passed"] is False
    assert verdict(found)["outcome"] == "inconclusive"
    assert verdict(found, on_inconclusive="skip")["passed"] is False
    assert verdict(found, on_inconclusive="pass")["passed"] is True
    told = text_table(found)
    assert "0.8843 to 1" in told
    assert "evaluations needed" in told


def test_the_table_shows_an_interval_a_half_and_none():
    found = find({"correct": ">= 0.95"}, summary(e=labels(30, 0)), confidence=0.95)["correct"]
    ends = [(0.25, None), (None, 0.75), (None, None)]
    shown = text_table([found, *(replace(found, low=low, high=high) for low, high in ends)])
    assert [re.split(r"\s{2,}", line)[4] for line in shown.splitlines()[2:]] == [
        "0.8843 to 1",
        "0.25 to ?",
        "? to 0.75",
        "-",
    ]


def test_a_broken_rule_outweighs_an_undecided_one():
    rules = read_rules({"e": {"correct": ">= 0.95", "min_evaluated": 31}})
    found = judge(rules, summary(e=labels(30, 0)), confidence=0.95)
    assert verdict(found, on_inconclusive="pass") | {"rules": []} == {
        "passed": False,
        "outcome": "failed",
        "rules": [],
    }


def test_a_mean_has_an_interval_of_student():
    scores = results(mean=0.83, variance=0.04, scored=100)
    finding = find({"score_mean": ">= 0.8"}, summary(e=scores), confidence=0.95)["score_mean"]
    assert (finding.low, finding.high) == pytest.approx((0.79032, 0.86968), abs=1e-5)
    assert finding.outcome == "inconclusive"
    more = results(mean=0.83, variance=0.04, scored=finding.evaluations_needed)
    assert find({"score_mean": ">= 0.8"}, summary(e=more), confidence=0.95)["score_mean"].outcome == "passed"


@pytest.mark.parametrize(
    ("scores", "why"),
    [
        (results(mean=0.9, variance=0.01, scored=19), "needs 20 scores"),
        (results(mean=0.9, variance=0.0, scored=500), "all scores are the same"),
        (results(mean=0.9, variance=None, scored=1), "needs 20 scores"),
    ],
)
def test_a_mean_whose_spread_is_not_known_is_undecided(scores, why):
    finding = find({"score_mean": ">= 0.1"}, summary(e=scores), confidence=0.95)["score_mean"]
    assert finding.outcome == "inconclusive"
    assert why in finding.note


def test_twenty_scores_are_enough_for_an_interval_of_the_mean():
    few, enough = (
        find({"score_mean": ">= 0.1"}, summary(e=results(mean=0.9, scored=number)), confidence=0.95)
        for number in (19, 20)
    )
    assert (few["score_mean"].low, few["score_mean"].outcome) == (None, "inconclusive")
    assert (enough["score_mean"].low, enough["score_mean"].outcome) == (
        pytest.approx(0.8064, abs=1e-4),
        "passed",
    )


def test_scores_of_0_and_1_are_a_share_so_that_all_ones_are_no_certainty():
    scores = results(mean=1.0, variance=0.0, scored=30, binary=True)
    finding = find({"score_mean": ">= 0.95"}, summary(e=scores), confidence=0.95)["score_mean"]
    assert finding.outcome == "inconclusive"
    assert finding.low == pytest.approx(0.8843, abs=1e-4)


def test_a_quantile_is_held_or_broken_by_the_order_of_the_scores():
    percentiles = [place / 100 for place in range(101)]
    found = summary(e=results(mean=0.5, scored=1_000, percentiles=percentiles))

    def verdict_of(rule):
        return find({"score_p50": rule}, found, confidence=0.95)["score_p50"].outcome

    assert [verdict_of(rule) for rule in (">= 0.4", ">= 0.49", ">= 0.6")] == [
        "passed",
        "inconclusive",
        "failed",
    ]
    few = summary(e=results(mean=0.5, scored=20, percentiles=percentiles))
    finding = find({"score_p05": ">= 0"}, few, confidence=0.95)["score_p05"]
    assert (finding.outcome, finding.low) == ("inconclusive", None)


def test_the_interval_of_a_quantile_is_that_of_its_ranks():
    """Of 101 scores each is a percentile, so the interval ends at the scores of the ranks themselves."""
    found = summary(e=results(mean=50.0, scored=101, percentiles=[float(place) for place in range(101)]))
    finding = find({"score_p50": ">= 0"}, found, confidence=0.95)["score_p50"]
    low, high = quantile_ranks(0.5, 101, 0.95)
    assert (finding.low, finding.high) == (low - 1, high - 1)


@pytest.mark.parametrize(
    ("comparison", "at_low", "at_high"),
    [
        (">=", "passed", "inconclusive"),
        (">", "inconclusive", "failed"),
        ("<=", "inconclusive", "passed"),
        ("<", "failed", "inconclusive"),
    ],
)
def test_an_interval_that_ends_at_the_bound(comparison, at_low, at_high):
    assert decide(comparison, Interval(0.5, 0.9), 0.5) == at_low
    assert decide(comparison, Interval(0.1, 0.5), 0.5) == at_high


# -- nothing passes that was not judged


@pytest.mark.parametrize("complete", [False, None, "true", 1])
def test_results_that_are_not_whole_do_not_pass(complete):
    found = summary(e=labels(400, 0)) | {"complete": complete, "expected": 400, "read": 14}
    findings = judge(read_rules({"e": {"correct": ">= 0.95"}}), found)
    assert verdict(findings)["passed"] is False
    accepted = judge(read_rules({"e": {"correct": ">= 0.95"}}), found, accept_unverified=True)
    assert verdict(accepted)["passed"] is (complete is not False)


def test_items_whose_evaluation_failed_were_not_judged():
    found = summary(e=labels(94, 0)) | {"expected": 94, "read": 94, "errors": 6}
    rules = read_rules({"e": {"correct": "== 1"}})
    assert verdict(judge(rules, found, max_error_rate=0.05))["passed"] is False
    assert verdict(judge(rules, found, max_error_rate=0.06))["passed"] is True


def test_a_summary_without_a_word_on_completeness_does_not_pass():
    found = summary(e=labels(400, 0))
    del found["complete"]
    assert verdict(judge(read_rules({"e": {"correct": ">= 0.95"}}), found))["passed"] is False


def test_scores_that_are_no_numbers_break_the_rules_on_scores():
    found = summary(e=results(mean=1.0, variance=0.0, evaluated=100, scored=99, invalid_scores=1))
    finding = find({"score_mean": ">= 0.8", "max_missing": 0.5}, found)["score_mean"]
    assert finding.outcome == "failed"
    assert "1 scores are no finite numbers" in finding.note


@pytest.mark.parametrize(
    ("rule", "figures"),
    [
        ({"score_mean": ">= 0.8"}, results(mean=1.0, evaluated=400, scored=1, variance=None)),
        ({"correct": ">= 0.8"}, results(labels={"correct": 1}, evaluated=400)),
    ],
)
def test_evaluations_that_lack_what_the_rule_measures_break_it(rule, figures):
    [measure] = rule
    finding = find(rule, summary(e=figures))[measure]
    assert finding.outcome == "failed"
    what = "score" if measure.startswith("score") else "label"
    assert f"399 of 400 evaluations carry no {what};" in finding.note
    assert find({**rule, "max_missing": 0.9975}, summary(e=figures))[measure].outcome == "passed"
    strict = {**rule, "max_missing": 0.9975, "min_evaluated": 2}
    assert find(strict, summary(e=figures))[measure].outcome == "failed"


def test_a_label_in_another_spelling_counts_against_an_upper_bound():
    known = {"e": ["correct", "incorrect"]}
    found = summary(e=results(labels={"correct": 90, "Incorrect": 10}))
    finding = find({"incorrect": "<= 0.05"}, found, labels=known)["incorrect"]
    assert (finding.outcome, finding.measured) == ("failed", 0.1)
    assert "not known" in finding.note
    crowd = summary(e=results(labels={"correct": 90}, evaluated=100, other_labels=10, labelled=100))
    assert find({"incorrect": "<= 0.05"}, crowd, labels=known)["incorrect"].outcome == "failed"


def test_an_evaluator_without_results_hides_no_other():
    rules = read_rules({"missing": {"correct": ">= 0.9"}, "e": {"correct": ">= 0.9"}})
    found = judge(rules, summary(e=labels(50, 50)))
    broken = [one for one in found if not one.passed]
    assert [(one.evaluator, one.measure, one.outcome) for one in broken] == [
        ("missing", "min_evaluated", "failed"),
        ("e", "correct", "failed"),
    ]
    assert broken[0].margin == -1


@pytest.mark.parametrize(
    ("read", "expected", "margin"), [(7, 10, -3), (10, 10, 0), (None, 10, None), (7, None, None)]
)
def test_what_is_missing_is_the_margin_of_completeness(read, expected, margin):
    found = summary(e=labels(10, 0)) | {"read": read, "expected": expected}
    assert judge(read_rules({"e": {"correct": ">= 0.9"}}), found)[0].margin == margin


@pytest.mark.parametrize(
    "broken",
    [
        {"evaluated": math.nan},
        {"evaluated": -1},
        {"evaluated": True},
        {"evaluated": "400"},
        {"labels": None},
        {"labels": {"correct": {"count": 0.5}}},
        {"labels": {"correct": {"count": 401}}},
        {"scored": 401, "score_mean": 0.9, "score_variance": 0.1},
        {"scored": 400, "score_mean": -0.1, "score_variance": 0.1, "score_is_binary": True},
        {"scored": 400, "score_mean": 1.1, "score_variance": 0.1, "score_is_binary": True},
        {"segments": [1]},
        {"score_percentiles": [1.0]},
        {"score_mean": 0.5, "scored": 10, "score_variance": -1},
    ],
)
def test_a_summary_whose_figures_are_none_is_refused(broken):
    figures = labels(400, 0) | broken
    with pytest.raises(InvalidInput, match=r"cannot be read"):
        judge(read_rules({"e": {"correct": ">= 0.95"}}), summary(e=figures))


@pytest.mark.parametrize("mean", [math.nan, math.inf, True, "0.9", None])
def test_a_mean_that_is_no_number_is_nothing_to_measure(mean):
    figures = results(mean=0.9, scored=400) | {"score_mean": mean}
    finding = find({"score_mean": ">= 0.8"}, summary(e=figures))["score_mean"]
    assert finding.outcome == "failed"


# -- baseline


def test_a_drop_is_broken_only_beyond_chance():
    rules = {"correct": ">= 0.5", "max_drop": 0.02}
    before = summary(e=labels(950, 50)) | {"run_id": "run 1"}
    held = find(rules, summary(e=labels(90, 10)), baseline=before)["drop of correct"]
    assert (held.outcome, held.evaluations_needed) == ("passed", None)
    dropped = find(rules, summary(e=labels(870, 130)), baseline=before)["drop of correct"]
    assert (dropped.outcome, dropped.measured) == ("failed", pytest.approx(0.08))
    assert dropped.low > 0.02
    sure = find(rules, summary(e=labels(90, 10)), baseline=before, confidence=0.95)["drop of correct"]
    assert sure.outcome == "inconclusive"
    assert sure.evaluations_needed > 100
    plenty = {"run_id": "run 1", "evaluators": {"e": labels(95_000, 5_000)}}
    same = find(rules, summary(e=labels(9_500, 500)), baseline=plenty, confidence=0.95)
    assert same["drop of correct"].outcome == "passed"


def test_a_drop_of_the_mean_is_welchs():
    rules = {"score_mean": ">= 0.1", "max_drop": 0.0}
    before = {"evaluators": {"e": results(mean=0.9, scored=400)}}
    found = find(rules, summary(e=results(mean=0.7, scored=400)), baseline=before)["drop of score_mean"]
    assert (found.outcome, found.low) == ("failed", pytest.approx(0.17224, abs=1e-4))
    few = {"evaluators": {"e": results(mean=0.9, scored=10)}}
    found = find(rules, summary(e=results(mean=0.7, scored=400)), baseline=few)["drop of score_mean"]
    assert found.outcome == "inconclusive"


def test_only_two_windows_of_scores_0_and_1_are_compared_as_shares():
    def interval(was, is_now):
        return difference(
            Threshold.read("e", "score_mean", ">= 0.1"),
            before=Evidence.read("e", was),
            now=Evidence.read("e", is_now),
            known=None,
            confidence=0.95,
        )

    binary = [results(mean=mean, scored=400, binary=True, variance=mean * (1 - mean)) for mean in (0.9, 0.7)]
    other = [each | {"score_is_binary": False} for each in binary]
    welch = interval(*other)
    assert interval(*binary) == share_difference((360, 400), (280, 400), 0.95) != welch
    assert interval(binary[0], other[1]) == interval(other[0], binary[1]) == welch


def test_several_earlier_summaries_are_one_baseline():
    rules = {"correct": ">= 0.5", "max_drop": 0.02}
    days = [{"run_id": f"day {day}", "evaluators": {"e": labels(95, 5)}} for day in range(10)]
    found = find(rules, summary(e=labels(870, 130)), baseline=days)["drop of correct"]
    assert found.outcome == "failed"
    assert "of 1000" in found.note


@pytest.mark.parametrize("baseline", [None, [], {"evaluators": {}}, "itself"])
def test_without_an_earlier_result_a_drop_is_undecided_and_does_not_pass(baseline):
    found = summary(e=labels(400, 0))
    finding = find(
        {"correct": ">= 0.5", "max_drop": 0.02}, found, baseline=found if baseline == "itself" else baseline
    )["drop of correct"]
    assert finding.outcome == "inconclusive"
    assert "no earlier result" in finding.note


def test_a_rule_on_labels_rests_on_none_where_none_were_given():
    found = find({"correct": ">= 0.5"}, summary(e=results(evaluated=10, labels={})))["correct"]
    assert (found.outcome, found.measured, found.evaluations) == ("failed", None, 0)


def test_nothing_measured_now_is_no_small_drop():
    before = {"evaluators": {"e": labels(95, 5)}}
    found = find({"correct": ">= 0.5", "max_drop": 0.02}, summary(e=results(evaluated=0)), baseline=before)
    assert found["drop of correct"].outcome == "failed"


def test_another_judge_is_named_and_not_compared_unless_allowed():
    def by(version, *counts):
        return labels(*counts, evaluator_versions=[{"evaluator_id": "E", "evaluator_version_id": version}])

    rules = {"correct": ">= 0.5", "max_drop": 0.02}
    before = {"evaluators": {"e": by("v1", 950, 50)}}
    found = find(rules, summary(e=by("v2", 950, 50)), baseline=before)["drop of correct"]
    assert found.outcome == "failed"
    assert "evaluator_version_id: v1" in found.note
    assert "evaluator_version_id: v2" in found.note
    allowed = find(rules, summary(e=by("v2", 950, 50)), baseline=before, across_evaluator_versions=True)
    assert allowed["drop of correct"].outcome == "passed"
    assert "evaluator_version_id: v2" in allowed["drop of correct"].note
    same = find(rules, summary(e=by("v1", 950, 50)), baseline=before)["drop of correct"]
    assert (same.outcome, "evaluator version" in same.note) == ("passed", False)
    mixed = by("v1", 950, 50) | {
        "evaluator_versions": [{"evaluator_version_id": "v1"}, {"evaluator_version_id": "v2"}]
    }
    assert find(rules, summary(e=mixed), baseline=before)["drop of correct"].outcome == "failed"


# -- segments


def segmented(**parts):
    total = {"correct": 0, "incorrect": 0}
    for correct, incorrect in parts.values():
        total["correct"] += correct
        total["incorrect"] += incorrect
    return results(labels=total, segments={name: labels(*counts) for name, counts in parts.items()})


def test_rules_for_each_segment_find_the_bad_one_behind_a_good_total():
    rules = {"correct": ">= 0.9", "each_segment": {"correct": ">= 0.9", "min_evaluated": 20}}
    found = find(rules, summary(e=segmented(paid=(1_000, 10), free=(20, 20))))
    assert found["correct"].outcome == "passed"
    assert found["correct", "paid"].outcome == "passed"
    assert found["correct", "free"].outcome == "failed"
    assert "correct [free]" in text_table(list(found.values()))


def test_a_segment_with_too_few_evaluations_does_not_pass():
    rules = {"each_segment": {"correct": ">= 0.9", "min_evaluated": 20}}
    found = find(rules, summary(e=segmented(paid=(1_000, 10), free=(3, 0))))
    assert found["min_evaluated", "free"].outcome == "failed"


def test_results_without_segments_break_rules_for_segments():
    found = find({"each_segment": {"correct": ">= 0.9"}}, summary(e=labels(400, 0)))
    assert (found["segments"].outcome, found["segments"].margin) == ("failed", -1)
    assert "group_by" in found["segments"].note


def test_the_confidence_is_shared_among_the_segments():
    """Ten segments, each asked for as much as one alone: the interval of each is wider."""
    rules = {"each_segment": {"correct": ">= 0.9"}}
    alone = find(rules, summary(e=segmented(one=(96, 4))), confidence=0.95)["correct", "one"]
    parts = {f"part {number}": (96, 4) for number in range(10)}
    among = find(rules, summary(e=segmented(**parts)), confidence=0.95)["correct", "part 0"]
    assert (alone.outcome, among.outcome) == ("passed", "inconclusive")
    single = find({"correct": ">= 0.9"}, summary(e=labels(96, 4)), confidence=0.995)["correct"]
    assert (among.low, among.high) == (single.low, single.high)


def test_what_others_wrote_is_escaped_in_markdown_and_html():
    found = judge(
        read_rules({"<b>e</b>|[x](y)": {"ok": ">= 0.5"}}), summary(**{"<b>e</b>|[x](y)": labels(1, 1)})
    )
    assert "<b>" not in html_table(found)
    assert "&lt;b&gt;" in html_table(found)
    assert r"\<b\>e\</b\>\|\[x\]\(y\)" in markdown_table(found)


@pytest.mark.parametrize(
    ("bound", "needed"),
    [
        (0.84, 278),  # the lower end is 0.1 away, the bound 0.06: (0.1 / 0.06)² times as many
        (0.96, 70),  # the upper end is 0.05 away
        (0.9, None),  # no number decides what is measured at its bound
    ],
)
def test_how_many_evaluations_decide_a_drop(bound, needed):
    assert evaluations_for_drop(100, 0.9, Interval(0.8, 0.95), bound) == needed


# -- two of a thing

WINDOW = {"data_start_time": "2026-01-01T00:00:00Z", "data_end_time": "2026-01-02T00:00:00Z"}
DROP = {"correct": ">= 0.5", "max_drop": 0.02}


def of_task(task_id, figures, **more):
    return summary(e=figures) | WINDOW | {"run_id": None, "online_task_id": task_id} | more


def test_baseline_of_another_task_over_same_window_is_compared():
    baseline = of_task("other", labels(950, 50))
    assert find(DROP, of_task("mine", labels(870, 130)), baseline=baseline)["drop of correct"].measured == (
        pytest.approx(0.08)
    )


def test_baseline_of_same_task_over_another_window_is_compared():
    baseline = of_task("mine", labels(950, 50), data_start_time="2025-12-31T00:00:00Z")
    found = find(DROP, of_task("mine", labels(870, 130)), baseline=baseline)["drop of correct"]
    assert found.measured == pytest.approx(0.08)


def test_baseline_of_same_task_and_window_is_ignored():
    baseline = of_task("mine", labels(950, 50))
    found = find(DROP, of_task("mine", labels(870, 130)), baseline=baseline)["drop of correct"]
    assert (found.outcome, found.measured) == ("inconclusive", None)


def test_baseline_of_two_summaries_leaves_out_only_the_same_window():
    same, other = of_task("mine", labels(0, 1_000)), of_task("other", labels(950, 50))
    for baseline in ([same, other], [other, same, None]):
        found = find(DROP, of_task("mine", labels(870, 130)), baseline=baseline)["drop of correct"]
        assert found.measured == pytest.approx(0.08)


def test_baseline_of_zero_evaluations_is_inconclusive():
    baseline = of_task("other", results(evaluated=0))
    found = find(DROP, of_task("mine", labels(870, 130)), baseline=baseline)["drop of correct"]
    assert found.outcome == "inconclusive"


def test_segment_intervals_with_two_rules_share_the_confidence():
    part = labels(96, 4, mean=0.9, scored=100)
    segments = {"free": part, "paid": part}
    total = results(labels={"correct": 192, "incorrect": 8}, mean=0.9, scored=200, segments=segments)
    rules = {"each_segment": {"correct": ">= 0.5", "score_mean": ">= 0.1"}}

    found = find(rules, summary(e=total), confidence=0.95)

    single = find({"correct": ">= 0.5"}, summary(e=labels(96, 4)), confidence=1 - 0.05 / 4)["correct"]
    for segment in ("free", "paid"):
        assert (found["correct", segment].low, found["correct", segment].high) == (single.low, single.high)


def test_rules_of_two_evaluators_are_checked_against_their_own_results():
    rules = read_rules({"e": {"correct": ">= 0.9"}, "f": {"correct": ">= 0.5", "min_evaluated": 50}})
    found = judge(rules, summary(f=labels(60, 40), e=labels(95, 5)))
    outcomes = {(one.evaluator, one.measure): (one.measured, one.outcome) for one in found}
    assert outcomes["e", "correct"] == (0.95, "passed")
    assert outcomes["f", "correct"] == (0.6, "passed")
    assert [one.rule for one in found if one.measure == "min_evaluated"] == [">= 1", ">= 50"]
