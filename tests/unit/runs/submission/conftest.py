"""An emulator and made-up time."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks.hooks.online_tasks import DEFAULT_CONN_ID, OnlineTasksHook
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput
from tests.support.connections import changed
from tests.support.tries import Execution, Time

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator


@pytest.fixture
def emulator(arize: Emulator) -> Emulator:
    """Return an empty emulator whose runs finish at once."""
    return arize


@pytest.fixture
def connect(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``connect(host=…, extra={…})``: change the connection from one to the emulator."""

    def connect(**fields: Any) -> None:
        links = {
            "organization_id": emulator.organization_id,
            "space_id": emulator.space_id,
            "index_delay_minutes": 0,
        }
        extra = {**links, **fields.get("extra", {})}
        connection = changed(emulator, **{**fields, "extra": extra})
        monkeypatch.setenv(f"AIRFLOW_CONN_{DEFAULT_CONN_ID.upper()}", json.dumps(connection))

    return connect


@pytest.fixture
def time(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Time:
    """Made-up time."""
    time = Time(emulator)
    time.install(monkeypatch)
    return time


@pytest.fixture
def task_id(emulator: Emulator, connect: Callable[..., None], time: Time) -> str:
    """An online task with a code evaluator, over the sample spans."""
    connect()
    evaluator = {"evaluator_id": emulator.evaluator_ids["output_present"]}
    task = {"name": "quality", "model_id": emulator.project_id, "evaluators": evaluator}
    with OnlineTasksHook() as hook:
        task_id = hook.create_eval_task(EvalTaskInput.read(task))
    emulator.clear_requests()
    return task_id


@pytest.fixture
def execution(task_id: str) -> Execution:
    """An operator execution that does not wait for its run."""
    return Execution(task_id)
