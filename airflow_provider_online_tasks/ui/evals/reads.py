"""Every read of Airflow's database for the Evals page: what a later Airflow changes is changed here.

Each query is bounded. Only the records that the operators push for this page are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.models.dagrun import DagRun
from airflow.models.xcom import XComModel
from sqlalchemy import func, select

from airflow_provider_online_tasks.ui.evals.records import RESULTS_KEY, VERDICT_KEY

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sqlalchemy.orm import Session

MOST_RECORDS = 4_000
OVERVIEW_DAGS = 200
OVERVIEW_RECORDS = 12  # of each task: as many as its line in the overview shows


@dataclass(frozen=True, kw_only=True)
class Record:
    """A record that an operator pushed.

    :param key: which kind of record it is.
    :param at: when the DAG run was due, or when the record was pushed.
    :param value: the record, as it is stored.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    key: str
    at: datetime
    value: Any


_COLUMNS = (
    XComModel.dag_id,
    XComModel.run_id,
    XComModel.task_id,
    XComModel.map_index,
    XComModel.key,
    XComModel.timestamp,
    XComModel.value,
)


def history(session: Session, *, dag_id: str, since: datetime) -> list[Record]:
    """Return the records of a DAG, the oldest first: at most :data:`MOST_RECORDS`, the newest ones."""
    query = (
        select(*_COLUMNS, DagRun.run_after)
        .join(DagRun, DagRun.id == XComModel.dag_run_id)
        .where(
            XComModel.dag_id == dag_id,
            XComModel.key.in_((RESULTS_KEY, VERDICT_KEY)),
            XComModel.timestamp >= since,
        )
        .order_by(XComModel.timestamp.desc())
        .limit(MOST_RECORDS)
    )
    return list(_records(session.execute(query)))[::-1]


def dags_with_records(session: Session, *, since: datetime) -> list[str]:
    """Return the DAGs that have records."""
    query = (
        select(XComModel.dag_id)
        .where(XComModel.key == RESULTS_KEY, XComModel.timestamp >= since)
        .distinct()
        .order_by(XComModel.dag_id)
    )
    return list(session.scalars(query))


def overview(session: Session, *, dag_ids: Collection[str], since: datetime) -> list[Record]:
    """Return the newest records of each task of some DAGs, the oldest first."""
    place = (
        func.row_number()
        .over(
            partition_by=(XComModel.dag_id, XComModel.task_id, XComModel.key),
            order_by=XComModel.timestamp.desc(),
        )
        .label("place")
    )
    newest = (
        select(XComModel.dag_run_id, XComModel.task_id, XComModel.map_index, XComModel.key, place)
        .where(
            XComModel.dag_id.in_(dag_ids),
            XComModel.key.in_((RESULTS_KEY, VERDICT_KEY)),
            XComModel.timestamp >= since,
        )
        .subquery()
    )
    query = (
        select(*_COLUMNS, DagRun.run_after)
        .join(DagRun, DagRun.id == XComModel.dag_run_id)
        .join(
            newest,
            (newest.c.dag_run_id == XComModel.dag_run_id)
            & (newest.c.task_id == XComModel.task_id)
            & (newest.c.map_index == XComModel.map_index)
            & (newest.c.key == XComModel.key),
        )
        .where(newest.c.place <= OVERVIEW_RECORDS)
        .order_by(XComModel.timestamp)
        .limit(OVERVIEW_DAGS * OVERVIEW_RECORDS)
    )
    return list(_records(session.execute(query)))


def _records(rows: Any) -> Iterator[Record]:
    for row in rows:
        yield Record(
            dag_id=row.dag_id,
            run_id=row.run_id,
            task_id=row.task_id,
            map_index=row.map_index,
            key=row.key,
            at=row.run_after or row.timestamp,
            value=row.value,
        )
