"""The asynchronous client: REST only, because triggers send no GraphQL mutation. It sends each call once."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from airflow_provider_online_tasks.api import _transport
from airflow_provider_online_tasks.api.calls import read_value
from airflow_provider_online_tasks.api.http import Response, no_response, rest_value

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.calls import RestCall
    from airflow_provider_online_tasks.api.settings import Settings

T = TypeVar("T")
KEEP_ALIVE_SECONDS = 75.0
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


class AsyncClient:
    """Sends REST calls to one Arize over one pool of connections."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        proxy = _transport.proxy_for(settings, settings.endpoint.rest_url)
        uses_tls = settings.endpoint.rest_url.startswith("https:") or str(proxy).startswith("https:")
        tls: ssl.SSLContext | bool = _transport.tls_context(settings) if uses_tls else False
        proxy_tls = tls if isinstance(tls, ssl.SSLContext) and str(proxy).startswith("https:") else None
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

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, call: RestCall[T]) -> T:
        """Send a call and return the value in its response."""
        return (await self.exchange(call))[0]

    async def exchange(self, call: RestCall[T]) -> tuple[T, Response]:
        """Send a call and return the value in its response, and the response."""
        host = self.settings.endpoint.rest_url
        problem: BaseException | None = None
        try:
            async with asyncio.timeout(self.settings.response_timeout):
                response = await self._request(call, host)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError) as error:
            problem = error.with_traceback(None)  # which would keep this call and its response alive
        if problem is not None:
            # Not raised while the exception is handled, because that one holds the key.
            if type(problem) is TimeoutError:
                problem = _transport.ResponseTooSlow()
            was_sent = not isinstance(problem, _NOT_SENT)
            raise no_response(
                problem, call=call.name, host=host, may_have_executed=was_sent and not call.repeatable
            )
        return read_value(call, rest_value(response), response), response

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
            host=host,
            status=response.status_code,
            headers=headers,
            body=content,
            repeatable=call.repeatable,
            secret=self.settings.api_key,
            unreadable=unreadable,
        )
