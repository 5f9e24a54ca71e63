"""What a poller sends with: a client, and places for the requests that are under way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from airflow_provider_online_tasks.exceptions import InvalidConnection

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.async_client import AsyncClient
    from airflow_provider_online_tasks.api.settings import Settings
    from airflow_provider_online_tasks.runs.polling.schedule import Run, Task

# A request that takes long gives its place to another, up to a number: slow answers must not hold up all.
MOST_IN_FLIGHT = 8
SLOW_SECONDS = 3.0
MOST_WITH_SLOW_ONES = 64


class InFlight:
    """The requests that are under way, and what each is about."""

    def __init__(self) -> None:
        # The oldest first.
        self._items: dict[asyncio.Task[None], Run | Task] = {}

    def add(self, request: asyncio.Task[None], item: Run | Task) -> None:
        """Note a request that was sent."""
        self._items[request] = item

    def pop(self, request: asyncio.Task[None]) -> Run | Task:
        """Forget a request, and return what it was about."""
        return self._items.pop(request)

    def place_free_at(self, now: float, *, in_doubt: bool) -> float:
        """Return from when on there may be one more request under way.

        :param in_doubt: whether the endpoint's last answer was none: one request is enough to find out
            whether it answers again.
        """
        if len(self._items) >= MOST_WITH_SLOW_ONES:
            return float("inf")
        most = 1 if in_doubt else MOST_IN_FLIGHT
        if len(self._items) < most:
            return float("-inf")
        slow_at = [item.sent_at + SLOW_SECONDS for item in self._items.values()]
        quick = sorted(at for at in slow_at if at > now)
        return quick[len(quick) - most] if len(quick) >= most else float("-inf")

    async def cancel(self) -> None:
        """End all requests."""
        for request in self._items:
            request.cancel()
        await asyncio.gather(*self._items, return_exceptions=True)


def open_client(settings: Settings) -> AsyncClient:
    """Return a client. Takes a while, for certificates and imports: not on an event loop.

    :raises InvalidConnection: the CA bundle or the proxy cannot be used.
    """
    from airflow_provider_online_tasks.api.async_client import AsyncClient

    try:
        return AsyncClient(settings)
    except (OSError, ValueError) as error:
        raise InvalidConnection(
            f"No session to {settings.endpoint.rest_url} can be opened with the connection's CA bundle and "
            f"proxy: {type(error).__name__}: {error}"
        ) from None
