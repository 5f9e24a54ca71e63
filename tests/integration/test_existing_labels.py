"""Evals on spans that have labels already: the verdict is that of one run over spans without labels."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG

from airflow_provider_online_tasks import online_eval
from airflow_provider_online_tasks.emulator import RunFate
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput
from airflow_provider_online_tasks.inputs.runs import RunInput
from tests.support.emulator_api import eventually
from tests.support.evaluated_runs import arize_with, tone

from .test_gates import write_spans

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from airflow_provider_online_tasks.emulator import Emulator
    from tests.support.dag_runs import DagResult

pytestmark = pytest.mark.dag

NOW = datetime.now(UTC).replace(microsecond=0)
START = NOW - timedelta(days=2)
# The newest 60 of 300 spans are bad: without them the gate would pass.
SPANS, BAD = 300, 60
RULES = {"tone": {"polite": ">= 0.9", "min_coverage": 1}}
LLM = {"model_name": "GPT_4o", "provider": "openAI"}


@pytest.fixture
def arize(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Emulator]:
    with arize_with(monkeypatch, write_spans(tmp_path / "spans.jsonl", SPANS, bad=BAD)) as emulator:
        yield emulator


def create_task(arize: Emulator, name: str = "tone", **fields: Any) -> str:
    """Create an eval task with the evaluator ``tone``, and return its ID."""
    with OnlineTasksHook() as hook:
        task = EvalTaskInput(
            name=name, model_id=arize.project_id, template_evaluators=[tone()], llm_config=LLM, **fields
        )
        return hook.create_eval_task(task)


def run_before(online_task_id: str, *, start: datetime = START, end: datetime = NOW) -> dict[str, Any]:
    """Run an eval task outside of Airflow, and return the finished run."""
    with OnlineTasksHook() as hook:
        run = RunInput(online_task_id=online_task_id, data_start_time=start, data_end_time=end)
        run_id = hook.run_online_task(run)
        eventually(lambda: hook.get_task_run(run_id).is_over)
        return hook.get_task_run(run_id).summary()


def eval_dag(dag_id: str, **arguments: Any) -> DAG:
    with DAG(dag_id, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        online_eval("eval", data_start_time=START, data_end_time=NOW, rules=RULES, **arguments)
    return dag


def assert_verdict_of_one_run(result: DagResult, *, from_run: int) -> None:
    """Check that the gate failed on all spans of the window."""
    assert result.states["eval.gate"] == "failed", result.states
    assert result.state == "failed"
    tone = result.returned("eval.read_results")["evaluators"]["tone"]
    assert (tone["evaluated"], tone["from_run"], tone["from_before"]) == (SPANS, from_run, SPANS - from_run)
    rules = {rule["measure"]: rule for rule in result.returned("eval.gate")["rules"]}
    assert (rules["polite"]["outcome"], rules["polite"]["measured"]) == ("failed", 1 - BAD / SPANS)
    assert {rules[name]["outcome"] for name in ("complete", "min_coverage")} == {"passed"}


def test_eval_of_spans_without_labels_fails_on_the_bad_ones(
    arize: Emulator, run_dag: Callable[..., DagResult]
) -> None:
    result = run_dag(eval_dag("no_labels", online_task_id=create_task(arize)))

    assert_verdict_of_one_run(result, from_run=SPANS)


@pytest.mark.promise("existing-labels")
def test_eval_of_a_continuous_task_has_the_verdict_of_one_run(
    arize: Emulator, run_dag: Callable[..., DagResult]
) -> None:
    arize.set_clock_offset(-3 * 86_400)
    task_id = create_task(arize, run_continuously=True)
    eventually(lambda: arize.tasks()[0]["continuous_until"] is not None)
    arize.set_clock_offset(0)
    eventually(lambda: len(arize.evaluations()) == SPANS)

    result = run_dag(eval_dag("continuous", online_task_id=task_id))

    assert arize.runs()[-1]["status"] == "CANCELLED"
    assert_verdict_of_one_run(result, from_run=0)


@pytest.mark.promise("existing-labels")
def test_overlapping_window_has_verdict_of_one_run(
    arize: Emulator, run_dag: Callable[..., DagResult]
) -> None:
    task_id = create_task(arize)
    newest_half = arize.tasks()[0]["created_at"] - 43_200 - SPANS / 2
    before = run_before(task_id, start=datetime.fromtimestamp(newest_half, UTC))
    assert BAD < before["num_successes"] < SPANS

    result = run_dag(eval_dag("overlap", online_task_id=task_id))

    assert_verdict_of_one_run(result, from_run=SPANS - before["num_successes"])


@pytest.mark.promise("existing-labels")
def test_second_task_with_same_evaluator_has_verdict_of_one_run(
    arize: Emulator, run_dag: Callable[..., DagResult]
) -> None:
    run_before(create_task(arize, "another task"))

    result = run_dag(eval_dag("second_task", online_task_id=create_task(arize)))

    assert_verdict_of_one_run(result, from_run=0)


@pytest.mark.promise("existing-labels")
def test_eval_whose_remaining_spans_cannot_be_evaluated_has_the_verdict_of_one_run(
    arize: Emulator, run_dag: Callable[..., DagResult]
) -> None:
    task_id = create_task(arize)
    run_before(task_id)
    arize.next_run(RunFate(share=0.0, skipped=SPANS))

    result = run_dag(eval_dag("all_skipped", online_task_id=task_id))

    assert arize.runs()[-1]["status"] == "COMPLETED"
    assert_verdict_of_one_run(result, from_run=0)


@pytest.mark.promise("existing-labels")
def test_failed_eval_that_is_cleared_fails_again(arize: Emulator, run_dag: Callable[..., DagResult]) -> None:
    dag = eval_dag(
        "cleared", name="tone", model_id=arize.project_id, template_evaluators=tone(), llm_config=LLM
    )
    assert_verdict_of_one_run(run_dag(dag, logical_date=NOW), from_run=SPANS)

    cleared = run_dag(dag, logical_date=NOW)

    assert [run["status"] for run in arize.runs()] == ["COMPLETED", "CANCELLED"]
    assert_verdict_of_one_run(cleared, from_run=0)
