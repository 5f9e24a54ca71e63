"""From an HTTP response to its value, or to the exception that a DAG author can act on.

REST errors are RFC 9457 problems (https://arize.com/docs/ax/rest-reference/errors). GraphQL errors arrive
with HTTP 200 or 4xx, at the top level or in a mutation's result union.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http import HTTPStatus
from http.client import HTTPException, IncompleteRead, RemoteDisconnected
from typing import Any, AnyStr, NoReturn

from airflow_provider_online_tasks import exceptions
from airflow_provider_online_tasks._text import on_one_line
from airflow_provider_online_tasks.api._transport import (
    SHOWN,
    THROUGH_PROXY,
    TOO_LARGE,
    TOO_MANY_VALUES,
    ResponseTooSlow,
    UnreadableBody,
    read_json,
)
from airflow_provider_online_tasks.api.fields import HIDDEN

_FIXES: dict[type[BaseException], str] = {
    ConnectionRefusedError: "Nothing listens there. Check the connection's host and port",
    socket.gaierror: "No host has this name. Check the connection's host or region",
}
CHECK_PROXY = "Check the proxy of the connection, or the variables HTTPS_PROXY and HTTP_PROXY"
CHECK_PROXY_USER = f"The proxy rejects its user or password. {CHECK_PROXY}"
# requests and httpx describe how a proxy answered the request to connect to Arize.
_PROXY_STATUS = re.compile(r"(?:Tunnel connection failed: )?(\d{3})\b")
# A shorter secret may be part of an ID or a text by chance; it is hidden in messages only.
SHORTEST_IN_VALUES = 8
LONGEST_RETRY_AFTER = 86_400.0
_LONGEST_HEADER = 1_000
RATE_LIMIT_WORD = "TOO_MANY_REQUESTS"
_REDIRECT = range(300, 400)
_INVISIBLE = bytes(byte for byte in range(256) if not ord("!") <= byte <= ord("~"))
CHECK_KEY = "Check the connection's API key, and that it belongs to this region's account"
CHECK_PERMISSION = "Check the permissions of the key's user, and that the plan includes this feature"
CHECK_ID = "Check the ID, and that the key can read it. Arize's IDs are global IDs, not names"
_ADVICE = {401: CHECK_KEY, 403: CHECK_PERMISSION, 404: CHECK_ID}
_KINDS: dict[int, type[exceptions.CallError]] = {
    401: exceptions.AuthenticationFailed,
    403: exceptions.PermissionDenied,
    404: exceptions.NotFound,
}
NOT_ARIZE = "This is an HTML page, so the host is not Arize's API. Check the connection's host"


@dataclass(frozen=True, kw_only=True)
class Response:
    """The response to a call. Its body and its messages do not contain the API key."""

    call: str
    host: str
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    repeatable: bool
    secret: str = field(default="", repr=False)
    unreadable: str | None = None  # why the body could not be read

    def __post_init__(self) -> None:
        if len(self.secret) >= SHORTEST_IN_VALUES:
            secret = self.secret.encode()
            if secret in self.body.translate(None, _INVISIBLE):  # much faster than the pattern
                body = _pattern(secret).sub(HIDDEN.encode(), self.body)
                object.__setattr__(self, "body", body)

    @property
    def what(self) -> str:
        """The call and its host, for messages."""
        return f"{self.call} at {self.host}"

    @property
    def date(self) -> datetime | None:
        """The server's time, from the Date header."""
        return http_date(self._header("date"))

    @property
    def retry_after(self) -> float | None:
        """Seconds that the server asks to wait, given as seconds or as a date."""
        text = self._header("retry-after").strip()
        if text.isascii() and text.isdecimal():
            return min(float(text), LONGEST_RETRY_AFTER)
        until = http_date(text)
        if until is None:
            return None
        seconds = (until - (self.date or datetime.now(UTC))).total_seconds()
        return min(max(0.0, seconds), LONGEST_RETRY_AFTER)

    @property
    def is_html(self) -> bool:
        """Whether the body is a page for a browser, as of a host that is not an API."""
        start = self.body[:200].lstrip().lower()
        return start.startswith((b"<!doctype html", b"<html", b"<h1", b"<head", b"<body")) or (
            "text/html" in self._header("content-type").lower()
        )

    def _header(self, name: str) -> str:
        return self.headers.get(name, "")[:_LONGEST_HEADER]

    def quoted(self, text: str) -> str:
        """Return a text of the server for a message: one line, bounded, without the key."""
        return on_one_line(without_secret(text, self.secret))

    def summary(self) -> str:
        """Return the body for a message."""
        if self.is_html:
            return "an HTML page"
        return self.quoted(self.body[:SHOWN].decode("utf-8", "replace")) or self.unreadable or "an empty body"

    def json(self) -> Any:
        """Return the body's JSON, or raise ValueError if it is not JSON or too large."""
        if self.unreadable:
            raise UnreadableBody(self.unreadable)
        value = read_json(self.body)
        # The bytes may contain the key with JSON escapes.
        is_escaped = b"\\" in self.body and len(self.secret) >= SHORTEST_IN_VALUES
        return without_secret(value, self.secret) if is_escaped else value

    def json_object(self) -> dict[str, Any]:  # noqa: RET503  unexpected() raises
        """Return the body as a JSON object, or raise UnexpectedResponse."""
        problem = "is not a JSON object"
        try:
            value = self.json()
            if isinstance(value, dict):
                return value
        except UnreadableBody as error:
            problem = str(error)
        except ValueError:
            problem = "is not JSON"
        self.unexpected(problem)

    def unexpected(self, problem: str) -> NoReturn:
        """Raise for a response that cannot be read."""
        message = f"{self.what}: the response (HTTP {self.status}) {self.quoted(problem)}"
        if self.is_html:
            message += f". {NOT_ARIZE}"
        elif not self.unreadable:
            message += f": {self.summary()}"
        is_too_large = problem in (TOO_LARGE, TOO_MANY_VALUES)
        kind = exceptions.ResponseTooLarge if is_too_large else exceptions.UnexpectedResponse
        raise kind(message, may_have_executed=not self.repeatable)


@lru_cache(maxsize=64)
def _pattern(secret: AnyStr) -> re.Pattern[AnyStr]:
    """Return a pattern for a secret, even if blanks, control or invisible characters split it."""
    if isinstance(secret, bytes):
        return re.compile(b"[^!-~]*".join(re.escape(bytes([byte])) for byte in secret))
    return re.compile("[^!-~]*".join(map(re.escape, secret)))


def without_secret(value: Any, secret: str) -> Any:
    """Return a JSON value with the secret replaced in every text."""
    match value:
        case str():
            return _pattern(secret).sub(HIDDEN, value) if secret else value
        case list():
            return [without_secret(item, secret) for item in value]
        case dict():
            return {
                without_secret(name, secret): without_secret(item, secret) for name, item in value.items()
            }
        case _:
            return value


def http_date(text: str | None) -> datetime | None:
    """Return a date of an HTTP header, or None if it is not a date."""
    try:
        date = parsedate_to_datetime(text or "")
    except (TypeError, ValueError, LookupError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def rest_value(response: Response) -> dict[str, Any]:
    """Return the object of a REST response, or raise the CallError that fits the status."""
    if response.status == HTTPStatus.NO_CONTENT:
        return {}
    if response.status in (HTTPStatus.OK, HTTPStatus.CREATED):
        return response.json_object()
    try:
        problem = response.json()  # as described in RFC 9457
        parts = [str(problem[name]) for name in ("title", "detail") if problem.get(name)]
    except (ValueError, AttributeError):
        parts = []
    raise status_error(response, response.quoted(": ".join(parts)) or response.summary())


def status_error(response: Response, reason: str) -> exceptions.CallError:
    """Return the exception for an HTTP status."""
    status = response.status
    is_late = status == HTTPStatus.REQUEST_TIMEOUT or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    message = f"{response.what}: HTTP {status}: {reason}"
    if status in _REDIRECT:
        target = response.quoted(response.headers.get("location", "an unknown address"))
        return exceptions.BadRequest(
            f"{message}. The host redirects to {target!r}, which is not followed, so that the key stays with "
            f"this host. Set the connection's host to the right one."
        )
    if response.is_html and not is_late:
        message = f"{message}. {NOT_ARIZE}."
    elif advice := _ADVICE.get(status):
        message = f"{message}. {advice}."
    if kind := _KINDS.get(status):
        return kind(message)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return exceptions.RateLimited(message, retry_after=response.retry_after)
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return exceptions.BadRequest(f"{message}. {CHECK_PROXY_USER}.")
    may_have_executed = not response.repeatable
    if is_late:
        return exceptions.Unavailable(
            message, may_have_executed=may_have_executed, retry_after=response.retry_after
        )
    if status >= HTTPStatus.BAD_REQUEST:
        return exceptions.BadRequest(message)
    return exceptions.UnexpectedResponse(message, may_have_executed=may_have_executed)


def graphql_data(response: Response) -> dict[str, Any]:
    """Return the data of a GraphQL response. Raise a CallError if it has errors, even with partial data."""
    status = response.status
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS) or (
        status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _REDIRECT
    ):
        try:
            messages = "; ".join(str(error["message"]) for error in response.json()["errors"])
        except (ValueError, LookupError, TypeError):
            messages = ""
        raise status_error(response, response.quoted(messages) or response.summary())
    try:
        value = response.json_object()
    except exceptions.UnexpectedResponse:
        if status < HTTPStatus.BAD_REQUEST:
            raise
        value = {}
    data, errors = value.get("data"), value.get("errors")
    if status >= HTTPStatus.BAD_REQUEST and not errors:
        raise status_error(response, response.summary())
    if not isinstance(errors or [], list) or not (data is None or isinstance(data, dict)):
        response.unexpected("is not a GraphQL response")
    if errors:
        errors = [error if isinstance(error, dict) else {"message": str(error)} for error in errors]
        raise _graphql_error(response, data, errors)
    if data is None:
        response.unexpected("has neither data nor errors")
    return data


def _graphql_error(
    response: Response, data: dict[str, Any] | None, errors: list[Mapping[str, Any]]
) -> exceptions.CallError:
    """Return the exception for the errors at the top level of a GraphQL response."""
    messages = response.quoted("; ".join(str(error.get("message", error)) for error in errors))
    message = f"{response.what}: {messages}"
    extensions = [error.get("extensions") for error in errors]
    codes = {str(each.get("code", "")).upper() for each in extensions if isinstance(each, Mapping)}
    if RATE_LIMIT_WORD in codes or RATE_LIMIT_WORD in messages.upper():
        return exceptions.RateLimited(message, retry_after=response.retry_after)
    if "UNAUTHENTICATED" in codes:
        return exceptions.AuthenticationFailed(f"{message}. {CHECK_KEY}.")
    if "only available for enterprise accounts" in messages.lower():
        return exceptions.PermissionDenied(
            f"{message}. GraphQL mutations need an enterprise account "
            f"(https://arize.com/docs/ax/graphql-reference)."
        )
    if codes & {"FORBIDDEN", "PERMISSION_DENIED"} or response.status == HTTPStatus.FORBIDDEN:
        return exceptions.PermissionDenied(f"{message}. {CHECK_PERMISSION}.")
    if "NOT_FOUND" in codes or response.status == HTTPStatus.NOT_FOUND:
        return exceptions.NotFound(f"{message}. {CHECK_ID}.")
    if "INTERNAL_SERVER_ERROR" in codes:
        return exceptions.Unavailable(message, may_have_executed=not response.repeatable)
    # Without data and without an error of a field, nothing was executed.
    was_executed = data is not None or any(error.get("path") for error in errors)
    return exceptions.BadRequest(message, may_have_executed=was_executed and not response.repeatable)


def no_response(
    error: BaseException, *, call: str, host: str, may_have_executed: bool
) -> exceptions.CallError:
    """Return the exception for a call that got no response. It repeats no text of the server."""
    cause = error
    while deeper := cause.__cause__ or cause.__context__ or getattr(cause, "reason", None):
        if not isinstance(deeper, BaseException):
            break
        cause = deeper  # libraries wrap it several times
    reason, fix = _reason(cause), _FIXES.get(type(cause))
    kind: type[exceptions.CallError] = exceptions.Unavailable
    if isinstance(cause, UnreadableBody):
        kind = exceptions.UnexpectedResponse
    elif type(cause).__name__ in ("OSError", "ProxyError") and (found := _PROXY_STATUS.match(str(cause))):
        reason, fix = f"the proxy answered with HTTP {found[1]}", CHECK_PROXY
        if int(found[1]) == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            kind, fix = exceptions.BadRequest, CHECK_PROXY_USER
    elif fix and THROUGH_PROXY in host:
        fix = CHECK_PROXY
    if isinstance(cause, ssl.SSLError) and cause.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
        fix = "The host doesn't use https. To use http, write http:// before the host"
    message = f"{call} at {host}: no response: {type(cause).__name__}"
    message += (f": {reason}" if reason else "") + (f". {fix}" if fix else "")
    if may_have_executed:
        message += ". The call may have been executed."
    return kind(message, may_have_executed=may_have_executed)


def _reason(cause: BaseException) -> str:
    """Return the reason in the words of the operating system or of this package."""
    match cause:
        case ssl.SSLCertVerificationError():
            return f"certificate verify failed: {on_one_line(cause.verify_message)}"
        case ssl.SSLError():
            return str(cause.reason or "")
        case ResponseTooSlow():
            return "the response started and did not end in time"
        case UnreadableBody():
            return f"the response {cause}"
        case OSError(strerror=str() as text) if text:
            return on_one_line(text)
        case TimeoutError():
            return "timed out"
        case IncompleteRead():
            return "the response is cut off"
        case RemoteDisconnected():
            return "the connection was closed without a response"
        case HTTPException():
            return "the response is not HTTP"
        case _:
            return ""
