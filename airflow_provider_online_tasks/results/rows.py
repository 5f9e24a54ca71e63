"""Evaluations as rows in a file: JSON lines or Parquet, on any storage that Airflow reaches."""

from __future__ import annotations

import importlib.util
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Literal, Protocol

from airflow_provider_online_tasks.exceptions import InvalidInput

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.responses.spans import Evaluation, Span

RowsFormat = Literal["jsonl", "parquet"]
COLUMNS = ("span_id", "trace_id", "span_name", "start_time", "evaluator", "label", "score", "explanation")
PARQUET_BATCH = 5_000


class RowWriter(Protocol):
    """Writes the evaluations of a span, one row each."""

    count: int

    def write(self, span: Span, evaluations: Sequence[Evaluation]) -> None:
        """Write the rows of a span."""


def _rows(span: Span, evaluations: Sequence[Evaluation]) -> Iterator[dict[str, Any]]:
    for one in evaluations:
        values = (
            span.span_id,
            span.trace_id,
            span.name,
            span.start_time,
            one.name,
            one.label,
            one.score,
            one.explanation,
        )
        yield dict(zip(COLUMNS, values, strict=True))


class _JsonLines:
    def __init__(self, file: Any) -> None:
        self.count = 0
        self._file = file

    def write(self, span: Span, evaluations: Sequence[Evaluation]) -> None:
        for row in _rows(span, evaluations):
            self._file.write((json.dumps(row, ensure_ascii=False) + "\n").encode())
            self.count += 1

    def close(self) -> None:
        """Nothing is held back."""


class _Parquet:
    def __init__(self, file: Any) -> None:
        import pyarrow as pa  # type: ignore[import-not-found,import-untyped,unused-ignore]
        import pyarrow.parquet as pq  # type: ignore[import-not-found,import-untyped,unused-ignore]

        self.count = 0
        self._pa = pa
        texts = [(name, pa.float64() if name == "score" else pa.string()) for name in COLUMNS]
        self._schema = pa.schema(texts)
        self._writer = pq.ParquetWriter(file, self._schema)
        self._held: list[dict[str, Any]] = []

    def write(self, span: Span, evaluations: Sequence[Evaluation]) -> None:
        self._held.extend(_rows(span, evaluations))
        self.count += len(evaluations)
        if len(self._held) >= PARQUET_BATCH:
            self._flush()

    def _flush(self) -> None:
        self._writer.write_table(self._pa.Table.from_pylist(self._held, schema=self._schema))
        self._held = []

    def close(self) -> None:
        with self._writer:
            self._flush()


def check_installed(rows_format: RowsFormat) -> None:
    """Check that rows can be written in a format.

    :raises InvalidInput: it is Parquet, and pyarrow is not installed.
    """
    if rows_format == "parquet" and importlib.util.find_spec("pyarrow") is None:
        raise InvalidInput("rows_format 'parquet' needs pyarrow. Install it, or use 'jsonl'.")


@contextmanager
def open_rows(path: Any, rows_format: RowsFormat, *, conn_id: str | None = None) -> Iterator[RowWriter]:
    """Collect rows, and write them to a file when the block ends without an error.

    Whoever finds the file finds all rows in it; until then, one that was there before stays as it is.

    :param path: a path or URL of Airflow's object storage.
    :param rows_format: ``jsonl`` or ``parquet``.
    :param conn_id: Airflow connection of the storage.
    """
    from airflow.sdk import ObjectStoragePath

    target = ObjectStoragePath(path, conn_id=conn_id) if isinstance(path, str) else path
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile() as collected:
        writer: Any = (_Parquet if rows_format == "parquet" else _JsonLines)(collected)
        with closing(writer):
            yield writer
        collected.seek(0)
        with target.open("wb") as file:
            shutil.copyfileobj(collected, file)
