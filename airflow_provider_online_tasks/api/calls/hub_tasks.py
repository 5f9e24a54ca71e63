"""Tasks with Eval Hub evaluators over REST: the fields that GraphQL does not document.

Column mappings, evaluator versions, filters of one evaluator, and evaluators of traces or sessions.
API: https://arize.com/docs/api-reference/tasks/create-task
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, assert_never

from airflow_provider_online_tasks.api.calls._rest import RestCall, part
from airflow_provider_online_tasks.api.responses.tasks import AttachedEvaluator, Task
from airflow_provider_online_tasks.exceptions import InvalidInput

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.responses.evaluators import EvaluatorType
    from airflow_provider_online_tasks.inputs import EvalTaskInput, EvalTaskPatch, HubEvaluator

TaskType = Literal["TEMPLATE_EVALUATION", "CODE_EVALUATION"]

# REST's names of fields. REST has no names for evaluators that are defined in the task.
_REST_NAMES = {"model_id": "project_id", "run_continuously": "is_continuous"}
# The fields of an attached evaluator besides its ID.
_ATTACHMENT = ("evaluator_version_id", "query_filter", "column_mappings", "query_mappings")


def task_type(evaluator_type: EvaluatorType) -> TaskType:
    """Return the type of a task for a type of evaluator.

    :raises InvalidInput: Arize documents no such task.
    """
    match evaluator_type:
        case "TEMPLATE":
            return "TEMPLATE_EVALUATION"
        case "CODE":
            return "CODE_EVALUATION"
        case "HARNESS" | "REMOTE":
            raise InvalidInput(
                f"An evaluator of type {evaluator_type} cannot have mappings, a version or a filter in a "
                f"task, because REST has no task type for it. Set only evaluator_id."
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
    task_id: str, wanted: EvalTaskInput | EvalTaskPatch, changed: Iterable[str], current: Task
) -> RestCall[Task]:
    """PATCH /v2/tasks/{task_id}: returns the task. A repeat sets the same values again.

    :param changed: the fields to set. The list of evaluators is replaced.
    :param current: the task before the change, from which evaluators keep their fields.
    """
    body = _fields(wanted, changed)
    if "evaluators" in body:
        body["evaluators"] = attachments(wanted.evaluators or (), current)
    return RestCall(
        name="update task", method="PATCH", path=f"/v2/tasks/{part(task_id)}", body=body, read=Task.from_wire
    )


def _fields(task: EvalTaskInput | EvalTaskPatch, names: Iterable[str]) -> dict[str, Any]:
    written = task.to_rest()
    body = {_REST_NAMES.get(name, name): written.get(name) for name in names}
    if "evaluators" in body:
        body["evaluators"] = [_attachment(evaluator) for evaluator in in_order(task.evaluators or ())]
    return body


def in_order(evaluators: Iterable[HubEvaluator]) -> list[HubEvaluator]:
    """Return evaluators by their position, which REST has no field for."""
    return sorted(evaluators, key=lambda evaluator: evaluator.position or 0)


def _attachment(evaluator: HubEvaluator) -> dict[str, Any]:
    return {name: value for name, value in evaluator.to_rest().items() if name != "position"}


def attachments(evaluators: Iterable[HubEvaluator], current: Task) -> list[dict[str, Any]]:
    """Return the evaluators of a task after a change.

    An evaluator with only an ID keeps the mappings, the version and the filter that it has in the task.
    """
    kept = {evaluator.evaluator_id: _kept(evaluator) for evaluator in current.evaluators}
    return [
        _attachment(evaluator)
        if evaluator.needs_rest
        else {"evaluator_id": evaluator.evaluator_id, **kept.get(evaluator.evaluator_id, {})}
        for evaluator in in_order(evaluators)
    ]


def _kept(attached: AttachedEvaluator) -> dict[str, Any]:
    """Return the fields of a task's evaluator besides its ID, in REST's form."""
    fields = {name: getattr(attached, name) for name in _ATTACHMENT}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in fields.items()
        if value is not None
    }


def same_attachments(evaluators: Iterable[HubEvaluator], current: Task) -> bool:
    """Return whether a task has these evaluators with these fields. Their order is not documented."""
    wanted = {fields.pop("evaluator_id"): fields for fields in attachments(evaluators, current)}
    return wanted == {evaluator.evaluator_id: _kept(evaluator) for evaluator in current.evaluators}
