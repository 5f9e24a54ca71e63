"""Sends calls, blocking: REST through requests, GraphQL through gql over the same session."""

from __future__ import annotations

import contextlib
import functools
import logging
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException, IncompleteRead, RemoteDisconnected
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import requests
import urllib3.exceptions

from airflow_provider_online_tasks._text import on_one_line, sentence
from airflow_provider_online_tasks.api._bounds import AnswerTooSlow, UnreadableBody
from airflow_provider_online_tasks.api._session import Session
from airflow_provider_online_tasks.api.calls import (
    ARGUMENT_TYPES,
    GraphQLCall,
    RestCall,
    argument_type,
    same_id,
)
from airflow_provider_online_tasks.api.responses import (
    Answer,
    GraphQLResult,
    graphql_error,
    graphql_result,
    rest_value,
)
from airflow_provider_online_tasks.api.retry import RetryPolicy
from airflow_provider_online_tasks.exceptions import (
    CallError,
    TaskErrorReturned,
    Unavailable,
    UnexpectedResponse,
)

if TYPE_CHECKING:
    from gql import GraphQLRequest
    from graphql import ExecutionResult

    from airflow_provider_online_tasks.api.settings import Settings

T = TypeVar("T")
log = logging.getLogger(__name__)
# requests leaves some of the exceptions below it as they are.
_TROUBLE = (requests.RequestException, urllib3.exceptions.HTTPError, HTTPException, OSError, ValueError)


@functools.lru_cache(maxsize=16)
def _parsed(document: str) -> GraphQLRequest:
    """Parse a document, once: there are few, and parsing takes about as long as sending."""
    from gql import gql

    return gql(document)


class _Query(NamedTuple):
    name: str
    repeatable: bool = True


class Client:
    """Sends calls to one Arize, one after the other, over one session.

    :param settings: where and how.
    :param retry: when a call is sent again.
    :param sleep: what waits between attempts.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        retry: RetryPolicy | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.settings = settings
        self.retry = retry or RetryPolicy()
        self._sleep = sleep
        self._before_send: Callable[[], object] = lambda: None
        self._session = Session(settings)
        self._input_types: dict[str, str] = {}

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the session."""
        self._session.close()

    @contextlib.contextmanager
    def before_send(self, check: Callable[[], object]) -> Iterator[None]:
        """Call `check` just before each attempt to send a call, as long as the context lasts."""
        self._before_send = check
        try:
            yield
        finally:
            self._before_send = lambda: None

    def send(self, call: RestCall[T] | GraphQLCall[T], *, retry: RetryPolicy | None = None) -> T:
        """Send a call and return what its answer says.

        :param retry: when it is sent again, in place of the client's own policy.
        :raises CallError: the subclass that fits what happened.
        """
        return self.exchange(call, retry=retry)[0]

    def exchange(
        self, call: RestCall[T] | GraphQLCall[T], *, retry: RetryPolicy | None = None
    ) -> tuple[T, Answer]:
        """Send a call and return what its answer says, and the answer.

        :raises CallError: the subclass that fits what happened.
        """
        policy, attempt, waited = retry or self.retry, 1, 0.0
        while True:
            self._before_send()
            try:
                return self._rest(call) if isinstance(call, RestCall) else self._graphql(call)
            except CallError as error:
                delay = policy.delay(error, attempt, waited=waited)
                if delay is None:
                    raise
                log.warning("%s Sent again in %.0f s (attempt %d).", sentence(error), delay, attempt + 1)
                self._sleep(delay)
                waited += delay
                attempt += 1

    def _rest(self, call: RestCall[T]) -> tuple[T, Answer]:
        host = self.settings.endpoint.rest_url
        problem: Exception | None = None
        self._session.forget()
        try:
            self._session.request(
                call.method,
                host + call.path,
                params=dict(call.query),
                json=call.body,
                headers={"Authorization": f"Bearer {self.settings.api_key}", "Accept": "application/json"},
            )
        except _TROUBLE as error:
            problem = error
        answer = self._answer(problem, call.name, host, repeatable=call.repeatable)
        return read_value(call, rest_value(answer), answer), answer

    def _graphql(self, call: GraphQLCall[T]) -> tuple[T, Answer]:
        input_type = self._input_types.get(call.name, call.input_type)
        answer, result = self._post(call.document(input_type), call, {"input": dict(call.input)})
        if result.is_request_error and call.name not in self._input_types:
            # The one error that a client can mend: the schema names the input otherwise than documented.
            # A document with the wrong type never passes validation, so nothing was executed.
            real_type = self._ask_input_type(call)
            if real_type and real_type != input_type:
                log.info("%s takes %s, not %s.", call.name, real_type, input_type)
                self._input_types[call.name] = real_type
                answer, result = self._post(call.document(real_type), call, {"input": dict(call.input)})
        if result.errors:
            raise graphql_error(answer, result)
        payload = (result.data or {}).get(call.name)
        if not isinstance(payload, dict):
            answer.unexpected(f"has no {call.name}")
        return read_value(call, payload, answer), answer

    def _ask_input_type(self, call: GraphQLCall[Any]) -> str | None:
        try:
            return argument_type(self.query(ARGUMENT_TYPES, name=f"type of {call.name}"), call.name)
        except (CallError, LookupError, TypeError, AttributeError):
            return None  # the first error is the one to report

    def query(self, document: str, *, name: str) -> dict[str, Any]:
        """Send a GraphQL query once and return its data.

        :param name: what it is called in messages.
        :raises CallError: the subclass that fits what happened.
        """
        answer, result = self._post(document, _Query(name))
        if result.errors:
            raise graphql_error(answer, result)
        return result.data or {}

    def _post(
        self, document: str, call: GraphQLCall[Any] | _Query, variables: dict[str, Any] | None = None
    ) -> tuple[Answer, GraphQLResult]:
        from gql import GraphQLRequest
        from gql.transport.exceptions import TransportError
        from gql.transport.requests import RequestsHTTPTransport

        endpoint = self.settings.endpoint
        transport = RequestsHTTPTransport(
            endpoint.graphql_url, headers={"x-api-key": self.settings.api_key, "Accept": "application/json"}
        )
        transport.session = self._session
        request = GraphQLRequest(_parsed(document), variable_values=variables)
        given: ExecutionResult | None = None
        problem: Exception | None = None
        self._session.forget()
        try:
            given = transport.execute(request)
        except (TransportError, *_TROUBLE) as error:
            problem = error
        except (TypeError, AttributeError) as error:  # an answer that is no object
            if self._session.answer is None:
                raise
            problem = error
        answer = self._answer(problem, call.name, endpoint.app_url, repeatable=call.repeatable)
        return answer, graphql_result(answer, given)

    def _answer(self, problem: Exception | None, name: str, host: str, *, repeatable: bool) -> Answer:
        """Return the answer that came; raise if none did.

        Not called while an exception is handled: what it holds, the key among it, must not be part of ours.
        """
        response = self._session.answer
        if response is None:
            body = self._session.body
            sent = body is None or body.taken
            error = problem or RuntimeError("no answer was kept")
            raise lost(error, name=name, host=host, may_have_executed=sent and not repeatable)
        return Answer(
            call=name,
            host=host,
            status=response.status_code,
            headers={key.lower(): value for key, value in response.headers.items()},
            body=response.content,
            repeatable=repeatable,
            secret=self.settings.api_key,
            unreadable=self._session.unreadable,
        )


def lost(error: BaseException, *, name: str, host: str, may_have_executed: bool) -> Unavailable:
    """Return the exception for a call that got no answer.

    It repeats nothing that the server said.
    """
    root: BaseException = error
    while (deeper := root.__cause__ or root.__context__ or getattr(root, "reason", None)) is not None:
        if not isinstance(deeper, BaseException):
            break
        root = deeper
    said = _cause(root) + _advice(root)
    kind = UnexpectedResponse if isinstance(root, UnreadableBody) else Unavailable
    return kind(
        f"{name} at {host}: no answer: {type(root).__name__}"
        + (f": {said}" if said else "")
        + (". The call may have been carried out all the same." if may_have_executed else ""),
        may_have_executed=may_have_executed,
    )


def _advice(root: BaseException) -> str:
    """Say what to look at in the connection, where the system's words point there."""
    match root:
        case ConnectionRefusedError():
            return ". Nothing listens there: check the connection's host and port"
        case socket.gaierror():
            return ". No host has that name: check the connection's host or region"
        case ssl.SSLError(reason="WRONG_VERSION_NUMBER" | "RECORD_LAYER_FAILURE"):
            return ". The host does not speak https: if it should not, write http:// before the host"
        case _:
            return ""


def _cause(root: BaseException) -> str:
    """Say what went wrong in the words of the system, never in those of the server."""
    match root:
        case ssl.SSLCertVerificationError():
            return f"certificate verify failed: {on_one_line(root.verify_message)}"
        case ssl.SSLError():
            return str(root.reason or "")
        case AnswerTooSlow():
            return "the answer began and was not whole in time"
        case UnreadableBody():
            return f"the answer {root}"
        case OSError(strerror=str() as said) if said:
            return on_one_line(said)
        case TimeoutError():
            return "timed out"
        case IncompleteRead():
            return "the answer is cut off"
        case RemoteDisconnected():
            return "the connection was closed without an answer"
        case HTTPException():
            return "what came is not HTTP"
        case _:
            return ""


def read_value(call: RestCall[T] | GraphQLCall[T], value: dict[str, Any], answer: Answer) -> T:  # noqa: RET503  what ends it raises
    """Read what an answer says, as its call knows how.

    :raises TaskErrorReturned: it says that the run was not started.
    :raises UnexpectedResponse: a field is missing or holds something else than documented.
    """
    problem: str
    try:
        found = call.read(value)
        if isinstance(call, RestCall) and call.about is not None and value.get("id") is not None:
            same_id(value["id"], call.about)
        return found  # noqa: TRY300
    except TaskErrorReturned as error:
        said, reason = f"{answer.what}: {answer.said(str(error))}", answer.said(error.reason)
        raise TaskErrorReturned(said, code=error.code, reason=reason) from None
    except KeyError as error:
        problem = f"lacks the field {error}"
    except (TypeError, ValueError, AttributeError) as error:
        problem = f"is malformed ({error})"
    answer.unexpected(problem)
