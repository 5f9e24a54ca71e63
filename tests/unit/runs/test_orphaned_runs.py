"""Tests of ``airflow online-tasks orphaned-runs``: unfinished runs whose Airflow task ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from argparse import Namespace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG

from airflow_provider_online_tasks.cli import run_orphaned_runs
from airflow_provider_online_tasks.emulator import Fault, RunFate
from airflow_provider_online_tasks.operators.runs import RunOnlineTaskOperator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_online_tasks.emulator import Emulator
    from tests.support.dag_runs import DagResult
    from tests.support.online_task import OnlineTask

pytestmark = [pytest.mark.dag, pytest.mark.since_airflow("3.3", "task state store")]

END = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=3)
FAILED = {"state": "failed", "succeeded_at": None}


class Started:
    """A DAG run that started an Arize run, whose records in Airflow's database the tests change."""

    def __init__(self, dag_run_id: str, run_id: str) -> None:
        self.dag_run_id = dag_run_id
        self.run_id = run_id

    def change(
        self, *, state: str | None = "failed", deleted: bool = False, map_index: int = -1, **record: Any
    ) -> None:
        """Change the task's state, and what it stored about its run."""
        from airflow.models.task_state_store import TaskStateStoreModel
        from airflow.models.taskinstance import TaskInstance
        from airflow.utils.session import create_session
        from sqlalchemy import select

        where = {"run_id": self.dag_run_id, "task_id": "run"}
        stored_index = "map_index" if hasattr(TaskStateStoreModel, "map_index") else "region_index"
        with create_session() as session:
            instance = session.scalars(select(TaskInstance).filter_by(**where, map_index=map_index)).one()
            query = select(TaskStateStoreModel).filter_by(**where, **{stored_index: map_index})
            stored = session.scalars(query).one()
            instance.state = state
            stored.value = json.dumps({**json.loads(stored.value), **record})
            if deleted:
                session.delete(instance)


@pytest.fixture
def started(arize: Emulator, run_dag: Callable[..., DagResult], online_task: OnlineTask) -> Iterator[Started]:
    """A task that failed while its run is running, as after a kill when the triggerer was dead."""
    from airflow.models.dagrun import DagRun
    from airflow.models.task_state_store import TaskStateStoreModel
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as session:  # runs of other tests with another emulator have the same IDs
        session.execute(delete(TaskStateStoreModel))
    arize.next_run(RunFate("hang", times=None))
    with DAG("orphaned", schedule=None) as dag:
        RunOnlineTaskOperator(
            task_id="run",
            online_task_id=online_task.id,
            data_start_time=END - timedelta(hours=12),
            data_end_time=END,
        )
    result = run_dag(dag)
    started = Started(result.dag_run.run_id, result.returned("run"))
    started.change(**FAILED)
    yield started
    with create_session() as session:
        session.execute(delete(DagRun).where(DagRun.dag_id == "orphaned"))


def command(*, conn_id: str | None = None, cancel: bool = True) -> int:
    """Run the command, and return its exit code."""
    with pytest.MonkeyPatch.context() as patched, pytest.raises(SystemExit) as caught:
        patched.setenv("_AIRFLOW_PROCESS_CONTEXT", "client")  # restored afterwards
        run_orphaned_runs(Namespace(conn_id=conn_id, cancel=cancel))
    return int(str(caught.value.code))


def statuses(arize: Emulator) -> list[str]:
    return [run["status"] for run in arize.runs()]


@pytest.mark.promise("orphaned-runs")
def test_run_of_failed_task_is_listed(
    arize: Emulator, started: Started, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(cancel=False) == 0

    [line] = [line for line in capsys.readouterr().out.splitlines() if started.run_id in line]
    assert started.dag_run_id in line
    assert arize.requests("rest.cancel_task_run") == []


@pytest.mark.promise("orphaned-runs")
@pytest.mark.parametrize("state", ["failed", "success", "skipped", "removed", "upstream_failed"])
def test_run_of_ended_task_is_cancelled(arize: Emulator, started: Started, state: str) -> None:
    started.change(state=state)
    assert command() == 0
    assert statuses(arize) == ["CANCELLED"]


def test_failed_mapped_task_cancels_only_its_own_run(
    arize: Emulator, run_dag: Callable[..., DagResult], online_task: OnlineTask, started: Started
) -> None:
    started.change(state="running")
    starts = [END - timedelta(hours=hours) for hours in (12, 9, 6)]
    with DAG("orphaned", schedule=None) as dag:
        RunOnlineTaskOperator.partial(task_id="run", online_task_id=online_task.id, data_end_time=END).expand(
            data_start_time=starts
        )
    result = run_dag(dag)
    mapped = Started(result.dag_run.run_id, result.returned("run[1]"))
    for index, state in enumerate(["running", "failed", "up_for_retry"]):
        mapped.change(state=state, map_index=index, succeeded_at=None)

    assert command() == 0

    assert [run["id"] for run in arize.runs() if run["status"] == "CANCELLED"] == [mapped.run_id]


def test_run_of_deleted_task_is_cancelled(arize: Emulator, started: Started) -> None:
    started.change(deleted=True)
    assert command() == 0
    assert statuses(arize) == ["CANCELLED"]


@pytest.mark.parametrize(
    "change",
    [
        *({"state": state} for state in ("running", "deferred", "queued", "scheduled", "up_for_retry", None)),
        {"cancel_on_kill": False},
        {"succeeded_at": 0},
        {"id": None, "sent_at": None},
    ],
)
def test_run_that_something_waits_for_is_left_alone(
    arize: Emulator, started: Started, change: dict[str, Any]
) -> None:
    started.change(**change)
    assert command() == 0
    assert statuses(arize) == ["RUNNING"]


def test_run_without_stored_id_is_recognized(arize: Emulator, started: Started) -> None:
    started.change(id=None)
    assert command() == 0
    assert statuses(arize) == ["CANCELLED"]


@pytest.mark.parametrize("change", ["data_start_time", "sent_at", "known"])
def test_other_run_is_not_mistaken_for_run_without_stored_id(
    arize: Emulator, started: Started, change: str
) -> None:
    started.change(id=None, **{change: [started.run_id] if change == "known" else "2026-01-01T00:00:00Z"})
    assert command() == 0
    assert statuses(arize) == ["RUNNING"]


def test_run_that_finished_is_left_alone(
    arize: Emulator, started: Started, capsys: pytest.CaptureFixture[str]
) -> None:
    arize.set_run(started.run_id, status="COMPLETED", num_successes=3)
    assert command() == 0
    assert started.run_id not in capsys.readouterr().out
    assert arize.requests("rest.cancel_task_run") == []


@pytest.mark.parametrize("operation", ["rest.list_task_runs", "rest.cancel_task_run"])
def test_rejected_request_exits_with_1(arize: Emulator, started: Started, operation: str) -> None:
    arize.add_fault(Fault(operation, "forbidden", times=None))
    assert command() == 1
    assert statuses(arize) == ["RUNNING"]


def test_missing_connection_exits_with_1(arize: Emulator, started: Started) -> None:
    started.change(conn_id="nowhere")
    assert command() == 1


@pytest.mark.parametrize(
    ("conn_id", "status"), [("arize_online_tasks_default", "CANCELLED"), ("other", "RUNNING")]
)
def test_run_of_other_connection_is_left_alone(
    arize: Emulator, started: Started, conn_id: str, status: str
) -> None:
    assert command(conn_id=conn_id) == 0
    assert statuses(arize) == [status]


def test_unreadable_record_is_ignored(arize: Emulator, started: Started) -> None:
    started.change(online_task_id=None)
    assert command() == 0


@pytest.mark.slow
def test_airflow_command_line_cancels_with_connection_in_database(arize: Emulator, started: Started) -> None:
    airflow = str(Path(sys.executable).with_name("airflow"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_CONN_")}

    def run(*arguments: str) -> None:
        result = subprocess.run(
            [airflow, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert result.returncode == 0, result.stdout + result.stderr

    run("connections", "add", "stored_in_database", "--conn-json", arize.connection_json)
    started.change(conn_id="stored_in_database")
    run("online-tasks", "orphaned-runs", "--cancel")

    assert statuses(arize) == ["CANCELLED"]
