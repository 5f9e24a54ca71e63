"""What became of the task that a trigger waits for, as Airflow says.

Airflow drops a trigger, and calls that a user's action, also when the task goes on: when another triggerer
has taken it over, or when ``airflow dags test`` waits for the run in a process of its own.
"""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass, field
from typing import Any

from asgiref.sync import sync_to_async

# Those who ask at the same time are answered together.
GATHERING_SECONDS = 0.1
MOST_RUNS_ASKED = 100
ASK_AGAIN_SECONDS = 2.0
DEFERRED = "deferred"
IN_PROCESS_COMMS = "InProcessSupervisorComms"


class Fate(enum.Enum):
    """Whether a task still waits for its run."""

    WAITS = "waits"
    ENDED = "ended"


@dataclass(slots=True, eq=False)
class _Question:
    """What is asked about the instances of one task.

    :param run_ids: DAG runs.
    :param answer: DAG run → key → state.
    """

    run_ids: set[str] = field(default_factory=set)
    answer: asyncio.Task[dict[str, dict[str, Any]]] | None = None


_gathered: dict[tuple[asyncio.AbstractEventLoop, str, str], _Question] = {}


def runs_in_process() -> bool:
    """Return whether this task and its trigger run in one process, as ``airflow dags test`` has them do."""
    from airflow.sdk.execution_time import task_runner

    comms = getattr(task_runner, "SUPERVISOR_COMMS", None)
    return type(comms).__name__ == IN_PROCESS_COMMS


async def ask_fate(task_instance: Any) -> tuple[Fate, str]:
    """Return whether a task whose trigger was dropped still waits, and its state in words.

    A task that is being started again was cleared by a person.

    :raises Exception: Airflow does not answer.
    """
    states = await _states(task_instance.dag_id, task_instance.task_id, task_instance.run_id)
    of_run, index = states.get(task_instance.run_id, {}), task_instance.map_index
    name = task_instance.task_id
    key = name if index is None or index < 0 else f"{name}_{index}"
    if key not in of_run:
        return Fate.ENDED, "deleted"
    state = of_run[key]
    if state == DEFERRED:
        return Fate.WAITS, DEFERRED
    return Fate.ENDED, str(getattr(state, "value", state) or "cleared")


async def _states(dag_id: str, task_id: str, run_id: str) -> dict[str, dict[str, Any]]:
    key = (asyncio.get_running_loop(), dag_id, task_id)
    question = _gathered.get(key)
    if question is None or (run_id not in question.run_ids and len(question.run_ids) >= MOST_RUNS_ASKED):
        question = _gathered[key] = _Question()
        question.answer = asyncio.create_task(_ask(key, question))
    question.run_ids.add(run_id)
    if question.answer is None:
        raise RuntimeError("no question is pending")
    return await asyncio.shield(question.answer)


async def _ask(
    key: tuple[asyncio.AbstractEventLoop, str, str], question: _Question
) -> dict[str, dict[str, Any]]:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    await asyncio.sleep(GATHERING_SECONDS)
    if _gathered.get(key) is question:
        del _gathered[key]
    _, dag_id, task_id = key
    states: dict[str, dict[str, Any]] = await sync_to_async(RuntimeTaskInstance.get_task_states)(
        dag_id=dag_id, task_ids=[task_id], run_ids=sorted(question.run_ids)
    )
    return states
