"""The DAG of docs/tasks.md that takes a judge from Git to a run by a pinned version."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.pages import DOCS, blocks_of

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator


def documented_dag(*changes: tuple[str, str]) -> Any:
    """Return the DAG, with changes to its text as a commit would make them."""
    (block,) = [one for one in blocks_of(DOCS / "tasks.md") if "eval_from_git" in one.code]
    code = block.code
    for old, new in changes:
        assert old in code
        code = code.replace(old, new)
    names: dict[str, Any] = {"__name__": "documented"}
    # Given a name, so that the test can run it.
    exec(code.replace("catchup=False):", "catchup=False) as dag:"), names)
    return names["dag"]


@pytest.mark.dag
def test_a_judge_goes_from_git_to_a_pinned_run(arize: Emulator, run_dag: Any) -> None:
    first = run_dag(documented_dag())
    again = run_dag(documented_dag())
    changed = run_dag(documented_dag(("Is the answer correct?", "Is the answer correct and complete?")))

    assert {first.state, again.state, changed.state} == {"success"}
    judges = [result.returned("publish_evaluator") for result in (first, again, changed)]
    assert judges[0] == judges[1]
    assert judges[2]["evaluator_id"] == judges[0]["evaluator_id"]
    assert judges[2]["evaluator_version_id"] != judges[0]["evaluator_version_id"]
    [task] = arize.tasks()
    [evaluator] = task["evaluators"]
    assert evaluator["evaluator_version_id"] == judges[2]["evaluator_version_id"]
    assert evaluator["column_mappings"]["input"] == "attributes.input.value"
    assert len(arize.requests("rest.create_evaluator")) == 1
    assert len(arize.requests("rest.create_evaluator_version")) == 1


@pytest.mark.dag
def test_arize_would_run_the_evaluator_of_code(arize: Emulator, run_dag: Any) -> None:
    from airflow.sdk import DAG

    from airflow_provider_online_tasks import CreateEvalTaskOperator, RunOnlineTaskOperator

    (block,) = [one for one in blocks_of(DOCS / "tasks.md") if "short answer" in one.code]
    with DAG("judged_by_code", schedule=None) as dag:
        names: dict[str, Any] = {}
        exec(block.code.replace("EvaluatorOperator(\n", "evaluator = EvaluatorOperator(\n"), names)
        create = CreateEvalTaskOperator(
            task_id="create_task",
            name="short answers",
            project="support-assistant",
            evaluators={
                "evaluator_id": names["evaluator"].output["evaluator_id"],
                "column_mappings": {"answer": "attributes.output.value"},
            },
        )
        RunOnlineTaskOperator(task_id="run_task", online_task_id=create.output, lookback=timedelta(days=1))
    assert run_dag(dag).state == "success"
    # The emulator accepts the code and runs none: a run of code that Arize refuses is CANCELLED.
    [run] = arize.runs()
    assert (run["status"], run["num_errors"] > 0) == ("COMPLETED", True)
