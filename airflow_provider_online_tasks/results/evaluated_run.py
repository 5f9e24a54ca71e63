"""What a run that is over has judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.inputs import DataWindow

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.responses.runs import TaskRun
    from airflow_provider_online_tasks.api.responses.tasks import Task


def judged_by(run: TaskRun) -> tuple[str, DataWindow]:
    """Return the task of a run that is over, and the window whose spans it has judged.

    :raises InvalidInput: it is not over, or has no window.
    """
    if not run.is_over:
        raise InvalidInput(
            f"Run {run.id} is {run.status_text}: its results are not complete. Wait for it with "
            f"OnlineTaskRunSensor or wait_for_completion=True."
        )
    if run.task_id is None or run.data_start_time is None or run.data_end_time is None:
        raise InvalidInput(f"Run {run.id} has no window: it did not evaluate the spans of a project.")
    return run.task_id, DataWindow(start=run.data_start_time, end=run.data_end_time)


def project_of(task: Task) -> str:
    """Return the project whose spans a task evaluates.

    :raises InvalidInput: it evaluates something else.
    """
    if task.project_id is None:
        raise InvalidInput(
            f"Task {task.id} does not evaluate the spans of a project, so it has no results to read."
        )
    return task.project_id
