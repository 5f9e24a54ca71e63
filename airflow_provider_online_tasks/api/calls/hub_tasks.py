"""Tasks of Eval Hub evaluators over REST: what GraphQL does not document.

Column mappings, a version to judge by, filters of one evaluator, and evaluators of traces or sessions.
API: https://arize.com/docs/api-reference/tasks/create-task
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, assert_never

from airflow_provider_online_tasks.api.calls._rest import RestCall, part
from airflow_provider_online_tasks.api.responses.tasks import AttachedEvaluator, Task
from airflow_provider_online_tasks.exceptions import InvalidInput

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.responses.evaluators import EvaluatorType
    from airflow_provider_online_tasks.inputs import EvalTaskInput, EvalTaskPatch, HubEvaluator

TaskType = Literal["TEMPLATE_EVALUATION", "CODE_EVALUATION"]

# REST's own names for fields of a task. It has none for what is written in a task.
_REST_NAMES = {"model_id": "project_id", "run_continuously": "is_continuous"}
# What an attached evaluator has besides its ID.
_ATTACHMENT = ("evaluator_version_id", "query_filter", "column_mappings", "query_mappings")


def task_type(evaluator_type: EvaluatorType) -> TaskType:
    """Return the type of a task for an evaluator of this type.

    :raises InvalidInput: such a task is not documented.
    """
    match evaluator_type:
        case "TEMPLATE":
            return "TEMPLATE_EVALUATION"
        case "CODE":
            return "CODE_EVALUATION"
        case "HARNESS" | "REMOTE":
            raise InvalidInput(
                f"An evaluator of type {evaluator_type} cannot have mappings, a version or a filter in a "
                f"task: Arize documents no task type for it over REST. Give evaluator_id alone."
            )
        case _:
            assert_never(evaluator_type)


def create_hub_task(task: EvalTaskInput, kind: TaskType) -> RestCall[Task]:
    """POST /v2/tasks: returns the new task."""
    return RestCall(
        name="create task",
        method="POST",
        path="/v2/tasks",
        body={"type": kind, **_fields(task, task.to_rest())},
        read=Task.from_wire,
        repeatable=False,
    )


def update_hub_task(
    task_id: str, wanted: EvalTaskInput | EvalTaskPatch, changed: Iterable[str], found: Task
) -> RestCall[Task]:
    """PATCH /v2/tasks/{task_id}: returns the task. A repeat sets the same values again.

    :param changed: the fields to set. The list of evaluators is replaced whole.
    :param found: the task as it is, for what its evaluators keep.
    """
    body = _fields(wanted, changed)
    if "evaluators" in body:
        body["evaluators"] = attachments(_evaluators(wanted), found)
    return RestCall(
        name="update task", method="PATCH", path=f"/v2/tasks/{part(task_id)}", body=body, read=Task.from_wire
    )


def _evaluators(task: EvalTaskInput | EvalTaskPatch) -> Sequence[HubEvaluator]:
    return task.evaluators or ()


def _fields(task: EvalTaskInput | EvalTaskPatch, names: Iterable[str]) -> dict[str, Any]:
    written = task.to_rest()
    body = {_REST_NAMES.get(name, name): written.get(name) for name in names}
    if "evaluators" in body:
        body["evaluators"] = [_attachment(one) for one in in_order(_evaluators(task))]
    return body


def in_order(evaluators: Iterable[HubEvaluator]) -> list[HubEvaluator]:
    """Return evaluators by their position, which REST has no field for."""
    return sorted(evaluators, key=lambda one: one.position or 0)


def _attachment(evaluator: HubEvaluator) -> dict[str, Any]:
    return {name: value for name, value in evaluator.to_rest().items() if name != "position"}


def attachments(evaluators: Iterable[HubEvaluator], found: Task) -> list[dict[str, Any]]:
    """Return what a task's evaluators become.

    One that says nothing but its ID keeps the mappings, the version and the filter that it has in the task.
    """
    attached = {one.evaluator_id: _kept(one) for one in found.evaluators}
    return [
        _attachment(one)
        if one.needs_rest
        else {"evaluator_id": one.evaluator_id, **attached.get(one.evaluator_id, {})}
        for one in in_order(evaluators)
    ]


def _kept(attached: AttachedEvaluator) -> dict[str, Any]:
    """Return what an evaluator of a task has besides its ID, as REST takes it."""
    found = {name: getattr(attached, name) for name in _ATTACHMENT}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in found.items()
        if value is not None
    }


def same_attachments(evaluators: Iterable[HubEvaluator], found: Task) -> bool:
    """Return whether a task has these evaluators, with what they say. Their order is not documented."""
    wanted = {one.pop("evaluator_id"): one for one in attachments(evaluators, found)}
    return wanted == {one.evaluator_id: _kept(one) for one in found.evaluators}
