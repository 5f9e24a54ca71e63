"""What the operators have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from airflow.sdk import BaseOperator

from airflow_provider_online_tasks.api.inputs import WireInput
from airflow_provider_online_tasks.api.unset import UNSET
from airflow_provider_online_tasks.hooks.online_tasks import DEFAULT_CONN_ID, OnlineTasksHook


class OnlineTasksOperator(BaseOperator):
    """Base of the operators of this provider.

    :param conn_id: Airflow connection of type ``arize_online_tasks``. (templated)
    """

    ui_color = "#ffe0f0"

    def __init__(self, *, conn_id: str = DEFAULT_CONN_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.conn_id = conn_id

    @property
    def hook(self) -> OnlineTasksHook:
        """A new hook on the connection; close it after use."""
        return OnlineTasksHook(self.conn_id)


def plain(value: Any) -> Any:
    """Return typed inputs as the dicts and lists that Airflow can render and show."""
    if isinstance(value, WireInput):
        given = ((spec.name, getattr(value, spec.name)) for spec in fields(value))  # type: ignore[arg-type]
        return {name: plain(part) for name, part in given if part is not UNSET}
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value
