"""Results of the GraphQL mutations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from airflow_provider_online_tasks.api.responses.fields import Code, Id, Line, Name
from airflow_provider_online_tasks.api.responses.model import Model


@dataclass(frozen=True, kw_only=True)
class EvalTask(Model):
    """A task in the result of a mutation."""

    id: Id
    name: Name


@dataclass(frozen=True, kw_only=True)
class RunStarted(Model):
    """runOnlineTask started a run."""

    run_id: Annotated[Id, Field(validation_alias="runId")]


@dataclass(frozen=True, kw_only=True)
class RunNotStarted(Model):
    """runOnlineTask did not start a run: the member ``TaskError`` of its result.

    :param message: the reason.
    :param code: an undocumented code.
    """

    message: Line | None
    code: Code | None = None
