"""A gate that checks a window per day, with the XComs that its DAG runs leave."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from airflow_provider_online_tasks.exceptions import EvalGateFailed, EvalGateInconclusive
from airflow_provider_online_tasks.operators.gate import EvalGateOperator
from tests.support.summaries import results, summary

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SUMMARY_KEYS = ("complete", "online_task_id", "errors", "expected")


class DailyGate:
    """Checks days, in any order, as DAG runs of one task do.

    :param arguments: those of the gate, besides its summary.
    """

    def __init__(self, **arguments: Any) -> None:
        self.arguments = {
            "rules": {"e": {"correct": ">= 0.95"}},
            "false_alarms_per_year": 1,
            **arguments,
        }
        self.requests = 0
        # By the DAG run's logical date, its name, the map index and the key.
        self.xcoms: dict[tuple[datetime, str, int, str], str] = {}

    def check(
        self,
        day: float,
        correct: int,
        total: int,
        *,
        length: timedelta = DAY,
        run: str = "scheduled",
        at: datetime | None = None,
        map_index: int = -1,
        response: Any = None,
        **figures: Any,
    ) -> dict[str, Any]:
        """Check a window that starts on a day, and return the verdict.

        :param run: kind of the DAG run; another one has its own XComs.
        :param at: the DAG run's logical date. Default: the end of the window.
        :param response: the response of a person to a gate that asks, which continues its try.
        :param figures: more keys of the summary, or of the evaluator's part in it.
        """
        start = START + day * DAY
        at = at or start + length
        window = {"data_start_time": start.isoformat(), "data_end_time": (start + length).isoformat()}
        of_summary = {key: figures.pop(key) for key in SUMMARY_KEYS if key in figures}
        given = {
            **summary(e=results(labels={"correct": correct, "incorrect": total - correct}, **figures)),
            "online_task_id": "T",
            **window,
            **of_summary,
        }
        return self.execute(given, at, run, map_index, response)

    def execute(
        self, given: Any, at: datetime, run: str, map_index: int = -1, response: Any = None
    ) -> dict[str, Any]:
        """Check a summary, and return the verdict."""
        own = (at, run, map_index)
        for name in [name for name in self.xcoms if name[:3] == own]:  # as Airflow does before each try
            if response is None:
                del self.xcoms[name]

        def push(*, key: str, value: Any) -> None:
            self.xcoms[*own, key] = json.dumps(value)

        def pull(*, task_ids: str, key: str, include_prior_dates: bool) -> Any:
            assert (task_ids, include_prior_dates) == ("gate", True)
            self.requests += 1
            values = [
                json.loads(value)
                for name, value in sorted(self.xcoms.items(), key=lambda item: (item[0][2], item[1]))
                if name[0] <= at and name[3] == key
            ]
            return values if len(values) > 1 else next(iter(values), None)

        ti = SimpleNamespace(xcom_push=push, xcom_pull=pull, try_number=1, map_index=map_index)
        operator = EvalGateOperator(task_id="gate", summary="{{ summary }}", **self.arguments)
        operator.summary = given  # rendered
        context: Any = {"ti": ti, "outlet_events": {}}
        try:
            if response is not None:
                return operator.execute_complete(context, response)
            return operator.execute(context)
        except (EvalGateFailed, EvalGateInconclusive) as failed:
            return failed.verdict


def rule(verdict: dict[str, Any], measure: str = "correct", segment: str | None = None) -> dict[str, Any]:
    """Return the result of a rule in a verdict."""
    [found] = [each for each in verdict["rules"] if each["measure"] == measure and each["segment"] == segment]
    return found


def drawn(seed: int, *phases: tuple[int, float], total: int = 1_000, effect: float = 0.0) -> list[int]:
    """Return how many evaluations of each day are correct.

    :param phases: for each phase the number of days and the true share.
    :param effect: the standard deviation of the true share between days.
    """
    chance = random.Random(seed)
    counts = []
    for days, mean in phases:
        for _ in range(days):
            share = min(1.0, chance.gauss(mean, effect))
            counts.append(sum(chance.random() < share for _ in range(total)))
    return counts
