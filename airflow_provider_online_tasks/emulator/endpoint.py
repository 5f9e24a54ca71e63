"""One API request from its key to its answer: log, key, limits, faults, execution."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import socket
import struct
from typing import TYPE_CHECKING, Any, Protocol

from starlette.responses import Response

from airflow_provider_online_tasks.emulator.control.faults import BEFORE, Fault
from airflow_provider_online_tasks.emulator.state import LoggedRequest

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from airflow_provider_online_tasks.emulator.state import EmulatorState

TRANSPORT = "emulator.transport"
READ, WRITE = "queries_per_minute", "mutations_per_minute"

_BAD_KEY = "The API key is missing, invalid or expired"
_LOGGED_HEADERS = ("accept", "content-type", "origin", "user-agent")
_GATEWAY_PAGE = "<html><head><title>{0}</title></head><body><h1>{0}</h1><hr>gateway</body></html>"


class Answers(Protocol):
    """How one of the two APIs presents a key, writes errors and executes a request."""

    def key(self, request: Request) -> str:
        """Return the key the client presents, or the empty string."""

    def error(
        self,
        request: Request,
        status: int,
        message: str,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Response:
        """Write an error.

        :param status: the HTTP status that says what went wrong.
        :param code: an error code, where the API has such.
        """

    def rate_limited(
        self, request: Request, status: int | None, message: str | None, headers: dict[str, str]
    ) -> Response:
        """Write the refusal of a request over the limit.

        :param status: the status asked for; None for what the settings say.
        """

    def fault(self, request: Request, fault: Fault) -> Response | None:
        """Write the answer of a fault that only this API has; None where it has no such fault."""

    def execute(self, request: Request) -> Response:
        """Do what is asked and write the answer."""

    def main_field(self) -> tuple[str | int, ...]:
        """Return the path of the field that a client needs most of the answer."""


async def serve(
    state: EmulatorState, request: Request, operation: str, budget: str, answers: Answers
) -> Response:
    """Answer a request.

    :param operation: the name that faults and the log know it by.
    :param budget: which rate limit it counts against.
    """
    entry = LoggedRequest(
        operation=operation,
        method=request.method,
        path=request.url.path,
        time=state.clock.now(),
        host_header=request.headers.get("host", ""),
        headers={name: request.headers[name] for name in _LOGGED_HEADERS if name in request.headers},
        key_ok=answers.key(request) == state.settings.api_key,
    )
    state.requests.append(entry)
    if not entry.key_ok:
        response = answers.error(request, 401, _BAD_KEY, "UNAUTHENTICATED")
    else:
        response = await _respond(state, request, entry, budget, answers)
    entry.status = None if isinstance(response, DroppedResponse) else response.status_code
    return response


async def _respond(
    state: EmulatorState, request: Request, entry: LoggedRequest, budget: str, answers: Answers
) -> Response:
    limit = getattr(state.settings, budget)
    wait = state.limiter.wait(answers.key(request), budget, limit, state.clock.now())
    if wait:
        headers = {"Retry-After": str(math.ceil(wait))} if state.settings.retry_after else {}
        return answers.rate_limited(request, None, None, headers)
    fault = state.faults.take_fault(entry.operation)
    if fault is None:
        entry.executed = True
        return answers.execute(request)
    entry.fault = fault.kind
    if fault.kind in BEFORE:
        await asyncio.sleep(fault.seconds)
        return _instead(request, fault, answers)
    if fault.kind == "delay":
        await asyncio.sleep(fault.seconds)
    entry.executed = True
    response = answers.execute(request)
    if fault.kind != "delay":
        await asyncio.sleep(fault.seconds)
    return _spoilt(response, fault, answers)


def _instead(request: Request, fault: Fault, answers: Answers) -> Response:
    """Return the answer of a fault that keeps the request from being executed."""
    own = answers.fault(request, fault)
    if own is not None:
        return own
    headers = _retry_after(fault)
    if fault.kind == "drop_before":
        return DroppedResponse()
    if fault.kind == "status_before":
        return _gateway_page(fault)
    if fault.kind == "rate_limited":
        return answers.rate_limited(request, fault.status or 429, fault.message, headers)
    status, message, code = {
        "unauthorized": (401, _BAD_KEY, "UNAUTHENTICATED"),
        "forbidden": (403, "The key's user has no permission to do this", "FORBIDDEN"),
        "not_found": (404, "The object was not found", "NOT_FOUND"),
        "graphql_error": (500, "Internal server error", "INTERNAL_SERVER_ERROR"),
        "task_error": (422, "The run could not be started", "UNPROCESSABLE"),
        "unknown_type": (400, "Unknown type", "BAD_REQUEST"),
    }[fault.kind]
    return answers.error(
        request, fault.status or status, fault.message or message, fault.code or code, headers
    )


def _spoilt(response: Response, fault: Fault, answers: Answers) -> Response:
    """Return what a fault makes of the answer to a request that was executed."""
    if fault.kind in {"delay", "delay_after"}:
        return response
    if fault.kind == "drop_after":
        return DroppedResponse()
    if fault.kind == "status_after":
        return _gateway_page(fault)
    if fault.kind == "truncated":
        return TruncatedResponse(response)
    if fault.kind == "garbage":
        body = "<!doctype html><p>not JSON" if fault.body is None else fault.body
        return Response(body, fault.status or 200, media_type="application/json")
    answer = json.loads(bytes(response.body) or b"{}")
    if fault.kind == "not_object":
        answer = [answer]
    elif fault.kind == "partial":
        error = {"message": fault.message or "Something went wrong on the way"}
        answer["errors"] = [error | ({"extensions": {"code": fault.code}} if fault.code else {})]
    else:
        path: tuple[str | int, ...] = tuple(fault.field.split(".")) if fault.field else answers.main_field()
        _spoil_field(answer, path, leave_out=fault.kind == "missing_field")
    return Response(json.dumps(answer), response.status_code, media_type="application/json")


def _spoil_field(answer: Any, path: tuple[str | int, ...], *, leave_out: bool) -> None:
    """Leave out, or make null, the field at a path; the last one on it that the answer has."""
    holder, last = None, None
    for name in path:
        if not isinstance(answer, dict) or name not in answer:
            break
        holder, last, answer = answer, name, answer[name]
    if holder is None:
        return
    if leave_out:
        del holder[last]
    else:
        holder[last] = None


def _retry_after(fault: Fault) -> dict[str, str]:
    return {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}


def _gateway_page(fault: Fault) -> Response:
    status = fault.status or 502
    title = fault.message or f"{status} Bad Gateway"
    return Response(_GATEWAY_PAGE.format(title), status, _retry_after(fault), media_type="text/html")


class DroppedResponse(Response):
    """No answer: the connection is reset."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reset the connection."""
        transport = scope[TRANSPORT]
        # Without lingering, closing sends a reset instead of an orderly end.
        with contextlib.closing(
            socket.fromfd(transport.get_extra_info("socket").fileno(), socket.AF_INET, socket.SOCK_STREAM)
        ) as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
        await _disconnected(receive)


class TruncatedResponse(Response):
    """Half an answer that claims to be whole, and then the end of the connection."""

    def __init__(self, whole: Response) -> None:
        super().__init__(whole.body, whole.status_code, media_type=whole.media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send half of the answer."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        body = bytes(self.body)
        await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        scope[TRANSPORT].close()
        await _disconnected(receive)


async def _disconnected(receive: Receive) -> None:
    """Wait until the server knows that the connection is gone, so that it expects no answer."""
    while (await receive())["type"] != "http.disconnect":
        pass
