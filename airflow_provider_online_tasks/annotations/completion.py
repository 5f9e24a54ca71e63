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
    """The records of a queue that were read so far, of certain spans or all, and how many are completed."""

    def __init__(self, span_ids: Collection[str] | None = None) -> None:
        self._missing = None if span_ids is None else set(span_ids)
        self.records = 0
        self.completed = 0

    @property
    def has_all(self) -> bool:
        """Whether the records of all spans were read."""
        return self._missing == set()

    def add(self, records: Iterable[QueueRecord]) -> None:
        """Count records."""
        for record in records:
            if self._missing is not None:
                if record.span_id not in self._missing:
                    continue
                self._missing.discard(record.span_id)
            self.records += 1
            self.completed += record.is_completed

    def is_reached(self, *, at_least: int, completed: float) -> bool:
        """Return whether there are enough records, and a large enough share of them is completed."""
        return self.records >= at_least and self.completed / self.records >= completed


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
