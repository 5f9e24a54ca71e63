"""A plain asynchronous trigger: one request for each run and poll.

So the triggers of dbt Cloud and Databricks work: they look their connection up for each trigger, read one run
by its ID, and sleep for the poll interval. The one of dbt Cloud opens a session for each request, that of
Databricks keeps one for each trigger, and so does this. In two ways it is kinder to itself: the TLS context,
which takes long to make, is shared by all, and a refused or failed request is asked again after the interval,
where theirs give up after a few.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import AsyncIterator
from typing import Any

import httpx
from airflow.providers.common.compat.connection import get_async_connection
from airflow.triggers.base import BaseTrigger, TriggerEvent

OVER = frozenset({"COMPLETED", "FAILED", "CANCELLED"})
TIMEOUT_SECONDS = 30.0


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


class OneRequestPerPollTrigger(BaseTrigger):
    """Waits until a run is over.

    :param run_id: the run.
    :param conn_id: Airflow connection.
    :param poll_interval: seconds between two reads.
    """

    def __init__(self, *, run_id: str, conn_id: str, poll_interval: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.run_id = run_id
        self.conn_id = conn_id
        self.poll_interval = poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        given = {"run_id": self.run_id, "conn_id": self.conn_id, "poll_interval": self.poll_interval}
        return f"{type(self).__module__}.{type(self).__qualname__}", given

    async def run(self) -> AsyncIterator[TriggerEvent]:
        connection = await get_async_connection(self.conn_id)
        headers = {"Authorization": f"Bearer {connection.password}"}
        async with httpx.AsyncClient(
            base_url=str(connection.host), headers=headers, verify=_tls(), timeout=TIMEOUT_SECONDS
        ) as client:
            while True:
                run = await self._read(client)
                if run is not None and str(run["status"]).upper() in OVER:
                    yield TriggerEvent({"run_id": self.run_id, "status": run["status"]})  # type: ignore[no-untyped-call]
                    return
                await asyncio.sleep(self.poll_interval)

    async def _read(self, client: httpx.AsyncClient) -> dict[str, Any] | None:
        try:
            answer = await client.get(f"/v2/task-runs/{self.run_id}")
        except httpx.HTTPError:
            return None
        return answer.json() if answer.is_success else None
