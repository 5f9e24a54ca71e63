"""Tests with Airflow's supervisor, which ends a worker's task for a user, an outage or a shutdown."""

from __future__ import annotations

import os
import subprocess
import sys
import time as real_time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks.emulator import Fault
from tests.support.pages import PROJECT
from tests.support.servers import RecordingServer, Reply, Seen
from tests.support.tries import END, HANG, START

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator

DAG_FILE = """
from airflow.sdk import DAG
from airflow_provider_online_tasks.operators.runs import RunOnlineTaskOperator

with DAG("waits", schedule=None):
    RunOnlineTaskOperator(
        task_id="run", online_task_id={task!r}, data_start_time={start!r}, data_end_time={end!r},
        wait_for_completion=True, deferrable=False, poll_interval=0.5,
    )
"""
RUN_CONTEXT = {
    "dag_run": {
        **dict.fromkeys(("logical_date", "data_interval_start", "data_interval_end", "end_date"), None),
        "dag_id": "waits",
        "run_id": "scheduled",
        "run_type": "scheduled",
        "state": "running",
        "run_after": END.isoformat(),
        "start_date": END.isoformat(),
        "consumed_asset_events": [],
        "partition_key": None,
    },
    "max_tries": 2,
    "should_retry": True,
}


class ExecutionApi:
    """As much of Airflow's execution API as a worker asks for one task.

    :ivar state: what becomes of the task: ``running``, what a person made of it, or ``away``, an outage.
    """

    def __init__(self) -> None:
        self.state = "running"
        self.ends: list[Any] = []

    def answer(self, seen: Seen) -> Reply:
        path = seen.target.partition("?")[0]
        if self.state == "away":
            return Reply.of({"detail": "away"}, 503)
        if path.endswith("/run"):
            return Reply.of(RUN_CONTEXT)
        if path.endswith("/heartbeat") and self.state != "running":
            return Reply.of({"detail": {"reason": "not_running", "current_state": self.state}}, 409)
        if path.endswith("/task-instances/states"):
            return Reply.of({"task_states": {"scheduled": {"run": self.state}}})
        if path.endswith("/state"):
            self.ends.append(seen.json)
        if seen.method == "GET":
            return Reply.of({"detail": {"reason": "not_found", "message": "none"}}, 404)
        return Reply.of({}, 200)


@pytest.fixture
def api() -> ExecutionApi:
    return ExecutionApi()


@pytest.fixture
def new_worker(
    task_id: str, emulator: Emulator, api: ExecutionApi, airflow_db: None, tmp_path: Path
) -> Iterator[subprocess.Popen[str]]:
    """A worker that was just started, and whose run does not end."""
    emulator.next_run(HANG)
    (tmp_path / "waits.py").write_text(
        DAG_FILE.format(task=task_id, start=START.isoformat(), end=END.isoformat())
    )
    settings = {
        "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path),
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "1",
    }
    with (
        RecordingServer(api.answer) as server,
        (tmp_path / "worker.log").open("w") as output,
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.support.airflow_worker",
                server.url,
                str(tmp_path / "task.log"),
            ],
            env={**os.environ, **settings},
            cwd=PROJECT,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def worker(emulator: Emulator, new_worker: subprocess.Popen[str], tmp_path: Path) -> subprocess.Popen[str]:
    """A worker that waits for a run that does not end."""
    until(lambda: len(emulator.requests("rest.get_task_run")) > 1, tmp_path)
    return new_worker


def until(holds: Any, folder: Path, seconds: float = 300) -> None:
    end = real_time.monotonic() + seconds
    while not holds():
        assert real_time.monotonic() < end, (folder / "worker.log").read_text()[-4000:]
        real_time.sleep(0.1)


@pytest.mark.promise("ended-by-user")
@pytest.mark.slow
@pytest.mark.dag
@pytest.mark.since_airflow("3.3", "supervise_task")
def test_task_marked_failed_cancels_run(
    emulator: Emulator, api: ExecutionApi, worker: subprocess.Popen[str], tmp_path: Path
) -> None:
    api.state = "failed"
    worker.wait(300)
    assert [run["status"] for run in emulator.runs()] == ["CANCELLED"], (tmp_path / "task.log").read_text()


@pytest.mark.promise("killed-during-request")
@pytest.mark.slow
@pytest.mark.dag
@pytest.mark.since_airflow("3.3", "supervise_task")
def test_task_marked_failed_during_request_cancels_run(
    emulator: Emulator, api: ExecutionApi, new_worker: subprocess.Popen[str], tmp_path: Path
) -> None:
    emulator.add_fault(Fault("graphql.runOnlineTask", "delay_after", seconds=60))
    until(emulator.runs, tmp_path)
    api.state = "failed"
    new_worker.wait(300)
    assert [run["status"] for run in emulator.runs()] == ["CANCELLED"], (tmp_path / "task.log").read_text()


@pytest.mark.promise("api-server-away")
@pytest.mark.slow
@pytest.mark.dag
@pytest.mark.since_airflow("3.3", "supervise_task")
def test_api_server_outage_cancels_nothing(
    emulator: Emulator, api: ExecutionApi, worker: subprocess.Popen[str], tmp_path: Path
) -> None:
    api.state = "away"
    worker.wait(300)

    assert [run["status"] for run in emulator.runs()] == ["RUNNING"]
    assert emulator.requests("rest.cancel_task_run") == []
    assert emulator.runs()[0]["id"] in (tmp_path / "task.log").read_text()


@pytest.mark.slow
@pytest.mark.dag
@pytest.mark.since_airflow("3.3", "supervise_task")
def test_worker_shutdown_cancels_nothing(
    emulator: Emulator, api: ExecutionApi, worker: subprocess.Popen[str], tmp_path: Path
) -> None:
    worker.terminate()  # as a host that shuts down; the supervisor passes it on
    worker.wait(300)

    assert [run["status"] for run in emulator.runs()] == ["RUNNING"]
    assert [end["state"] for end in api.ends] == ["up_for_retry"]
    assert emulator.runs()[0]["id"] in (tmp_path / "task.log").read_text()
