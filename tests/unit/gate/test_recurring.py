"""Gates with a budget of false alarms: incidents over many windows, and the history behind them."""

from __future__ import annotations

import json
import random
import re
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.gate.detector import Budget, detect
from airflow_provider_online_tasks.gate.recurring import WINDOW_KEY
from airflow_provider_online_tasks.operators.gate import EvalGateOperator
from tests.support.recurring_gates import DAY, START, DailyGate, drawn, rule
from tests.support.summaries import results, summary

GOOD, BAD = 0.955, 0.925
WINDOW = {"data_start_time": "2026-03-01T00:00:00Z", "data_end_time": "2026-03-02T00:00:00Z"}
SIXTY_DAYS = drawn(3, (40, GOOD), (14, BAD), (6, 0.96))


def evidence(shares: list[float], bound: float = 0.95) -> float:
    """Return the detector's evidence after windows with these shares."""
    budget = Budget(false_alarms_per_year=1, windows_per_year=365, rules=1)
    return detect([(share, 1) for share in shares], bound, budget).value


def outcomes(verdicts: list[dict[str, Any]]) -> list[str]:
    return [verdict["outcome"] for verdict in verdicts]


def one_session(size: float) -> dict[str, Any]:
    """Return the effect of the clusters of a window whose evaluations are of one session."""
    return {"count": 1, "size": size, "labels": {"correct": size, "incorrect": size}, "score": size}


def incidents(verdicts: list[dict[str, Any]]) -> list[tuple[int, int]]:
    """Return the first and the last day of each time of failing days."""
    found: list[tuple[int, int]] = []
    for day, verdict in enumerate(verdicts):
        if verdict["outcome"] == "failed":
            found = (
                [*found[:-1], (found[-1][0], day)]
                if found and found[-1][1] == day - 1
                else [*found, (day, day)]
            )
    return found


def test_lasting_drop_is_one_incident_and_recovers() -> None:
    gate = DailyGate()
    verdicts = [gate.check(day, correct, 1_000) for day, correct in enumerate(SIXTY_DAYS)]
    [(first, last)] = incidents(verdicts)
    assert 40 <= first <= 50
    assert 53 <= last <= 56
    assert rule(verdicts[last])["failing_since"] == rule(verdicts[first])["failing_since"] != None  # noqa: E711
    assert "2026-04-08" <= rule(verdicts[first])["failing_since"] <= "2026-04-13"
    assert rule(verdicts[-1])["failing_since"] is None


def test_catastrophe_fails_its_own_window_only() -> None:
    gate = DailyGate()
    verdicts = [gate.check(day, 955, 1_000) for day in range(20)]
    verdicts += [gate.check(20, 700, 1_000), gate.check(21, 955, 1_000)]
    assert incidents(verdicts) == [(20, 20)]
    assert rule(verdicts[20])["failing_since"] == "2026-03-21"


def test_day_slightly_below_bound_passes_with_little_evidence() -> None:
    verdict = DailyGate().check(0, 935, 1_000)
    assert verdict["outcome"] == "passed"
    found = rule(verdict)
    assert found["evidence"] == pytest.approx(evidence([0.935]))
    assert (found["evidence_needed"], found["evidence_since"]) == (730, "2026-03-01")


def test_upper_bound_fails_for_lasting_rise() -> None:
    gate = DailyGate(rules={"e": {"incorrect": "<= 5%"}}, labels={"e": ["correct", "incorrect"]})
    verdicts = [gate.check(day, correct, 1_000) for day, correct in enumerate(SIXTY_DAYS)]
    [(first, _)] = incidents(verdicts)
    lower = DailyGate()
    same = [lower.check(day, correct, 1_000) for day, correct in enumerate(SIXTY_DAYS[: first + 1])]
    assert outcomes(same) == outcomes(verdicts[: first + 1])
    assert rule(verdicts[first], "incorrect")["evidence"] == pytest.approx(rule(same[first])["evidence"])


def test_mean_score_in_range_is_checked_over_windows() -> None:
    gate = DailyGate(rules={"e": {"score_mean": ">= 4"}}, score_ranges={"e": (1, 5)})
    means = [4.02] * 10 + [3.6] * 30
    verdicts = [gate.check(day, 100, 100, mean=mean, variance=1.0) for day, mean in enumerate(means)]
    [(first, last)] = incidents(verdicts)
    assert 15 <= first <= 35
    assert last == 39
    shares = [(mean - 1) / 4 for mean in means[:11]]
    assert rule(verdicts[10], "score_mean")["evidence"] == pytest.approx(evidence(shares, 0.75))


def test_more_rules_and_shorter_windows_need_more_evidence() -> None:
    three = DailyGate(rules={"e": {"correct": ">= 0.95", "score_mean": ">= 0", "max_drop": 0.1}})
    assert rule(three.check(0, 950, 1_000, mean=0.5))["evidence_needed"] == 730 * 4
    assert rule(DailyGate().check(0, 95, 100, length=timedelta(hours=1)))["evidence_needed"] == 730 * 24
    assert rule(DailyGate(false_alarms_per_year=2).check(0, 95, 100))["evidence_needed"] == 365


def test_segments_have_their_own_history() -> None:
    rules = {"e": {"correct": ">= 0.5", "each_segment": {"correct": ">= 0.95", "min_evaluated": 10}}}
    gate = DailyGate(rules=rules)

    def check(day: int, free: int, few: int) -> dict[str, Any]:
        parts = {
            "free": results(labels={"correct": free, "incorrect": 1_000 - free}),
            "paid": results(labels={"correct": 960, "incorrect": 40}),
            "few": results(labels={"correct": few}),
        }
        return gate.check(day, 900, 1_000, segments=parts)

    verdicts = [check(day, 960 if day < 5 else 910, 20) for day in range(20)]
    assert rule(verdicts[-1], segment="free")["failing_since"] == "2026-03-06"
    assert rule(verdicts[-1], segment="paid")["outcome"] == "passed"
    assert rule(verdicts[-1], segment="paid")["evidence_needed"] == 730 * 4
    small = rule(check(20, 960, 5), segment="few")
    assert small["outcome"] == "inconclusive"


def test_drop_is_compared_with_variation_between_windows() -> None:
    rules = {"e": {"correct": ">= 0.5", "max_drop": 0.02, "on_inconclusive": {"max_drop": "pass"}}}
    gate = DailyGate(rules=rules)
    steady = [950, 955, 945, 952, 948] * 4
    verdicts = [gate.check(day, correct, 1_000) for day, correct in enumerate(steady)]
    drops = [rule(verdict, "drop of correct") for verdict in verdicts]
    assert [drop["outcome"] for drop in drops] == ["inconclusive"] * 14 + ["passed"] * 6
    assert {verdict["passed"] for verdict in verdicts} == {True}
    found = rule(gate.check(20, 900, 1_000), "drop of correct")
    assert (found["outcome"], found["measured"]) == ("failed", pytest.approx(0.05))
    assert rule(gate.check(21, 940, 1_000), "drop of correct")["outcome"] == "passed"
    assert rule(gate.check(22, 900, 1_000, version_id="v2"), "drop of correct")["outcome"] == "failed"
    assert rule(gate.check(23, 900, 1_000, version_id="v3"), "drop of correct")["outcome"] == "inconclusive"

    varied = DailyGate(rules=rules)
    for day, correct in enumerate([950, 990, 910] * 7):
        varied.check(day, correct, 1_000)
    assert rule(varied.check(21, 900, 1_000), "drop of correct")["outcome"] == "passed"


def test_drop_of_mean_score_is_in_its_unit() -> None:
    rules = {"e": {"score_mean": ">= 1", "max_drop": 0.5, "on_inconclusive": "pass"}}
    gate = DailyGate(rules=rules, score_ranges={"e": (0, 10)})
    for day in range(14):
        gate.check(day, 1_000, 1_000, mean=8 + day % 3 / 10, variance=4.0)
    found = rule(gate.check(14, 1_000, 1_000, mean=6.0, variance=4.0), "drop of score_mean")
    assert (found["outcome"], found["measured"]) == ("failed", pytest.approx(2.0929, abs=1e-3))
    assert rule(gate.check(15, 1_000, 1_000, mean=7.7, variance=4.0), "drop of score_mean")["passed"]


def test_retried_cleared_and_backfilled_days_change_nothing() -> None:
    days = list(enumerate(SIXTY_DAYS))
    once = DailyGate()
    expected = [once.check(day, correct, 1_000) for day, correct in days][-1]

    again = DailyGate()
    for day, correct in days:
        again.check(day, 0 if day % 7 == 0 else correct, 1_000)  # a first try with other results
        again.check(day, correct, 1_000)
    assert rule(again.check(59, SIXTY_DAYS[59], 1_000)) == rule(expected)

    shuffled = DailyGate()
    for day, correct in random.Random(1).sample(days[:-1], 59):
        shuffled.check(day, correct, 1_000)
        shuffled.check(day, correct, 1_000, run="backfill")
    assert rule(shuffled.check(59, SIXTY_DAYS[59], 1_000)) == rule(expected)


def test_newest_check_of_a_window_counts() -> None:
    gate = DailyGate()
    gate.check(0, 100, 1_000)
    gate.check(0, 960, 1_000, run="manual")
    found = rule(gate.check(1, 960, 1_000))
    assert found["evidence"] == pytest.approx(evidence([0.96, 0.96]))


def test_mapped_windows_of_earlier_runs_count() -> None:
    gate = DailyGate()
    for day in range(4):
        gate.check(day, 940, 1_000, at=START + 10 * DAY, map_index=day)
    found = rule(gate.check(10, 940, 1_000))
    assert found["evidence"] == pytest.approx(evidence([0.94] * 5))


def test_windows_of_later_times_and_other_eval_tasks_do_not_count() -> None:
    gate = DailyGate()
    gate.check(3, 500, 1_000)
    gate.check(1, 500, 1_000, online_task_id="other")
    found = rule(gate.check(2, 940, 1_000, at=START + 30 * DAY))
    assert found["evidence"] == pytest.approx(evidence([0.94]))


def test_overlapping_windows_count_once() -> None:
    gate = DailyGate()
    gate.check(0, 940, 1_000)
    gate.check(0.5, 500, 1_000, run="manual", at=START + 1.6 * DAY)
    found = rule(gate.check(1, 940, 1_000, at=START + 2 * DAY))
    assert found["evidence"] == pytest.approx(evidence([0.94, 0.94]))


@pytest.mark.parametrize("problem", [{"complete": False}, {"rules": {"e": {"incorrect": "<= 0.5"}}}])
def test_overlapping_window_without_values_of_the_rule_replaces_none(problem: dict[str, Any]) -> None:
    gate = DailyGate(labels={"e": ["correct", "incorrect"]})
    gate.check(0, 940, 1_000)
    rules, gate.arguments["rules"] = gate.arguments["rules"], problem.pop("rules", gate.arguments["rules"])
    gate.check(-0.5, 940, 1_000, run="manual", at=START + 1.6 * DAY, **problem)
    gate.arguments["rules"] = rules
    found = rule(gate.check(1, 940, 1_000, at=START + 2 * DAY))
    assert found["evidence"] == pytest.approx(evidence([0.94, 0.94]))


def test_wide_earlier_window_does_not_replace_daily_ones() -> None:
    gate = DailyGate()
    for day in range(12):
        failed = rule(gate.check(day, 900, 1_000))
    gate.check(0, 960, 1_000, length=12 * DAY, run="manual", at=START + 20 * DAY)
    found = rule(gate.check(12, 900, 1_000, at=START + 21 * DAY))
    assert failed["failing_since"] == found["failing_since"] == "2026-03-01"


def test_mapped_gates_with_different_rules_keep_their_history() -> None:
    first, second = {"e": {"correct": ">= 0.95"}}, {"e": {"incorrect": "<= 0.05"}}
    gate = DailyGate(labels={"e": ["correct", "incorrect"]})

    def check(day: int, map_index: int, rules: dict[str, Any], correct: int) -> dict[str, Any]:
        gate.arguments["rules"] = rules
        return gate.check(day, correct, 1_000, map_index=map_index)

    for day in range(5):
        for map_index, rules in enumerate([first, second]):
            check(day, map_index, rules, 940)
    expected = pytest.approx(evidence([0.94] * 6))
    assert rule(check(5, 0, first, 940))["evidence"] == expected
    assert rule(check(5, 1, second, 940), "incorrect")["evidence"] == expected
    # A rule that is added has no history yet, and changes none.
    both = {"e": first["e"] | second["e"]}
    assert rule(check(6, 0, both, 940))["evidence"] == pytest.approx(evidence([0.94] * 7))


@pytest.mark.parametrize("problem", [{"errors": 500, "expected": 500}, {"not_evaluated": 4_000}])
def test_windows_with_errors_or_small_coverage_are_left_out(problem: dict[str, int]) -> None:
    rules = {"e": {"correct": ">= 0.95", "min_coverage": 0.5}}
    gate = DailyGate(rules=rules, max_error_rate=0.1)
    for day in range(12):
        gate.check(day, 900, 1_000)
    for day in range(12, 15):
        assert gate.check(day, 990, 1_000, **problem)["outcome"] == "failed"
    assert rule(gate.check(15, 900, 1_000))["failing_since"] == "2026-03-01"


@pytest.mark.parametrize("label", ["> 0", "< 100%"])
def test_bound_at_end_of_scale_is_inconclusive_unless_satisfied(label: str) -> None:
    is_lower = label.startswith(">")
    gate = DailyGate(rules={"e": {"correct": label}}, labels={"e": ["correct", "incorrect"]})
    assert gate.check(0, 0 if is_lower else 100, 100)["outcome"] == "inconclusive"
    assert gate.check(1, 50, 100)["outcome"] == "passed"


@pytest.mark.parametrize(("mean", "outcome"), [(1.0, "inconclusive"), (2.0, "passed")])
def test_mean_at_end_of_range_is_inconclusive_unless_satisfied(mean: float, outcome: str) -> None:
    gate = DailyGate(rules={"e": {"score_mean": "> 1"}}, score_ranges={"e": (1, 5)})
    assert gate.check(0, 100, 100, mean=mean, variance=0.0)["outcome"] == outcome


def test_window_of_one_session_counts_as_one_evaluation() -> None:
    verdict = DailyGate().check(0, 600, 1_000, clusters=one_session(1_000))
    assert rule(verdict)["failing_since"] is None


def test_windows_without_usable_results_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    gate = DailyGate(rules={"e": {"correct": ">= 0.95", "min_evaluated": 50}})
    gate.check(0, 940, 1_000)
    assert gate.check(1, 500, 1_000, complete=False)["outcome"] == "failed"
    assert gate.check(2, 10, 20)["outcome"] == "failed"
    assert rule(gate.check(3, 500, 600, evaluated=1_000))["outcome"] == "failed"
    capsys.readouterr()
    found = rule(gate.check(5, 940, 1_000))
    assert found["evidence"] == pytest.approx(evidence([0.94, 0.94]))
    assert re.search(r"\b2 windows\b.*\b1 gap", capsys.readouterr().out)
    gate.check(6, 940, 1_000, complete=False)
    assert re.search(r"\b2 windows\b.*\b1 gap", capsys.readouterr().out)


def test_records_of_other_makers_are_ignored() -> None:
    gate = DailyGate()
    broken = ["text", {"start": "2026-03-01"}, '{"start": 1}', "[" * 10_000, None]
    for number, value in enumerate(broken):
        gate.xcoms[START, f"run {number}", -1, WINDOW_KEY] = json.dumps(value)
    assert rule(gate.check(1, 940, 1_000))["evidence"] == pytest.approx(evidence([0.94]))


def test_history_is_read_with_one_request() -> None:
    gate = DailyGate()
    for day in range(5):
        gate.check(day, 950, 1_000)
    assert gate.requests == 5


@pytest.mark.parametrize(
    "versions",
    [
        [{"version_id": "v1"}, {"version_id": "v2"}],
        [{"evaluator_versions": [{"model": "a"}]}, {"evaluator_versions": [{"model": "b"}]}],
    ],
)
def test_changed_evaluator_version_starts_new_history(versions: list[dict[str, Any]]) -> None:
    old, new = versions

    def checked(**arguments: Any) -> dict[str, Any]:
        gate = DailyGate(**arguments)
        for day in range(9):
            gate.check(day, 920, 1_000, **old)
        gate.check(9, 920, 1_000)  # the version is unknown
        return rule(gate.check(10, 930, 1_000, **new))

    restarted = checked()
    assert restarted["evidence"] == pytest.approx(evidence([0.93]))
    assert restarted["evidence_since"] == "2026-03-11"
    assert "version changed" in restarted["note"]
    continued = checked(across_evaluator_versions=True)
    assert continued["evidence_since"] == "2026-03-01"


def test_evaluations_without_version_do_not_start_new_history() -> None:
    gate = DailyGate()
    named = [[{"model": "a"}], [{"model": "a"}, {}]]
    for day in range(40):
        verdict = gate.check(day, 920, 1_000, evaluator_versions=named[day % 2])
    assert rule(verdict)["failing_since"] == "2026-03-01"
    assert verdict["outcome"] == "failed"
    restarted = gate.check(40, 920, 1_000, evaluator_versions=[{"model": "b"}, {}])
    assert rule(restarted)["evidence_since"] == "2026-04-10"


def test_changed_version_ends_incident() -> None:
    gate = DailyGate()
    verdicts = [gate.check(day, 900, 1_000, version_id="v1") for day in range(12)]
    assert rule(verdicts[-1])["failing_since"] == "2026-03-01"
    assert rule(gate.check(12, 940, 1_000, version_id="v2"))["failing_since"] is None


def test_rule_without_share_passes_unless_its_interval_violates_it() -> None:
    rules = {"e": {"score_p05": ">= 0.5", "score_mean": ">= 0.5"}}
    gate = DailyGate(rules=rules)

    def outcome(mean: float) -> list[str]:
        verdict = gate.check(0, 2_000, 2_000, mean=mean, percentiles=[mean] * 101)
        return [rule(verdict, "score_p05")["outcome"], rule(verdict, "score_mean")["outcome"]]

    assert outcome(0.501) == ["passed", "passed"]
    assert outcome(0.2) == ["failed", "failed"]


def test_exact_rule_is_compared_in_each_window() -> None:
    gate = DailyGate(rules={"e": {"incorrect": "== 0"}}, labels={"e": ["correct", "incorrect"]})
    assert gate.check(0, 999, 1_000)["outcome"] == "failed"
    assert gate.check(1, 1_000, 1_000)["outcome"] == "passed"


def test_gate_that_warns_succeeds_with_failed_verdict() -> None:
    gate = DailyGate(on_failure="warn")
    verdict = gate.check(0, 700, 1_000)  # no exception
    assert (verdict["outcome"], verdict["passed"], verdict["reaction"]) == ("failed", False, "warn")
    assert rule(gate.check(1, 955, 1_000))["recovered"] is True


def test_response_of_a_person_is_about_the_same_verdict() -> None:
    gate = DailyGate()
    for day in range(12):
        asked = gate.check(day, 900, 1_000)
    approval = {"chosen_options": ["Approve"], "responded_by_user": {"id": "1", "name": "Ann"}}
    approved = gate.check(11, 900, 1_000, response=approval)
    assert approved["approved"] is True
    assert rule(approved) == rule(asked)
    assert rule(gate.check(12, 900, 1_000))["failing_since"] == rule(asked)["failing_since"]


def test_incident_lasts_over_windows_without_values() -> None:
    gate = DailyGate()
    gate.check(0, 700, 1_000)
    gate.check(1, 955, 1_000, complete=False)
    found = rule(gate.check(2, 700, 1_000))
    assert (found["failing_since"], found["failing_windows"]) == ("2026-03-01", 2)


@pytest.mark.parametrize(
    "given",
    [
        None,
        "{{ x }}",
        [],
        {"evaluators": None},
        {"evaluators": {"e": "text"}},
        {"evaluators": {"e": results(labels={"a": 1}, segments=5)}},
        {"evaluators": {"e": results(labels={"a": 1}, segments={"free": "text"})}},
        {**summary(e=results(labels={"a": 1})), "data_start_time": 5},
    ],
)
def test_value_that_is_no_summary_is_rejected(given: Any) -> None:
    gate = DailyGate(rules={"e": {"a": ">= 0.9", "each_segment": {"a": ">= 0.9"}}})
    if isinstance(given, dict):
        given = {**WINDOW, **given}
    with pytest.raises(InvalidInput):
        gate.execute(given, START, "scheduled")


@pytest.mark.parametrize("value", [0, -1, 101, "one", float("nan"), True])
def test_false_alarms_per_year_out_of_range_is_rejected(value: Any) -> None:
    with pytest.raises(InvalidInput, match="false_alarms_per_year"):
        EvalGateOperator(
            task_id="gate", summary="{{ x }}", rules={"e": {"a": ">= 0.9"}}, false_alarms_per_year=value
        )


def test_false_alarms_per_year_with_confidence_is_rejected() -> None:
    with pytest.raises(InvalidInput, match="only one"):
        EvalGateOperator(
            task_id="gate",
            summary="{{ x }}",
            rules={"e": {"a": ">= 0.9"}},
            false_alarms_per_year=1,
            confidence=0.95,
        )


@pytest.mark.parametrize("label", ["> 1", "< 0"])
def test_rule_that_cannot_pass_is_rejected(label: str) -> None:
    with pytest.raises(InvalidInput, match="never pass"):
        EvalGateOperator(
            task_id="gate",
            summary="{{ x }}",
            rules={"e": {"a": label}},
            labels={"e": ["a"]},
            false_alarms_per_year=1,
        )


def test_mean_outside_of_its_range_does_not_satisfy_a_rule_at_the_end_of_the_range() -> None:
    gate = DailyGate(rules={"e": {"score_mean": ">= 1"}}, score_ranges={"e": (0, 1)})
    figures = {"mean": 2.0, "variance": 4.0, "score_min": 1.0, "score_max": 5.0}
    assert gate.check(0, 100, 100, **figures)["outcome"] == "inconclusive"


@pytest.mark.parametrize("total", [1_000, 700_000, 10_000_000])
@pytest.mark.parametrize("is_one_session", [True, False])
@pytest.mark.parametrize("label", [">= 100%", "<= 0", "== 1", "== 0"])
def test_rule_on_every_evaluation_compares_measured_share(
    label: str, is_one_session: bool, total: int
) -> None:
    gate = DailyGate(rules={"e": {"correct": label}}, labels={"e": ["correct", "incorrect"]})
    clusters = one_session(total) if is_one_session else None
    good, bad = (total, total - 1) if "1" in label else (0, 1)
    assert gate.check(0, good, total, clusters=clusters)["outcome"] == "passed"
    assert gate.check(1, bad, total, clusters=clusters)["outcome"] == "failed"
    assert gate.check(2, good, total, clusters=clusters, evaluated=total + 1)["outcome"] == "failed"


@pytest.mark.parametrize(("label", "good", "bad"), [("> 0", 600, 0), ("< 100%", 600, 1_000)])
def test_rule_at_other_end_of_range_compares_measured_share_of_one_session(
    label: str, good: int, bad: int
) -> None:
    gate = DailyGate(rules={"e": {"correct": label}}, labels={"e": ["correct", "incorrect"]})
    assert gate.check(0, good, 1_000, clusters=one_session(1_000))["outcome"] == "passed"
    assert gate.check(1, bad, 1_000, clusters=one_session(1_000))["outcome"] == "inconclusive"


@pytest.mark.parametrize(("mean", "outcome"), [(5.0, "passed"), (4.999, "failed")])
def test_mean_that_must_be_best_compares_measured_mean(mean: float, outcome: str) -> None:
    gate = DailyGate(rules={"e": {"score_mean": ">= 5"}}, score_ranges={"e": (1, 5)})
    assert gate.check(0, 100, 100, mean=mean, variance=0.0)["outcome"] == outcome


@pytest.mark.parametrize(
    ("correct", "total", "outcome"),
    [
        (0, 1, "inconclusive"),
        (1, 2, "inconclusive"),
        (2, 2, "passed"),
        (0, 3, "failed"),
        (2, 3, "passed"),
    ],
)
def test_window_below_bound_that_is_too_small_to_fail_is_inconclusive(
    correct: int, total: int, outcome: str
) -> None:
    assert DailyGate().check(0, correct, total)["outcome"] == outcome


@pytest.mark.parametrize("label", [">= 0.02", "> 1%", "<= 0.98"])
@pytest.mark.parametrize("earlier", [0, 14])
def test_large_window_slightly_beyond_bound_passes(label: str, earlier: int) -> None:
    gate = DailyGate(rules={"e": {"correct": label}}, labels={"e": ["correct", "incorrect"]})
    bound = {">= 0.02": 2_000, "> 1%": 1_000, "<= 0.98": 98_000}[label]
    better = 1 if label.startswith(">") else -1
    for day in range(earlier):
        gate.check(day, bound + better * (50 + 900 * (day % 2)), 100_000)
    assert rule(gate.check(earlier, bound - 10 * better, 100_000))["outcome"] == "passed"


def test_windows_too_small_to_fail_count_for_the_history() -> None:
    gate = DailyGate()
    found = outcomes([gate.check(day, 0, 1) for day in range(5)])
    assert found[0] == "inconclusive"
    assert found[-1] == "failed"


def test_calibrated_rules_are_rejected() -> None:
    with pytest.raises(InvalidInput, match="second gate"):
        EvalGateOperator(
            task_id="gate",
            summary="{{ x }}",
            rules={"e": {"calibrated": {"a": ">= 0.9"}}},
            false_alarms_per_year=1,
        )


def test_summary_without_window_is_rejected() -> None:
    given = summary(e=results(labels={"correct": 100}))
    with pytest.raises(InvalidInput, match="window"):
        DailyGate().execute(given, START, "scheduled")
