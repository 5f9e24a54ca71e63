"""The DAG of docs/tasks.md that publishes an evaluator from Git and runs it with a pinned version."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.pages import DOCS, blocks_of

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator


def documented_dag(*changes: tuple[str, str]) -> Any:
    """Return the DAG, with changes to its source as a commit would apply them."""
    (block,) = [one for one in blocks_of(DOCS / "tasks.md") if "eval_from_git" in one.code]
    code = block.code
    for old, new in changes:
        assert old in code
        code = code.replace(old, new)
    names: dict[str, Any] = {"__name__": "documented"}
    # The variable gives the test access to the DAG.
    exec(code.replace("catchup=False):", "catchup=False) as dag:"), names)
    return names["dag"]


@pytest.mark.dag
def test_changed_prompt_publishes_one_version(arize: Emulator, run_dag: Any) -> None:
    first = run_dag(documented_dag())
    again = run_dag(documented_dag())
    changed = run_dag(documented_dag(("Is the answer correct?", "Is the answer correct and complete?")))

    assert {first.state, again.state, changed.state} == {"success"}
    published = [result.returned("publish_evaluator") for result in (first, again, changed)]
    assert published[0] == published[1]
    assert published[2]["evaluator_id"] == published[0]["evaluator_id"]
    assert published[2]["evaluator_version_id"] != published[0]["evaluator_version_id"]
    [task] = arize.tasks()
    [evaluator] = task["evaluators"]
    assert evaluator["evaluator_version_id"] == published[2]["evaluator_version_id"]
    assert evaluator["column_mappings"]["input"] == "attributes.input.value"
    assert len(arize.requests("rest.create_evaluator")) == 1
    assert len(arize.requests("rest.create_evaluator_version")) == 1


@pytest.mark.dag
def test_documented_code_evaluator_is_accepted(arize: Emulator, run_dag: Any) -> None:
    from airflow.sdk import DAG

    from airflow_provider_online_tasks import CreateEvalTaskOperator, RunOnlineTaskOperator

    (block,) = [one for one in blocks_of(DOCS / "tasks.md") if "short answer" in one.code]
    with DAG("evaluated_by_code", schedule=None) as dag:
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
    # The emulator accepts the code but does not run it. It cancels runs of invalid code.
    [run] = arize.runs()
    assert (run["status"], run["num_errors"] > 0) == ("COMPLETED", True)


@pytest.mark.dag
@pytest.mark.parametrize("task_id", ["create_hub_task", "create_json_task"])
def test_documented_eval_task_evaluates_spans(arize: Emulator, run_dag: Any, task_id: str) -> None:
    from airflow.sdk import DAG

    from airflow_provider_online_tasks import CreateEvalTaskOperator, RunOnlineTaskOperator

    (block,) = [one for one in blocks_of(DOCS / "tasks.md") if task_id in one.code]
    with DAG("evaluated_as_documented", schedule=None) as dag:
        names: dict[str, Any] = {"CreateEvalTaskOperator": CreateEvalTaskOperator}
        exec(block.code.replace("CreateEvalTaskOperator(\n", "create = CreateEvalTaskOperator(\n"), names)
        RunOnlineTaskOperator(
            task_id="run_task", online_task_id=names["create"].output, lookback=timedelta(days=1)
        )
    assert run_dag(dag).state == "success"
    [run] = arize.runs()
    assert (run["status"], run["num_successes"] > 0) == ("COMPLETED", True)
    if task_id == "create_json_task":
        assert {each["name"] for each in arize.evaluations(run_id=run["id"])} == {"is_json"}


@pytest.mark.dag
def test_documented_class_of_code_evaluator_is_accepted(arize: Emulator, run_dag: Any) -> None:
    from airflow.sdk import DAG

    from airflow_provider_online_tasks import CreateEvalTaskOperator, RunOnlineTaskOperator

    (block,) = [one for one in blocks_of(DOCS / "tasks.md") if "create_length_task" in one.code]
    with DAG("evaluated_by_own_class", schedule=None) as dag:
        names: dict[str, Any] = {"CreateEvalTaskOperator": CreateEvalTaskOperator}
        exec(block.code.replace("CreateEvalTaskOperator(\n", "create = CreateEvalTaskOperator(\n"), names)
        RunOnlineTaskOperator(
            task_id="run_task", online_task_id=names["create"].output, lookback=timedelta(days=1)
        )
    assert run_dag(dag).state == "success"
    # The emulator accepts the class but does not run it. It cancels runs of invalid code.
    [run] = arize.runs()
    assert (run["status"], run["num_successes"], run["num_errors"] > 0) == ("COMPLETED", 0, True)
