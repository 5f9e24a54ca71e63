"""What survives a kill: tasks, runs, spans and evaluations in SQLite."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from airflow_provider_online_tasks.emulator.spans.columns import made_column, made_columns, metadata_of
from airflow_provider_online_tasks.emulator.spans.filters import FOR_EVER
from airflow_provider_online_tasks.emulator.spans.subjects import Subject

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from airflow_provider_online_tasks.emulator.judges.judge import Verdict
    from airflow_provider_online_tasks.emulator.spans.filters import CompiledFilter

_metadata = sa.MetaData()

_tasks = sa.Table(
    "tasks",
    _metadata,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("record", sa.Text, nullable=False),
)
_runs = sa.Table(
    "runs",
    _metadata,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("record", sa.Text, nullable=False),
    # What to evaluate is written once; what changes as the run proceeds stays small.
    sa.Column("plan", sa.Text, nullable=False),
)
# What is kept as it is: evaluators of the Eval Hub, annotations, queues, datasets.
_records = sa.Table(
    "records",
    _metadata,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("record", sa.Text, nullable=False),
)
_spans = sa.Table(
    "spans",
    _metadata,
    sa.Column("span_id", sa.Text, primary_key=True),
    sa.Column("trace_id", sa.Text),
    sa.Column("parent_id", sa.Text),
    sa.Column("name", sa.Text),
    sa.Column("kind", sa.Text),
    sa.Column("status_code", sa.Text),
    sa.Column("status_message", sa.Text),
    sa.Column("start_time", sa.REAL, index=True),
    sa.Column("end_time", sa.REAL),
    sa.Column("latency_ms", sa.REAL),
    sa.Column("project_id", sa.Text),
    sa.Column("session_id", sa.Text),
    sa.Column("attributes", sa.Text),
    sa.Column("events", sa.Text),
)
_annotations = sa.Table(
    "annotations",
    _metadata,
    sa.Column("span_id", sa.Text, primary_key=True),
    sa.Column("granularity", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("label", sa.Text),
    sa.Column("score", sa.REAL),
    sa.Column("text", sa.Text),
    sa.Column("updated_at", sa.REAL),
)
_evaluations = sa.Table(
    "evaluations",
    _metadata,
    # One value per span, trace or session and evaluator name: a second run with override replaces it.
    sa.Column("span_id", sa.Text, primary_key=True),
    sa.Column("granularity", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("label", sa.Text),
    sa.Column("score", sa.REAL),
    sa.Column("explanation", sa.Text),
    sa.Column("metadata", sa.Text),
    sa.Column("task_id", sa.Text, index=True),
    sa.Column("run_id", sa.Text, index=True),
    sa.Column("created_at", sa.REAL),
)
# A reset empties the tables; these numbers go on, so that an old ID never names something new.
_counters = sa.Table(
    "counters",
    _metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Integer, nullable=False),
)

_CHUNK = 500
_EVALUATION_KEY = ("span_id", "granularity", "name")


_UNIT_COLUMNS = {"span": _spans.c.span_id, "trace": _spans.c.trace_id, "session": _spans.c.session_id}


class Store:
    """The database, used by one thread."""

    def __init__(self, path: Path | str | None) -> None:
        self._engine = sa.create_engine(
            f"sqlite:///{path}" if path else "sqlite://",
            connect_args={"check_same_thread": False},
            poolclass=StaticPool,
        )

        @sa.event.listens_for(self._engine, "connect")
        def _add_functions(connection: Any, _: Any) -> None:
            connection.create_function("made_column", 2, made_column, deterministic=True)

        with self._engine.begin() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
            # A commit reaches the operating system, so it survives the death of this process.
            connection.exec_driver_sql("PRAGMA synchronous = NORMAL")
            _metadata.create_all(connection)
        self._attribute_names: dict[str, frozenset[str]] = {}
        self._numbers: dict[str, int] = dict(self._rows(sa.select(_counters.c.name, _counters.c.value)))

    def close(self) -> None:
        """Close the database."""
        self._engine.dispose()

    def _rows(self, statement: Any, parameters: Any = None) -> list[Any]:
        with self._engine.connect() as connection:
            return list(connection.execute(statement, parameters or {}).fetchall())

    def _driver_rows(self, statement: str, parameters: Mapping[str, Any]) -> list[Any]:
        # Straight to the driver: a colon inside a filter's text must not become a bind parameter.
        with self._engine.connect() as connection:
            return list(connection.exec_driver_sql(statement, dict(parameters)).fetchall())

    # -- tasks and runs ---------------------------------------------------------------------------

    def take_numbers(self, name: str, count: int = 1) -> int:
        """Reserve numbers for new identifiers and return the first."""
        first = self._numbers.get(name, 0) + 1
        self._numbers[name] = first + count - 1
        with self._engine.begin() as connection:
            connection.execute(_counters.delete().where(_counters.c.name == name))
            connection.execute(_counters.insert(), {"name": name, "value": self._numbers[name]})
        return first

    def tasks(self) -> list[dict[str, Any]]:
        """Return the tasks' records in the order they were created."""
        rows = self._rows(sa.select(_tasks.c.record).order_by(_tasks.c.number))
        return [json.loads(record) for (record,) in rows]

    def save_task(self, number: int, record: Mapping[str, Any]) -> None:
        """Insert or replace a task's record."""
        with self._engine.begin() as connection:
            connection.execute(_tasks.delete().where(_tasks.c.number == number))
            connection.execute(_tasks.insert(), {"number": number, "record": json.dumps(record)})

    def runs(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Return the runs' records and plans in the order they were created."""
        rows = self._rows(sa.select(_runs.c.record, _runs.c.plan).order_by(_runs.c.number))
        return [(json.loads(record), json.loads(plan)) for record, plan in rows]

    def add_runs(self, rows: Iterable[tuple[int, Mapping[str, Any], Mapping[str, Any]]]) -> None:
        """Insert new runs with their plans."""
        values = [
            {"number": number, "record": json.dumps(record), "plan": json.dumps(plan)}
            for number, record, plan in rows
        ]
        with self._engine.begin() as connection:
            connection.execute(_runs.insert(), values)

    def save_run(
        self, number: int, record: Mapping[str, Any], evaluations: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        """Write a run's progress together with the evaluations it made, so that a kill cannot part them."""
        with self._engine.begin() as connection:
            if evaluations:
                connection.execute(
                    _evaluations.delete().where(
                        *(_evaluations.c[name] == sa.bindparam(f"old_{name}") for name in _EVALUATION_KEY)
                    ),
                    [{f"old_{name}": each[name] for name in _EVALUATION_KEY} for each in evaluations],
                )
                connection.execute(_evaluations.insert(), list(evaluations))
            connection.execute(
                _runs.update().where(_runs.c.number == number).values(record=json.dumps(record))
            )

    def clear(self) -> None:
        """Forget all but the spans."""
        with self._engine.begin() as connection:
            for table in (_tasks, _runs, _evaluations, _annotations, _records):
                connection.execute(table.delete())

    def records(self, kind: str) -> list[dict[str, Any]]:
        """Return the records of a kind in the order of their numbers."""
        rows = self._rows(
            sa.select(_records.c.record).where(_records.c.kind == kind).order_by(_records.c.number)
        )
        return [json.loads(record) for (record,) in rows]

    def save_record(self, kind: str, number: int, record: Mapping[str, Any]) -> None:
        """Insert or replace a record."""
        self.delete_record(kind, number)
        with self._engine.begin() as connection:
            row = {"kind": kind, "number": number, "record": json.dumps(record)}
            connection.execute(_records.insert(), row)

    def delete_record(self, kind: str, number: int) -> None:
        """Delete a record, if it is there."""
        same = (_records.c.kind == kind) & (_records.c.number == number)
        with self._engine.begin() as connection:
            connection.execute(_records.delete().where(same))

    # -- spans ------------------------------------------------------------------------------------

    def add_spans(self, spans: Iterable[Mapping[str, Any]], project_id: str) -> None:
        """Add spans to a project, unless the database holds spans already."""
        if self._rows(sa.select(_spans.c.span_id).limit(1)):
            return
        values = [
            {
                **{name: span[name] for name in ("span_id", "trace_id", "parent_id", "name", "kind")},
                "status_code": span["status_code"],
                "status_message": span["status_message"],
                # To the millisecond, as times are shown: a window that begins at such a time holds the span.
                "start_time": round(span["start_time"].timestamp(), 3),
                "end_time": round(span["end_time"].timestamp(), 3),
                "latency_ms": (span["end_time"] - span["start_time"]).total_seconds() * 1000,
                "project_id": span.get("project_id", project_id),
                "session_id": span["attributes"].get("session.id"),
                "attributes": json.dumps(span["attributes"], ensure_ascii=False),
                "events": json.dumps(span.get("events") or [], ensure_ascii=False),
            }
            for span in spans
        ]
        if values:
            with self._engine.begin() as connection:
                connection.execute(_spans.insert(), values)

    def annotate(
        self, granularity: str, span_id: str, values: Sequence[Mapping[str, Any]], now: float
    ) -> None:
        """Set annotations of a span, a trace or a session; what a value leaves out stays."""
        there = {
            each["name"]: each
            for each in self.annotations([span_id]).get(span_id, ())
            if each["granularity"] == granularity
        }
        with self._engine.begin() as connection:
            for value in values:
                row = {
                    "label": None,
                    "score": None,
                    "text": None,
                    **there.get(value["name"], {}),
                    **value,
                    "span_id": span_id,
                    "granularity": granularity,
                    "updated_at": now,
                }
                same = [_annotations.c[name] == row[name] for name in _EVALUATION_KEY]
                connection.execute(_annotations.delete().where(*same))
                connection.execute(_annotations.insert(), row)

    def annotations(self, span_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """Return the annotations of spans."""
        found: dict[str, list[dict[str, Any]]] = {}
        statement = (
            sa.select(_annotations).where(_annotations.c.span_id.in_(span_ids)).order_by(_annotations.c.name)
        )
        for row in self._rows(statement):
            found.setdefault(row.span_id, []).append(
                {
                    name: getattr(row, name)
                    for name in ("name", "granularity", "label", "score", "text", "updated_at")
                }
            )
        return found

    def attribute_names(self, project_id: str) -> frozenset[str]:
        """Return the names of all attributes that a project's spans have, and of what nests in them."""
        if project_id not in self._attribute_names:
            of_project = {"project_id": project_id}
            names = {
                row[0]
                for row in self._driver_rows(
                    "SELECT DISTINCT json_each.key FROM spans, json_each(spans.attributes) "
                    "WHERE project_id = :project_id",
                    of_project,
                )
            }
            written = self._driver_rows(
                "SELECT DISTINCT json_extract(attributes, '$.metadata') FROM spans "
                "WHERE project_id = :project_id",
                of_project,
            )
            keys = {key for (metadata,) in written for key in metadata_of(metadata)}
            made = made_columns(names, keys)
            self._attribute_names[project_id] = frozenset(names | made)
        return self._attribute_names[project_id]

    def span_range(self, project_id: str | None = None) -> tuple[int, float, float]:
        """Return how many spans there are, or a project has, and the first and last start time."""
        statement = sa.select(
            sa.func.count(), sa.func.min(_spans.c.start_time), sa.func.max(_spans.c.start_time)
        )
        if project_id is not None:
            statement = statement.where(_spans.c.project_id == project_id)
        ((count, first, last),) = self._rows(statement)
        return count, first or 0.0, last or 0.0

    def matching_spans(
        self,
        *,
        project_id: str,
        start: float,
        end: float,
        compiled: CompiledFilter | None,
        end_inclusive: bool = False,
        readable_until: float = FOR_EVER,
    ) -> list[tuple[float, str, str]]:
        """Return (start time, trace ID, span ID) of the matching spans of a window, newest first.

        :param readable_until: a filter does not see evaluations that were made later.
        """
        conditions = [
            "project_id = :project_id",
            "start_time >= :window_start",
            f"start_time {'<=' if end_inclusive else '<'} :window_end",
        ]
        parameters: dict[str, Any] = {"project_id": project_id, "window_start": start, "window_end": end}
        if compiled is not None:
            conditions.append(f"({compiled.sql})")
            parameters.update(compiled.parameters)
            parameters["readable_until"] = readable_until
        rows = self._driver_rows(
            "SELECT start_time, trace_id, span_id FROM spans WHERE "  # noqa: S608 -- the filter is compiled, its values are bound
            + " AND ".join(conditions)
            + " ORDER BY start_time DESC, trace_id DESC, span_id DESC",
            parameters,
        )
        return [(row[0], row[1], row[2]) for row in rows]

    def units(self, granularity: str, span_ids: Sequence[str]) -> dict[str, str]:
        """Return the span, trace or session of each of these spans; spans of no session are left out.

        :param granularity: ``span``, ``trace`` or ``session``.
        """
        column = _UNIT_COLUMNS[granularity]
        units: dict[str, str] = {}
        for begin in range(0, len(span_ids), _CHUNK):
            chunk = span_ids[begin : begin + _CHUNK]
            statement = sa.select(_spans.c.span_id, column).where(
                _spans.c.span_id.in_(chunk), column.is_not(None)
            )
            units.update((row[0], row[1]) for row in self._rows(statement))
        return units

    def anchors(self, granularity: str, keys: Sequence[str], until: float = FOR_EVER) -> dict[str, str]:
        """Return the span that stands for each unit: a span itself, else the root of the (first) trace.

        :param until: spans that started later are not there yet.
        """
        column = _UNIT_COLUMNS[granularity]
        anchors: dict[str, str] = {}
        for begin in range(0, len(keys), _CHUNK):
            statement = (
                sa.select(column, _spans.c.span_id)
                .where(column.in_(keys[begin : begin + _CHUNK]), _spans.c.start_time < until)
                # A trace whose root is missing is represented by its first span.
                .order_by(_spans.c.parent_id.is_not(None), _spans.c.start_time, _spans.c.span_id)
            )
            for key, span_id in self._rows(statement):
                anchors.setdefault(key, span_id)
        return anchors

    def subjects(self, granularity: str, keys: Sequence[str], until: float = FOR_EVER) -> list[Subject]:
        """Return spans, traces or sessions in the order asked for.

        :param until: spans that started later are not there yet.
        """
        if granularity == "span":
            return [Subject("span", span["span_id"], (span,)) for span in self.spans(keys)]
        column = _UNIT_COLUMNS[granularity]
        anchors = self.anchors(granularity, keys, until)
        subjects = []
        for key in keys:
            order = (_spans.c.start_time, _spans.c.span_id)
            of_unit = sa.select(_spans).where(column == key, _spans.c.start_time < until)
            rows = self._rows(of_unit.order_by(*order))
            subjects.append(Subject(granularity, anchors[key], tuple(map(_span, rows))))
        return subjects

    def spans(self, span_ids: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield spans in the order asked for."""
        for begin in range(0, len(span_ids), _CHUNK):
            wanted = span_ids[begin : begin + _CHUNK]
            rows = self._rows(sa.select(_spans).where(_spans.c.span_id.in_(wanted)))
            found = {row.span_id: row for row in rows}
            for span_id in wanted:
                yield _span(found[span_id])

    # -- evaluations ------------------------------------------------------------------------------

    def labelled(
        self, granularity: str, span_ids: Sequence[str], names: Sequence[str]
    ) -> set[tuple[str, str]]:
        """Return which of these spans have a value of which of these evaluators."""
        pairs: set[tuple[str, str]] = set()
        for begin in range(0, len(span_ids), _CHUNK):
            statement = sa.select(_evaluations.c.span_id, _evaluations.c.name).where(
                _evaluations.c.span_id.in_(span_ids[begin : begin + _CHUNK]),
                _evaluations.c.granularity == granularity,
                _evaluations.c.name.in_(names),
            )
            pairs.update((row[0], row[1]) for row in self._rows(statement))
        return pairs

    def evaluations(
        self,
        *,
        task_id: str | None = None,
        run_id: str | None = None,
        span_ids: Sequence[str] | None = None,
        made_until: float | None = None,
    ) -> list[dict[str, Any]]:
        """Return evaluations, oldest first."""
        statement = sa.select(_evaluations, _evaluations.c["metadata"].label("about")).order_by(
            _evaluations.c.created_at, _evaluations.c.span_id, _evaluations.c.name
        )
        if task_id is not None:
            statement = statement.where(_evaluations.c.task_id == task_id)
        if run_id is not None:
            statement = statement.where(_evaluations.c.run_id == run_id)
        if span_ids is not None:
            statement = statement.where(_evaluations.c.span_id.in_(span_ids))
        if made_until is not None:
            statement = statement.where(_evaluations.c.created_at <= made_until)
        return [
            {
                "span_id": row.span_id,
                "granularity": row.granularity,
                "name": row.name,
                "label": row.label,
                "score": row.score,
                "explanation": row.explanation,
                "metadata": json.loads(row.about),
                "task_id": row.task_id,
                "run_id": row.run_id,
                "created_at": row.created_at,
            }
            for row in self._rows(statement)
        ]

    def label_counts(self) -> list[tuple[str, str, str, int]]:
        """Return (task ID, evaluator, label, how many spans), most frequent label first."""
        count = sa.func.count().label("spans")
        statement = (
            sa.select(_evaluations.c.task_id, _evaluations.c.name, _evaluations.c.label, count)
            .group_by(_evaluations.c.task_id, _evaluations.c.name, _evaluations.c.label)
            .order_by(_evaluations.c.task_id, _evaluations.c.name, count.desc())
        )
        return [(row[0], row[1], row[2], row[3]) for row in self._rows(statement)]


def _span(row: Any) -> dict[str, Any]:
    names = ("span_id", "trace_id", "parent_id", "name", "kind", "status_code", "status_message")
    return {
        **{name: getattr(row, name) for name in names},
        "start_time": datetime.fromtimestamp(row.start_time, UTC),
        "end_time": datetime.fromtimestamp(row.end_time, UTC),
        "attributes": json.loads(row.attributes),
        "events": json.loads(row.events),
    }


def evaluation_row(
    *,
    span_id: str,
    granularity: str,
    name: str,
    verdict: Verdict,
    task_id: str,
    run_id: str,
    created_at: float,
    metadata: Mapping[str, Any],
) -> dict[str, Any]:
    """Return an evaluation as it is stored.

    :param metadata: what it says of where it comes from, next to task and run.
    """
    about = {"task_id": task_id, "run_id": run_id, **metadata}
    return {
        "span_id": span_id,
        "granularity": granularity,
        "name": name,
        "label": verdict.label,
        "score": verdict.score,
        "explanation": verdict.explanation,
        "metadata": json.dumps(about),
        "task_id": task_id,
        "run_id": run_id,
        "created_at": created_at,
    }
