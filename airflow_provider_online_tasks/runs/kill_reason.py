"""Why Airflow ends a task's process: somebody wants the task to end, or Airflow has trouble of its own.

Both reach the process as the same signal. A person who clears, fails or succeeds a running task changes its
state first; the supervisor then learns from its next heartbeat that the task should not run, and ends it.
When Airflow's own API server is away, the supervisor gives up after three heartbeats that fail, and ends the
process too; the task's state stays as it is. So the state says which it was.
"""

from __future__ import annotations

import enum
import sys
import threading
from typing import Any

from airflow_provider_online_tasks._airflow import AirflowTaskTimeout

# Airflow leaves a process 5 seconds before it kills it for good; a cancellation has to fit in as well.
ASK_SECONDS = 2.0
# In these states another try follows, or goes on elsewhere, and takes up the run.
GOES_ON = frozenset(
    {"awaiting_input", "deferred", "queued", "running", "scheduled", "up_for_reschedule", "up_for_retry"}
)


class Kill(enum.Enum):
    """Why a task's process is ended."""

    ENDED = "the task was ended"
    GOES_ON = "Airflow ends this process, and the task goes on"
    UNKNOWN = "Airflow ends this process, and does not answer whether the task goes on"


def why_killed(ti: Any) -> Kill:
    """Ask Airflow why it ends this process, for two seconds at most.

    :param ti: the task instance.
    """
    if isinstance(sys.exception(), AirflowTaskTimeout):
        return Kill.ENDED
    states: list[Any] = []
    # In a thread, since the signal may have come amid another question to Airflow, whose lock is held.
    thread = threading.Thread(target=_ask, args=(ti, states), daemon=True)
    thread.start()
    thread.join(ASK_SECONDS)
    if not states:
        return Kill.UNKNOWN
    return Kill.GOES_ON if str(states[0]) in GOES_ON else Kill.ENDED


def _ask(ti: Any, states: list[Any]) -> None:
    try:
        found = ti.get_task_states(
            dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index
        )
        states.extend(found[ti.run_id].values())
    except Exception:  # noqa: BLE001, S110  whatever it is, Airflow cannot be asked
        pass
