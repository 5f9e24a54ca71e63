"""The SQLite database: everything that survives when the process is killed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.pool import StaticPool

from airflow_provider_online_tasks.emulator.spans.values import computed_column

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

_metadata = sa.MetaData()


def _table(name: str, keys: Mapping[str, Any], columns: Mapping[str, Any]) -> sa.Table:
    return sa.Table(
        name,
        _metadata,
        *(sa.Column(key, type_, primary_key=True) for key, type_ in keys.items()),
        *(sa.Column(column, type_) for column, type_ in columns.items()),
    )


# A span ID is unique in its trace only: `span_id` is the key of a span here, `shown_id` its ID at Arize.
_text = (
    "shown_id",
    "trace_id",
    "parent_id",
    "name",
    "kind",
    "status_code",
    "status_message",
    "project_id",
    "session_id",
)
SPANS = _table(
    "spans",
    {"span_id": sa.Text},
    dict.fromkeys((*_text, "attributes", "events"), sa.Text)
    | dict.fromkeys(("start_time", "end_time", "latency_ms"), sa.REAL),
)
# One value per name and span, trace or session: later values replace it.
_unit = {"span_id": sa.Text, "granularity": sa.Text, "name": sa.Text}
ANNOTATIONS = _table(
    "annotations",
    _unit,
    {"label": sa.Text, "score": sa.REAL, "text": sa.Text, "updated_at": sa.REAL, "annotator": sa.JSON},
)
EVALUATIONS = _table(
    "evaluations",
    _unit,
    {"label": sa.Text, "score": sa.REAL, "explanation": sa.Text, "metadata": sa.Text}
    | {"task_id": sa.Text, "run_id": sa.Text, "created_at": sa.REAL},
)
# A run's plan is large and written once; its record is small and written as the run proceeds.
_runs = _table("runs", {"number": sa.Integer}, {"record": sa.Text, "plan": sa.Text})
# Tasks, evaluators, annotation queues and datasets.
_records = _table("records", {"kind": sa.Text, "number": sa.Integer}, {"record": sa.Text})
# A reset does not clear these: an ID is never used again.
_counters = _table("counters", {"name": sa.Text}, {"value": sa.Integer})
for _column in (SPANS.c.start_time, EVALUATIONS.c.task_id, EVALUATIONS.c.run_id):
    sa.Index(f"ix_{_column.table.name}_{_column.name}", _column)


class Storage:
    """The database. Only one thread uses it."""

    def __init__(self, path: Path | str | None) -> None:
        self._engine = sa.create_engine(
            f"sqlite:///{path}" if path else "sqlite://",
            connect_args={"check_same_thread": False},
            poolclass=StaticPool,
        )

        @sa.event.listens_for(self._engine, "connect")
        def _add_functions(connection: Any, _: Any) -> None:
            connection.create_function("computed_column", 2, computed_column, deterministic=True)

        with self._engine.begin() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
            # A commit reaches the operating system, so it survives when this process is killed.
            connection.exec_driver_sql("PRAGMA synchronous = NORMAL")
            _metadata.create_all(connection)
        self._numbers: dict[str, int] = dict(self.rows(sa.select(_counters.c.name, _counters.c.value)))

    def close(self) -> None:
        """Close the database."""
        self._engine.dispose()

    def clear(self) -> None:
        """Delete everything but the spans and the counters."""
        with self._engine.begin() as connection:
            for table in (_runs, EVALUATIONS, ANNOTATIONS, _records):
                connection.execute(table.delete())

    def rows(self, statement: Any) -> list[Any]:
        """Return the rows of a statement."""
        with self._engine.connect() as connection:
            return list(connection.execute(statement).fetchall())

    def driver_rows(self, statement: str, parameters: Mapping[str, Any]) -> list[Any]:
        """Return the rows of SQL that goes to the driver: a colon in a text is not a parameter there."""
        with self._engine.connect() as connection:
            return list(connection.exec_driver_sql(statement, dict(parameters)).fetchall())

    def upsert(
        self, table: sa.Table, rows: Sequence[Mapping[str, Any]], only: Collection[str] | None = None
    ) -> None:
        """Insert rows, or update the rows that have the same keys."""
        statement = sqlite.insert(table)
        changed = {
            column.name: statement.excluded[column.name]
            for column in table.columns
            if not column.primary_key and (only is None or column.name in only)
        }
        keys = [column.name for column in table.primary_key]
        with self._engine.begin() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed), list(rows))

    def take_numbers(self, name: str, count: int = 1) -> int:
        """Reserve numbers for new IDs and return the first."""
        first = self._numbers.get(name, 0) + 1
        self._numbers[name] = first + count - 1
        self.upsert(_counters, [{"name": name, "value": self._numbers[name]}])
        return first

    def records(self, kind: str) -> list[dict[str, Any]]:
        """Return the records of a kind in the order of their numbers."""
        found = sa.select(_records.c.record).where(_records.c.kind == kind).order_by(_records.c.number)
        return [json.loads(record) for (record,) in self.rows(found)]

    def save_record(self, kind: str, number: int, record: Mapping[str, Any]) -> None:
        """Insert or replace a record."""
        self.upsert(_records, [{"kind": kind, "number": number, "record": json.dumps(record)}])

    def delete_record(self, kind: str, number: int) -> None:
        """Delete a record."""
        same = (_records.c.kind == kind) & (_records.c.number == number)
        with self._engine.begin() as connection:
            connection.execute(_records.delete().where(same))

    def runs(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Return the runs' records and plans in the order they were created."""
        rows = self.rows(sa.select(_runs.c.record, _runs.c.plan).order_by(_runs.c.number))
        return [(json.loads(record), json.loads(plan)) for record, plan in rows]

    def add_runs(self, runs: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> None:
        """Insert new runs with their plans."""
        rows = [
            {"number": record["number"], "record": json.dumps(record), "plan": json.dumps(plan)}
            for record, plan in runs
        ]
        self.upsert(_runs, rows)

    def save_run(self, record: Mapping[str, Any], evaluations: Sequence[Mapping[str, Any]] = ()) -> None:
        """Save a run's evaluations, then its progress: a restart repeats what is not counted."""
        if evaluations:
            self.upsert(EVALUATIONS, evaluations)
        same = _runs.c.number == record["number"]
        with self._engine.begin() as connection:
            connection.execute(_runs.update().where(same).values(record=json.dumps(record)))

    def labelled(
        self, granularity: str, span_ids: Sequence[str], names: Sequence[str]
    ) -> set[tuple[str, str]]:
        """Return the pairs of a span ID and an evaluator's name that have an evaluation."""
        columns = EVALUATIONS.c
        statement = sa.select(columns.span_id, columns.name).where(
            among(columns.span_id, span_ids), columns.granularity == granularity, columns.name.in_(names)
        )
        return {(row[0], row[1]) for row in self.rows(statement)}

    def evaluations(
        self, span_ids: Sequence[str] | None = None, made_until: float | None = None, **equal: str | None
    ) -> list[dict[str, Any]]:
        """Return evaluations, oldest first."""
        columns = EVALUATIONS.c
        conditions = [columns[name] == value for name, value in equal.items() if value is not None]
        if span_ids is not None:
            conditions.append(among(columns.span_id, span_ids))
        if made_until is not None:
            conditions.append(columns.created_at <= made_until)
        found = sa.select(EVALUATIONS).where(*conditions)
        rows = self.rows(found.order_by(columns.created_at, columns.span_id, columns.name))
        dicts = [dict(row._mapping) for row in rows]  # noqa: SLF001  SQLAlchemy's public name
        return [{**each, "metadata": json.loads(each["metadata"])} for each in dicts]


def among(column: sa.Column[Any], values: Sequence[str]) -> sa.ColumnElement[bool]:
    """Return the condition that a column has one of any number of values."""
    each = sa.func.json_each(json.dumps(list(values))).table_valued("value")
    return column.in_(sa.select(each.c.value))
