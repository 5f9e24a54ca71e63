"""Sends calls, asynchronously: REST only, since triggers never mutate through GraphQL."""

from __future__ import annotations

import asyncio
import dataclasses
import ssl
from collections.abc import Container
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from airflow_provider_online_tasks.api._bounds import ACCEPTED, CHUNK, AnswerTooSlow, Body, UnreadableBody
from airflow_provider_online_tasks.api._user_agent import user_agent
from airflow_provider_online_tasks.api.calls import Page, list_task_runs, read_page
from airflow_provider_online_tasks.api.client import lost, read_value
from airflow_provider_online_tasks.api.responses import Answer, rest_value
from airflow_provider_online_tasks.api.responses.runs import TaskRun
from airflow_provider_online_tasks.api.retry import NO_RETRY, RetryPolicy
from airflow_provider_online_tasks.api.tls import proxy_for, tls_context
from airflow_provider_online_tasks.exceptions import CallError

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.calls import RestCall
    from airflow_provider_online_tasks.api.settings import Settings

T = TypeVar("T")
KEEP_ALIVE_SECONDS = 75.0
_sleep = asyncio.sleep
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


class AsyncClient:
    """Sends REST calls to one Arize over one pool of connections.

    :param settings: where and how.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        proxy = proxy_for(settings, settings.endpoint.rest_url)
        uses_tls = settings.endpoint.rest_url.startswith("https:") or str(proxy).startswith("https:")
        trust: ssl.SSLContext | bool = tls_context(settings) if uses_tls else False
        through = None
        if proxy is not None:
            of_proxy = trust if isinstance(trust, ssl.SSLContext) and proxy.startswith("https:") else None
            through = httpx.Proxy(proxy, ssl_context=of_proxy)
        self._http = httpx.AsyncClient(
            headers={
                "Authorization": f"Bearer {settings.api_key}",
                "User-Agent": user_agent(),
                "Accept": "application/json",
                "Accept-Encoding": ACCEPTED,
            },
            timeout=settings.timeout,
            verify=trust,
            proxy=through,
            trust_env=False,  # the settings decide about proxies, certificates and passwords
            follow_redirects=False,  # the key must not travel to another host
            # Longer than the pause between two polls, which else would each begin with a TLS handshake.
            limits=httpx.Limits(keepalive_expiry=KEEP_ALIVE_SECONDS),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, call: RestCall[T], *, retry: RetryPolicy = NO_RETRY) -> T:
        """Send a call and return what its answer says.

        :raises CallError: the subclass that fits what happened.
        """
        return (await self.exchange(call, retry=retry))[0]

    async def exchange(self, call: RestCall[T], *, retry: RetryPolicy = NO_RETRY) -> tuple[T, Answer]:
        """Send a call and return what its answer says, and the answer.

        :raises CallError: the subclass that fits what happened.
        """
        attempt, waited = 1, 0.0
        while True:
            try:
                return await self._exchange(call)
            except CallError as error:
                delay = retry.delay(error, attempt, waited=waited)
                if delay is None:
                    raise
                await _sleep(delay)
                waited += delay
                attempt += 1

    async def _exchange(self, call: RestCall[T]) -> tuple[T, Answer]:
        host = self.settings.endpoint.rest_url
        problem: BaseException | None = None
        try:
            async with asyncio.timeout(self.settings.answer_timeout):
                answer = await self._ask(call, host)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError) as error:
            problem = error.with_traceback(None)  # which would hold this call, and the answer with it
        if problem is not None:
            # Not while the exception is handled: what it holds, the key among it, must not be part of ours.
            if type(problem) is TimeoutError:
                problem = AnswerTooSlow()
            sent = not isinstance(problem, _NOT_SENT)
            raise lost(problem, name=call.name, host=host, may_have_executed=sent and not call.repeatable)
        return read_value(call, rest_value(answer), answer), answer

    async def _ask(self, call: RestCall[Any], host: str) -> Answer:
        request = self._http.build_request(
            call.method, host + call.path, params=dict(call.query), json=call.body
        )
        response = await self._http.send(request, stream=True)
        headers = {key.lower(): value for key, value in response.headers.items()}
        body, unreadable = Body(headers), None
        try:
            async for chunk in response.aiter_raw(CHUNK):
                body.add(chunk)
            content = body.whole()
        except UnreadableBody as error:
            content, unreadable = body.start(), str(error)
        finally:
            await response.aclose()
        return Answer(
            call=call.name,
            host=host,
            status=response.status_code,
            headers=headers,
            body=content,
            repeatable=call.repeatable,
            secret=self.settings.api_key,
            unreadable=unreadable,
        )


def skim_task_runs(
    task_id: str, wanted: Container[str], *, cursor: str | None = None
) -> RestCall[Page[TaskRun]]:
    """Return the call that lists a task's runs and reads the wanted ones alone.

    One that cannot be read is left out, since it must not hide its neighbours.

    :param wanted: IDs, looked at when the answer is there.
    """

    def read(item: object) -> TaskRun | None:
        if not isinstance(item, dict) or item.get("id") not in wanted:
            return None
        try:
            return TaskRun.from_wire(item)
        except (KeyError, TypeError, ValueError):
            return None

    def skim(value: dict[str, Any]) -> Page[TaskRun]:
        page = read_page("task_runs", read)(value)
        return Page(items=tuple(run for run in page.items if run is not None), next_cursor=page.next_cursor)

    return dataclasses.replace(list_task_runs(task_id, cursor=cursor), read=skim)
