"""Rules on calibrated shares: how they are written, and their outcomes."""

from __future__ import annotations

import pytest

from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.gate.checks import check_summary, verdict
from airflow_provider_online_tasks.gate.rules import check_rules, read_rules
from tests.support.summaries import results, summary

LABELS = {"e": ["correct", "incorrect"]}
# 2,000 evaluations; the calibrated share of "correct" is 0.951 (0.914 to 0.969), the specificity 0.61
# (0.34 to 0.88).
PEOPLE = {"correct": {"correct": 147, "incorrect": 3}, "incorrect": {"correct": 20, "incorrect": 30}}


def evaluated(people=PEOPLE, counts=(1900, 100), **human):
    strata = None if people is None else {label: {"labels": given} for label, given in people.items()}
    more = {} if strata is None else {"human_labels": {"strata": strata, **human}}
    return results(labels=dict(zip(("correct", "incorrect"), counts, strict=True)), **more)


def checked(calibrated, figures=None, *, labels=LABELS, **arguments):
    """Return the results of the rules on human labels."""
    rules = read_rules({"e": {"calibrated": calibrated}})
    given = summary(e=evaluated() if figures is None else figures)
    found = check_summary(rules, given, labels=labels, **arguments)
    return {each.measure: each for each in found if each.measure not in ("complete", "min_evaluated")}


@pytest.mark.parametrize(
    ("rule", "outcome"),
    [
        (">= 0.91", "passed"),
        ("> 91%", "passed"),
        (">= 0.95", "inconclusive"),
        ("< 0.97", "passed"),
        (">= 0.97", "failed"),
        ("<= 0.9", "failed"),
    ],
)
def test_calibrated_share_is_compared_with_its_interval(rule, outcome):
    result = checked({"correct": rule})["calibrated correct"]
    assert result.outcome == outcome
    assert result.measured == pytest.approx(0.951)
    assert (result.low, result.high) == pytest.approx((0.914379, 0.968604), abs=1e-6)
    assert (result.margin >= 0) == (result.outcome == "passed" or rule == ">= 0.95")


def test_confidence_of_the_gate_widens_the_interval():
    wide = checked({"correct": ">= 0.91"}, confidence=0.99)["calibrated correct"]
    assert wide.low < 0.91
    assert wide.outcome == "inconclusive"


@pytest.mark.parametrize(("least", "outcome"), [(0.3, "passed"), (0.6, "inconclusive"), (0.9, "failed")])
def test_limits_of_specificity_are_compared(least, outcome):
    result = checked({"correct": ">= 0.5", "min_specificity": least})["specificity of correct"]
    assert result.outcome == outcome
    assert result.measured == pytest.approx(0.612245, abs=1e-6)


def test_upper_bound_compares_how_many_bad_answers_are_found():
    found = checked({"incorrect": "<= 0.1", "min_specificity": 0.3})
    result = found["sensitivity to incorrect"]
    assert result.measured == pytest.approx(0.612245, abs=1e-6)
    assert found["calibrated incorrect"].outcome == result.outcome == "passed"


def test_evaluator_that_accepts_everything_has_no_specificity():
    people = {"correct": {"correct": 190, "incorrect": 10}}
    figures = evaluated(people, counts=(2000, 0))
    result = checked({"correct": ">= 0.5", "min_specificity": 0.1}, figures)["specificity of correct"]
    assert (result.outcome, result.measured) == ("failed", 0)


def test_too_few_human_labels_are_inconclusive():
    found = checked({"correct": ">= 0.5", "min_human_labels": 201})
    assert found["min_human_labels"].outcome == "inconclusive"
    assert found["min_human_labels"].measured == 200
    assert checked({"correct": ">= 0.5", "min_human_labels": 200})["min_human_labels"].passed


@pytest.mark.parametrize(
    ("rejected", "evaluations", "outcome"), [(9, 100, "inconclusive"), (10, 100, "passed"), (4, 4, "passed")]
)
def test_too_few_human_labels_of_rejected_answers_are_inconclusive(rejected, evaluations, outcome):
    people = {"correct": {"correct": 400}, "incorrect": {"incorrect": rejected}}
    figures = evaluated(people, counts=(1900, evaluations))
    lower = checked({"correct": ">= 0.5"}, figures)["calibrated correct"]
    upper = checked({"incorrect": "<= 0.5"}, figures)["calibrated incorrect"]
    assert (lower.outcome, upper.outcome) == (outcome, outcome)
    assert ("10" in lower.note) == (outcome == "inconclusive")


@pytest.mark.parametrize("people", [{}, {"correct": {}, "incorrect": {}}])
def test_no_human_labels_are_inconclusive(people):
    found = checked({"correct": ">= 0.5", "min_specificity": 0.2}, evaluated(people))
    assert {result.outcome for result in found.values()} == {"inconclusive"}
    assert len(found) == 3


def test_results_without_human_labels_fail():
    found = checked({"correct": ">= 0.5"}, evaluated(None))
    assert [result.outcome for result in found.values()] == ["failed"]


def test_sample_that_is_not_random_is_inconclusive_and_says_why():
    figures = evaluated(sample_problem="only failures were sent")
    found = checked({"correct": ">= 0.5", "min_specificity": 0.1}, figures)
    for measure in ("calibrated correct", "specificity of correct"):
        assert (found[measure].outcome, found[measure].note) == ("inconclusive", "only failures were sent")
    assert found["min_human_labels"].passed


def test_unknown_human_labels_count_against_upper_bound():
    people = {"correct": {"correct": 147, "Incorrect": 3}, "incorrect": {"incorrect": 50}}
    worse = checked({"incorrect": "<= 0.2"}, evaluated(people))["calibrated incorrect"]
    assert worse.measured == pytest.approx(0.95 * 3 / 150 + 0.05)
    assert "Incorrect" in worse.note


def test_missing_labels_fail_calibrated_rules():
    people = {"correct": {"correct": 150}, "incorrect": {"correct": 2, "incorrect": 38}}
    figures = evaluated(people) | {"evaluated": 20_000}
    found = checked({"correct": ">= 0.5", "min_specificity": 0.1}, figures)
    assert {found[name].outcome for name in ("calibrated correct", "specificity of correct")} == {"failed"}
    rules = read_rules({"e": {"max_missing": 0.95, "calibrated": {"correct": ">= 0.5"}}})
    assert {each.outcome for each in check_summary(rules, summary(e=figures), labels=LABELS)} == {"passed"}


def test_missing_evaluations_with_calibrated_rules_are_rejected():
    with pytest.raises(InvalidInput, match="missing_evaluations"):
        read_rules({"e": {"missing_evaluations": "fail", "calibrated": {"correct": ">= 0.5"}}})


def test_misspelled_label_is_named():
    result = checked({"corect": ">= 0.5"}, labels=None)["calibrated corect"]
    assert (result.outcome, result.measured) == ("failed", None)
    assert "'correct'" in result.note
    with pytest.raises(InvalidInput):
        checked({"corect": ">= 0.5"})


def test_inconclusive_share_says_how_many_human_labels_decide():
    people = {label: {name: n // 5 for name, n in given.items()} for label, given in PEOPLE.items()}
    result = checked({"correct": ">= 0.91"}, evaluated(people))["calibrated correct"]
    assert result.outcome == "inconclusive"
    needed = int("".join(filter(str.isdigit, result.note)))
    factor = needed / 40
    enough = {
        label: {name: round(n * factor) for name, n in given.items()} for label, given in people.items()
    }
    assert checked({"correct": ">= 0.91"}, evaluated(enough))["calibrated correct"].outcome == "passed"
    never = checked({"correct": ">= 0.951"}, evaluated())["calibrated correct"]
    assert (never.outcome, bool(never.note)) == ("inconclusive", True)


def test_three_labels_are_one_against_the_others():
    people = {
        "good": {"good": 60, "fair": 2, "poor": 1},
        "fair": {"good": 3, "fair": 20, "poor": 2},
        "poor": {"good": 2, "fair": 1, "poor": 15},
    }
    strata = {label: {"labels": given} for label, given in people.items()}
    figures = results(labels={"good": 1000, "fair": 300, "poor": 100}, human_labels={"strata": strata})
    rules = {"good": ">= 0.6", "poor": "<= 0.2", "min_specificity": 0.3}
    found = checked(rules, figures, labels={"e": list(people)})
    assert found["calibrated good"].measured == pytest.approx(
        (1000 * 60 / 63 + 300 * 3 / 25 + 100 * 2 / 18) / 1400
    )
    assert {result.outcome for result in found.values()} == {"passed"}


def test_own_reaction_of_a_calibrated_rule_decides():
    rules = {"correct": ">= 0.95", "on_inconclusive": {"correct": "pass"}}
    assert verdict(list(checked(rules).values()))["reaction"] == "pass"
    assert verdict(list(checked({"correct": ">= 0.95"}).values()))["reaction"] == "fail"


def test_clusters_of_human_labels_widen_the_interval():
    clusters = {"count": 20, "size": 8.0, "labels": {"correct": 5.0}}
    figures = evaluated()
    figures["human_labels"]["strata"]["correct"]["clusters"] = clusters
    assert checked({"correct": ">= 0.91"}, figures)["calibrated correct"].outcome == "inconclusive"


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        "x",
        {"min_human_labels": 100},
        {"correct": 0.9},
        {"correct": ">= 90"},
        {"correct": "== 0.9"},
        {"correct": ">= 1"},
        {"correct": "<= 0"},
        {"score_mean": ">= 0.5"},
        {"score_p05": ">= 0.5"},
        {"correct": ">= 0.9", "min_human_labels": 0},
        {"correct": ">= 0.9", "min_human_labels": 1.5},
        {"correct": ">= 0.9", "min_specificity": ">= 0.6"},
        {"correct": ">= 0.9", "min_specificity": 1},
        {"correct": ">= 0.9", "min_evaluated": 3},
        {"correct": ">= 0.9", "max_drop": 0.1},
        {"correct": ">= 0.9", "on_inconclusive": "maybe"},
        {"correct": ">= 0.9", "on_inconclusive": {"incorrect": "pass"}},
        {"perfect": ">= 0.9"},
        {"{{ params.label }}": ">= 0.9"},
    ],
)
def test_wrong_calibrated_rule_is_rejected_when_parsed(wrong):
    with pytest.raises(InvalidInput):
        check_rules({"e": {"calibrated": wrong}}, labels=LABELS, min_evaluated=1)


@pytest.mark.parametrize(
    "right",
    [
        {"correct": ">= {{ params.least }}"},
        {"correct": ">= 0.9", "min_human_labels": "{{ params.labels }}"},
        {"correct": ">= 90%", "min_human_labels": "100", "min_specificity": 0.6},
        {"correct": ">= 0.9", "on_inconclusive": {"min_human_labels": "skip", "min_specificity": "pass"}},
    ],
)
def test_templated_or_right_calibrated_rule_is_accepted_when_parsed(right):
    check_rules({"e": {"calibrated": right}}, labels=LABELS, min_evaluated=1)


def test_settings_outside_of_calibrated_are_rejected():
    for setting in ("min_human_labels", "min_specificity"):
        with pytest.raises(InvalidInput, match="calibrated"):
            read_rules({"e": {"correct": ">= 0.9", setting: 0.5}})


def test_upper_bound_on_unknown_labels_is_rejected():
    with pytest.raises(InvalidInput, match="labels"):
        check_rules({"e": {"calibrated": {"incorrect": "<= 0.1"}}}, labels=None, min_evaluated=1)
