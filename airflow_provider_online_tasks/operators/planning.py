"""The task, the window and the limits of spans of a run: the arguments that planning it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.inputs import arguments
from airflow_provider_online_tasks.operators import base
from airflow_provider_online_tasks.runs import window as windows

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
    from airflow_provider_online_tasks.inputs.runs import RunInput


class PlansRun(base.UsesArize):
    """Plans a run from the arguments of an operator."""

    online_task_id: Any
    online_task: Any
    data_start_time: Any
    data_end_time: Any
    lookback: Any
    partition_length: Any
    max_spans: Any
    override_evaluations: Any

    def check_run_literals(self) -> None:
        """Check the arguments that are literals when the DAG is parsed."""
        from airflow_provider_online_tasks.inputs.runs import RunInput

        windows.check_window_arguments(
            self.data_start_time, self.data_end_time, self.lookback, self.partition_length
        )
        if (self.online_task_id is None) == (self.online_task is None):
            raise InvalidInput("Set one of online_task_id (the task's global ID) and online_task (its name).")
        if self.online_task is not None:
            arguments.check_name(self.online_task, "online_task")
        RunInput.check_literals(
            {
                "online_task_id": self.online_task_id or "online_task",
                "data_start_time": self.data_start_time,
                "data_end_time": self.data_end_time,
                "max_spans": self.max_spans,
                "override_evaluations": self.override_evaluations,
            },
            later=("data_start_time", "data_end_time") if self.data_start_time is None else (),
        )
        if self.data_start_time is not None:
            windows.check_window_literals(self.data_start_time, self.data_end_time)

    def plan_run(self, context: Context, hook: OnlineTasksHook) -> RunInput:
        """Return the run. An invalid window costs no request, and the name of a task costs one."""
        from airflow_provider_online_tasks.inputs.runs import RunInput

        window = windows.resolve_window(
            context,
            data_start_time=self.data_start_time,
            data_end_time=self.data_end_time,
            lookback=self.lookback,
            partition_length=self.partition_length,
        )
        online_task_id = self.online_task_id
        if online_task_id is None:
            name = arguments.read_name(self.online_task, "online_task")
            online_task_id = hook.find_task(name).id
            self.log.info("The task %r is %s.", name, online_task_id)
        if window.is_short:
            self.log.warning(
                "The window %s is shorter than a minute. lookback and partition_length are in seconds: for a "
                "day, use timedelta(days=1).",
                window,
            )
        return RunInput.read(
            {
                "online_task_id": online_task_id,
                "data_start_time": window.start,
                "data_end_time": window.end,
                "max_spans": self.max_spans,
                "override_evaluations": self.override_evaluations,
            }
        )
