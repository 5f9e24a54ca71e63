"""Send calls to one Arize endpoint: within the timeout, and with a `CallError` for whatever goes wrong."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_online_tasks.exceptions import (
    CallError,
    InvalidConnection,
    Unavailable,
    UnexpectedResponse,
)

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.async_client import AsyncClient
    from airflow_provider_online_tasks.api.calls import RestCall
    from airflow_provider_online_tasks.api.http import Response
    from airflow_provider_online_tasks.api.settings import Settings

T = TypeVar("T")


class Session:
    """An HTTP session with one endpoint and key. Use :meth:`open`.

    :param settings: where and how to send.
    :param client: sends the calls.
    """

    def __init__(self, settings: Settings, client: AsyncClient) -> None:
        self._settings = settings
        self._client = client

    @classmethod
    async def open(cls, settings: Settings) -> Session:
        """Open a session, in a thread because certificates take long to load.

        :raises InvalidConnection: the CA bundle or the proxy can't be used.
        """
        return cls(settings, await asyncio.to_thread(_open_client, settings))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def send(self, call: RestCall[T]) -> T:
        """Send a call and return the value of its response.

        :raises CallError: the subclass that fits what happened.
        """
        value, _ = await self.exchange(call)
        return value

    async def exchange(self, call: RestCall[T]) -> tuple[T, Response]:
        """Send a call and return the value of its response, and the response.

        :raises CallError: the subclass that fits what happened.
        """
        try:
            # The client's timeout is for each part of a response; this one is for the complete response.
            async with asyncio.timeout(self._settings.timeout):
                return await self._client.exchange(call)
        except CallError:
            raise
        except TimeoutError:
            problem = f"no complete response within {self._settings.timeout:g} s"
            raise Unavailable(self._message(call, problem)) from None
        except Exception as error:  # noqa: BLE001  one call must not end what others share
            problem = f"{type(error).__name__}: {error}"
            raise UnexpectedResponse(self._message(call, problem)) from None

    def _message(self, call: RestCall[Any], problem: str) -> str:
        return f"{call.name} at {self._settings.endpoint.rest_url}: {problem}"


def _open_client(settings: Settings) -> AsyncClient:
    from airflow_provider_online_tasks.api.async_client import AsyncClient

    try:
        return AsyncClient(settings)
    except (OSError, ValueError) as error:
        raise InvalidConnection(
            f"Can't open a session with {settings.endpoint.rest_url}: the connection's CA bundle or proxy is "
            f"not valid. {type(error).__name__}: {error}"
        ) from None
