"""Find unfinished runs whose task instance ended, and cancel them: ``airflow online-tasks orphaned-runs``.

Airflow cancels the run of a killed task in the worker or the triggerer. If that process is dead, no one does.
The task state store (Airflow 3.3 and later) still has the run.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from airflow_provider_online_tasks._airflow import AirflowNotFoundException
from airflow_provider_online_tasks._times import parse_time
from airflow_provider_online_tasks.api.responses import RunStatus, TaskRun
from airflow_provider_online_tasks.exceptions import CallError, OnlineTasksError
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.idempotency.create_once import SEARCH_SECONDS
from airflow_provider_online_tasks.runs.submission import STATE_KEY, RunIntent

DONE, FAILED, UNSUPPORTED = 0, 1, 2


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a task instance stored about its run.

    :param task: the names of the DAG, DAG run and task instance.
    :param state: the state of the task instance, or ``deleted``.
    :param has_ended: whether no process waits for the run or will resume it.
    """

    task: str
    state: str
    has_ended: bool
    intent: RunIntent

    @property
    def may_be_orphaned(self) -> bool:
        """Whether the run must be cancelled if it is unfinished."""
        intent = self.intent
        was_sent = intent.sent_at is not None and intent.succeeded_at is None
        return self.has_ended and was_sent and intent.cancel_on_kill

    def find_run(self, unfinished: Iterable[TaskRun]) -> TaskRun | None:
        """Return the record's run if it is among the unfinished ones of its online task."""
        for run in unfinished:
            if run.id == self.intent.id or (self.intent.id is None and self._may_have_started(run)):
                return run
        return None

    def _may_have_started(self, run: TaskRun) -> bool:
        latest = parse_time(self.intent.sent_at, "sent_at") + timedelta(seconds=SEARCH_SECONDS)
        return self.intent.may_have_started(run) and run.created_at is not None and run.created_at <= latest


def run_orphaned_runs(conn_id: str | None = None, *, cancel: bool) -> int:
    """Print the orphaned runs, cancel them if asked to, and return the exit code.

    :param conn_id: only runs that were started with this connection. Default: all.
    """
    try:
        records = list(read_records())
    except ImportError:
        print("This command needs Airflow 3.3 or later: older versions store nothing about runs.")  # noqa: T201
        return UNSUPPORTED
    count, code = 0, DONE
    for group_conn_id, online_task_id, candidates in group_candidates(records):
        if conn_id not in (None, group_conn_id):
            continue
        try:
            with OnlineTasksHook(group_conn_id) as hook:
                for record, run in find_orphaned_runs(hook, online_task_id, candidates, records):
                    count += 1
                    print(f"{run.id}  {run.status.value}  {record.task}  ({record.state})")  # noqa: T201
                    if cancel and not _cancel(hook, run):
                        code = FAILED
        except (OnlineTasksError, AirflowNotFoundException) as error:
            print(f"Task {online_task_id}, connection {group_conn_id}: {error}")  # noqa: T201
            code = FAILED
    advice = "" if cancel or not count else " Cancel them with --cancel."
    print(f"Unfinished runs of tasks that ended: {count}.{advice}")  # noqa: T201
    return code


def group_candidates(records: Iterable[Record]) -> Iterator[tuple[str, str, list[Record]]]:
    """Yield the connection ID, the online task's ID, and the records of runs that may be orphaned."""

    def key(record: Record) -> tuple[str, str]:
        return record.intent.conn_id, record.intent.online_task_id

    candidates = sorted((record for record in records if record.may_be_orphaned), key=key)
    for (conn_id, online_task_id), group in itertools.groupby(candidates, key=key):
        yield conn_id, online_task_id, list(group)


def find_orphaned_runs(
    hook: OnlineTasksHook, online_task_id: str, candidates: Iterable[Record], records: Iterable[Record]
) -> Iterator[tuple[Record, TaskRun]]:
    """Yield the records whose run is unfinished, and the run. No record claims the run of another one."""
    claimed = {record.intent.id for record in records if not record.may_be_orphaned}
    unfinished = [
        run
        for status in (RunStatus.PENDING, RunStatus.RUNNING)
        for run in hook.list_task_runs(online_task_id, status=status)
        if run.id not in claimed
    ]
    for record in sorted(candidates, key=lambda record: record.intent.id is None):
        run = record.find_run(unfinished)
        if run is not None:
            unfinished.remove(run)
            yield record, run


def _cancel(hook: OnlineTasksHook, run: TaskRun) -> bool:
    try:
        hook.end_task_run(run.id)
    except CallError as error:
        print(f"{run.id} could not be cancelled: {error}")  # noqa: T201
        return False
    return True


def read_records() -> Iterator[Record]:
    """Yield the records in Airflow's database that this version can read."""
    from airflow.models.task_state_store import TaskStateStoreModel as Stored
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from airflow.utils.state import State
    from pydantic import TypeAdapter
    from sqlalchemy import and_, select

    # Airflow 3.4 distinguishes several expansions of a mapped task in a DAG run, by region.
    indexes = ("region_id", "region_index") if hasattr(Stored, "region_index") else ("map_index",)
    names = ("dag_id", "run_id", "task_id", *indexes)
    is_same = and_(*(getattr(Stored, name) == getattr(TaskInstance, name) for name in names))
    columns: list[Any] = [getattr(Stored, name) for name in names]
    query = (
        select(*columns, Stored.value, TaskInstance.state, TaskInstance.id.label("instance"))
        .outerjoin(TaskInstance, is_same)
        .where(Stored.key == STATE_KEY)
    )
    with create_session() as session:
        for row in session.execute(query):
            try:
                intent = TypeAdapter(RunIntent).validate_python(json.loads(row.value))
            except ValueError:  # of another version, or kept outside of the database
                continue
            map_index = getattr(row, names[-1])
            index = f"[{map_index}]" if map_index >= 0 else ""
            yield Record(
                task=f"{row.dag_id}.{row.task_id}{index}, {row.run_id}",
                state="deleted" if row.instance is None else str(row.state or "cleared"),
                has_ended=row.instance is None or row.state in State.finished,
                intent=intent,
            )
