"""Results and gates on a real Airflow: completeness, approvals and asset events."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG, Asset, BaseNotifier, task

from airflow_provider_online_tasks.emulator import Emulator, EmulatorSettings
from airflow_provider_online_tasks.notifications.eval_gate import EvalGateNotifier
from airflow_provider_online_tasks.operators.eval_tasks import CreateEvalTaskOperator
from airflow_provider_online_tasks.operators.gate import EvalGateOperator
from airflow_provider_online_tasks.operators.results import EvalResultsOperator
from airflow_provider_online_tasks.operators.runs import RunOnlineTaskOperator
from tests.support.reviewer import Reviewer
from tests.support.summaries import results, summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.dag
GOOD, BAD = "Thank you, with pleasure.", "You stupid idiot, shut up."


def write_spans(path: Path, count: int, *, bad: int = 0, days_ago: float = 0.5) -> Path:
    with path.open("w") as lines:
        for number in range(count):
            begin = -86_400 * days_ago - number
            attributes = {"input.value": f"Question {number}", "output.value": BAD if number < bad else GOOD}
            span = {"name": "answer", "kind": "LLM", "start_time": begin, "end_time": begin + 0.5}
            lines.write(json.dumps({**span, "attributes": attributes}) + "\n")
    return path


@pytest.fixture
def emulate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., Emulator]]:
    made: list[Emulator] = []

    def start(count: int, *, bad: int = 0, **settings: Any) -> Emulator:
        spans = write_spans(tmp_path / f"spans{len(made)}.jsonl", count, bad=bad)
        emulator = Emulator(
            EmulatorSettings(
                spans=spans, run_seconds=0, queries_per_minute=None, mutations_per_minute=None, **settings
            )
        )
        emulator.__enter__()
        made.append(emulator)
        monkeypatch.setenv("AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT", emulator.connection_json)
        return emulator

    yield start
    for emulator in made:
        emulator.__exit__(None, None, None)


def pipeline(dag_id: str, emulator: Emulator, **gate: Any) -> DAG:
    end = datetime.now(UTC)
    with DAG(dag_id, schedule=None) as dag:
        create = CreateEvalTaskOperator(
            task_id="create_task",
            name="tone",
            model_id=emulator.project_id,
            template_evaluators=[
                {
                    "name": "tone",
                    "template": "Is it toxic? {attributes.output.value}",
                    "rails": ["polite", "toxic"],
                    "classification_choices": {"polite": 1, "toxic": 0},
                }
            ],
            llm_config={"model_name": "GPT_4o", "provider": "openAI"},
        )
        run = RunOnlineTaskOperator(
            task_id="run_task",
            online_task_id=create.output,
            data_start_time=end - timedelta(days=2),
            data_end_time=end,
            wait_for_completion=True,
        )
        results = EvalResultsOperator(task_id="read_results", run_id=run.output, poll_interval=1)
        given = {"rules": {"tone": {"polite": ">= 0.95"}}, "confidence": 0.95, **gate}
        EvalGateOperator(task_id="gate", summary=results.output, **given)
    return dag


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "outcome", "state"), [(30, "inconclusive", "failed"), (300, "passed", "success")]
)
def test_gate_outcome_depends_on_the_number_of_complete_results(
    emulate: Callable[..., Emulator],
    run_dag: Callable[..., Any],
    capfd: pytest.CaptureFixture[str],
    count: int,
    outcome: str,
    state: str,
) -> None:
    emulator = emulate(count, index_delay=4)

    result = run_dag(pipeline(f"complete_{count}", emulator))

    summary = result.returned("read_results")
    assert (summary["complete"], summary["expected"], summary["read"]) == (True, count, count)
    assert f"0 of {count} evaluated items" in "".join(capfd.readouterr())
    verdict = result.returned("gate")
    assert verdict["outcome"] == outcome
    assert result.states["gate"] == state


def test_results_of_mapped_task_are_one_baseline(run_dag: Callable[..., Any]) -> None:
    with DAG("mapped_baseline", schedule=None) as dag:

        @task
        def read_day(correct: int) -> dict[str, Any]:
            return {"evaluators": {"e": results(labels={"correct": correct, "incorrect": 1_000 - correct})}}

        days: Any = read_day.expand(correct=[950, 960, 940])
        arguments: dict[str, Any] = {
            "summary": summary(e=results(labels={"correct": 800, "incorrect": 200})),
            "rules": {"e": {"correct": ">= 0.5", "max_drop": 0.02}},
            "on_failure": "warn",
        }
        EvalGateOperator(task_id="gate", baseline=days, **arguments)
        EvalGateOperator(task_id="changed", baseline=days.map(lambda day: {**day}), **arguments)

    result = run_dag(dag)

    for task_id in ("gate", "changed"):
        drop = result.returned(task_id)["rules"][-1]
        assert (drop["outcome"], drop["measured"]) == ("failed", pytest.approx(0.15))


class Chat(BaseNotifier):
    """Keeps the messages that it sends."""

    template_fields = ("message",)

    def __init__(self, message: str, sent: list[str]) -> None:
        super().__init__()
        self.message, self.sent = message, sent

    def notify(self, context: Any) -> None:
        self.sent.append(self.message)


@pytest.mark.since_airflow("3.3", "dag.test() that hands a person's answer to a trigger")
@pytest.mark.parametrize(("option", "state"), [("Approve", "success"), ("Reject", "failed")])
def test_failed_gate_with_ask_notifies_once_and_follows_the_approval(
    emulate: Callable[..., Emulator],
    run_dag: Callable[..., Any],
    capfd: pytest.CaptureFixture[str],
    option: str,
    state: str,
) -> None:
    emulator = emulate(300, bad=60)
    dag_id = f"asks_{option.lower()}"
    reviewer = Reviewer(dag_id, "gate", option)
    sent: list[str] = []
    notifier = EvalGateNotifier(Chat("{{ eval_gate.verdict.outcome }}", sent))

    # If the reviewer fails, the gate must not wait forever.
    gate = {"on_failure": "ask", "notifiers": [notifier], "response_timeout": 300}
    result = run_dag(pipeline(dag_id, emulator, **gate))

    reviewer.done()
    assert sent == ["failed"]
    assert "outside of the Task Runner" not in "".join(capfd.readouterr())
    [asked] = reviewer.asked
    assert asked["subject"] == "Gate gate: failed. Continue anyway?"
    assert "FAILED" in asked["body"]
    assert "stupid idiot" in asked["body"]
    assert result.states["gate"] == state
    verdict = result.returned("gate")
    assert (verdict["passed"], verdict["approved"], verdict["responded_by"]) == (
        False,
        option == "Approve",
        "reviewer",
    )


def test_gate_asset_event_contains_the_verdict(
    emulate: Callable[..., Emulator], run_dag: Callable[..., Any]
) -> None:
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    emulator = emulate(300)
    result = run_dag(pipeline("verdict_event", emulator, outlets=[Asset("x-verdict://release")]))
    assert result.states["gate"] == "success"
    with create_session() as session:
        event = session.scalar(select(AssetEvent).where(AssetEvent.source_dag_id == "verdict_event"))
        extra = event.extra
    assert (extra["passed"], extra["outcome"]) == (True, "passed")
    assert {rule["measure"] for rule in extra["rules"]} == {"complete", "min_evaluated", "polite"}
    assert extra["run_id"] == result.returned("run_task")
