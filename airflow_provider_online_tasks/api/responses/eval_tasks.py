"""What the GraphQL mutations return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from airflow_provider_online_tasks.api.responses.fields import Code, Id, Line, Name
from airflow_provider_online_tasks.api.responses.model import Model


@dataclass(frozen=True, kw_only=True)
class EvalTask(Model):
    """A task as the mutations return it."""

    id: Id
    name: Name


@dataclass(frozen=True, kw_only=True)
class RunStarted(Model):
    """runOnlineTask started a run."""

    run_id: Annotated[Id, Field(validation_alias="runId")]


@dataclass(frozen=True, kw_only=True)
class RunNotStarted(Model):
    """runOnlineTask did not start a run: the member ``TaskError`` of its result.

    :param message: why not.
    :param code: a word for it, which is not documented.
    """

    message: Line | None
    code: Code | None = None
