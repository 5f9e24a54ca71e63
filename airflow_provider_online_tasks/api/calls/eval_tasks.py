"""The three documented GraphQL mutations.

API: https://arize.com/docs/ax/graphql-reference/apis/online-tasks-api
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks.api.calls._graphql import MUTATION_INPUT_TYPES, GraphQLCall
from airflow_provider_online_tasks.api.calls._rest import check_same_id
from airflow_provider_online_tasks.api.responses.eval_tasks import EvalTask, RunNotStarted, RunStarted
from airflow_provider_online_tasks.api.settings import PERCENT
from airflow_provider_online_tasks.exceptions import TaskErrorReturned

if TYPE_CHECKING:
    from airflow_provider_online_tasks.inputs import EvalTaskInput, EvalTaskPatch, RunInput


def create_eval_task(task: EvalTaskInput, sampling_rate_unit: str) -> GraphQLCall[EvalTask]:
    """createEvalTask: returns the new task."""
    return GraphQLCall(
        name="createEvalTask",
        input_type=MUTATION_INPUT_TYPES["createEvalTask"],
        selection="evalTask { id name }",
        input=_in_unit(task.to_wire(), sampling_rate_unit),
        read=_read_eval_task,
    )


def patch_eval_task(patch: EvalTaskPatch, sampling_rate_unit: str) -> GraphQLCall[EvalTask]:
    """patchEvalTask: returns the task. A repeat sets the same values again."""

    def read(payload: dict[str, Any]) -> EvalTask:
        task = _read_eval_task(payload)
        check_same_id(task.id, patch.online_task_id)
        return task

    return GraphQLCall(
        name="patchEvalTask",
        input_type=MUTATION_INPUT_TYPES["patchEvalTask"],
        selection="evalTask { id name }",
        input=_in_unit(patch.to_wire(), sampling_rate_unit),
        read=read,
        repeatable=True,
    )


def _in_unit(wire: dict[str, Any], sampling_rate_unit: str) -> dict[str, Any]:
    """Convert the sampling rate to the unit that the server expects; it is a fraction before."""
    if sampling_rate_unit == PERCENT and "samplingRate" in wire:
        wire["samplingRate"] = float(f"{wire['samplingRate'] * 100:.12g}")
    return wire


def _read_eval_task(payload: dict[str, Any]) -> EvalTask:
    return EvalTask.from_wire(payload["evalTask"], "evalTask")


def run_online_task(run: RunInput) -> GraphQLCall[str]:
    """runOnlineTask: returns the run's ID.

    :raises TaskErrorReturned: (on reading) the server did not start the run.
    """

    def read(payload: dict[str, Any]) -> str:
        result = payload["result"]
        if not isinstance(result, Mapping):
            raise ValueError(f"result is {shown(result)}, not an object")  # noqa: TRY004  as for every malformed field
        if "runId" in result:
            return RunStarted.from_wire(result, "result").run_id
        problem = RunNotStarted.from_wire(result, "result")
        reason = problem.message or "no reason given"
        code = f" (code {problem.code})" if problem.code else ""
        raise TaskErrorReturned(
            f"Task {run.online_task_id} was not started: {reason}{code}", code=problem.code, reason=reason
        )

    return GraphQLCall(
        name="runOnlineTask",
        input_type=MUTATION_INPUT_TYPES["runOnlineTask"],
        selection=(
            "result { __typename ... on CreateTaskRunResponse { runId } ... on TaskError { message code } }"
        ),
        input=run.to_wire(),
        read=read,
    )
