"""A task, as REST v2 returns it.

Fields: https://arize.com/docs/api-reference/tasks/create-task
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from airflow_provider_online_tasks.api.responses.fields import (
    Blank,
    Exact,
    Flag,
    Id,
    Listed,
    Name,
    Number,
    Object,
    ObjectToCompare,
    Time,
)
from airflow_provider_online_tasks.api.responses.model import Model


@dataclass(frozen=True, kw_only=True)
class AttachedEvaluator(Model):
    """An evaluator of a task.

    :param evaluator_id: its ID in the Eval Hub; None if it is written in the task.
    :param evaluator_name: its name, where Arize returns it.
    :param evaluator_version_id: the version that judges; None for the newest.
    :param query_filter: spans this evaluator is for.
    :param column_mappings: which attribute each variable of the template is.
    :param query_mappings: the same for an evaluator of traces or sessions.
    """

    evaluator_id: Annotated[Id | None, Blank] = None
    evaluator_name: Name | None = None
    evaluator_version_id: Annotated[Id | None, Blank] = None
    query_filter: Exact | None = None
    column_mappings: dict[Exact, Exact] | None = None
    query_mappings: tuple[Object, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Task(Model):
    """A task.

    :param id: its global ID.
    :param name: its name.
    :param project_id: the project whose spans it is for; None if it is for those of a dataset.
    :param sampling_rate: fraction of the matching spans that it evaluates.
    :param query_filter: spans it is for.
    :param run_continuously: whether it evaluates new spans as they arrive.
    :param evaluators: its evaluators.
    :param query_filters: the filters with an ID each that it has in place of one.
    :param created_at: when it was created.
    """

    id: Id
    name: Name
    project_id: Id | None = None
    sampling_rate: Number | None = None
    query_filter: Exact | None = None
    run_continuously: Annotated[Flag | None, Field(validation_alias="is_continuous")] = None
    evaluators: Annotated[tuple[AttachedEvaluator, ...], Listed] = ()
    query_filters: ObjectToCompare = None
    created_at: Time | None = None

    @property
    def evaluator_ids(self) -> tuple[str | None, ...]:
        """The Eval Hub IDs of its evaluators in their order; None for one that is written in the task."""
        return tuple(one.evaluator_id for one in self.evaluators)

    @property
    def evaluator_names(self) -> tuple[str | None, ...]:
        """The names of its evaluators in their order, where Arize returns them."""
        return tuple(one.evaluator_name for one in self.evaluators)
