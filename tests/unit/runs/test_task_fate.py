"""Tests of the question whether a task still needs its run, asked for many triggers at once."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from airflow_provider_online_tasks.runs import task_fate
from airflow_provider_online_tasks.runs.task_fate import MOST_RUNS_PER_REQUEST, TaskFate, trigger_task_fate


class Airflow:
    """Answers with the state of each task instance, and records the requests."""

    def __init__(self) -> None:
        self.states: dict[tuple[str, str], str] = {}
        self.requests: list[tuple[str, str, int]] = []

    def get_task_states(self, *, dag_id: str, task_ids: list[str], run_ids: list[str]) -> dict[str, Any]:
        self.requests.append((dag_id, task_ids[0], len(run_ids)))
        return {
            run_id: {task_ids[0]: self.states.get((task_ids[0], run_id), "deferred")} for run_id in run_ids
        }


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Airflow:
    airflow = Airflow()
    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", airflow.get_task_states)
    monkeypatch.setattr(task_fate, "GATHERING_SECONDS", 0.01)
    return airflow


def ti(run_id: str, task_id: str = "run") -> SimpleNamespace:
    return SimpleNamespace(dag_id="dag", task_id=task_id, run_id=run_id, map_index=-1)


async def ask(*instances: SimpleNamespace) -> list[TaskFate]:
    return [fate for fate, _ in await asyncio.gather(*map(trigger_task_fate, instances))]


def test_trigger_task_fate_two_dag_runs_share_a_request(airflow: Airflow) -> None:
    airflow.states["run", "first"] = "failed"

    assert asyncio.run(ask(ti("first"), ti("second"))) == [TaskFate.ENDED, TaskFate.RESUMED]
    assert airflow.requests == [("dag", "run", 2)]


def test_trigger_task_fate_two_tasks_are_asked_separately(airflow: Airflow) -> None:
    airflow.states["run", "first"] = "failed"

    fates = asyncio.run(ask(ti("first"), ti("first", "other")))

    assert fates == [TaskFate.ENDED, TaskFate.RESUMED]
    assert sorted(airflow.requests) == [("dag", "other", 1), ("dag", "run", 1)]


def test_trigger_task_fate_asked_later_reads_the_new_state(airflow: Airflow) -> None:
    async def ask_twice() -> list[TaskFate]:
        before = await ask(ti("first"))
        airflow.states["run", "first"] = "success"
        return [*before, *await ask(ti("first"))]

    assert asyncio.run(ask_twice()) == [TaskFate.RESUMED, TaskFate.ENDED]
    assert len(airflow.requests) == 2


def test_trigger_task_fate_many_dag_runs_are_split_into_requests(airflow: Airflow) -> None:
    runs = [f"run-{number}" for number in range(MOST_RUNS_PER_REQUEST + 1)]

    fates = asyncio.run(ask(*map(ti, [*runs, runs[-1]])))

    assert fates == [TaskFate.RESUMED] * len(fates)
    assert sorted(count for _, _, count in airflow.requests) == [1, MOST_RUNS_PER_REQUEST]


def test_trigger_task_fate_caller_cancelled_others_are_answered(airflow: Airflow) -> None:
    async def cancel_one() -> list[TaskFate]:
        first = asyncio.create_task(trigger_task_fate(ti("first")))
        second = asyncio.create_task(ask(ti("second")))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert asyncio.run(cancel_one()) == [TaskFate.RESUMED]
    assert len(airflow.requests) == 1
