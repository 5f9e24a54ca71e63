"""The spans of the projects and the people's annotations of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from airflow_provider_online_tasks.emulator.spans.filters import FOREVER
from airflow_provider_online_tasks.emulator.spans.values import Unit, computed_columns, metadata_of
from airflow_provider_online_tasks.emulator.storage import ANNOTATIONS, SPANS, among

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from airflow_provider_online_tasks.emulator.spans.filters import CompiledFilter
    from airflow_provider_online_tasks.emulator.storage import Storage

_COLUMNS = ("span_id", "shown_id", "trace_id", "parent_id", "name", "kind", "status_code", "status_message")
_UNIT_COLUMNS = {"span": SPANS.c.span_id, "trace": SPANS.c.trace_id, "session": SPANS.c.session_id}


class SpanStore:
    """The spans in the database; a *unit* is a span, a trace or a session."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._attribute_names: dict[str, frozenset[str]] = {}

    def add(self, spans: Iterable[Mapping[str, Any]]) -> None:
        """Add spans, unless the database already has spans; a span that is repeated is added once."""
        if self._storage.rows(sa.select(SPANS.c.span_id).limit(1)):
            return
        rows: dict[tuple[str, ...], dict[str, Any]] = {}
        shown_ids: set[str] = set()
        for span in spans:
            shown_id = span["span_id"]
            identity = (span["project_id"], span["trace_id"], shown_id)
            if identity in rows:
                continue
            rows[identity] = {
                **{name: span[name] for name in (*_COLUMNS, "project_id") if name != "shown_id"},
                "span_id": "/".join(identity) if shown_id in shown_ids else shown_id,
                "shown_id": shown_id,
                # Rounded as times are shown: a window that begins at a shown time contains the span.
                "start_time": round(span["start_time"].timestamp(), 3),
                "end_time": round(span["end_time"].timestamp(), 3),
                "latency_ms": (span["end_time"] - span["start_time"]).total_seconds() * 1000,
                "session_id": span["attributes"].get("session.id"),
                "attributes": json.dumps(span["attributes"], ensure_ascii=False),
                "events": json.dumps(span["events"], ensure_ascii=False),
            }
            shown_ids.add(shown_id)
        if rows:
            self._storage.upsert(SPANS, list(rows.values()))

    def attribute_names(self, project_id: str) -> frozenset[str]:
        """Return the names of all attributes of a project, and of the columns computed from them."""
        if project_id not in self._attribute_names:
            project = {"project_id": project_id}
            names = self._storage.driver_rows(
                "SELECT DISTINCT json_each.key FROM spans, json_each(spans.attributes) "
                "WHERE project_id = :project_id",
                project,
            )
            metadata = self._storage.driver_rows(
                "SELECT DISTINCT json_extract(attributes, '$.metadata') FROM spans "
                "WHERE project_id = :project_id",
                project,
            )
            attributes = {name for (name,) in names}
            keys = {key for (text,) in metadata for key in metadata_of(text)}
            self._attribute_names[project_id] = frozenset(attributes | computed_columns(attributes, keys))
        return self._attribute_names[project_id]

    def range(self, project_id: str | None = None) -> tuple[int, float, float]:
        """Return the number of spans of a project (None: of all), and the first and last start time."""
        times = SPANS.c.start_time
        statement = sa.select(sa.func.count(), sa.func.min(times), sa.func.max(times))
        if project_id is not None:
            statement = statement.where(SPANS.c.project_id == project_id)
        ((count, first, last),) = self._storage.rows(statement)
        return count, first or 0.0, last or 0.0

    def matching(
        self,
        *,
        project_id: str,
        start: float,
        end: float,
        compiled: CompiledFilter | None,
        end_inclusive: bool = False,
        readable_until: float = FOREVER,
    ) -> list[tuple[float, str, str]]:
        """Return start time, trace ID and span ID of the matching spans of a window, newest first."""
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
        rows = self._storage.driver_rows(
            "SELECT start_time, trace_id, span_id FROM spans WHERE "  # noqa: S608 -- the filter is compiled and its values are bound
            + " AND ".join(conditions)
            + " ORDER BY start_time DESC, trace_id DESC, span_id DESC",
            parameters,
        )
        return [(row[0], row[1], row[2]) for row in rows]

    def unit_keys(self, granularity: str, span_ids: Sequence[str]) -> dict[str, str]:
        """Return the key of each span's unit; spans without a session have none."""
        column = _UNIT_COLUMNS[granularity]
        statement = sa.select(SPANS.c.span_id, column).where(
            among(SPANS.c.span_id, span_ids), column.is_not(None)
        )
        return {row[0]: row[1] for row in self._storage.rows(statement)}

    def with_ids(self, shown_ids: Sequence[str], keys: Sequence[str]) -> dict[str, str]:
        """Return the keys of the spans with these IDs; of several with the same ID, the first of the keys."""
        ids = sa.select(SPANS.c.span_id, SPANS.c.shown_id).where(among(SPANS.c.shown_id, shown_ids))
        shown = dict(map(tuple, self._storage.rows(ids)))
        return {shown[key]: key for key in reversed(keys) if key in shown}

    def root_spans(self, granularity: str, keys: Sequence[str], until: float = FOREVER) -> dict[str, str]:
        """Return the span of each unit that holds its results: the span, or the root of its first trace."""
        column = _UNIT_COLUMNS[granularity]
        statement = (
            sa.select(column, SPANS.c.span_id)
            .where(among(column, keys), SPANS.c.start_time < until)
            # Without a root, the first span of the trace takes its place.
            .order_by(SPANS.c.parent_id.is_not(None), SPANS.c.start_time, SPANS.c.span_id)
        )
        roots: dict[str, str] = {}
        for key, span_id in self._storage.rows(statement):
            roots.setdefault(key, span_id)
        return roots

    def units(self, granularity: str, keys: Sequence[str], until: float = FOREVER) -> list[Unit]:
        """Return the units with these keys, in this order."""
        if granularity == "span":
            return [Unit("span", span["span_id"], (span,)) for span in self.get(keys)]
        column = _UNIT_COLUMNS[granularity]
        roots = self.root_spans(granularity, keys, until)
        units = []
        for key in keys:
            spans = sa.select(SPANS).where(column == key, SPANS.c.start_time < until)
            rows = self._storage.rows(spans.order_by(SPANS.c.start_time, SPANS.c.span_id))
            units.append(Unit(granularity, roots[key], tuple(map(_span, rows))))
        return units

    def get(self, span_ids: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield the spans with these IDs, in this order."""
        rows = self._storage.rows(sa.select(SPANS).where(among(SPANS.c.span_id, span_ids)))
        found = {row.span_id: row for row in rows}
        for span_id in span_ids:
            yield _span(found[span_id])

    def annotate(
        self,
        granularity: str,
        span_id: str,
        values: Iterable[Mapping[str, Any]],
        now: float,
        annotator: Mapping[str, str],
    ) -> None:
        """Insert annotations, or update the given fields of those that exist."""
        unit = {"span_id": span_id, "granularity": granularity, "updated_at": now, "annotator": annotator}
        for value in values:
            row = {**unit, **value}
            self._storage.upsert(ANNOTATIONS, [row], only=row)

    def annotations(self, span_ids: Sequence[str]) -> list[dict[str, Any]]:
        """Return the annotations of spans, in the order of their names."""
        found = sa.select(ANNOTATIONS).where(among(ANNOTATIONS.c.span_id, span_ids))
        rows = self._storage.rows(found.order_by(ANNOTATIONS.c.name))
        return [dict(row._mapping) for row in rows]  # noqa: SLF001  SQLAlchemy's public name


def _span(row: Any) -> dict[str, Any]:
    return {
        **{name: getattr(row, name) for name in _COLUMNS},
        "start_time": datetime.fromtimestamp(row.start_time, UTC),
        "end_time": datetime.fromtimestamp(row.end_time, UTC),
        "attributes": json.loads(row.attributes),
        "events": json.loads(row.events),
    }
