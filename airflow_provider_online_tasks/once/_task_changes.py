"""Making an existing task what the DAG says, with ``if_exists="update"``.

REST returns a task's sampling rate, its filter, whether it runs continuously, and its evaluators by Eval Hub
ID: those are compared, and sent if they differ. It does not return the templates, labels, LLM and code of
evaluators that are written in the task: those are sent each time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.inputs import EvalTaskPatch, describe_sampling_rate

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.calls import Task
    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
    from airflow_provider_online_tasks.inputs import EvalTaskInput

RATE_TOLERANCE = 1e-9


@dataclass(frozen=True, kw_only=True)
class TaskChanges:
    """What has to be sent.

    :param patch: fields of :class:`~airflow_provider_online_tasks.inputs.EvalTaskPatch`.
    :param unseen: those of them that Arize does not return, so that they may be the same already.
    :param hub_evaluators: IDs of the Eval Hub evaluators to have in place of the present ones; None for no
        change.
    """

    patch: Mapping[str, Any]
    unseen: tuple[str, ...]
    hub_evaluators: tuple[str, ...] | None


def _same_rate(found: Task, wanted: EvalTaskInput) -> bool:
    rate = found.sampling_rate
    return rate is not None and math.isclose(rate, wanted.sampling_rate, abs_tol=RATE_TOLERANCE)


def _same_filter(found: Task, wanted: EvalTaskInput) -> bool:
    if found.has_named_filters:
        return False
    return (found.query_filter or "").strip() == (wanted.query_filter or "").strip()


# What finds a task, or is changed by another call, is no part of a patch.
_NOT_PATCHED = frozenset({"name", "model_id", "evaluators"})
_COMPARED: Mapping[str, Callable[[Task, EvalTaskInput], bool]] = {
    "sampling_rate": _same_rate,
    "query_filter": _same_filter,
    "run_continuously": lambda found, wanted: found.run_continuously == wanted.run_continuously,
}


def find_changes(found: Task, wanted: EvalTaskInput) -> TaskChanges:
    """Compare a task with what is wanted of it.

    :param found: the task as it is.
    :param wanted: the task as the DAG says it.
    """
    patch: dict[str, Any] = {}
    unseen: list[str] = []
    for name in type(wanted).model_fields:
        value, is_same = getattr(wanted, name), _COMPARED.get(name)
        if name in _NOT_PATCHED:
            continue
        if is_same is not None:
            if not is_same(found, wanted):
                patch[name] = value
        elif value is not None:
            patch[name] = value
            unseen.append(name)
    return TaskChanges(patch=patch, unseen=tuple(unseen), hub_evaluators=_hub_changes(found, wanted))


def _hub_changes(found: Task, wanted: EvalTaskInput) -> tuple[str, ...] | None:
    if wanted.evaluators is None:
        return None
    ids = tuple(one.evaluator_id for one in sorted(wanted.evaluators, key=lambda one: one.position or 0))
    # As sets: the order in which Arize lists them is not documented.
    return None if set(ids) == set(found.evaluator_ids) else ids


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
    if changes.patch:
        hook.patch_eval_task(EvalTaskPatch(online_task_id=task_id, **changes.patch))
        rate = changes.patch.get("sampling_rate")
        log.info(
            "Set %s of task %s%s.",
            ", ".join(changes.patch),
            task_id,
            "" if rate is None else f"; {describe_sampling_rate(rate)}",
        )
    if changes.unseen:
        log.info("Arize does not return %s to compare, so each try sends them.", ", ".join(changes.unseen))
    if changes.hub_evaluators is not None:
        hook.client.send(calls.update_hub_evaluators(found, changes.hub_evaluators))
        log.info("Task %s now has the evaluators %s.", task_id, ", ".join(changes.hub_evaluators))
    if not changes.patch and changes.hub_evaluators is None:
        log.info("Task %s is as the DAG says it already: nothing was sent.", task_id)
