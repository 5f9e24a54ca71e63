"""Limits and budgets on a real Airflow: approvals, asset events, and a budget of two DAGs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG, Asset, BaseNotifier

from airflow_provider_online_tasks import EvalBudget, EvalGateNotifier, RunOnlineTaskOperator
from airflow_provider_online_tasks.emulator import Fault
from tests.support.online_task import OnlineTask
from tests.support.reviewer import Reviewer

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator
    from tests.support.dag_runs import DagResult

pytestmark = pytest.mark.dag
MUTATIONS = "graphql.*"


def dag_with_run(dag_id: str, online_task_id: str, **arguments: Any) -> DAG:
    end = datetime.now(UTC)
    with DAG(dag_id, schedule=None) as dag:
        RunOnlineTaskOperator(
            task_id="run_task",
            online_task_id=online_task_id,
            data_start_time=end - timedelta(days=1),
            data_end_time=end,
            override_evaluations=True,
            wait_for_completion=True,
            **arguments,
        )
    return dag


class Chat(BaseNotifier):
    """Keeps the messages that it sends."""

    template_fields = ("message",)

    def __init__(self, message: str, sent: list[str]) -> None:
        super().__init__()
        self.message, self.sent = message, sent

    def notify(self, context: Any) -> None:
        self.sent.append(self.message)


@pytest.mark.since_airflow("3.3", "dag.test() that hands a person's answer to a trigger")
@pytest.mark.parametrize(("option", "state", "runs"), [("Approve", "success", 1), ("Reject", "failed", 0)])
def test_run_above_its_limit_starts_only_if_a_person_approves(
    arize: Emulator, run_dag: Callable[..., DagResult], option: str, state: str, runs: int
) -> None:
    task_id = OnlineTask.create(arize).id  # type: ignore[arg-type]
    arize.clear_requests()
    dag_id = f"asks_before_run_{option.lower()}"
    reviewer = Reviewer(dag_id, "run_task", option)
    sent: list[str] = []
    notifiers = [EvalGateNotifier(Chat("{{ eval_gate.title }}", sent))]

    result = run_dag(
        dag_with_run(dag_id, task_id, max_evaluations=3, on_over_budget="ask", notifiers=notifiers)
    )

    reviewer.done()
    [asked] = reviewer.asked
    assert sent == [asked["subject"]]
    assert "max\\_evaluations" in asked["body"]
    assert result.states["run_task"] == state
    assert len(arize.requests(MUTATIONS)) == len(arize.runs()) == runs
    if runs:
        assert result.xcoms["run_task"]["run"]["evaluations"] > 3


@pytest.mark.parametrize("deferrable", [False, True], ids=["blocking", "deferred"])
def test_lowered_run_says_so_in_xcom_and_asset_event(
    arize: Emulator, run_dag: Callable[..., DagResult], deferrable: bool
) -> None:
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    task_id = OnlineTask.create(arize).id  # type: ignore[arg-type]
    dag_id = f"lowers_{deferrable}"

    result = run_dag(
        dag_with_run(
            dag_id,
            task_id,
            max_evaluations=3,
            budget=EvalBudget(max_evaluations=1_000_000),
            on_over_budget="cap",
            deferrable=deferrable,
            outlets=[Asset(f"lowered_{deferrable}")],
        )
    )

    with create_session() as session:
        extra = session.scalar(select(AssetEvent.extra).where(AssetEvent.source_dag_id == dag_id))
    summary = result.xcoms["run_task"]["run"]
    assert (summary["evaluations"], summary["max_spans"], summary["capped"]) == (3, 3, True)
    assert summary["budget"]["per"] == "month"
    assert extra == summary


@pytest.mark.slow
@pytest.mark.promise("budget-of-period")
def test_budget_holds_over_twenty_runs_of_two_dags_with_a_lost_response(
    arize: Emulator, run_dag: Callable[..., DagResult]
) -> None:
    limits = {
        "budget": {"max_evaluations": "{{ params.most }}", "scope": "project", "max_spans": 5},
        "on_over_budget": "cap",
    }
    dags = [
        dag_with_run(f"spends_{name}", OnlineTask.create(arize).id, **limits)  # type: ignore[arg-type]
        for name in ("first", "second")
    ]
    for dag in dags:
        dag.params["most"] = 61
    arize.clear_requests()
    arize.add_fault(Fault("graphql.runOnlineTask", "drop_after", skip=4))

    states = [run_dag(dags[number % 2]).states["run_task"] for number in range(20)]

    assert states == ["success"] * 13 + ["failed"] * 7
    assert [run["num_successes"] for run in arize.runs()] == [5] * 12 + [1]
    assert len(arize.requests(MUTATIONS)) == 13
