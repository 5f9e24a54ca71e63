"""The pages for users who come from elsewhere: the named arguments exist, and the examples run."""

from __future__ import annotations

import re
from datetime import timedelta
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.timezone import utcnow
from graphql import build_schema, parse, validate
from pydantic.alias_generators import to_camel

from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput, EvalTaskPatch
from airflow_provider_online_tasks.inputs.evaluators import HubEvaluator
from airflow_provider_online_tasks.inputs.runs import RunInput
from tests.support.pages import DOCS, blocks, blocks_of
from tests.support.public_api import CLASSES, arguments

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator

MOVING, RAW = DOCS / "moving.md", DOCS / "raw-api.md"
CODE = re.compile(r"`([^`]+)`")
# Documented by Arize, and what the emulator's tests compare it with.
SCHEMA = files("airflow_provider_online_tasks.api").joinpath("schema.graphql").read_text(encoding="utf-8")


def tables(page: Any) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """Return the tables of a page: the first two titles, and the first two cells of each row."""
    found = {}
    for table in re.findall(r"(?:^\|.*\|\n)+", page.read_text(encoding="utf-8"), re.MULTILINE):
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
        (first, second, *_), _, *body = rows
        found[first.strip("`"), second.strip("`")] = [(row[0], row[1]) for row in body]
    return found


OPERATOR_TABLES = {
    titles: rows
    for titles, rows in tables(MOVING).items()
    if titles[1] in CLASSES and titles[0] != "Operator"
}
FIELD_TABLES = {
    "createEvalTask": EvalTaskInput,
    "patchEvalTask": EvalTaskPatch,
    "runOnlineTask": RunInput,
}
REST_ONLY = {
    EvalTaskInput: {"query_filters"},
    EvalTaskPatch: {"evaluators", "query_filters"},
    RunInput: set[str](),
}


def test_every_operator_has_a_table() -> None:
    assert {ours for _, ours in OPERATOR_TABLES} == {
        "CreateEvalTaskOperator", "PatchEvalTaskOperator", "DeleteOnlineTaskOperator",
        "RunOnlineTaskOperator", "CancelOnlineTaskRunOperator", "OnlineTaskRunSensor",
    }  # fmt: skip


@pytest.mark.parametrize("titles", OPERATOR_TABLES, ids=lambda titles: titles[1])
def test_named_arguments_exist(titles: tuple[str, str]) -> None:
    taken = arguments(CLASSES[titles[1]])
    for theirs, ours in OPERATOR_TABLES[titles]:
        assert CODE.match(theirs)
        if not ours.startswith("none"):
            named = CODE.match(ours)
            assert named
            assert named[1].partition("=")[0] in taken, ours


def test_named_hook_methods_exist() -> None:
    for (_, ours), rows in tables(MOVING).items():
        if ours == "OnlineTasksHook":
            for _, method in rows:
                assert callable(getattr(OnlineTasksHook, method.strip("`()")))
    for method in re.findall(r"`(\w+)\([^`]*\)`", RAW.read_text(encoding="utf-8")):
        assert callable(getattr(OnlineTasksHook, method))


@pytest.mark.parametrize("mutation", FIELD_TABLES)
def test_every_field_of_the_api_has_an_argument(mutation: str) -> None:
    ((titles, rows),) = [(titles, rows) for titles, rows in tables(RAW).items() if titles[0] == mutation]
    told = {theirs.strip("`"): ours.strip("`") for theirs, ours in rows}
    kind = FIELD_TABLES[mutation]
    assert told == {to_camel(name): name for name in arguments(kind) - REST_ONLY[kind]}
    assert set(told.values()) <= arguments(CLASSES[titles[1]])


@pytest.mark.parametrize("block", [pytest.param(block, id=block.name) for block in blocks("graphql")])
def test_mutation_matches_the_schema(block: Any) -> None:
    assert not validate(build_schema(SCHEMA), parse(block.code))


def run_blocks(page: Any) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "documented"}
    for block in blocks_of(page):
        if block.language == "python":
            exec(compile("\n" * block.line + block.code, str(page), "exec"), names)
    return names


def test_hook_example_creates_and_runs_a_task(arize: Emulator) -> None:
    end = utcnow()
    evaluate = run_blocks(RAW)["evaluate"]

    run_id = evaluate(arize.project_id, (end - timedelta(days=1)).isoformat(), end.isoformat())

    [task] = arize.tasks()
    assert task["name"] == "answer correctness"
    assert {one["label"] for one in arize.evaluations(run_id=run_id)} == {"correct", "incorrect"}


@pytest.mark.dag
def test_dag_after_moving_runs(arize: Emulator, run_dag: Any) -> None:
    evaluator = arize.evaluator_ids["output_present"]
    with OnlineTasksHook() as hook:
        task = EvalTaskInput(
            name="moved", model_id=arize.project_id, evaluators=[HubEvaluator(evaluator_id=evaluator)]
        )
        task_id = hook.create_eval_task(task)

    result = run_dag(run_blocks(MOVING)["dag"], conf={"eval_task": task_id})

    assert result.state == "success"
    [run] = arize.runs()
    assert run["status"] == "COMPLETED"
    assert result.returned("wait_for_eval")["run_id"] == run["id"]
