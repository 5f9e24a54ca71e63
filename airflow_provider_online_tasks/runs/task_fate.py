"""Whether a task still needs its run when Airflow ends its process or drops its trigger.

Airflow does both for two kinds of reasons. A user clears a task or marks it failed or successful: nothing
needs the run any more. Or Airflow has an internal problem (its API server is away, a triggerer restarts):
another process resumes the task. Only the state of the task tells which it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import sys
import threading
from collections.abc import Mapping
from typing import Any

from airflow_provider_online_tasks._airflow import AirflowTaskTimeout

# The states in which another process resumes the run, by what asks. Anything else, a deleted task included,
# means that the task ended: a deferred task that a user clears may be scheduled again before its trigger is
# dropped.
RESUMED_AFTER_WORKER = frozenset(
    {"awaiting_input", "deferred", "queued", "running", "scheduled", "up_for_reschedule", "up_for_retry"}
)
RESUMED_AFTER_TRIGGER = frozenset({"deferred"})

# Airflow kills a process 5 seconds after the signal; the cancellation of the run must fit in as well.
WORKER_SECONDS = 2.0
# Triggers that ask within this time share a request.
GATHERING_SECONDS = 0.1
MOST_RUNS_PER_REQUEST = 100

States = Mapping[str, Mapping[str, Any]]
"""The state of each task instance: DAG run ID, then task ID with the map index."""


class TaskFate(enum.Enum):
    """Whether a task still needs its run."""

    ENDED = "the task ended"
    RESUMED = "another process resumes the task"
    UNKNOWN = "Airflow doesn't answer whether the task ended"


def worker_task_fate(ti: Any) -> TaskFate:
    """Return the fate of the task of this process, which Airflow ends. Takes at most two seconds."""
    if isinstance(sys.exception(), AirflowTaskTimeout):
        return TaskFate.ENDED
    answers: list[States] = []

    def ask() -> None:
        with contextlib.suppress(Exception):  # any error: Airflow doesn't answer
            answers.append(
                ti.get_task_states(
                    dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index
                )
            )

    # In a thread, since the signal may have interrupted another call to Airflow, which holds a lock.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(WORKER_SECONDS)
    return _fate(answers[0], ti, RESUMED_AFTER_WORKER)[0] if answers else TaskFate.UNKNOWN


async def trigger_task_fate(ti: Any) -> tuple[TaskFate, str]:
    """Return the fate of a task whose trigger Airflow drops, and its state; raise without an answer."""
    return _fate(await _shared_states(ti.dag_id, ti.task_id, ti.run_id), ti, RESUMED_AFTER_TRIGGER)


def _fate(states: States, ti: Any, resumed: frozenset[str]) -> tuple[TaskFate, str]:
    is_mapped = ti.map_index is not None and ti.map_index >= 0
    key = f"{ti.task_id}_{ti.map_index}" if is_mapped else ti.task_id
    of_run = states.get(ti.run_id) or {}
    if key not in of_run:
        return TaskFate.ENDED, "deleted"
    state = of_run[key]
    word = str(getattr(state, "value", state) or "cleared")
    return TaskFate.RESUMED if word in resumed else TaskFate.ENDED, word


def runs_in_process() -> bool:
    """Return whether the task and its trigger run in one process, as in ``airflow dags test``."""
    from airflow.sdk.execution_time import task_runner

    return type(getattr(task_runner, "SUPERVISOR_COMMS", None)).__name__ == "InProcessSupervisorComms"


# The requests that triggers still join, by event loop, DAG and task: their DAG runs, and the response.
_Key = tuple[asyncio.AbstractEventLoop, str, str]
_gathering: dict[_Key, tuple[set[str], asyncio.Task[States]]] = {}


async def _shared_states(dag_id: str, task_id: str, run_id: str) -> States:
    """Return the states of a task's instances, with one request for many triggers."""
    key = (asyncio.get_running_loop(), dag_id, task_id)
    if key in _gathering and (
        run_id in _gathering[key][0] or len(_gathering[key][0]) < MOST_RUNS_PER_REQUEST
    ):
        run_ids, response = _gathering[key]
        run_ids.add(run_id)
    else:
        run_ids = {run_id}
        response = asyncio.create_task(_ask(key, run_ids))
        _gathering[key] = run_ids, response
    return await asyncio.shield(response)


async def _ask(key: _Key, run_ids: set[str]) -> States:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    from asgiref.sync import sync_to_async

    await asyncio.sleep(GATHERING_SECONDS)
    if key in _gathering and _gathering[key][0] is run_ids:
        del _gathering[key]
    _, dag_id, task_id = key
    states: States = await sync_to_async(RuntimeTaskInstance.get_task_states)(
        dag_id=dag_id, task_ids=[task_id], run_ids=sorted(run_ids)
    )
    return states
