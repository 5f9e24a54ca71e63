"""Write evaluations as rows to a file: JSON lines or Parquet, on any storage that Airflow can reach."""

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
    from airflow_provider_online_tasks.api.responses import Evaluation, Span

RowsFormat = Literal["jsonl", "parquet"]
COLUMNS = ("span_id", "trace_id", "span_name", "start_time", "evaluator", "label", "score", "explanation")
PARQUET_BATCH = 5_000


class RowWriter(Protocol):
    """Writes one row per evaluation."""

    count: int

    def write(self, span: Span, evaluations: Sequence[Evaluation]) -> None:
        """Write the evaluations of a span."""


def _rows(span: Span, evaluations: Sequence[Evaluation]) -> list[dict[str, Any]]:
    context = (span.span_id, span.trace_id, span.name, span.start_time)
    return [
        dict(zip(COLUMNS, (*context, one.name, one.label, one.score, one.explanation), strict=True))
        for one in evaluations
    ]


class _JsonLines:
    def __init__(self, file: Any) -> None:
        self.count = 0
        self._file = file

    def write(self, span: Span, evaluations: Sequence[Evaluation]) -> None:
        for row in _rows(span, evaluations):
            self._file.write(f"{json.dumps(row, ensure_ascii=False)}\n".encode())
            self.count += 1

    def close(self) -> None:
        """Do nothing: rows are not buffered."""


class _Parquet:
    def __init__(self, file: Any) -> None:
        import pyarrow as pa  # type: ignore[import-not-found,import-untyped,unused-ignore]
        import pyarrow.parquet as pq  # type: ignore[import-not-found,import-untyped,unused-ignore]

        self.count = 0
        self._table_of = pa.Table.from_pylist
        self._schema = pa.schema(
            [(name, pa.float64() if name == "score" else pa.string()) for name in COLUMNS]
        )
        self._writer = pq.ParquetWriter(file, self._schema)
        self._buffer: list[dict[str, Any]] = []

    def write(self, span: Span, evaluations: Sequence[Evaluation]) -> None:
        self._buffer += _rows(span, evaluations)
        self.count += len(evaluations)
        if len(self._buffer) >= PARQUET_BATCH:
            self._flush()

    def _flush(self) -> None:
        self._writer.write_table(self._table_of(self._buffer, schema=self._schema))
        self._buffer = []

    def close(self) -> None:
        with self._writer:
            self._flush()


def check_installed(rows_format: RowsFormat) -> None:
    """Check that the library for a format is installed.

    :raises InvalidInput: the format is Parquet, and pyarrow is not installed.
    """
    if rows_format == "parquet" and importlib.util.find_spec("pyarrow") is None:
        raise InvalidInput("rows_format 'parquet' needs pyarrow. Install it, or use 'jsonl'.")


@contextmanager
def open_rows(path: Any, rows_format: RowsFormat, *, conn_id: str | None = None) -> Iterator[RowWriter]:
    """Collect rows, and write the file when the block ends without an exception.

    An existing file stays unchanged until all rows are known.

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
