"""A task in REST v2.

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

    :param evaluator_id: its ID in the Eval Hub; None if it is defined in the task.
    :param evaluator_name: its name, if Arize returns it.
    :param evaluator_version_id: the pinned version; None for the newest.
    :param query_filter: the spans that it evaluates.
    :param column_mappings: the attribute for each variable of the template.
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
    :param project_id: the project with its spans; None if it evaluates a dataset.
    :param sampling_rate: fraction of the matching spans that it evaluates.
    :param query_filter: the spans that it evaluates.
    :param run_continuously: whether it evaluates new spans as they arrive.
    :param evaluators: its evaluators.
    :param query_filters: its named filters, instead of one filter.
    :param created_at: time of creation.
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
        """The Eval Hub IDs of its evaluators in their order; None for those defined in the task."""
        return tuple(evaluator.evaluator_id for evaluator in self.evaluators)

    @property
    def evaluator_names(self) -> tuple[str | None, ...]:
        """The names of its evaluators in their order, if Arize returns them."""
        return tuple(evaluator.evaluator_name for evaluator in self.evaluators)
