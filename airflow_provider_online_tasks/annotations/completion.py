"""Count the completed records of an annotation queue.

API: https://arize.com/docs/api-reference/annotation-queues
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.retry import NO_RETRY
from airflow_provider_online_tasks.exceptions import AnnotationQueueUnreachable, CallError, OnlineTasksError
from airflow_provider_online_tasks.runs.blocking_wait import PolledWait
from airflow_provider_online_tasks.runs.wait_policy import ProblemLog

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.responses import QueueRecord
    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook


class Completion:
    """The records of a queue that were read so far, and how many are completed.

    With ``span_ids``, the spans among these with a record count. One is completed if any of its records is.
    """

    def __init__(self, span_ids: Collection[str] | None = None) -> None:
        self._span_ids = None if span_ids is None else set(span_ids)
        self._spans: dict[str, bool] = {}
        self._records = self._completed = 0

    @property
    def records(self) -> int:
        """The number of records, or of spans."""
        return self._records if self._span_ids is None else len(self._spans)

    @property
    def completed(self) -> int:
        """How many of them are completed."""
        return self._completed if self._span_ids is None else sum(self._spans.values())

    @property
    def has_all(self) -> bool:
        """Whether all spans are completed, so that other records change nothing."""
        return self._span_ids is not None and self.completed == len(self._span_ids)

    def add(self, records: Iterable[QueueRecord]) -> None:
        """Count records."""
        for record in records:
            self._records += 1
            self._completed += record.is_completed
            span_id = record.span_id
            if span_id is not None and span_id in (self._span_ids or ()):
                self._spans[span_id] = self._spans.get(span_id, False) or record.is_completed

    def is_reached(self, *, at_least: int, completed: float) -> bool:
        """Return whether there are enough records, and a large enough share is completed.

        With ``span_ids``, the share is that of all these spans, and no more records are needed than spans.
        """
        total = self.records
        if self._span_ids is not None:
            total, at_least = len(self._span_ids), min(at_least, len(self._span_ids))
        return self.records >= at_least and self.completed / total >= completed


class QueueWait(PolledWait[Completion]):
    """Polls the records of a queue."""

    def __init__(self, *, queue_id: str, span_ids: Collection[str] | None = None, **policy: Any) -> None:
        self._queue_id = queue_id
        self._span_ids = span_ids
        self._logged: tuple[int, int] | None = None
        super().__init__(problems=ProblemLog(f"Annotation queue {queue_id}"), **policy)

    def _read(self, hook: OnlineTasksHook) -> Completion:
        completion = Completion(self._span_ids)
        send = partial(hook.client.send, retry=NO_RETRY)
        for page in calls.pages(send, lambda cursor: calls.list_queue_records(self._queue_id, cursor=cursor)):
            completion.add(page.items)
            if completion.has_all:
                break
        return completion

    def _unreachable(self, error: CallError, seconds: float) -> OnlineTasksError:
        return AnnotationQueueUnreachable(
            f"Annotation queue {self._queue_id} could not be read for {seconds:.0f} s. Check "
            f"annotation_queue_id. A retry waits again. {str(error).removesuffix('.')}."
        )

    def _log_progress(self, value: Completion) -> None:
        counts = (value.completed, value.records)
        if counts != self._logged:
            self._log.info("Annotation queue %s: %d of %d records completed.", self._queue_id, *counts)
        self._logged = counts
