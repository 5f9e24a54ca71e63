"""Delete an eval task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.exceptions import NotFound
from airflow_provider_online_tasks.idempotency.intents import Intent, IntentStore

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook

STATE_KEY = "deleted_online_task"


@dataclass(frozen=True, kw_only=True)
class DeletionIntent(Intent):
    """The intent to delete a task that exists."""

    online_task_id: str


def delete_task(
    hook: OnlineTasksHook, online_task_id: str, *, must_exist: bool, context: Context, log: Any
) -> None:
    """Delete a task.

    :raises NotFound: ``must_exist`` is set, and the task is missing, but not because an earlier try of this
        execution deleted it.
    """
    intents = IntentStore(context, STATE_KEY, DeletionIntent)
    intent = DeletionIntent(online_task_id=online_task_id)
    existed = intents.read() == intent
    if must_exist and not existed:
        hook.get_task(online_task_id)
        intents.write(intent)
        existed = True
    try:
        hook.delete_task(online_task_id)
    except NotFound as error:
        if existed:  # the response to an earlier request was lost
            log.info("Task %s is already deleted.", online_task_id)
        else:
            log.info("There is no task %s to delete. %s", online_task_id, error)
    else:
        log.info("Deleted task %s.", online_task_id)
    intents.delete()
