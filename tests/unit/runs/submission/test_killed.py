"""Tests of a worker process that is killed with SIGKILL at each step of a submission, and tried again."""

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
from typing import Any

import pytest

from airflow_provider_online_tasks.emulator import EmulatorProcess, EmulatorSettings, Fault, RunFate
from airflow_provider_online_tasks.hooks.online_tasks import DEFAULT_CONN_ID, OnlineTasksHook
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput
from tests.support.pages import PROJECT
from tests.support.tries import END, START, Execution, Store, Time

RUN = "graphql.runOnlineTask"
WORDS = ("ready", "pid ", "reached", "ended ")
HANG = RunFate("hang", pending_seconds=0, times=None)


@pytest.fixture(scope="module")
def arize() -> Iterator[EmulatorProcess]:
    """Return an emulator in a separate process."""
    with EmulatorProcess(EmulatorSettings(queries_per_minute=None, mutations_per_minute=None)) as emulator:
        yield emulator


class Worker:
    """A process that runs first tries, each in a separate process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.forked_tries"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ,
            cwd=PROJECT,
        )

    def ask(self, **asked: Any) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()

    def said(self) -> str:
        """Return the next word it says; between them stands what Airflow logs."""
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith(WORDS):
                return line.strip()
        raise AssertionError("the worker ended")

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    worker = Worker()
    assert worker.said() == "ready"
    yield worker
    worker.close()


class Tries:
    """An operator execution whose first try runs, and dies, in another process."""

    def __init__(self, worker: Worker, arize: EmulatorProcess, online_task_id: str, file: Path) -> None:
        self.arize = arize
        self.online_task_id = online_task_id
        self.file = file
        self._worker = worker

    @contextlib.contextmanager
    def first(self, step: str = "none", *, skip: int = 0, waits: bool = False) -> Iterator[None]:
        """Start the first try; it is killed at the end of the ``with`` statement.

        :param step: where it stops; the ``with`` statement begins when it has come there.
        """
        self._worker.ask(
            store=str(self.file),
            online_task_id=self.online_task_id,
            connection=os.environ[f"AIRFLOW_CONN_{DEFAULT_CONN_ID.upper()}"],
            step=step,
            skip=skip,
            window={"data_start_time": START.isoformat(), "data_end_time": END.isoformat()},
            waits=waits,
        )
        said = {self._worker.said() for _ in range(1 if step == "none" else 2)}
        (pid,) = (int(line.split()[1]) for line in said if line.startswith("pid"))
        try:
            assert step == "none" or "reached" in said
            yield
        finally:
            os.kill(pid, signal.SIGKILL)
        assert self._worker.said() == f"ended {-signal.SIGKILL}"

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
def tries(worker: Worker, arize: EmulatorProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Tries:
    arize.reset()
    arize.next_run(HANG)
    links = {"organization_id": arize.organization_id, "space_id": arize.space_id}
    connection = json.loads(arize.connection_json)
    connection["extra"] |= links
    monkeypatch.setenv(f"AIRFLOW_CONN_{DEFAULT_CONN_ID.upper()}", json.dumps(connection))
    task = {
        "name": "quality",
        "model_id": arize.project_id,
        "evaluators": {"evaluator_id": arize.evaluator_ids["output_present"]},
    }
    with OnlineTasksHook() as hook:
        task_id = hook.create_eval_task(EvalTaskInput.read(task))
    return Tries(worker, arize, task_id, tmp_path / "state.json")


def until(holds: Callable[[], object]) -> None:
    end = real_time.monotonic() + 120
    while not holds():
        assert real_time.monotonic() < end
        real_time.sleep(0.02)


@pytest.fixture
def time(arize: EmulatorProcess, tries: Tries, monkeypatch: pytest.MonkeyPatch) -> Time:
    """Made-up time for the second try."""
    time = Time(arize)
    time.install(monkeypatch)
    return time


def test_kill_before_intent_retry_starts_run(tries: Tries) -> None:
    with tries.first("set:before"):
        pass
    assert tries.live == []

    assert [tries.next_try()] == tries.live


@pytest.mark.promise("tried-kills")
def test_kill_before_request_retry_starts_run(tries: Tries, time: Time) -> None:
    with tries.first("set:after"):
        pass
    assert tries.live == []

    assert [tries.next_try()] == tries.live
    assert len(tries.arize.requests(RUN)) == 1


@pytest.mark.promise("tried-kills", "killed-before-id-stored")
def test_kill_after_request_retry_adopts_run(tries: Tries) -> None:
    tries.arize.add_fault(Fault(RUN, "delay_after", seconds=120))
    with tries.first():
        until(lambda: tries.live)
    (run_id,) = tries.live

    assert tries.next_try() == run_id
    assert tries.live == [run_id]
    assert len(tries.arize.requests(RUN)) == 1


def test_kill_after_request_retry_adopts_late_run(tries: Tries, time: Time) -> None:
    tries.arize.add_fault(Fault(RUN, "delay", seconds=5))
    with tries.first():
        until(lambda: tries.arize.requests(RUN))
    assert tries.live == []
    time.on_sleep = lambda: until(lambda: tries.live)

    assert [tries.next_try()] == tries.live
    assert len(tries.arize.requests(RUN)) == 1


@pytest.mark.promise("tried-kills", "killed-before-id-stored")
def test_kill_before_id_is_stored_retry_adopts_run(tries: Tries) -> None:
    with tries.first("set:before", skip=1):
        pass
    (run_id,) = tries.live

    assert tries.next_try() == run_id
    assert tries.live == [run_id]


@pytest.mark.promise("tried-kills")
def test_kill_after_id_is_stored_retry_resumes_run(tries: Tries) -> None:
    with tries.first("set:after", skip=1):
        pass
    (run_id,) = tries.live

    assert tries.next_try() == run_id
    assert tries.live == [run_id]


@pytest.mark.promise("tried-kills", "killed-while-waiting")
def test_kill_while_waiting_retry_resumes_run(tries: Tries, time: Time) -> None:
    with tries.first(waits=True):
        until(lambda: len(tries.arize.requests("rest.get_task_run")) > 2)
    (run_id,) = tries.live
    time.on_sleep = lambda: tries.arize.set_run(run_id, status="COMPLETED", num_successes=3)

    assert tries.next_try(wait_for_completion=True, deferrable=False) == run_id
    assert [run["id"] for run in tries.arize.runs()] == [run_id]


@pytest.mark.promise("success-report-lost")
def test_kill_before_success_report_retry_returns_run(tries: Tries) -> None:
    with tries.first("set:after", skip=2):
        pass
    (run_id,) = tries.live

    assert tries.next_try() == run_id
    assert tries.live == [run_id]


def test_kill_of_worker_and_server_retry_adopts_run(tries: Tries) -> None:
    with tries.first("set:before", skip=1):
        pass
    (run_id,) = tries.live
    tries.arize.kill()
    tries.arize.start()

    assert tries.next_try() == run_id
    assert tries.live == [run_id]
