"""Tests of random schedules of tries, faults, kills, clears and clocks: one run, and none lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from requests.adapters import HTTPAdapter

from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput
from tests.support.random_examples import examples
from tests.support.schedules import Schedule, Try, World, schedules

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator
    from tests.support.tries import Time

# Each of these has once been played to a second live run. Step 6 is the request: the server acts on it later.
CLEARED_WHILE_ITS_RUN_WENT_ON = Schedule((Try(clears=True), Try(waits=True)))
CLOCK_SET_FORWARD = Schedule((Try(killed_at=6, late=25), Try(server_clock=90_000)))
CLOCK_SET_BACK = Schedule((Try(killed_at=6, late=25), Try(server_clock=-90_000)))
CLOCK_SET_FORWARD_AND_ANOTHER_WINDOW = Schedule(
    (Try(killed_at=6, late=25), Try(window=1, server_clock=90_000))
)
CLOCK_SET_BACK_AND_ANOTHER_WINDOW = Schedule((Try(killed_at=6, late=25), Try(window=1, server_clock=-90_000)))
# The first run ended a moment ago, and with more runs than a page shows it is not seen before the third.
BACK_TO_AN_EARLIER_WINDOW = Schedule(
    (Try(), Try(window=1), Try(faults=(("graphql.runOnlineTask", "garbage", 0, 1),), waits=True)),
    others=120,
    order="oldest",
)
BACK_AFTER_A_RUN_THAT_NO_TRY_KNEW = Schedule(
    (
        Try(killed_at=6, late=0.0),
        Try(window=1),
        Try(faults=(("graphql.runOnlineTask", "garbage", 0, 1),), waits=True),
    ),
    others=120,
    order="oldest",
)
REFUSED_AFTER_A_RUN_THAT_ENDED = Schedule(
    (
        Try(waits=True, cleared_at=0),
        Try(faults=(("graphql.runOnlineTask", "unauthorized", 0, 1),)),
        Try(killed_at=7),
    ),
    others=120,
    order="oldest",
)
KILLED_AFTER_THE_RATE_LIMIT = Schedule(
    (Try(faults=(("graphql.runOnlineTask", "rate_limited", 0, 2),), killed_at=12, late=50.0),)
)


@pytest.mark.promise("tried-random-schedules", "one-run-per-execution")
@pytest.mark.no_cover
@settings(
    max_examples=examples(500, locally=40),
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(schedule=schedules())
@example(schedule=CLEARED_WHILE_ITS_RUN_WENT_ON)
@example(schedule=CLOCK_SET_FORWARD)
@example(schedule=CLOCK_SET_BACK)
@example(schedule=CLOCK_SET_FORWARD_AND_ANOTHER_WINDOW)
@example(schedule=CLOCK_SET_BACK_AND_ANOTHER_WINDOW)
@example(schedule=BACK_TO_AN_EARLIER_WINDOW)
@example(schedule=BACK_AFTER_A_RUN_THAT_NO_TRY_KNEW)
@example(schedule=REFUSED_AFTER_A_RUN_THAT_ENDED)
@example(schedule=KILLED_AFTER_THE_RATE_LIMIT)
def test_random_schedule_leaves_one_run(
    emulator: Emulator,
    time: Time,
    connect: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    schedule: Schedule,
) -> None:
    emulator.reset()  # a few milliseconds; runs of all schedules together would make every list long
    time.passed = time.worker_offset = time.server_offset = 0.0
    time.on_sleep = lambda: None
    time.show()
    connect(extra={"timeout": 10})
    evaluator = {"evaluator_id": emulator.evaluator_ids["output_present"]}
    task = {"name": "quality", "model_id": emulator.project_id, "evaluators": evaluator}
    with OnlineTasksHook() as hook:
        task_id = hook.create_eval_task(EvalTaskInput.read(task))
    world = World(emulator, time, task_id, schedule)
    with monkeypatch.context() as patched:
        patched.setattr(HTTPAdapter, "send", world.send(HTTPAdapter.send))
        world.play()
