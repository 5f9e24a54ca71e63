"""Making an existing task what the DAG says, with ``if_exists="update"``.

REST returns a task's sampling rate, its filter, whether it runs continuously, and its evaluators of the Eval
Hub with their mappings: those are compared, and sent if they differ. It does not return the templates,
labels, LLM and code of evaluators that are written in the task: those are sent each time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.api.calls import hub_tasks
from airflow_provider_online_tasks.inputs import EvalTaskPatch, describe_sampling_rate

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.responses.tasks import Task
    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
    from airflow_provider_online_tasks.inputs import EvalTaskInput

RATE_TOLERANCE = 1e-9


@dataclass(frozen=True, kw_only=True)
class TaskChanges:
    """What has to be sent.

    :param fields: the fields of :class:`~airflow_provider_online_tasks.inputs.EvalTaskInput` to set.
    :param unseen: those of them that Arize does not return, so that they may be the same already.
    """

    fields: Mapping[str, Any]
    unseen: tuple[str, ...]


def _same_rate(found: Task, wanted: EvalTaskInput) -> bool:
    rate = found.sampling_rate
    return rate is not None and math.isclose(rate, wanted.sampling_rate, abs_tol=RATE_TOLERANCE)


def _same_filter(found: Task, wanted: EvalTaskInput) -> bool:
    return (found.query_filter or "").strip() == (wanted.query_filter or "").strip()


def _same_evaluators(found: Task, wanted: EvalTaskInput) -> bool:
    return wanted.evaluators is None or hub_tasks.same_attachments(wanted.evaluators, found)


def _same_named_filters(found: Task, wanted: EvalTaskInput) -> bool:
    if wanted.query_filters is None:
        return not found.query_filters
    said = wanted.query_filters.to_rest()
    # A single filter needs no expression: it is the expression.
    single = {"expression": said["filters"][0]["id"]}
    kept = {name: value for name, value in (found.query_filters or {}).items() if value is not None}
    return single | kept == single | said


_FOUND_BY = frozenset({"name", "model_id"})
_COMPARED: Mapping[str, Callable[[Task, EvalTaskInput], bool]] = {
    "sampling_rate": _same_rate,
    "query_filter": _same_filter,
    "query_filters": _same_named_filters,
    "run_continuously": lambda found, wanted: found.run_continuously == wanted.run_continuously,
    "evaluators": _same_evaluators,
}


def find_changes(found: Task, wanted: EvalTaskInput) -> TaskChanges:
    """Compare a task with what is wanted of it.

    :param found: the task as it is.
    :param wanted: the task as the DAG says it.
    """
    fields: dict[str, Any] = {}
    unseen: list[str] = []
    for name in type(wanted).model_fields:
        value, is_same = getattr(wanted, name), _COMPARED.get(name)
        if name in _FOUND_BY:
            continue
        if is_same is not None:
            if not is_same(found, wanted):
                fields[name] = value
        elif value is not None:
            fields[name] = value
            unseen.append(name)
    return TaskChanges(fields=fields, unseen=tuple(unseen))


def bring_up_to_date(*, hook: OnlineTasksHook, task_id: str, wanted: EvalTaskInput, log: Any) -> None:
    """Make a task what the DAG says.

    :param hook: how Arize is called.
    :param task_id: the task.
    :param wanted: the task as the DAG says it.
    :param log: where it is logged what was sent.
    :raises CallError: the subclass that fits what happened.
    """
    found = hook.get_task(task_id)
    changes = find_changes(found, wanted)
    if not changes.fields:
        log.info("Task %s is as the DAG says it already: nothing was sent.", task_id)
        return
    changed = set(changes.fields)
    over_rest = changed if wanted.needs_rest else changed & {"evaluators", "query_filters"}
    patch = {name: value for name, value in changes.fields.items() if name not in over_rest}
    if patch:
        hook.patch_eval_task(EvalTaskPatch(online_task_id=task_id, **patch))
    if over_rest:
        hook.client.send(hub_tasks.update_hub_task(task_id, wanted, over_rest, found))
    rate = changes.fields.get("sampling_rate")
    log.info(
        "Set %s of task %s%s.",
        ", ".join(changes.fields),
        task_id,
        "" if rate is None else f"; {describe_sampling_rate(rate)}",
    )
    if changes.unseen:
        log.info(
            "Arize does not return %s to compare: sent each time, changed or not.", ", ".join(changes.unseen)
        )
