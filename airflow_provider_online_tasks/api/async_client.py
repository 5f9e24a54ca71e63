"""The asynchronous client: REST only, because triggers send no GraphQL mutation. It sends each call once."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any, Self, TypeVar

import httpx

from airflow_provider_online_tasks import exceptions
from airflow_provider_online_tasks._text import on_one_line
from airflow_provider_online_tasks.api import _transport
from airflow_provider_online_tasks.api.calls import RestCall, read_value
from airflow_provider_online_tasks.api.http import Response, no_response, rest_value, without_secret

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.settings import Settings

T = TypeVar("T")
KEEP_ALIVE_SECONDS = 75.0
_NO_RESPONSE = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError)
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


class AsyncClient:
    """Sends REST calls to one Arize over one pool of connections."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        proxy = _transport.proxy_for(settings, settings.endpoint.rest_url)
        uses_tls = settings.endpoint.rest_url.startswith("https:") or str(proxy).startswith("https:")
        tls: ssl.SSLContext | bool = _transport.tls_context(settings) if uses_tls else False
        proxy_tls = tls if isinstance(tls, ssl.SSLContext) and str(proxy).startswith("https:") else None
        self._place = _transport.place(settings.endpoint.rest_url, proxy)
        self._http = httpx.AsyncClient(
            headers={
                "Authorization": f"Bearer {settings.api_key}",
                "User-Agent": _transport.user_agent(),
                "Accept": "application/json",
                "Accept-Encoding": _transport.ACCEPTED,
            },
            timeout=settings.timeout,
            verify=tls,
            proxy=None if proxy is None else httpx.Proxy(proxy, ssl_context=proxy_tls),
            trust_env=False,  # proxies, certificates and passwords come from the settings
            follow_redirects=False,  # the key must not be sent to another host
            # Longer than the pause between two polls, so that a poll needs no new TLS handshake.
            limits=httpx.Limits(keepalive_expiry=KEEP_ALIVE_SECONDS),
        )

    @classmethod
    async def open(cls, settings: Settings) -> Self:
        """Create a client, in a thread because certificates take long to load."""
        try:
            return await asyncio.to_thread(cls, settings)
        except (OSError, ValueError) as error:
            raise exceptions.InvalidConnection(
                f"Can't open a session with {settings.endpoint.rest_url}: the connection's CA bundle or "
                f"proxy is not valid. {type(error).__name__}: {error}"
            ) from None

    async def close(self) -> None:
        """Close the connections."""
        with _transport.without_library_logs():
            await self._http.aclose()

    async def send(self, call: RestCall[T]) -> T:
        """Send a call and return the value in its response."""
        return (await self.exchange(call))[0]

    async def exchange(self, call: RestCall[T]) -> tuple[T, Response]:
        """Send a call and return the value in its response, and the response. Raise only `CallError`."""
        host, seconds = self._place, self.settings.timeout
        response, problem = None, None
        try:
            # httpx's timeout is for each part of a response; this one is for the complete response.
            with _transport.without_library_logs():
                async with asyncio.timeout(seconds):
                    response = await self._request(call, self.settings.endpoint.rest_url)
        except Exception as error:  # noqa: BLE001  one call must not end what others share
            # Tracebacks would keep this call and its response alive.
            problem = TimeoutError() if type(error) is TimeoutError else error.with_traceback(None)
        # Not raised while the exception is handled, because that one holds the key.
        if isinstance(problem, _NO_RESPONSE):
            may_have_executed = not isinstance(problem, _NOT_SENT) and not call.repeatable
            if type(problem) is TimeoutError:
                raise exceptions.Unavailable(
                    f"{call.name} at {host}: no complete response within {seconds:g} s",
                    may_have_executed=may_have_executed,
                )
            raise no_response(problem, call=call.name, host=host, may_have_executed=may_have_executed)
        if response is not None:
            try:
                return read_value(call, rest_value(response), response), response
            except exceptions.CallError:
                raise
            except Exception as error:  # noqa: BLE001
                problem = error
        reason = without_secret(f"{type(problem).__name__}: {problem}", self.settings.api_key)
        raise exceptions.UnexpectedResponse(f"{call.name} at {host}: {on_one_line(reason)}")

    async def _request(self, call: RestCall[Any], host: str) -> Response:
        request = self._http.build_request(
            call.method, host + call.path, params=dict(call.query), json=call.body
        )
        response = await self._http.send(request, stream=True)
        headers = {key.lower(): value for key, value in response.headers.items()}
        body, unreadable = _transport.Body(headers), None
        try:
            async for chunk in response.aiter_raw(_transport.CHUNK):
                body.add(chunk)
            content = body.complete()
        except _transport.UnreadableBody as error:
            content, unreadable = body.start(), str(error)
        finally:
            await response.aclose()
        return Response(
            call=call.name,
            host=self._place,
            status=response.status_code,
            headers=headers,
            body=content,
            repeatable=call.repeatable,
            secret=self.settings.api_key,
            unreadable=unreadable,
        )
