"""The path of an API request: log, key, rate limit, faults, execution."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import json
import math
import socket
import struct
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from airflow_provider_online_tasks.emulator.control.faults import BEFORE, Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from airflow_provider_online_tasks.emulator.state import EmulatorState

TRANSPORT = "emulator.transport"
_WINDOW_SECONDS = 60.0

_BAD_KEY = "The API key is missing, invalid or expired"
_LOGGED_HEADERS = ("accept", "content-type", "origin", "user-agent")
_GATEWAY_PAGE = "<html><head><title>{0}</title></head><body><h1>{0}</h1><hr>gateway</body></html>"
# The status, the message and the code of an error.
Error = tuple[int, str, str | None]
_ERRORS: dict[str, Error] = {
    "unauthorized": (401, _BAD_KEY, "UNAUTHENTICATED"),
    "forbidden": (403, "The user of the key has no permission for this request", "FORBIDDEN"),
}


class RateLimiter:
    """Counts requests in a sliding minute, per key and kind of request."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, str], collections.deque[float]] = {}

    def wait(self, key: str, kind: str, limit: int | None, now: float) -> float:
        """Count a request; return 0 if it is allowed, else the seconds until the next one is."""
        if limit is None:
            return 0.0
        times = self._times.setdefault((key, kind), collections.deque())
        while times and times[0] <= now - _WINDOW_SECONDS:
            times.popleft()
        if len(times) >= limit:
            return times[len(times) - limit] + _WINDOW_SECONDS - now
        times.append(now)
        return 0.0


@dataclasses.dataclass(slots=True)
class LoggedRequest:
    """A request to one of the two APIs, without the key."""

    operation: str
    method: str
    path: str
    time: float
    host_header: str
    headers: dict[str, str]
    status: int | None = None
    key_ok: bool = False
    executed: bool = False
    fault: str | None = None


@dataclasses.dataclass(kw_only=True)
class ApiRequest:
    """A request to one of the two APIs.

    :param operation: its name in faults and in the log.
    :param budget: the setting with its rate limit.
    :param key: the key of the client, or the empty string.
    :param main_field: the path of the field that a client needs most in the response.
    :param execute: executes the request; with the fault ``task_error``, it starts no run.
    :param error: returns an error of this API.
    :param rate_limit: the error of a rate limit.
    :param errors: the errors of faults.
    """

    state: EmulatorState
    request: Request
    operation: str
    budget: str
    key: str
    main_field: tuple[str, ...]
    execute: Callable[[Fault | None], Response]
    error: Callable[..., Response]
    rate_limit: Error
    errors: Mapping[str, Error]

    async def respond(self) -> Response:
        """Return the response, and log the request."""
        request, state = self.request, self.state
        entry = LoggedRequest(
            operation=self.operation,
            method=request.method,
            path=request.url.path,
            time=state.clock.now(),
            host_header=request.headers.get("host", ""),
            headers={name: request.headers[name] for name in _LOGGED_HEADERS if name in request.headers},
            key_ok=self.key == state.settings.api_key,
        )
        state.requests.append(entry)
        response = await self._respond(entry) if entry.key_ok else self.error(*_ERRORS["unauthorized"])
        entry.status = None if isinstance(response, DroppedResponse) else response.status_code
        return response

    async def _respond(self, entry: LoggedRequest) -> Response:
        state = self.state
        limit = getattr(state.settings, self.budget)
        wait = state.limiter.wait(self.key, self.budget, limit, state.clock.now())
        if wait:
            return self.error(
                *self.rate_limit, {"Retry-After": str(math.ceil(wait))} if state.settings.retry_after else {}
            )
        fault = state.faults.take_fault(self.operation)
        if fault is None:
            entry.executed = True
            return self.execute(None)
        entry.fault = fault.kind
        if fault.kind in BEFORE:
            await asyncio.sleep(fault.seconds)
            return self._not_executed(fault)
        if fault.kind == "delay":
            await asyncio.sleep(fault.seconds)
        entry.executed = True
        response = self.execute(None)
        if fault.kind != "delay":
            await asyncio.sleep(fault.seconds)
        return self._changed(response, fault)

    def _not_executed(self, fault: Fault) -> Response:
        if fault.kind == "drop_before":
            return DroppedResponse()
        if fault.kind == "status_before":
            return _gateway_page(fault)
        errors = {**_ERRORS, **self.errors, "rate_limited": (429, *self.rate_limit[1:])}
        if fault.kind not in errors:
            return self.execute(fault)
        status, message, code = errors[fault.kind]
        return self.error(
            fault.status or status, fault.message or message, fault.code or code, _retry_after(fault)
        )

    def _changed(self, response: Response, fault: Fault) -> Response:
        match fault.kind:
            case "delay" | "delay_after":
                return response
            case "drop_after":
                return DroppedResponse()
            case "status_after":
                return _gateway_page(fault)
            case "truncated":
                return TruncatedResponse(response)
            case "garbage":
                body = "<!doctype html><p>not JSON" if fault.body is None else fault.body
                return Response(body, fault.status or 200, media_type="application/json")
        document = json.loads(bytes(response.body) or b"{}")
        match fault.kind:
            case "not_object":
                document = [document]
            case "partial":
                error: dict[str, Any] = {"message": fault.message or "An error occurred"}
                if fault.code:
                    error["extensions"] = {"code": fault.code}
                document["errors"] = [error]
            case _:
                path = tuple(fault.field.split(".")) if fault.field else self.main_field
                _remove_field(document, path, null=fault.kind == "null_field")
        return Response(json.dumps(document), response.status_code, media_type="application/json")


def _remove_field(document: Any, path: tuple[str, ...], *, null: bool) -> None:
    """Remove the last field of a path that the document has, or set it to null."""
    parent, last = None, None
    for name in path:
        if not isinstance(document, dict) or name not in document:
            break
        parent, last, document = document, name, document[name]
    if parent is not None and null:
        parent[last] = None
    elif parent is not None:
        del parent[last]


def _gateway_page(fault: Fault) -> Response:
    status = fault.status or 502
    title = fault.message or f"{status} Bad Gateway"
    return Response(_GATEWAY_PAGE.format(title), status, _retry_after(fault), media_type="text/html")


def _retry_after(fault: Fault) -> dict[str, str]:
    return {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}


class DroppedResponse(Response):
    """No response: the connection is reset."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reset the connection."""
        transport = scope[TRANSPORT]
        # Without lingering, closing sends a reset.
        with contextlib.closing(
            socket.fromfd(transport.get_extra_info("socket").fileno(), socket.AF_INET, socket.SOCK_STREAM)
        ) as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
        await _disconnected(receive)


class TruncatedResponse(Response):
    """Half of a response with the full Content-Length, then the end of the connection."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.body, response.status_code, media_type=response.media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send half of the response."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        body = bytes(self.body)
        await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        scope[TRANSPORT].close()
        await _disconnected(receive)


async def _disconnected(receive: Receive) -> None:
    """Wait until the server knows that the connection is closed, so that it expects no response."""
    while (await receive())["type"] != "http.disconnect":
        pass
