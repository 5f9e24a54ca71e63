"""At least 500 random schedules of tries, faults, kills, clears and clocks: one run, none lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from requests.adapters import HTTPAdapter
from schedules import Schedule, World, schedules

from airflow_provider_online_tasks.api.inputs import EvalTaskInput
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook

if TYPE_CHECKING:
    from tries import Time

    from airflow_provider_online_tasks.emulator import Emulator

SCHEDULES = 500


@pytest.mark.slow
@settings(
    max_examples=SCHEDULES,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(schedule=schedules())
def test_one_run_and_none_lost(
    emulator: Emulator,
    time: Time,
    connect: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    schedule: Schedule,
) -> None:
    emulator.reset()
    time.passed = time.worker_offset = time.server_offset = 0.0
    time.on_sleep = lambda: None
    connect(extra={"timeout": 10})
    evaluator = {"evaluator_id": emulator.evaluator_ids["output_present"]}
    task = {"name": "quality", "model_id": emulator.project_id, "evaluators": evaluator}
    with OnlineTasksHook() as hook:
        task_id = hook.create_eval_task(EvalTaskInput.read(task))
    world = World(emulator, time, task_id, schedule)
    with monkeypatch.context() as patched:
        patched.setattr(HTTPAdapter, "send", world.send(HTTPAdapter.send))
        world.play()
