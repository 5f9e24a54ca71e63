"""Waits in the triggerer until a time, and gives the task back what it had to remember."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks.exceptions import OnlineTasksError
from airflow_provider_online_tasks.triggers.runs import EARLIEST_EVENT_SECONDS

# A wall clock that is set forward is noticed after this long at the latest.
_NAP_SECONDS = 60.0


class PauseTrigger(BaseTrigger):
    """Sends its one event when a time has come.

    :param until: wall-clock time (seconds since the epoch). Absolute, so that it outlives a restart of the
        triggerer.
    :param payload: JSON values that the event carries back to the task; no secrets.
    """

    def __init__(self, *, until: float, payload: Mapping[str, Any] | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.until = until
        self.payload = dict(payload or {})

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what a triggerer needs to make this trigger again."""
        return (
            f"{PauseTrigger.__module__}.{PauseTrigger.__qualname__}",
            {"until": self.until, "payload": self.payload},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event when the time has come, and Airflow's scheduler has noted the deferral."""
        loop = asyncio.get_running_loop()
        earliest = loop.time() + EARLIEST_EVENT_SECONDS
        while (left := max(self.until - time.time(), earliest - loop.time())) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(left, _NAP_SECONDS))
        yield TriggerEvent({"until": self.until, "payload": self.payload})  # type: ignore[no-untyped-call]


def read_pause_event(event: object) -> dict[str, Any]:
    """Return the payload of an event as ``execute_complete`` gets it.

    :raises OnlineTasksError: it is no event of :class:`PauseTrigger`.
    """
    payload = event.get("payload") if isinstance(event, Mapping) else None
    if not isinstance(payload, Mapping):
        raise OnlineTasksError(
            f"The task was resumed with an event that its trigger does not send: {shown(event)}. Clear the "
            f"task to start it again."
        )
    return dict(payload)
