"""Send calls to one Arize endpoint: within the timeout, and with a `CallError` for whatever goes wrong."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self, TypeVar

from airflow_provider_online_tasks import exceptions
from airflow_provider_online_tasks.api.async_client import AsyncClient

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.calls import RestCall
    from airflow_provider_online_tasks.api.http import Response
    from airflow_provider_online_tasks.api.settings import Settings

T = TypeVar("T")


class Session(AsyncClient):
    """An HTTP session with one endpoint and key. Use :meth:`open`."""

    @classmethod
    async def open(cls, settings: Settings) -> Self:
        """Open a session, in a thread because certificates take long to load.

        :raises InvalidConnection: the CA bundle or the proxy can't be used.
        """
        try:
            return await asyncio.to_thread(cls, settings)
        except (OSError, ValueError) as error:
            raise exceptions.InvalidConnection(
                f"Can't open a session with {settings.endpoint.rest_url}: the connection's CA bundle or "
                f"proxy is not valid. {type(error).__name__}: {error}"
            ) from None

    async def exchange(self, call: RestCall[T]) -> tuple[T, Response]:
        """Send a call and return the value of its response, and the response.

        :raises CallError: the subclass that fits what happened.
        """
        seconds, place = self.settings.timeout, f"{call.name} at {self.settings.endpoint.rest_url}"
        try:
            # The client's timeout is for each part of a response; this one is for the complete response.
            async with asyncio.timeout(seconds):
                return await super().exchange(call)
        except exceptions.CallError:
            raise
        except TimeoutError:
            raise exceptions.Unavailable(f"{place}: no complete response within {seconds:g} s") from None
        except Exception as error:  # noqa: BLE001  one call must not end what others share
            problem = f"{place}: {type(error).__name__}: {error}"
            raise exceptions.UnexpectedResponse(problem) from None
