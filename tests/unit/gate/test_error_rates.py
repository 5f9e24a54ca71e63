"""Repeated gates with seeded samples: real drops are found, and false alarms are rare.

Each repetition draws the evaluations of a window and of its baseline, counts them as
``EvalResultsOperator`` does, and checks them as a gate does. The last tests let the emulator evaluate spans,
and read and check the results with the operators.
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.api.responses import Evaluation, Span
from airflow_provider_online_tasks.emulator import Emulator, EmulatorSettings
from airflow_provider_online_tasks.exceptions import EvalGateFailed
from airflow_provider_online_tasks.gate.checks import check_summary
from airflow_provider_online_tasks.gate.rules import read_rules
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput
from airflow_provider_online_tasks.inputs.runs import RunInput
from airflow_provider_online_tasks.operators.gate import EvalGateOperator
from airflow_provider_online_tasks.results.summary import Results
from tests.support.evaluated_runs import NOW, evaluator, read
from tests.support.summaries import results, summary

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

stats = pytest.importorskip("scipy.stats")

REPETITIONS, CONFIDENCE = 100, 0.95
RULES = read_rules({"e": {"correct": ">= 0.5", "max_drop": 0.0}})


def drawn_summary(total: int, share: float, chance: random.Random, run_id: str | None) -> dict[str, Any]:
    """Return the summary of a window in which each evaluation is "correct" with this probability."""
    counted = Results(run_id=run_id, online_task_id="t", evaluators=["e"])
    for place in range(total):
        evaluation = Evaluation(
            name="e",
            label="correct" if chance.random() < share else "incorrect",
            metadata={"run_id": run_id} if run_id else {},
        )
        at = wire_time(NOW - timedelta(seconds=place))
        counted.add(Span(span_id=str(place), start_time=at, evaluations=(evaluation,)))
    return {"run_id": run_id, **counted.summary()}


def outcomes(total: int, before: float, now: float, *, seed: int) -> Counter[str]:
    """Return how often the gate finds a drop."""
    chance = random.Random(seed)
    found: Counter[str] = Counter()
    complete = {"complete": True, "expected": total, "read": total}
    for _ in range(REPETITIONS):
        baseline = drawn_summary(total, before, chance, None)
        current = drawn_summary(total, now, chance, "r") | complete
        checked = check_summary(RULES, current, baseline=baseline, confidence=CONFIDENCE)
        found[next(result.outcome for result in checked if result.measure == "drop of correct")] += 1
    return found


def likely_counts(probability: float) -> tuple[float, float]:
    """Return the range of counts in a hundred draws with a probability of 99.9 %."""
    low, high = stats.binom(REPETITIONS, probability).interval(0.999)
    return float(low), float(high)


def power(total: int, before: float, now: float) -> float:
    """Return the power of a test of two shares, by the normal approximation of textbooks."""
    error = math.sqrt((before * (1 - before) + now * (1 - now)) / total)
    return float(stats.norm.cdf((before - now) / error - stats.norm.ppf((1 + CONFIDENCE) / 2)))


@pytest.mark.parametrize("total", [100, 300, 600])
def test_drop_of_five_points_is_found_with_the_power_of_theory(total: int) -> None:
    theory = power(total, 0.95, 0.90)
    found = outcomes(total, 0.95, 0.90, seed=total)["failed"]
    low, high = likely_counts(theory)
    # Exact intervals find slightly fewer drops than the approximation.
    assert low - 8 <= found <= high, (found, theory)


@pytest.mark.parametrize("total", [30, 300])
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_drop_of_unchanged_share_is_found_at_most_at_nominal_rate(total: int, share: float) -> None:
    alarms = outcomes(total, share, share, seed=round(1_000 * share) + total)["failed"]
    assert alarms <= likely_counts(1 - CONFIDENCE)[1]


# -- with the operators and the emulator

LENGTH = timedelta(minutes=30)
SPANS = 200
# Three windows per repetition: the second is like the first, and the third has the drop.
SHARES = (0.95, 0.95, 0.90)


def write_spans(path: Path, begin: datetime, repetitions: int) -> None:
    chance = random.Random(SPANS)
    with path.open("w") as lines:
        for number, share in enumerate(SHARES * repetitions):
            for place in range(SPANS):
                at = wire_time(begin + (number + place / SPANS) * LENGTH)
                output = "Thank you." if chance.random() < share else "You stupid idiot."
                attributes = {"input.value": "Hello", "output.value": output}
                span = {"name": "answer", "start_time": at, "end_time": at, "attributes": attributes}
                lines.write(json.dumps(span) + "\n")


def evaluate_windows(arize: Emulator, begin: datetime, repetitions: int) -> list[str]:
    """Run an eval task over each window; return the IDs of the runs."""
    tone = evaluator("tone", rails=["polite", "toxic"], classification_choices={"polite": 1, "toxic": 0})
    with OnlineTasksHook() as hook:
        task_id = hook.create_eval_task(
            EvalTaskInput(
                name="tone",
                model_id=arize.project_id,
                template_evaluators=[tone],
                llm_config={"model_name": "GPT_4o", "provider": "openAI"},
            )
        )
        starts = [begin + number * LENGTH for number in range(len(SHARES) * repetitions)]
        return [
            hook.run_online_task(
                RunInput(online_task_id=task_id, data_start_time=start, data_end_time=start + LENGTH)
            )
            for start in starts
        ]


def drop_by_operators(run_id: str) -> dict[str, Any]:
    """Return what the gate's operator finds about the drop."""
    context: Any = {"ti": SimpleNamespace(xcom_push=lambda **_: None)}
    operator = EvalGateOperator(
        task_id="gate",
        summary=read(run_id=run_id, baseline=LENGTH, poll_interval=1),
        rules={"tone": {"polite": ">= 0.5", "max_drop": 0.0}},
        confidence=CONFIDENCE,
        on_inconclusive="pass",
    )
    try:
        verdict = operator.execute(context)
    except EvalGateFailed as failed:
        verdict = failed.verdict
    return next(rule for rule in verdict["rules"] if rule["measure"] == "drop of polite")


def evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repetitions: int
) -> tuple[list[dict[str, Any]], list[dict[str, int]]]:
    """Return what the gate finds in each window but the first, and the labels of each window on record."""
    begin = NOW - len(SHARES) * repetitions * LENGTH
    write_spans(tmp_path / "spans.jsonl", begin, repetitions)
    settings = EmulatorSettings(
        spans=tmp_path / "spans.jsonl", run_seconds=0, queries_per_minute=None, mutations_per_minute=None
    )
    with Emulator(settings) as arize:
        monkeypatch.setenv("AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT", arize.connection_json)
        runs = evaluate_windows(arize, begin, repetitions)
        rules = [drop_by_operators(run_id) for run_id in runs[1:]]
        records = [Counter(one["label"] for one in arize.evaluations(run_id=run_id)) for run_id in runs]
    return rules, [dict(labels) for labels in records]


def test_drop_by_operators_equals_that_of_the_labels_on_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, records = evaluated(tmp_path, monkeypatch, repetitions=2)

    rules = read_rules({"e": {"polite": ">= 0.5", "max_drop": 0.0}})
    for place, rule in enumerate(found):
        before, now = ({"e": results(labels=labels)} for labels in records[place : place + 2])
        expected = check_summary(
            rules, summary(**now), baseline={"evaluators": before}, confidence=CONFIDENCE
        )[-1]
        assert (rule["outcome"], rule["measured"]) == (expected.outcome, expected.measured)
        assert (rule["low"], rule["high"]) == pytest.approx((expected.low, expected.high))


@pytest.mark.slow
@pytest.mark.no_cover
def test_drop_by_operators_has_nominal_error_rates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = evaluated(tmp_path, monkeypatch, REPETITIONS)

    unchanged, dropped = ([rule["outcome"] for rule in found[place::3]] for place in (0, 1))
    assert len(unchanged) == len(dropped) == REPETITIONS
    low, high = likely_counts(power(SPANS, 0.95, 0.90))
    assert low - 8 <= dropped.count("failed") <= high
    assert unchanged.count("failed") <= likely_counts(1 - CONFIDENCE)[1]
