"""A hundred seeded repetitions: drops are found as often as theory says, and alarms are as rare as asked.

Each repetition draws the evaluations of a window and of the time before it, counts them as
``EvalResultsOperator`` does, and holds them against the rules of a gate.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from datetime import timedelta

import pytest
from test_results import NOW

from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.api.answers.spans import Evaluation, Span
from airflow_provider_online_tasks.results.rules import read_rules
from airflow_provider_online_tasks.results.statistics import Results
from airflow_provider_online_tasks.results.verdict import judge

stats = pytest.importorskip("scipy.stats")

REPETITIONS, CONFIDENCE = 100, 0.95
RULES = read_rules({"e": {"correct": ">= 0.5", "max_drop": 0.0}})


def evaluations(total: int, share: float, chance: random.Random, run_id: str | None) -> dict:
    """The summary of a window, each of whose answers is correct with this probability."""
    results = Results(run_id=run_id, online_task_id="t", evaluators=["e"])
    for place in range(total):
        said = Evaluation(
            name="e",
            label="correct" if chance.random() < share else "incorrect",
            metadata={"run_id": run_id} if run_id else {},
        )
        at = wire_time(NOW - timedelta(seconds=place))
        results.add(Span(span_id=str(place), start_time=at, evaluations=(said,)))
    return {"run_id": run_id, **results.summary()}


def outcomes(total: int, before: float, now: float, *, seed: int) -> Counter[str]:
    """How the gate finds the drop, repetition by repetition."""
    chance = random.Random(seed)
    found: Counter[str] = Counter()
    for _ in range(REPETITIONS):
        baseline = evaluations(total, before, chance, None)
        summary = evaluations(total, now, chance, "r") | {"complete": True, "expected": total, "read": total}
        findings = judge(RULES, summary, baseline=baseline, confidence=CONFIDENCE)
        found[next(one.outcome for one in findings if one.measure == "drop of correct")] += 1
    assert found.total() == REPETITIONS
    return found


def power(total: int, before: float, now: float) -> float:
    """The power of a test of two shares, by the normal approximation that textbooks have."""
    error = math.sqrt((before * (1 - before) + now * (1 - now)) / total)
    return float(stats.norm.cdf((before - now) / error - stats.norm.ppf((1 + CONFIDENCE) / 2)))


@pytest.mark.parametrize("total", [100, 300, 600])
def test_a_planted_regression_of_five_points_is_found_as_often_as_theory_says(total: int) -> None:
    theory = power(total, 0.95, 0.90)
    found = outcomes(total, 0.95, 0.90, seed=total)["broken"]
    # What a hundred draws at the theory's power give in 999 of 1,000 cases; the exact interval finds fewer.
    low, high = stats.binom(REPETITIONS, theory).interval(0.999)
    assert low - 5 <= found <= high, (found, theory)


@pytest.mark.parametrize("total", [30, 300])
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_an_unchanged_judge_raises_no_more_alarms_than_the_confidence_allows(
    total: int, share: float
) -> None:
    alarms = outcomes(total, share, share, seed=round(1_000 * share) + total)["broken"]
    assert alarms <= stats.binom(REPETITIONS, 1 - CONFIDENCE).ppf(0.999)
