"""Wait in the triggerer until people have completed the records of an annotation queue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_online_tasks._airflow import AirflowNotFoundException
from airflow_provider_online_tasks._defaults import DEFAULT_QUEUE_POLL_INTERVAL
from airflow_provider_online_tasks._text import on_one_line
from airflow_provider_online_tasks.exceptions import (
    CallError,
    InvalidConnection,
    RateLimited,
    ResponseTooLarge,
    Unavailable,
)
from airflow_provider_online_tasks.inputs.arguments import suggests_names
from airflow_provider_online_tasks.triggers.runs import EARLIEST_EVENT_SECONDS

if TYPE_CHECKING:
    from airflow_provider_online_tasks.annotations.completion import Completion

ARGUMENTS = (
    "annotation_queue_id",
    "span_ids",
    "at_least",
    "completed",
    "conn_id",
    "poll_interval",
    "deadline",
)


class AnnotationQueueTrigger(BaseTrigger):
    """Wait until the records of a queue are completed, or until a deadline, and send one event.

    The polls count towards the connection's ``requests_per_minute``, and leave most of it to waits for runs.

    :param annotation_queue_id: the queue.
    :param span_ids: only records of these spans count. Default: all records.
    :param at_least: minimum number of records. Default 1.
    :param completed: minimum share of the records, or of ``span_ids``, that are completed. Default 1.
    :param conn_id: Airflow connection.
    :param poll_interval: seconds until the first poll, and between two polls. Default 300.
    :param deadline: time at which the wait ends, in seconds since the epoch. Default: none.
    :param in_process: whether the task and the trigger run in one process, as in ``airflow dags test``. The
        trigger finds out when it is stored.
    """

    @suggests_names
    def __init__(
        self,
        *,
        annotation_queue_id: str,
        span_ids: list[str] | None = None,
        at_least: int = 1,
        completed: float = 1.0,
        conn_id: str,
        poll_interval: float = DEFAULT_QUEUE_POLL_INTERVAL,
        deadline: float | None = None,
        in_process: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.annotation_queue_id = annotation_queue_id
        self.span_ids = span_ids
        self.at_least = at_least
        self.completed = completed
        self.conn_id = conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.in_process = in_process
        self._limit: int | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and the arguments that a triggerer needs to create this trigger again."""
        from airflow_provider_online_tasks.runs.task_fate import runs_in_process

        arguments = {name: getattr(self, name) for name in ARGUMENTS}
        path = f"{AnnotationQueueTrigger.__module__}.{AnnotationQueueTrigger.__qualname__}"
        return path, {**arguments, "in_process": self.in_process or runs_in_process()}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event: the task polls and decides, or fails if there is an ``error_message``."""
        error_message, loop = None, asyncio.get_running_loop()
        earliest = loop.time() + (0.0 if self.in_process else EARLIEST_EVENT_SECONDS)
        try:
            await self._wait()
        except Exception as error:  # noqa: BLE001  an exception in run() would hide the reason from the task
            error_message = on_one_line(str(error) or type(error).__name__)
        await asyncio.sleep(max(0.0, earliest - loop.time()))
        yield TriggerEvent({"error_message": error_message, "deadline": self.deadline})  # type: ignore[no-untyped-call]

    async def _wait(self) -> None:
        """Return when the records are completed, or at the deadline."""
        from airflow_provider_online_tasks.annotations.completion import QueueWait

        # On the loop's clock from here: a wall clock that is set back must not extend the wait.
        loop = asyncio.get_running_loop()
        ends_at = float("inf") if self.deadline is None else loop.time() + self.deadline - time.time()
        wait = QueueWait(
            queue_id=self.annotation_queue_id,
            poll_interval=self.poll_interval,
            log=self.log.bind() if hasattr(self.log, "bind") else self.log,
            clock=loop.time,
        )
        # The task has just polled.
        pause = self.poll_interval
        while loop.time() < ends_at:
            await asyncio.sleep(min(pause, ends_at - loop.time()))
            try:
                completion = await self._read()
            except CallError as error:
                wait.failed(error)
            else:
                wait.succeeded(completion)
                if completion.is_reached(at_least=self.at_least, completed=self.completed):
                    return
            pause = wait.pause

    async def _read(self) -> Completion:
        """Read the records with the connection's current settings."""
        from airflow_provider_online_tasks.annotations.completion import Completion
        from airflow_provider_online_tasks.api import calls
        from airflow_provider_online_tasks.api.async_client import AsyncClient
        from airflow_provider_online_tasks.runs.polling.shared_pollers import this_loop

        loop, shared = asyncio.get_running_loop(), this_loop()
        try:
            settings = await shared.settings_of(self.conn_id)
        except (AirflowNotFoundException, InvalidConnection):
            raise
        except Exception as error:
            raise Unavailable(f"Connection {self.conn_id} can't be read: {error}") from error
        share = shared.endpoint(settings).watchers_share
        completion, cursors, cursor = Completion(self.span_ids), calls.Cursors("list records"), None
        limit = self._limit or calls.REVIEW_PAGE
        client = await AsyncClient.open(settings)
        try:
            while True:
                await share.wait()
                sent_at = loop.time()
                try:
                    page = await client.send(
                        calls.list_queue_records(self.annotation_queue_id, cursor=cursor, limit=limit)
                    )
                except RateLimited:
                    share.budget.rate_limited(loop.time(), sent_at=sent_at)
                    raise
                except ResponseTooLarge:
                    if limit == 1:
                        raise
                    self._limit = limit = limit // 2  # the next poll starts with it, too
                    continue
                completion.add(page.items)
                cursor = cursors.after(page)
                if cursor is None or completion.has_all:
                    return completion
        finally:
            await client.close()
