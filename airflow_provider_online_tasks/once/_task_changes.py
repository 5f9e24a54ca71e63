"""What of an existing task differs from what is wanted, as far as the API tells.

REST tells a task's sampling rate, its filter, whether it runs continuously, and its evaluators by Eval Hub ID
and name. It tells neither the templates, labels and LLM of evaluators that are written in the task, nor their
code, so a change of those alone cannot be seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.inputs import INLINE_EVALUATORS
from airflow_provider_online_tasks.inputs._unset import UNSET

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.calls import Task
    from airflow_provider_online_tasks.inputs import EvalTaskInput

RATE_TOLERANCE = 1e-9


@dataclass(frozen=True, kw_only=True)
class TaskChanges:
    """What has to change.

    :param patch: fields of :class:`~airflow_provider_online_tasks.inputs.EvalTaskPatch`.
    :param hub_evaluators: IDs of the Eval Hub evaluators to have in place of the present ones; None for no
        change.
    :param left: what stays as it is because it cannot be compared, and why; for a person.
    """

    patch: Mapping[str, Any]
    hub_evaluators: tuple[str, ...] | None
    left: tuple[str, ...]


def find_changes(found: Task, wanted: EvalTaskInput) -> TaskChanges:
    """Compare a task with what is wanted of it. What the API does not tell is left as it is."""
    patch: dict[str, Any] = {}
    left: list[str] = []
    if found.sampling_rate is None:
        left.append("its sampling rate, which Arize does not tell")
    elif not math.isclose(found.sampling_rate, wanted.sampling_rate, abs_tol=RATE_TOLERANCE):
        patch["sampling_rate"] = wanted.sampling_rate
    if found.run_continuously is None:
        left.append("whether it runs continuously, which Arize does not tell")
    elif found.run_continuously != wanted.run_continuously:
        patch["run_continuously"] = wanted.run_continuously
    query_filter = None if wanted.query_filter is UNSET else wanted.query_filter
    if found.has_named_filters:
        left.append("its filters, which are several with names")
    elif (found.query_filter or "").strip() != (query_filter or "").strip():
        patch["query_filter"] = query_filter
    hub_evaluators = None
    if wanted.evaluators is UNSET:
        patch |= _inline_changes(found, wanted, left)
    else:
        hub_evaluators = _hub_changes(found, wanted, left)
    return TaskChanges(patch=patch, hub_evaluators=hub_evaluators, left=tuple(left))


def _inline_changes(found: Task, wanted: EvalTaskInput, left: list[str]) -> dict[str, Any]:
    """Send all evaluators that are written in the task if the task certainly has others."""
    given = {name: value for name in INLINE_EVALUATORS if (value := getattr(wanted, name)) is not UNSET}
    names = sorted(one.name for evaluators in given.values() for one in evaluators)
    told = found.evaluator_names
    is_inline = bool(told) and None not in told and not any(found.evaluator_ids)
    if is_inline and sorted(map(str, told)) != names:
        return given | ({} if wanted.llm_config is UNSET else {"llm_config": wanted.llm_config})
    left.append("its evaluators, which are written in the task and cannot be read back")
    return {}


def _hub_changes(found: Task, wanted: EvalTaskInput, left: list[str]) -> tuple[str, ...] | None:
    ids = tuple(one.evaluator_id for one in sorted(wanted.evaluators, key=lambda one: one.position))
    if not all(found.evaluator_ids) or not found.evaluator_ids:
        left.append("its evaluators, which Arize does not tell by Eval Hub ID")
        return None
    # As sets: the order in which they are told is not documented.
    return None if set(ids) == set(found.evaluator_ids) else ids
