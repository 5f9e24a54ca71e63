"""Sends calls, blocking: REST through requests, GraphQL through gql over the same session."""

from __future__ import annotations

import functools
import io
import logging
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeVar

import requests

from airflow_provider_online_tasks.api._user_agent import user_agent
from airflow_provider_online_tasks.api.answers import Answer, graphql_error, graphql_result, rest_value
from airflow_provider_online_tasks.api.calls import ARGUMENT_TYPES, GraphQLCall, RestCall, argument_type
from airflow_provider_online_tasks.api.retry import RetryPolicy
from airflow_provider_online_tasks.exceptions import CallError, TaskErrorReturned, Unavailable

if TYPE_CHECKING:
    from gql import GraphQLRequest

    from airflow_provider_online_tasks.api.settings import Settings

T = TypeVar("T")
log = logging.getLogger(__name__)


class _Body(io.BytesIO):
    """A request body that knows whether it was handed to the socket.

    Before that, the server cannot have carried the request out: name resolution, connecting, proxy and
    TLS handshake are over only then.
    """

    taken = False

    def read(self, size: int | None = -1, /) -> bytes:
        self.taken = True
        return super().read(size)


class _Session(requests.Session):
    """A session that keeps to its host, and knows what became of its last request."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.body: _Body | None = None
        self.answer: requests.Response | None = None
        self.headers["User-Agent"] = user_agent()
        self.auth = _no_auth
        self._environment: dict[str, Any] = {}

    def merge_environment_settings(self, url: str | bytes | None, *given: Any) -> Any:
        """Look at the environment once for each host, since its proxies take as long to find as an answer."""
        host = "/".join(str(url).split("/", 3)[:3])
        if host not in self._environment:
            self._environment[host] = super().merge_environment_settings(url, *given)
        return dict(self._environment[host])

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        self.body = self.answer = None
        if isinstance(request.body, str):
            request.body = request.body.encode()
        if isinstance(request.body, bytes):
            # An open-ended type hint: requests sends any file-like body.
            self.body = _Body(request.body)
            request.body = self.body  # type: ignore[assignment]
        kwargs["allow_redirects"] = False  # the key must not travel to another host
        kwargs["timeout"] = self.settings.timeout
        # What the connection says goes before what the environment says.
        if self.settings.verify is not True:
            kwargs["verify"] = self.settings.verify
        if self.settings.proxy:
            kwargs["proxies"] = {"http": self.settings.proxy, "https": self.settings.proxy}
        self.answer = super().send(request, **kwargs)
        return self.answer


@functools.lru_cache(maxsize=16)
def _parsed(document: str) -> GraphQLRequest:
    """Parse a document, once: there are few, and parsing takes about as long as sending."""
    from gql import gql

    return gql(document)


class _Query(NamedTuple):
    name: str
    repeatable: bool = True


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep requests from replacing the key by what a .netrc file says."""
    return request


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
        self._session = _Session(settings)
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
        policy, attempt = retry or self.retry, 1
        while True:
            try:
                return self._rest(call) if isinstance(call, RestCall) else self._graphql(call)
            except CallError as error:
                delay = policy.delay(error, attempt)
                if delay is None:
                    raise
                log.warning(
                    "%s. Sent again in %.0f s (attempt %d of %d).", error, delay, attempt + 1, policy.attempts
                )
                self._sleep(delay)
                attempt += 1

    def _rest(self, call: RestCall[T]) -> tuple[T, Answer]:
        endpoint = self.settings.endpoint
        try:
            self._session.request(
                call.method,
                endpoint.rest_url + call.path,
                params=dict(call.query),
                json=call.body,
                headers={"Authorization": f"Bearer {self.settings.api_key}", "Accept": "application/json"},
            )
        except requests.RequestException as error:
            self._lost(error, call.name, endpoint.rest_url, repeatable=call.repeatable)
        answer = self._answer(call.name, endpoint.rest_url, repeatable=call.repeatable)
        return read_value(call, rest_value(answer), answer), answer

    def _graphql(self, call: GraphQLCall[T]) -> tuple[T, Answer]:
        input_type = self._input_types.get(call.name, call.input_type)
        answer = self._post(call.document(input_type), call, {"input": dict(call.input)})
        result = graphql_result(answer)
        if result.is_request_error and call.name not in self._input_types:
            # The one error that a client can mend: the schema names the input otherwise than documented.
            # A document with the wrong type never passes validation, so nothing was executed.
            real_type = self._ask_input_type(call)
            if real_type and real_type != input_type:
                log.info("%s takes %s, not %s.", call.name, real_type, input_type)
                self._input_types[call.name] = real_type
                answer = self._post(call.document(real_type), call, {"input": dict(call.input)})
                result = graphql_result(answer)
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
            return None  # the first error is the one to tell

    def query(self, document: str, *, name: str) -> dict[str, Any]:
        """Send a GraphQL query once and return its data.

        :param name: what it is called in messages.
        :raises CallError: the subclass that fits what happened.
        """
        answer = self._post(document, _Query(name))
        result = graphql_result(answer)
        if result.errors:
            raise graphql_error(answer, result)
        return result.data or {}

    def _post(
        self, document: str, call: GraphQLCall[Any] | _Query, variables: dict[str, Any] | None = None
    ) -> Answer:
        from gql import GraphQLRequest
        from gql.transport.exceptions import TransportError
        from gql.transport.requests import RequestsHTTPTransport

        url = self.settings.endpoint.graphql_url
        transport = RequestsHTTPTransport(url, headers={"x-api-key": self.settings.api_key})
        transport.session = self._session
        request = GraphQLRequest(_parsed(document), variable_values=variables)
        try:
            transport.execute(request)
        except (TransportError, requests.RequestException) as error:
            # The transport's reading is replaced by our own, which knows statuses, hosts and lengths.
            if self._session.answer is None:
                cause = error.__cause__ or error
                self._lost(cause, call.name, self.settings.endpoint.app_url, repeatable=call.repeatable)
        except (TypeError, AttributeError):
            if self._session.answer is None:
                raise
        return self._answer(call.name, self.settings.endpoint.app_url, repeatable=call.repeatable)

    def _answer(self, name: str, host: str, *, repeatable: bool) -> Answer:
        response = self._session.answer
        if response is None:
            raise RuntimeError(f"{name}: no answer was kept")
        return Answer(
            call=name,
            host=host,
            status=response.status_code,
            headers={key.lower(): value for key, value in response.headers.items()},
            body=response.content,
            repeatable=repeatable,
            secret=self.settings.api_key,
        )

    def _lost(self, error: BaseException, name: str, host: str, *, repeatable: bool) -> NoReturn:
        body = self._session.body
        sent = body is None or body.taken
        raise lost(error, name=name, host=host, may_have_executed=sent and not repeatable) from None


def lost(error: BaseException, *, name: str, host: str, may_have_executed: bool) -> Unavailable:
    """Return the exception for a call that got no answer."""
    root: BaseException = error
    while (deeper := root.__cause__ or root.__context__ or getattr(root, "reason", None)) is not None:
        if not isinstance(deeper, BaseException):
            break
        root = deeper
    said = str(root) or str(error)
    detail = f"{type(root).__name__}: {said}" if said else type(root).__name__
    return Unavailable(
        f"{name} at {host}: no answer: {detail[:300]}"
        + (". The call may have been carried out all the same." if may_have_executed else ""),
        may_have_executed=may_have_executed,
    )


def read_value(call: RestCall[T] | GraphQLCall[T], value: dict[str, Any], answer: Answer) -> T:
    """Read what an answer says, as its call knows how.

    :raises TaskErrorReturned: it says that the run was not started.
    :raises UnexpectedAnswer: a field is missing or holds something else than documented.
    """
    try:
        return call.read(value)
    except TaskErrorReturned as error:
        said, reason = f"{answer.what}: {answer.told(str(error))}", answer.told(error.reason)
        raise TaskErrorReturned(said, code=error.code, reason=reason) from None
    except KeyError as error:
        answer.unexpected(f"lacks the field {error}")
    except (TypeError, ValueError, AttributeError) as error:
        answer.unexpected(f"is malformed ({error})")
