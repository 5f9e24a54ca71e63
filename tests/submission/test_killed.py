"""The worker's process killed with SIGKILL at each point of a submission, and tried again: one run."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time as real_time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tries import Execution, Store, Time

from airflow_provider_online_tasks.api.inputs import EvalTaskInput
from airflow_provider_online_tasks.emulator import EmulatorProcess, EmulatorSettings, Fault, RunFate
from airflow_provider_online_tasks.hooks.online_tasks import DEFAULT_CONN_ID, OnlineTasksHook

RUN = "graphql.runOnlineTask"
HANG = RunFate("hang", pending_seconds=0, times=None)


@pytest.fixture(scope="module")
def arize() -> Iterator[EmulatorProcess]:
    """An emulator in a process of its own."""
    with EmulatorProcess(EmulatorSettings(queries_per_minute=None, mutations_per_minute=None)) as emulator:
        yield emulator


class Worker:
    """An operator execution whose first try runs, and dies, in another process."""

    def __init__(self, arize: EmulatorProcess, online_task_id: str, file: Path) -> None:
        self.arize = arize
        self.online_task_id = online_task_id
        self.file = file

    @contextlib.contextmanager
    def first_try(
        self, *, step: str = "none", skip: int = 0, waits: bool = False
    ) -> Iterator[subprocess.Popen[str]]:
        """Start the first try; it is killed at the end of the ``with`` statement."""
        script = Path(__file__).with_name("one_try.py")
        arguments = [str(self.file), self.online_task_id, step, str(skip), "wait" if waits else "-"]
        process = subprocess.Popen(
            [sys.executable, str(script), *arguments], stdout=subprocess.PIPE, text=True, env=os.environ
        )
        try:
            yield process
            assert process.poll() is None, "it ended by itself"
        finally:
            os.kill(process.pid, signal.SIGKILL)
            assert process.wait(10) == -signal.SIGKILL
            assert process.stdout
            process.stdout.close()

    def next_try(self, **arguments: object) -> str:
        """Try again, here, with what the first try left in the file."""
        execution = Execution(self.online_task_id, dict(arguments), store=Store(self.file))
        execution.try_number = 1
        run_id: str = execution.next_try()
        return run_id

    @property
    def live(self) -> list[str]:
        return [run["id"] for run in self.arize.runs(self.online_task_id) if not run["over"]]


@pytest.fixture
def worker(arize: EmulatorProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Worker:
    arize.reset()
    arize.next_run(HANG)
    links = {"organization_id": arize.organization_id, "space_id": arize.space_id}
    connection = {**json.loads(arize.connection_json), "extra": links}
    monkeypatch.setenv(f"AIRFLOW_CONN_{DEFAULT_CONN_ID.upper()}", json.dumps(connection))
    task = {
        "name": "quality",
        "model_id": arize.project_id,
        "evaluators": {"evaluator_id": arize.evaluator_ids["output_present"]},
    }
    with OnlineTasksHook() as hook:
        return Worker(arize, hook.create_eval_task(EvalTaskInput.read(task)), tmp_path / "state.json")


def until(holds: Callable[[], object]) -> None:
    end = real_time.monotonic() + 30
    while not holds():
        assert real_time.monotonic() < end
        real_time.sleep(0.02)


def reached(process: subprocess.Popen[str]) -> None:
    assert process.stdout
    assert process.stdout.readline().startswith("reached")


@pytest.fixture
def time(arize: EmulatorProcess, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> Time:
    """Made-up time for the second try."""
    time = Time(arize)
    time.install(monkeypatch)
    return time


def test_before_the_intent_was_written(worker: Worker) -> None:
    with worker.first_try(step="set:before") as process:
        reached(process)
    assert worker.live == []

    assert [worker.next_try()] == worker.live


def test_before_sending(worker: Worker, time: Time) -> None:
    with worker.first_try(step="set:after") as process:
        reached(process)
    assert worker.live == []

    assert [worker.next_try()] == worker.live
    assert len(worker.arize.requests(RUN)) == 1


def test_after_sending(worker: Worker) -> None:
    worker.arize.add_fault(Fault(RUN, "delay_after", seconds=30))
    with worker.first_try():
        until(lambda: worker.live)
    (run_id,) = worker.live

    assert worker.next_try() == run_id
    assert worker.live == [run_id]
    assert len(worker.arize.requests(RUN)) == 1


def test_after_sending_to_a_server_that_acts_later(worker: Worker, time: Time) -> None:
    worker.arize.add_fault(Fault(RUN, "delay", seconds=1.5))
    with worker.first_try():
        until(lambda: worker.arize.requests(RUN))
    assert worker.live == []
    time.on_sleep = lambda: until(lambda: worker.live)

    assert [worker.next_try()] == worker.live
    assert len(worker.arize.requests(RUN)) == 1


def test_after_the_answer_and_before_the_id_was_stored(worker: Worker) -> None:
    with worker.first_try(step="set:before", skip=1) as process:
        reached(process)
    (run_id,) = worker.live

    assert worker.next_try() == run_id
    assert worker.live == [run_id]


def test_after_storing(worker: Worker) -> None:
    with worker.first_try(step="set:after", skip=1) as process:
        reached(process)
    (run_id,) = worker.live

    assert worker.next_try() == run_id
    assert worker.live == [run_id]


def test_while_waiting(worker: Worker, time: Time) -> None:
    with worker.first_try(waits=True):
        until(lambda: len(worker.arize.requests("rest.get_task_run")) > 2)
    (run_id,) = worker.live
    time.on_sleep = lambda: worker.arize.set_run(run_id, status="COMPLETED", num_successes=3)

    assert worker.next_try(wait_for_completion=True, deferrable=False) == run_id
    assert [run["id"] for run in worker.arize.runs()] == [run_id]


def test_with_the_success_marked_and_not_reported(worker: Worker) -> None:
    with worker.first_try(step="set:after", skip=2) as process:
        reached(process)
    (run_id,) = worker.live

    assert worker.next_try() == run_id
    assert worker.live == [run_id]


def test_and_the_server_is_killed_too(worker: Worker) -> None:
    with worker.first_try(step="set:before", skip=1) as process:
        reached(process)
    (run_id,) = worker.live
    worker.arize.kill()
    worker.arize.start()

    assert worker.next_try() == run_id
    assert worker.live == [run_id]
