"""Write evaluations as rows to a file: JSON lines or Parquet, on any storage that Airflow can reach."""

from __future__ import annotations

import importlib.util
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_online_tasks._text import on_one_line, shown
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.inputs.arguments import is_empty, read_name, read_optional_name

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.responses import Evaluation, Span

RowsFormat = Literal["jsonl", "parquet"]
COLUMNS = ("span_id", "trace_id", "span_name", "start_time", "evaluator", "label", "score", "explanation")
PARQUET_BATCH = 5_000


class RowWriter:
    """Writes one row per evaluation to a binary file, in batches."""

    def __init__(self, file: Any, rows_format: RowsFormat) -> None:
        self.count = 0
        self._file = file
        self._batch: list[dict[str, Any]] = []
        self._parquet: Any = None
        if rows_format == "parquet":
            import pyarrow as pa  # type: ignore[import-not-found,import-untyped,unused-ignore]
            import pyarrow.parquet as pq  # type: ignore[import-not-found,import-untyped,unused-ignore]

            self._table_of = pa.Table.from_pylist
            columns = [(name, pa.float64() if name == "score" else pa.string()) for name in COLUMNS]
            self._parquet = pq.ParquetWriter(file, pa.schema(columns))

    def write(self, span: Span, evaluations: Sequence[Evaluation]) -> None:
        """Write the evaluations of a span."""
        context = (span.span_id, span.trace_id, span.name, span.start_time)
        for one in evaluations:
            values = (*context, one.name, one.label, one.score, one.explanation)
            self._batch.append(dict(zip(COLUMNS, values, strict=True)))
        self.count += len(evaluations)
        if len(self._batch) >= PARQUET_BATCH:
            self._flush()

    def _flush(self) -> None:
        if self._parquet is None:
            self._file.writelines(f"{json.dumps(row, ensure_ascii=False)}\n".encode() for row in self._batch)
        else:
            self._parquet.write_table(self._table_of(self._batch, schema=self._parquet.schema))
        self._batch = []

    def close(self) -> None:
        """Write the last batch."""
        self._flush()
        if self._parquet is not None:
            self._parquet.close()


@contextmanager
def open_rows(path: Any, rows_format: RowsFormat, *, conn_id: Any) -> Iterator[RowWriter | None]:
    """Collect rows, and write the file when the block ends without an exception. No path yields None.

    An existing file stays unchanged until all rows are known. The path is a path or URL of Airflow's object
    storage.
    """
    from airflow.sdk import ObjectStoragePath

    if path is None or is_empty(path):
        yield None
        return
    if rows_format == "parquet" and importlib.util.find_spec("pyarrow") is None:
        raise InvalidInput("rows_format 'parquet' needs pyarrow. Install it, or use 'jsonl'.")
    conn_id = read_optional_name(conn_id, "rows_conn_id")
    path = path if hasattr(path, "open") else read_name(path, "rows_path")
    try:
        target = ObjectStoragePath(path, conn_id=conn_id) if isinstance(path, str) else path
        target.parent.mkdir(parents=True, exist_ok=True)
    except (ImportError, ValueError) as error:
        raise InvalidInput(
            f"rows_path {shown(str(path))} needs the provider package of its storage, such as "
            f"apache-airflow-providers-amazon[s3fs] for s3://, apache-airflow-providers-google for gs:// or "
            f"apache-airflow-providers-microsoft-azure for abfs://: {on_one_line(str(error))}"
        ) from error
    with tempfile.TemporaryFile() as collected:
        with closing(RowWriter(collected, rows_format)) as writer:
            yield writer
        collected.seek(0)
        with target.open("wb") as file:
            shutil.copyfileobj(collected, file)
