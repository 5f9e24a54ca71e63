"""Update an existing task to match the DAG, with ``if_exists="update"``.

REST returns a task's sampling rate, its filters, whether it runs continuously, and its Eval Hub evaluators
with their mappings: these are compared, and sent if they differ. It does not return the templates, labels,
LLM and code of evaluators that are written in the task: these are sent each time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.inputs.arguments import describe_sampling_rate
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskPatch

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.responses import Task
    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
    from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput

_RATE_TOLERANCE = 1e-9
_IDENTITY = frozenset({"name", "model_id"})
_REST_ONLY = frozenset({"evaluators", "query_filters"})


class TaskChanges(NamedTuple):
    """The fields that an update sets, and the names of those that Arize does not return."""

    fields: Mapping[str, Any]
    not_compared: tuple[str, ...]


def find_changes(task: Task, wanted: EvalTaskInput) -> TaskChanges:
    """Compare a task with the arguments of the DAG."""
    rate = task.sampling_rate
    named_filters, default = {}, {}
    if wanted.query_filters is not None:
        named_filters = wanted.query_filters.to_rest()
        # Arize adds the default expression of a single filter: the filter itself.
        default = {"expression": named_filters["filters"][0]["id"]}
    existing = {name: value for name, value in (task.query_filters or {}).items() if value is not None}
    # A field that is missing here cannot be compared, and is sent each time.
    is_same = {
        "sampling_rate": (
            rate is not None and math.isclose(rate, wanted.sampling_rate, abs_tol=_RATE_TOLERANCE)
        ),
        "query_filter": (task.query_filter or "").strip() == (wanted.query_filter or "").strip(),
        "query_filters": default | existing == default | named_filters,
        "run_continuously": task.run_continuously == wanted.run_continuously,
        "evaluators": (wanted.evaluators is None or calls.same_attachments(wanted.evaluators, task)),
    }
    fields = {name: getattr(wanted, name) for name in type(wanted).model_fields if name not in _IDENTITY}
    changed = {name: value for name, value in fields.items() if not is_same.get(name, value is None)}
    return TaskChanges(changed, not_compared=tuple(name for name in changed if name not in is_same))


def update_task(hook: OnlineTasksHook, task_id: str, wanted: EvalTaskInput, *, log: Any) -> None:
    """Change what differs between an existing task and the arguments of the DAG."""
    task = hook.get_task(task_id)
    changes = find_changes(task, wanted)
    if not changes.fields:
        log.info("Task %s matches the DAG. Nothing was sent.", task_id)
        return
    over_rest = set(changes.fields) if wanted.needs_rest else set(changes.fields) & _REST_ONLY
    patch = {name: value for name, value in changes.fields.items() if name not in over_rest}
    if patch:
        hook.patch_eval_task(EvalTaskPatch(online_task_id=task_id, **patch))
    if over_rest:
        hook.client.send(calls.update_hub_task(task_id, wanted, over_rest, task))
    rate = changes.fields.get("sampling_rate")
    sampling = "" if rate is None else f"; {describe_sampling_rate(rate)}"
    log.info("Updated %s of task %s%s.", ", ".join(changes.fields), task_id, sampling)
    if changes.not_compared:
        log.info("Arize does not return %s, so they are sent each time.", ", ".join(changes.not_compared))
