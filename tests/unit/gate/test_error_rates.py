"""A hundred seeded repetitions: drops are found as often as theory says, and alarms are as rare as asked.

Each repetition draws the evaluations of a window and of the time before it, counts them as
``EvalResultsOperator`` does, and holds them against the rules of a gate. The last test has a judge label real
spans, and the operators read and compare what it said.
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.api.responses.spans import Evaluation, Span
from airflow_provider_online_tasks.emulator import Emulator, EmulatorSettings
from airflow_provider_online_tasks.exceptions import EvalGateFailed
from airflow_provider_online_tasks.gate.rules import read_rules
from airflow_provider_online_tasks.gate.verdict import judge
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.inputs import EvalTaskInput, RunInput
from airflow_provider_online_tasks.operators.gate import EvalGateOperator
from airflow_provider_online_tasks.results.statistics import Results
from tests.support.evaluated_runs import NOW, evaluator, read

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

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


def found_by_chance(probability: float) -> tuple[float, float]:
    """Between which numbers a hundred draws find something in 999 of 1,000 cases."""
    low, high = stats.binom(REPETITIONS, probability).interval(0.999)
    return float(low), float(high)


def power(total: int, before: float, now: float) -> float:
    """The power of a test of two shares, by the normal approximation that textbooks have."""
    error = math.sqrt((before * (1 - before) + now * (1 - now)) / total)
    return float(stats.norm.cdf((before - now) / error - stats.norm.ppf((1 + CONFIDENCE) / 2)))


@pytest.mark.parametrize("total", [100, 300, 600])
def test_a_planted_regression_of_five_points_is_found_as_often_as_theory_says(total: int) -> None:
    theory = power(total, 0.95, 0.90)
    found = outcomes(total, 0.95, 0.90, seed=total)["failed"]
    low, high = found_by_chance(theory)
    # The intervals of the gate find a little fewer than the approximation.
    assert low - 5 <= found <= high, (found, theory)


@pytest.mark.parametrize("total", [30, 300])
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_an_unchanged_judge_raises_no_more_alarms_than_the_confidence_allows(
    total: int, share: float
) -> None:
    alarms = outcomes(total, share, share, seed=round(1_000 * share) + total)["failed"]
    assert alarms <= found_by_chance(1 - CONFIDENCE)[1]


LENGTH = timedelta(minutes=30)
SPANS = 200
# Three windows for each repetition: the second is as the first, and the third has the regression.
SHARES = (0.95, 0.95, 0.90)


def write_spans(path: Path, begin: datetime) -> None:
    chance = random.Random(SPANS)
    with path.open("w") as lines:
        for number, share in enumerate(SHARES * REPETITIONS):
            for place in range(SPANS):
                at = wire_time(begin + (number + place / SPANS) * LENGTH)
                said = "Thank you." if chance.random() < share else "You stupid idiot."
                attributes = {"input.value": "Hello", "output.value": said}
                span = {"name": "answer", "start_time": at, "end_time": at, "attributes": attributes}
                lines.write(json.dumps(span) + "\n")


def judge_windows(arize: Emulator, begin: datetime) -> list[str]:
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
        windows = [begin + number * LENGTH for number in range(len(SHARES) * REPETITIONS)]
        return [
            hook.run_online_task(
                RunInput(online_task_id=task_id, data_start_time=start, data_end_time=start + LENGTH)
            )
            for start in windows
        ]


def gate(summary: dict) -> str:
    """How the gate's operator finds the drop."""
    context = {"ti": SimpleNamespace(xcom_push=lambda **_: None)}
    operator = EvalGateOperator(
        task_id="gate",
        summary=summary,
        rules={"tone": {"polite": ">= 0.5", "max_drop": 0.0}},
        confidence=CONFIDENCE,
        on_inconclusive="pass",
    )
    try:
        verdict = operator.execute(context)
    except EvalGateFailed as breached:
        verdict = breached.verdict
    return next(rule["outcome"] for rule in verdict["rules"] if rule["measure"] == "drop of polite")


@pytest.mark.slow
@pytest.mark.no_cover
def test_the_operators_find_it_in_what_a_judge_said_of_spans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = NOW - len(SHARES) * REPETITIONS * LENGTH
    write_spans(tmp_path / "spans.jsonl", begin)
    settings = EmulatorSettings(
        spans=tmp_path / "spans.jsonl", run_seconds=0, queries_per_minute=None, mutations_per_minute=None
    )
    with Emulator(settings) as arize:
        monkeypatch.setenv("AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT", arize.connection_json)
        runs = judge_windows(arize, begin)
        unchanged, regressed = (
            [gate(read(run_id=run_id, baseline=LENGTH, poll_interval=1)) for run_id in runs[place::3]]
            for place in (1, 2)
        )
    assert len(unchanged) == len(regressed) == REPETITIONS
    low, high = found_by_chance(power(SPANS, 0.95, 0.90))
    assert low - 5 <= regressed.count("failed") <= high
    assert unchanged.count("failed") <= found_by_chance(1 - CONFIDENCE)[1]
