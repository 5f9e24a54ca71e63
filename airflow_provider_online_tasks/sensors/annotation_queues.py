"""Wait until people have completed the records of an annotation queue.

API: https://arize.com/docs/api-reference/annotation-queues
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.sdk import PokeReturnValue

from airflow_provider_online_tasks import _clock
from airflow_provider_online_tasks._defaults import DEFAULT_CONN_ID, DEFAULT_QUEUE_POLL_INTERVAL
from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks.exceptions import AnnotationQueueUnreachable, InvalidInput
from airflow_provider_online_tasks.inputs import arguments
from airflow_provider_online_tasks.inputs.templating import is_templated
from airflow_provider_online_tasks.operators.base import update_asset_events
from airflow_provider_online_tasks.sensors.base import PollingSensor

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_provider_online_tasks.annotations.completion import Completion, QueueWait


class AnnotationQueueSensor(PollingSensor):
    """Wait until people have completed the records of an annotation queue, and return the counts.

    A record is completed when all users that it is assigned to have completed it. A record without assigned
    users is completed when it has an annotation.

    The sensor polls at once, and defers only if the records aren't completed. A poll is one request per 500
    records. While Arize is unavailable, the sensor waits until its ``timeout``. It respects ``Retry-After``
    up to 300 seconds. If Arize rejects the polls (401, 403, 404) for 5 minutes, the sensor fails, and a retry
    waits again. Before Airflow 3.3, the mode ``reschedule`` fails at the first rejected poll.

    XCom: ``annotation_queue_id``, ``records`` and ``completed``. The events of the sensor's ``outlets`` have
    the same values as their ``extra``.

    :param annotation_queue_id: global ID of the queue. (templated)
    :param span_ids: only records of these spans count, such as ``selected_span_ids`` of
        ``SendSpansOperator``. Default: all records. Set it if the queue also holds records of other weeks. A
        span is completed if one of its records is. (templated)
    :param at_least: minimum number of records, so that an empty queue isn't completed. Default 1. With fewer
        ``span_ids``, all of these.
    :param completed: minimum share of the records, or of ``span_ids``, that are completed; above 0 and at
        most 1. Default 1.
    :param deferrable: whether to wait in the triggerer, without a worker slot. Default: Airflow's
        ``[operators] default_deferrable``.
    :param poke_interval: seconds between two polls, in every mode. Default 300.
    :param conn_id: Airflow connection of type ``arize_online_tasks``. (templated)
    :raises InvalidInput: an argument is wrong; when the DAG is parsed if it is a literal.
    :raises AnnotationQueueUnreachable: Arize rejected the polls for 5 minutes.
    """

    template_fields: Sequence[str] = ("conn_id", "annotation_queue_id", "span_ids")
    template_fields_renderers: ClassVar[dict[str, str]] = {"span_ids": "json"}

    def __init__(
        self,
        *,
        annotation_queue_id: str | XComArg,
        span_ids: Sequence[str] | XComArg | None = None,
        at_least: int = 1,
        completed: float = 1.0,
        conn_id: str | XComArg = DEFAULT_CONN_ID,
        deferrable: bool | None = None,
        poke_interval: float = DEFAULT_QUEUE_POLL_INTERVAL,
        **kwargs: Any,
    ) -> None:
        super().__init__(conn_id=conn_id, deferrable=deferrable, poke_interval=poke_interval, **kwargs)
        self.annotation_queue_id = annotation_queue_id
        self.span_ids = span_ids
        self.at_least = arguments.whole_number(at_least, "at_least")
        share = arguments.finite(completed)
        if share is None or not 0 < share <= 1:
            raise InvalidInput(f"completed must be above 0 and at most 1, not {shown(completed)}.")
        self.completed = share
        arguments.check_id(annotation_queue_id, "annotation_queue_id")
        if not is_templated(span_ids):
            _read_span_ids(span_ids)

    def execute(self, context: Context) -> Any:
        """Wait in this process, with reschedules, or in the triggerer."""
        return self.execute_complete(context) if self.deferrable else super().execute(context)

    def poke(self, context: Context) -> PokeReturnValue:
        """Poll the queue once."""
        counts = self._completed_counts(context)
        return PokeReturnValue(is_done=counts is not None, xcom_value=counts)

    def execute_complete(
        self, context: Context, event: Any = None, deadline: float | None = None
    ) -> dict[str, Any]:
        """Poll the queue once, and defer if its records aren't completed."""
        if isinstance(event, dict):
            if event.get("error_message"):
                raise AnnotationQueueUnreachable(str(event["error_message"]))
            deadline = deadline or event.get("deadline")  # airflow dags test loses the argument
        counts = self._completed_counts(context)
        if counts is None:
            self._defer(context, _clock.epoch() + self._limit[0] if deadline is None else deadline)
        return counts

    def _defer(self, context: Context, deadline: float) -> NoReturn:
        from airflow_provider_online_tasks.triggers.annotation_queues import AnnotationQueueTrigger

        if _clock.epoch() >= deadline:
            raise self._timed_out(f"The records of queue {self.annotation_queue_id} were not completed")
        trigger = AnnotationQueueTrigger(
            annotation_queue_id=arguments.read_id(self.annotation_queue_id, "annotation_queue_id"),
            span_ids=_read_span_ids(self.span_ids),
            at_least=self.at_least,
            completed=self.completed,
            conn_id=self.conn_id,
            poll_interval=self.poke_interval,
            deadline=deadline,
        )
        self.defer_in_try(
            context.get("ti"), trigger=trigger, method_name="execute_complete", kwargs={"deadline": deadline}
        )

    def _completed_counts(self, context: Context) -> dict[str, Any] | None:
        """Poll the queue once, and return the counts if enough records are completed."""
        with self.hook as hook:
            completion: Completion | None = self._poll(context, hook)
        if completion is None or not completion.is_reached(at_least=self.at_least, completed=self.completed):
            return None
        counts = {
            "annotation_queue_id": self.annotation_queue_id,
            "records": completion.records,
            "completed": completion.completed,
        }
        update_asset_events(context, self.outlets, counts)
        return counts

    def _new_wait(self, **policy: Any) -> QueueWait:
        from airflow_provider_online_tasks.annotations.completion import QueueWait

        queue_id = arguments.read_id(self.annotation_queue_id, "annotation_queue_id")
        return QueueWait(queue_id=queue_id, span_ids=_read_span_ids(self.span_ids), **policy)


def _read_span_ids(span_ids: Any) -> list[str] | None:
    if span_ids is None:
        return None
    read = list(arguments.read_names(span_ids, "span_ids", such_as="those of SendSpansOperator"))
    if not read:
        raise InvalidInput("span_ids is empty, so there is no record to wait for.")
    return read
