"""What Airflow does around an operator: tries, clears, kills, and a store that outlives them.

Time is made up, so that a minute of looking for a run takes no minute: sleeping moves the clocks of the
worker and of the emulator together.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from airflow_provider_online_tasks import _clock
from airflow_provider_online_tasks.api.client import Client
from airflow_provider_online_tasks.emulator import RunFate
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.inputs.runs import RunInput
from airflow_provider_online_tasks.operators.runs import RunOnlineTaskOperator
from airflow_provider_online_tasks.runs.submission import STATE_KEY

if TYPE_CHECKING:
    import pytest

    from airflow_provider_online_tasks.emulator import Emulator

END = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
START = END - timedelta(hours=12)
WAIT = {"wait_for_completion": True, "deferrable": False}
HANG = RunFate("hang", times=None, pending_seconds=0)
"""Runs of this fate start at once and never finish."""


class Killed(BaseException):
    """The process ends here: nothing of the task runs any more."""


class Store:
    """A task instance's state store: JSON values, in a file if they have to outlive the process.

    :param reached: called at each step, such as ``set:before``; may raise.
    """

    def __init__(self, file: Path | None = None, reached: Callable[[str], None] = lambda step: None) -> None:
        self._file = file
        self._text = file.read_text() if file and file.exists() else "{}"
        self.reached = reached

    @property
    def record(self) -> dict[str, Any] | None:
        """What the operator has written down, seen from outside."""
        found: dict[str, Any] | None = json.loads(self._text).get(STATE_KEY)
        return found

    def get(self, key: str, default: Any = None) -> Any:
        self.reached("get:before")
        return json.loads(self._text).get(key, default)

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        assert value is not None  # Airflow rejects None
        self.reached("set:before")
        self._save({**json.loads(self._text), key: value})
        self.reached("set:after")

    def delete(self, key: str) -> None:
        self.reached("delete:before")
        self._save({name: value for name, value in json.loads(self._text).items() if name != key})
        self.reached("delete:after")

    def _save(self, values: dict[str, Any]) -> None:
        self._text = json.dumps(values)
        assert len(self._text) < 65536  # the limit of Airflow's database
        if self._file:
            self._file.write_text(self._text)


class TaskInstance:
    """As much of Airflow's task instance as the operator looks at.

    :param state: what Airflow answers when it is asked for the task's state.
    """

    dag_id, task_id, run_id, map_index = "dag", "run", "manual", -1
    id = UUID(int=1)

    def __init__(
        self,
        *,
        try_number: int,
        max_tries: int,
        reached: Callable[[str], None],
        state: Callable[[], str | None] = lambda: "failed",
    ) -> None:
        self._state = state
        self.try_number = try_number
        self.max_tries = max_tries
        self.pushed: dict[str, Any] = {}
        self._reached = reached

    def get_task_states(self, **asked: Any) -> dict[str, dict[str, str | None]]:
        assert asked == {"dag_id": "dag", "task_ids": ["run"], "run_ids": ["manual"], "map_index": -1}
        return {"manual": {"run": self._state()}}

    def xcom_push(self, key: str, value: Any) -> None:
        self._reached("push:before")
        self.pushed[key] = json.loads(json.dumps(value))


class Time:
    """The clocks of a worker and of the emulator, moved by sleeping.

    :param emulator: whose clock goes along.
    """

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self.passed = 0.0
        self.server_offset = 0.0
        self.worker_offset = 0.0
        self.slept: list[float] = []
        self.on_sleep: Callable[[], None] = lambda: None

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)
        self.on_sleep()

    def advance(self, seconds: float) -> None:
        self.passed += seconds
        self.show()

    def show(self) -> None:
        """Set the emulator's clock."""
        self._emulator.set_clock_offset(self.passed + self.server_offset)

    def monotonic(self) -> float:
        return self.passed

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.passed + self.worker_offset)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("now", "monotonic", "sleep"):
            monkeypatch.setattr(_clock, name, getattr(self, name))
        monkeypatch.setitem(Client.__init__.__kwdefaults__, "sleep", self.sleep)


@dataclass
class Execution:
    """One operator execution: a task instance of a DAG run, with all its tries.

    :param online_task_id: the online task it runs.
    :param arguments: further arguments of the operator.
    :param retries: how often Airflow tries again.
    :param store: what it keeps between tries; None before Airflow 3.3.
    :param reached: called at each step of the operator; may raise.
    :param state: what Airflow says the task's state is; may raise.
    """

    online_task_id: str
    arguments: dict[str, Any] = field(default_factory=dict)
    retries: int = 2
    store: Store | None = field(default_factory=Store)
    reached: Callable[[str], None] = lambda step: None
    state: Callable[[], str | None] = lambda: "failed"
    dag_run_start: datetime = field(default_factory=lambda: datetime.now(UTC))
    dag_run_due: datetime = END
    run_type: str = "scheduled"

    def __post_init__(self) -> None:
        self.try_number = 0
        self.max_tries = self.retries
        self.pushed: dict[str, Any] = {}
        self.operator: RunOnlineTaskOperator | None = None
        self.context: dict[str, Any] = {}

    def next_try(self, **changes: Any) -> Any:
        """Try once more, as Airflow does after a failure; with ``changes`` of the DAG's code."""
        return self.begin_try(**changes).execute(self.context)

    def begin_try(self, **changes: Any) -> RunOnlineTaskOperator:
        """Make what Airflow makes for a try, and return the operator."""
        self.try_number += 1
        given = {"data_start_time": START, "data_end_time": END, **self.arguments, **changes}
        self.operator = RunOnlineTaskOperator(
            task_id="run", retries=self.retries, **{"online_task_id": self.online_task_id, **given}
        )
        ti = TaskInstance(
            try_number=self.try_number,
            max_tries=self.max_tries,
            reached=self.reached,
            state=self.state,
        )
        ti.task = self.operator
        self.pushed = ti.pushed  # the XCom of a try before is deleted
        self.context = {
            "ti": ti,
            "dag_run": SimpleNamespace(
                data_interval_start=START,
                data_interval_end=END,
                run_after=self.dag_run_due,
                start_date=self.dag_run_start,
                run_type=self.run_type,
            ),
        }
        if self.store is not None:
            self.store.reached = self.reached
            self.context["task_state_store"] = self.store
        return self.operator

    def kill(self) -> None:
        """End the process, as the signal that its supervisor sends does."""
        assert self.operator is not None
        self.operator.on_kill()

    def clear(self) -> None:
        """Clear the task, as a person does: what it keeps stays, its bound on tries is raised."""
        self.max_tries = self.try_number + self.retries


def start_run(online_task_id: str, *, start: datetime = START, end: datetime = END) -> str:
    """Start a run that is not the operator's: someone else's, or a request that the server acts on late."""
    with OnlineTasksHook() as hook:
        return hook.run_online_task(
            RunInput(online_task_id=online_task_id, data_start_time=start, data_end_time=end)
        )


def run_ids(emulator: Emulator) -> list[str]:
    """Return the IDs of all runs, oldest first."""
    return [run["id"] for run in emulator.runs()]
