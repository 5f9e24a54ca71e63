"""From an HTTP answer, or the lack of one, to a value or to the exception that a DAG author can act on.

REST errors are RFC 9457 problems (https://arize.com/docs/ax/rest-reference/errors). GraphQL errors come
with HTTP 200 or 4xx, at the top level, or in a mutation's result union.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_online_tasks._text import on_one_line
from airflow_provider_online_tasks.api._bounds import SHOWN, UnreadableBody, read_json
from airflow_provider_online_tasks.api._redact import redacted, redacted_bytes, redacted_value
from airflow_provider_online_tasks.exceptions import (
    AuthenticationFailed,
    BadRequest,
    CallError,
    NotFound,
    PermissionDenied,
    RateLimited,
    Unavailable,
    UnexpectedResponse,
)

if TYPE_CHECKING:
    from graphql import ExecutionResult

RATE_LIMIT_WORD = "TOO_MANY_REQUESTS"
PLAN_WORDS = "only available for enterprise accounts"
_REDIRECT = range(300, 400)
_LONGEST_HEADER = 1_000

_LONGEST_RETRY_AFTER = 86_400.0
CHECK_ID = "Check the ID, and that the key can read it. An ID of Arize is a global ID, not a name."
NOT_ARIZE = "is a web page: this is not Arize. Check the host in the connection"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back for a call. The API key is nowhere in it, should the server repeat it.

    :param call: the call's name, for messages.
    :param host: the host that was asked, for messages.
    :param status: HTTP status.
    :param headers: HTTP headers, keys in lower case.
    :param body: the body as it came.
    :param repeatable: whether carrying the call out twice is harmless.
    :param secret: what no message may hold, should the server repeat it: the API key.
    :param unreadable: why the body was not read, if it was not.
    """

    call: str
    host: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    repeatable: bool
    secret: str = field(default="", repr=False)
    unreadable: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "body", redacted_bytes(self.body, self.secret))
        kept = {name: redacted(text[:_LONGEST_HEADER], self.secret) for name, text in self.headers.items()}
        object.__setattr__(self, "headers", kept)

    @property
    def what(self) -> str:
        """Which call, at which host."""
        return f"{self.call} at {self.host}"

    @property
    def date(self) -> datetime | None:
        """The server's clock, from the Date header."""
        return http_date(self.headers.get("date"))

    @property
    def retry_after(self) -> float | None:
        """Seconds that the server asks to wait, given as seconds or as a date."""
        text = (self.headers.get("retry-after") or "").strip()
        if text.isascii() and text.isdecimal():
            return min(float(text), _LONGEST_RETRY_AFTER)
        until = http_date(text)
        if until is None:
            return None
        seconds = (until - (self.date or datetime.now(UTC))).total_seconds()
        return min(max(0.0, seconds), _LONGEST_RETRY_AFTER)

    @property
    def is_web_page(self) -> bool:
        """Whether a browser's page came, as from a host that is no API."""
        start = self.body[:200].lstrip().lower()
        return start.startswith((b"<!doctype html", b"<html", b"<h1", b"<head", b"<body")) or (
            "text/html" in self.headers.get("content-type", "").lower()
        )

    def said(self, text: str) -> str:
        """Return what the server says, as far as a message may repeat it."""
        return on_one_line(redacted(text, self.secret))

    def shown(self) -> str:
        """Return the body, cut to a length that can be read."""
        return self.said(self.body[:SHOWN].decode("utf-8", "replace"))

    def json(self) -> Any:
        """Return the body's JSON.

        :raises ValueError: it is none, or too large.
        """
        if self.unreadable:
            raise UnreadableBody(self.unreadable)
        value = read_json(self.body)
        # Escapes may hide the key in the bytes.
        return redacted_value(value, self.secret) if b"\\" in self.body else value

    def json_object(self) -> dict[str, Any]:  # noqa: RET503  what ends it raises
        """Return the body as a JSON object.

        :raises UnexpectedResponse: it is none.
        """
        try:
            value, problem = self.json(), None
        except UnreadableBody as error:
            value, problem = None, str(error)
        except ValueError:
            value, problem = None, "is not JSON"
        if problem is None and isinstance(value, dict):
            return value
        if self.is_web_page:
            self.unexpected(NOT_ARIZE)
        self.unexpected(problem or "is not a JSON object")

    def unexpected(self, problem: str) -> NoReturn:
        """Raise for an answer that cannot be read."""
        shown = "" if self.unreadable else f": {self.shown() or 'it is empty'}"
        raise UnexpectedResponse(
            f"{self.what}: the answer (HTTP {self.status}) {self.said(problem)}{shown}",
            may_have_executed=not self.repeatable,
        )


def http_date(text: str | None) -> datetime | None:
    """Read a date as HTTP headers write it."""
    try:
        found = parsedate_to_datetime(text or "")
    except (TypeError, ValueError, LookupError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def rest_value(answer: Answer) -> dict[str, Any]:
    """Return the object of a REST answer.

    :raises CallError: the subclass that fits the status.
    """
    if answer.status == HTTPStatus.NO_CONTENT:
        return {}
    if answer.status in (HTTPStatus.OK, HTTPStatus.CREATED):
        return answer.json_object()
    raise status_error(answer, _problem(answer))


def _problem(answer: Answer) -> str:
    try:
        value = answer.json()
    except ValueError:
        return answer.shown() or answer.unreadable or ""
    if not isinstance(value, dict):
        return answer.shown()
    said = [str(value[name]) for name in ("title", "detail") if value.get(name)]
    return answer.said(": ".join(said)) or answer.shown()


def status_error(answer: Answer, said: str) -> CallError:
    """Return the exception for an HTTP status."""
    status = answer.status
    message = f"{answer.what}: HTTP {status}: {said or 'no reason given'}"
    if answer.is_web_page and status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _REDIRECT:
        message = f"{message}. The answer {NOT_ARIZE}"
    if status == HTTPStatus.UNAUTHORIZED:
        return AuthenticationFailed(
            f"{message}. Check the connection's API key, and that it was made in this region's account."
        )
    if status == HTTPStatus.FORBIDDEN:
        return PermissionDenied(f"{message}. The key's user lacks the permission, or the plan the feature.")
    if status == HTTPStatus.NOT_FOUND:
        return NotFound(f"{message}. {CHECK_ID}")
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimited(message, retry_after=answer.retry_after)
    if status == HTTPStatus.REQUEST_TIMEOUT or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Unavailable(message, may_have_executed=not answer.repeatable, retry_after=answer.retry_after)
    if status in _REDIRECT:
        place = answer.said(answer.headers.get("location", "elsewhere"))
        return BadRequest(
            f"{message}. The host redirects to {place!r}, which is not followed, so that the key stays with "
            f"this host. Put the right host into the connection."
        )
    if status >= HTTPStatus.BAD_REQUEST:
        return BadRequest(message)
    return UnexpectedResponse(message, may_have_executed=not answer.repeatable)


@dataclass(frozen=True, kw_only=True)
class GraphQLResult:
    """A GraphQL answer that was read.

    :param data: the fields of the mutation.
    :param errors: the errors at the top level.
    """

    data: dict[str, Any] | None
    errors: tuple[Mapping[str, Any], ...]

    @property
    def is_request_error(self) -> bool:
        """Whether nothing can have been executed: no data, and no error belongs to a field."""
        return bool(self.errors) and self.data is None and not any(error.get("path") for error in self.errors)


def graphql_result(answer: Answer, given: ExecutionResult | None) -> GraphQLResult:
    """Read a GraphQL answer, errors included.

    :param given: what gql read, or None if it could read nothing.
    :raises CallError: no GraphQL answer came.
    """
    if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS) or (
        answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status in _REDIRECT
    ):
        raise status_error(answer, _said_in_errors(answer))
    if given is None or answer.unreadable:
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise status_error(answer, answer.shown())
        answer.json_object()
        answer.unexpected("has neither data nor errors")
    data: Any = given.data
    errors: Any = given.errors or []
    if not isinstance(errors, list) or not (data is None or isinstance(data, dict)):
        answer.unexpected("is not a GraphQL answer")
    if not errors and (data is None or answer.status >= HTTPStatus.BAD_REQUEST):
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise status_error(answer, answer.shown())
        answer.unexpected("has neither data nor errors")
    read = tuple(error if isinstance(error, dict) else {"message": str(error)} for error in errors)
    return GraphQLResult(data=data, errors=read)


def _said_in_errors(answer: Answer) -> str:
    try:
        errors = answer.json()["errors"]
        said = "; ".join(str(error["message"]) for error in errors)
    except (ValueError, LookupError, TypeError):
        said = ""
    return answer.said(said) or answer.shown()


def graphql_error(answer: Answer, result: GraphQLResult) -> CallError:
    """Return the exception for a GraphQL answer that carries errors. Partial data counts as an error."""
    said = answer.said("; ".join(str(error.get("message", error)) for error in result.errors))
    message = f"{answer.what}: {said}"
    codes = {_code(error) for error in result.errors}
    if RATE_LIMIT_WORD in codes or RATE_LIMIT_WORD in said.upper():
        return RateLimited(message, retry_after=answer.retry_after)
    if "UNAUTHENTICATED" in codes:
        return AuthenticationFailed(f"{message}. Check the connection's API key.")
    if PLAN_WORDS in said.lower():
        return PermissionDenied(
            f"{message}. GraphQL mutations need an enterprise account "
            f"(https://arize.com/docs/ax/graphql-reference)."
        )
    if codes & {"FORBIDDEN", "PERMISSION_DENIED"} or answer.status == HTTPStatus.FORBIDDEN:
        return PermissionDenied(f"{message}. The key's user lacks the permission, or the plan the feature.")
    if "NOT_FOUND" in codes or answer.status == HTTPStatus.NOT_FOUND:
        return NotFound(f"{message}. {CHECK_ID}")
    if "INTERNAL_SERVER_ERROR" in codes:
        return Unavailable(message, may_have_executed=not answer.repeatable)
    error = BadRequest(message)
    # Data beside errors: the mutation itself may have been carried out.
    error.may_have_executed = not answer.repeatable and not result.is_request_error
    return error


def _code(error: Mapping[str, Any]) -> str:
    extensions = error.get("extensions")
    return str(extensions.get("code", "")).upper() if isinstance(extensions, Mapping) else ""
