"""All queries of the Evals page to Airflow's database. Each is bounded and reads only the page's records."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.team import Team
from airflow.models.xcom import XComModel
from sqlalchemy import func, select

from airflow_provider_online_tasks.results.history import RESULTS_KEY, VERDICT_KEY

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy.orm import Session

MAX_RECORDS = 4_000
MAX_DAGS = 1_000
OVERVIEW_DAGS = 200
OVERVIEW_WINDOWS = 12  # per task and kind of record: the length of the trend in the overview


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


@dataclass(frozen=True, kw_only=True)
class Record:
    """A record that an operator pushed.

    :param key: the kind of record.
    :param at: when the DAG run was due.
    :param value: the record as stored.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    key: str
    at: datetime
    value: Any


_RECORDS = select(
    XComModel.dag_id,
    XComModel.run_id,
    XComModel.task_id,
    XComModel.map_index,
    XComModel.key,
    XComModel.value,
    DagRun.run_after,
).join(DagRun, DagRun.id == XComModel.dag_run_id)
_IS_RECORD = XComModel.key.in_((RESULTS_KEY, VERDICT_KEY))
_NEWEST_FIRST = (DagRun.run_after.desc(), XComModel.dag_run_id.desc(), XComModel.map_index.desc())


def history(session: Session, *, dag_id: str, span: Span) -> list[Record]:
    """Return the newest records of a DAG, at most :data:`MAX_RECORDS`, in order of time."""
    query = _RECORDS.where(XComModel.dag_id == dag_id, _IS_RECORD, *span.condition)
    return _read(session, query)


def of_dag_run(session: Session, *, dag_id: str, run_id: str) -> list[Record]:
    """Return the records of one DAG run of any age."""
    query = _RECORDS.where(XComModel.dag_id == dag_id, XComModel.run_id == run_id, _IS_RECORD)
    return _read(session, query)


def dags_with_records(session: Session, *, span: Span) -> list[str]:
    """Return the DAGs with records, at most :data:`MAX_DAGS`."""
    query = (
        select(XComModel.dag_id)
        .join(DagRun, DagRun.id == XComModel.dag_run_id)
        .where(XComModel.key == RESULTS_KEY, *span.condition)
        .distinct()
        .order_by(XComModel.dag_id)
        .limit(MAX_DAGS)
    )
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


def overview(session: Session, *, dag_ids: Collection[str], span: Span) -> list[Record]:
    """Return the newest records of each task and kind in these DAGs, in order of time."""
    place = func.row_number().over(
        partition_by=(XComModel.dag_id, XComModel.task_id, XComModel.key), order_by=_NEWEST_FIRST
    )
    newest = (
        select(
            XComModel.dag_run_id, XComModel.task_id, XComModel.map_index, XComModel.key, place.label("place")
        )
        .join(DagRun, DagRun.id == XComModel.dag_run_id)
        .where(XComModel.dag_id.in_(dag_ids), _IS_RECORD, *span.condition)
        .subquery()
    )
    query = _RECORDS.join(
        newest,
        (newest.c.dag_run_id == XComModel.dag_run_id)
        & (newest.c.task_id == XComModel.task_id)
        & (newest.c.map_index == XComModel.map_index)
        & (newest.c.key == XComModel.key),
    ).where(newest.c.place <= OVERVIEW_WINDOWS)
    return _read(session, query)


def _read(session: Session, query: Any) -> list[Record]:
    """Return the newest records of a query, in order of time."""
    rows = session.execute(query.order_by(*_NEWEST_FIRST).limit(MAX_RECORDS))
    records = [
        Record(
            dag_id=row.dag_id,
            run_id=row.run_id,
            task_id=row.task_id,
            map_index=row.map_index,
            key=row.key,
            at=row.run_after,
            value=row.value,
        )
        for row in rows
    ]
    return records[::-1]
