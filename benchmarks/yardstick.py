"""A plain asynchronous trigger: one request per run and poll.

The triggers of the providers for dbt Cloud and Databricks work like this: each looks up its connection, reads
one run by its ID, and sleeps for the poll interval. This trigger differs in two ways: all instances
share a TLS context, which saves CPU, and it repeats failed requests instead of giving up.
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

TERMINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED"})
TIMEOUT_SECONDS = 30.0


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


class OneRequestPerPollTrigger(BaseTrigger):
    """Wait until a run is finished.

    :param run_id: the run.
    :param conn_id: Airflow connection.
    :param poll_interval: seconds between two requests.
    """

    def __init__(self, *, run_id: str, conn_id: str, poll_interval: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.run_id = run_id
        self.conn_id = conn_id
        self.poll_interval = poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        fields = {"run_id": self.run_id, "conn_id": self.conn_id, "poll_interval": self.poll_interval}
        return f"{type(self).__module__}.{type(self).__qualname__}", fields

    async def run(self) -> AsyncIterator[TriggerEvent]:
        connection = await get_async_connection(self.conn_id)
        headers = {"Authorization": f"Bearer {connection.password}"}
        async with httpx.AsyncClient(
            base_url=str(connection.host), headers=headers, verify=_tls(), timeout=TIMEOUT_SECONDS
        ) as client:
            while True:
                run = await self._read(client)
                if run is not None and str(run["status"]).upper() in TERMINAL:
                    yield TriggerEvent({"run_id": self.run_id, "status": run["status"]})  # type: ignore[no-untyped-call]
                    return
                await asyncio.sleep(self.poll_interval)

    async def _read(self, client: httpx.AsyncClient) -> dict[str, Any] | None:
        try:
            response = await client.get(f"/v2/task-runs/{self.run_id}")
        except httpx.HTTPError:
            return None
        return response.json() if response.is_success else None
