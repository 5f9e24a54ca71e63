"""All queries of the Evals page to Airflow's database. Each is bounded and reads only the page's records."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.team import Team
from airflow.models.xcom import XComModel
from sqlalchemy import func, or_, select

from airflow_provider_online_tasks.results.history import RESULTS_KEY, RUN_KEY, VERDICT_KEY
from airflow_provider_online_tasks.ui.evals.records import (
    OVERVIEW_WINDOWS,
    DagState,
    FinishedRun,
    Record,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy.orm import Session

MAX_RECORDS = 4_000
MAX_DAGS = 1_000
OVERVIEW_DAGS = 200
MAX_TASKS = 10_000
# How long after its time the scheduler may create a DAG run.
OVERDUE = timedelta(hours=1)
# A DAG run that takes longer counts as finished, so that it doesn't hide that results are missing.
MAX_RUN_TIME = timedelta(days=1)
EVAL_OPERATORS = ("EvalResultsOperator", "EvalGateOperator")
UNFINISHED = ("queued", "running")
# The worst first: what counts of a mapped task.
TASK_STATES = ("failed", "upstream_failed", "skipped")


@dataclass(frozen=True, kw_only=True)
class Span:
    """A time span: DAG runs that were due in it are shown.

    :param since: its start, inclusive.
    :param until: its end, exclusive.
    """

    since: datetime
    until: datetime

    @property
    def condition(self) -> tuple[Any, Any]:
        """The conditions of a query."""
        return DagRun.run_after >= self.since, DagRun.run_after < self.until


class Records(NamedTuple):
    """Records in order of time.

    :param is_cut: whether there are older ones, too many to return.
    """

    records: list[Record]
    is_cut: bool

    @property
    def task_ids(self) -> set[str]:
        """The tasks that left the records."""
        return {record.task_id for record in self.records}


_RECORDS = select(
    XComModel.dag_run_id,
    XComModel.dag_id,
    XComModel.run_id,
    XComModel.task_id,
    XComModel.map_index,
    XComModel.key,
    XComModel.value,
    DagRun.run_after,
    DagRun.run_type,
).join(DagRun, DagRun.id == XComModel.dag_run_id)
_IS_RECORD = XComModel.key.in_((RESULTS_KEY, VERDICT_KEY))
_IS_MANUAL = DagRun.run_type == "manual"
_NEWEST_FIRST = (
    DagRun.run_after.desc(),
    XComModel.dag_run_id.desc(),
    XComModel.map_index.desc(),
    # Without these, PostgreSQL returns the records of a run in any order.
    XComModel.task_id,
    XComModel.key,
)


def history(session: Session, *, dag_id: str, span: Span) -> Records:
    """Return the newest records of a DAG, at most :data:`MAX_RECORDS`."""
    query = _RECORDS.where(XComModel.dag_id == dag_id, _IS_RECORD, *span.condition)
    return _read(session, query)


def runs(session: Session, *, dag_id: str, span: Span) -> Records:
    """Return the newest summaries of a DAG's runs, at most :data:`MAX_RECORDS`."""
    query = _RECORDS.where(XComModel.dag_id == dag_id, XComModel.key == RUN_KEY, *span.condition)
    return _read(session, query)


def of_dag_run(session: Session, *, dag_id: str, run_id: str, map_index: int | None = None) -> Records:
    """Return the records of one DAG run of any age.

    :param map_index: leaves out other instances of mapped tasks. None: those of all instances.
    """
    query = _RECORDS.where(XComModel.dag_id == dag_id, XComModel.run_id == run_id, _IS_RECORD)
    if map_index is not None:
        query = query.where(XComModel.map_index.in_((-1, map_index)))
    return _read(session, query)


def dags_with_records(session: Session) -> list[str]:
    """Return the DAGs that have a record of any age, at most :data:`MAX_DAGS`.

    The time is no condition: with a join to the DAG runs, databases read the XComs of all DAGs.
    """
    query = select(XComModel.dag_id).where(_IS_RECORD).distinct().order_by(XComModel.dag_id).limit(MAX_DAGS)
    return list(session.scalars(query))


def teams(session: Session, dag_ids: Collection[str]) -> Mapping[str, str | None]:
    """Return the teams of DAGs, if Airflow has teams."""
    query = (
        select(DagModel.dag_id, Team.name)
        .join(DagBundleModel.teams)
        .join(DagModel, DagModel.bundle_name == DagBundleModel.name)
        .where(DagModel.dag_id.in_(dag_ids))
    )
    return {row.dag_id: row.name for row in session.execute(query)}


def overview(session: Session, *, dag_ids: Collection[str], span: Span) -> Records:
    """Return all records of the newest :data:`OVERVIEW_WINDOWS` DAG runs of each task in these DAGs."""
    conditions = (XComModel.dag_id.in_(dag_ids), _IS_RECORD, *span.condition)
    # Rank DAG runs, not records: a verdict must not be shown without its results. Records of manual runs
    # must not displace those of the schedule.
    place = func.dense_rank().over(
        partition_by=(XComModel.dag_id, XComModel.task_id), order_by=(_IS_MANUAL, *_NEWEST_FIRST[:2])
    )
    of_tasks = (
        select(XComModel.dag_run_id, place.label("place"))
        .join(DagRun, DagRun.id == XComModel.dag_run_id)
        .where(*conditions)
        .subquery()
    )
    newest = (
        select(of_tasks.c.dag_run_id, func.min(of_tasks.c.place).label("place"))
        .where(of_tasks.c.place <= OVERVIEW_WINDOWS)
        .group_by(of_tasks.c.dag_run_id)
        .subquery()
    )
    # SQLite reads all XComs of Airflow 3.4, a union of two tables, if the query orders by a column that it
    # doesn't return.
    query = _RECORDS.add_columns(newest.c.place).join(newest, newest.c.dag_run_id == XComModel.dag_run_id)
    # The limit must not omit the newest records of a DAG that runs rarely.
    return _read(session, query.where(*conditions).order_by(newest.c.place))


def dag_states(
    session: Session, *, dag_ids: Collection[str], task_ids: Collection[str], span: Span
) -> tuple[dict[str, DagState], bool]:
    """Return each DAG's newest finished run in the time span, and whether a scheduled run is missing.

    Also return whether there are too many tasks to return the newest runs of all DAGs.

    :param task_ids: the tasks whose states are returned, next to those of the package's own operators.
    """
    now = datetime.now(UTC)
    newest, is_cut = _newest_runs(session, dag_ids, task_ids, span, now)
    is_at_work = select(DagRun.id).where(DagRun.dag_id == DagModel.dag_id, ~_has_finished(now)).exists()
    query = select(DagModel.dag_id, DagModel.is_paused, DagModel.next_dagrun_create_after).where(
        DagModel.dag_id.in_(dag_ids),
        or_(
            DagModel.next_dagrun_create_after < now - OVERDUE,
            DagModel.is_paused & (DagModel.next_dagrun_create_after < now),
        ),
        ~is_at_work,
    )
    is_past = span.until < now - OVERDUE
    missing = {} if is_past else {row.dag_id: row for row in session.execute(query)}
    states = {
        dag_id: DagState(
            newest=newest.get(dag_id),
            due=missing[dag_id].next_dagrun_create_after if dag_id in missing else None,
            is_paused=dag_id in missing and missing[dag_id].is_paused,
        )
        for dag_id in dag_ids
    }
    return states, is_cut


def _has_finished(now: datetime) -> Any:
    """Return the condition that a DAG run has finished, or has taken too long."""
    has_taken_too_long = func.coalesce(DagRun.queued_at, now) < now - MAX_RUN_TIME
    return or_(DagRun.state.not_in(UNFINISHED), has_taken_too_long)


def _newest_runs(
    session: Session, dag_ids: Collection[str], task_ids: Collection[str], span: Span, now: datetime
) -> tuple[dict[str, FinishedRun], bool]:
    place = func.row_number().over(
        partition_by=DagRun.dag_id, order_by=(_IS_MANUAL, DagRun.run_after.desc(), DagRun.id.desc())
    )
    ranked = (
        select(DagRun.dag_id, DagRun.run_id, DagRun.run_after, place.label("place"))
        .where(DagRun.dag_id.in_(dag_ids), _has_finished(now), *span.condition)
        .subquery()
    )
    query = (
        select(
            ranked.c.dag_id,
            ranked.c.run_id,
            ranked.c.run_after,
            TaskInstance.task_id,
            TaskInstance.operator,
            TaskInstance.state,
        )
        .outerjoin(
            TaskInstance,
            (TaskInstance.dag_id == ranked.c.dag_id)
            & (TaskInstance.run_id == ranked.c.run_id)
            & (TaskInstance.operator.in_(EVAL_OPERATORS) | TaskInstance.task_id.in_(task_ids)),
        )
        .where(ranked.c.place == 1)
        .distinct()  # of a mapped task only its states
        .order_by(ranked.c.dag_id)
        .limit(MAX_TASKS + 1)
    )
    rows = session.execute(query).all()
    is_cut = len(rows) > MAX_TASKS
    if is_cut:
        # Without a part of its tasks, a DAG run looks as if it had none.
        rows = [row for row in rows if row.dag_id != rows[-1].dag_id]
    found: dict[str, FinishedRun] = {}
    for row in rows:
        run = found.setdefault(row.dag_id, FinishedRun(run_id=row.run_id, at=row.run_after))
        if row.task_id is None:
            continue
        states = (run.tasks.get(row.task_id), row.state)
        run.tasks[row.task_id] = next((state for state in TASK_STATES if state in states), row.state or "")
        if row.operator in EVAL_OPERATORS:
            run.eval_tasks[row.task_id] = row.operator
    return found, is_cut


def _read(session: Session, query: Any) -> Records:
    """Return the first records of a query, in reverse order: by time, unless the query has another order."""
    rows = session.execute(query.order_by(*_NEWEST_FIRST).limit(MAX_RECORDS + 1)).all()
    is_cut = len(rows) > MAX_RECORDS
    if is_cut:
        # Results must not be shown without their verdict.
        last = rows[-1]
        of_others = [
            row for row in rows if (row.dag_run_id, row.map_index) != (last.dag_run_id, last.map_index)
        ]
        rows = of_others or rows[:-1]
    records = [
        Record(
            dag_id=row.dag_id,
            run_id=row.run_id,
            task_id=row.task_id,
            map_index=row.map_index,
            key=row.key,
            at=row.run_after,
            is_manual=row.run_type == "manual",
            value=row.value,
        )
        for row in rows
    ]
    return Records(records[::-1], is_cut)
