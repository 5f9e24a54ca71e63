"""Gates with a budget of false alarms in DAG runs of a real Airflow: their history is in XCom."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG, task

from airflow_provider_online_tasks import EvalGateOperator
from airflow_provider_online_tasks.gate.recurring import WINDOW_KEY, Window
from tests.support.recurring_gates import DAY, drawn, rule
from tests.support.summaries import results, summary

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.dag_runs import DagResult

pytestmark = pytest.mark.dag

START = datetime(2026, 3, 1, tzinfo=UTC)


def found(day: int, correct: int, total: int = 1_000) -> dict[str, Any]:
    """Return the summary of a day."""
    start = START + day * DAY
    return {
        **summary(e=results(labels={"correct": correct, "incorrect": total - correct})),
        "online_task_id": "T",
        "data_start_time": start.isoformat(),
        "data_end_time": (start + DAY).isoformat(),
    }


def daily_gate(dag_id: str, *, is_mapped: bool = False, **gate: Any) -> DAG:
    """Return a DAG whose gate checks the summaries in the configuration of its run."""
    arguments = {"rules": {"e": {"correct": ">= 0.95"}}, "false_alarms_per_year": 100, **gate}
    with DAG(dag_id, schedule=None, start_date=START - DAY) as dag:

        @task
        def read_results(**context: Any) -> Any:
            given = context["dag_run"].conf["summaries"]
            return given if is_mapped else given[0]

        summaries: Any = read_results()
        if is_mapped:
            EvalGateOperator.partial(task_id="gate", **arguments).expand(summary=summaries)
        else:
            EvalGateOperator(task_id="gate", summary=summaries, **arguments)
    return dag


def test_evidence_of_earlier_runs_fails_gate_until_recovery(run_dag: Callable[..., DagResult]) -> None:
    dag = daily_gate("recurring_gate")

    def check(day: int, correct: int) -> DagResult:
        return run_dag(dag, conf={"summaries": [found(day, correct)]}, logical_date=START + (day + 1) * DAY)

    # A day that is checked again, and a day that is filled later.
    check(1, 930)
    days = [(2, 940), (1, 960), (0, 960), (3, 930), (4, 930)]
    results = [check(day, correct) for day, correct in days]
    assert [result.states["gate"] for result in results] == ["success"] * 5
    failed = check(5, 930)
    recovered = check(6, 960)

    assert failed.states["gate"] == "failed"
    assert rule(failed.returned("gate"))["failing_since"] == "2026-03-03"
    assert recovered.states["gate"] == "success"
    assert rule(recovered.returned("gate"))["failing_since"] is None
    window = Window.read(failed.xcoms["gate"][WINDOW_KEY])
    assert window is not None
    assert window.by_name == {("e", "correct", None): [0.93, 1_000]}


def test_mapped_windows_are_history_of_later_runs(run_dag: Callable[..., DagResult]) -> None:
    dag = daily_gate("recurring_mapped_gate", is_mapped=True)
    first = [found(day, 940) for day in range(3)]
    run_dag(dag, conf={"summaries": first}, logical_date=START + 3 * DAY)
    later = run_dag(dag, conf={"summaries": [found(3, 940)]}, logical_date=START + 4 * DAY)
    unmapped = [run_dag_alone(run_dag, day) for day in range(4)]
    assert rule(later.returned("gate[0]"))["evidence"] == pytest.approx(
        rule(unmapped[-1].returned("gate"))["evidence"]
    )


def run_dag_alone(run_dag: Callable[..., DagResult], day: int) -> DagResult:
    dag = daily_gate("recurring_unmapped_gate")
    conf = {"summaries": [found(day, 940)]}
    return run_dag(dag, conf=conf, logical_date=START + (day + 1) * timedelta(days=1))


@pytest.mark.slow
def test_sixty_days_with_a_drop_have_one_incident(run_dag: Callable[..., DagResult]) -> None:
    dag = daily_gate("recurring_sixty_days", false_alarms_per_year=1)
    counts = drawn(3, (40, 0.955), (14, 0.92), (6, 0.96))
    states = []
    for day, correct in enumerate(counts):
        conf = {"summaries": [found(day, correct)]}
        result = run_dag(dag, conf=conf, logical_date=START + (day + 1) * DAY)
        states.append(result.states["gate"])
    failed = [day for day, state in enumerate(states) if state == "failed"]
    assert failed == list(range(failed[0], failed[-1] + 1))
    assert 40 <= failed[0] <= 50
    assert 53 <= failed[-1] <= 56
