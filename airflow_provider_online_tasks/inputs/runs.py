"""The input of runOnlineTask.

Fields: https://arize.com/docs/ax/graphql-reference/apis/online-tasks-api
"""

from __future__ import annotations

from typing import Self

from pydantic import ValidationInfo, model_validator

from airflow_provider_online_tasks.inputs.base import PARSING, Count, Flag, Id, Time, WireInput
from airflow_provider_online_tasks.inputs.windows import DataWindow


class RunInput(WireInput, frozen=True):
    """The input of runOnlineTask.

    :param online_task_id: global ID of the task.
    :param data_start_time: start of the window.
    :param data_end_time: end of the window.
    :param max_spans: maximum number of spans to evaluate, at least 1. Default: the API's, 10,000.
    :param override_evaluations: whether to evaluate spans again that have a label. Default False.
    """

    online_task_id: Id
    data_start_time: Time
    data_end_time: Time
    max_spans: Count | None = None
    override_evaluations: Flag | None = None

    @property
    def window(self) -> DataWindow:
        """The window of spans."""
        return DataWindow.of(self.data_start_time, self.data_end_time)

    @model_validator(mode="after")
    def _has_a_window(self, info: ValidationInfo) -> Self:
        # When the DAG is parsed, the window may still be in the future.
        check = DataWindow.of if info.context is PARSING else DataWindow.read
        check(self.data_start_time, self.data_end_time)
        return self
