"""The blocking client: REST with requests, GraphQL with gql over the same session."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, TypeVar

import requests
import urllib3.exceptions

from airflow_provider_online_tasks.api import _transport, calls
from airflow_provider_online_tasks.api._session import Session
from airflow_provider_online_tasks.api.calls import GraphQLCall, RestCall
from airflow_provider_online_tasks.api.http import Response, graphql_data, no_response, rest_value
from airflow_provider_online_tasks.api.retry import RetryPolicy
from airflow_provider_online_tasks.exceptions import BadRequest, CallError

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.settings import Settings

T = TypeVar("T")
log = logging.getLogger(__name__)
# requests does not wrap all exceptions of the libraries below it.
_TROUBLE = (requests.RequestException, urllib3.exceptions.HTTPError, HTTPException, OSError, ValueError)


class Client:
    """Sends calls to one Arize, one after the other, over one session. `sleep` waits between attempts."""

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

    def __exit__(self, *error: object) -> None:
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
        """Send a call and return the value in its response. `retry` replaces the client's own policy."""
        return self.exchange(call, retry=retry)[0]

    def exchange(
        self, call: RestCall[T] | GraphQLCall[T], *, retry: RetryPolicy | None = None
    ) -> tuple[T, Response]:
        """Send a call and return the value in its response, and the response."""
        return (retry or self.retry).retrying(self._sleep)(self._attempt, call)

    def _attempt(self, call: RestCall[T] | GraphQLCall[T]) -> tuple[T, Response]:
        self._before_send()
        if isinstance(call, GraphQLCall):
            return self._mutate(call)
        host = self.settings.endpoint.rest_url
        problem: Exception | None = None
        self._session.forget()
        headers = {"Authorization": f"Bearer {self.settings.api_key}", "Accept": "application/json"}
        try:
            with _transport.without_library_logs():
                self._session.request(
                    call.method, host + call.path, params=dict(call.query), json=call.body, headers=headers
                )
        except _TROUBLE as error:
            problem = error
        response = self._response(problem, call.name, host, repeatable=call.repeatable)
        return calls.read_value(call, rest_value(response), response), response

    def _mutate(self, call: GraphQLCall[T]) -> tuple[T, Response]:
        variables = {"input": dict(call.input)}
        input_type = self._input_types.get(call.name, call.input_type)
        try:
            response, data = self._post(call.document(input_type), call.name, variables, call.repeatable)
        except BadRequest as error:
            # The schema may name the input type differently than documented. A document with the wrong type
            # never passes validation, so nothing was executed.
            last = self._session.response
            if error.may_have_executed or (last is not None and last.is_redirect):
                raise
            try:
                data = self.query(calls.ARGUMENT_TYPES, name=f"type of {call.name}")
                real_type = calls.argument_type(data, call.name)
            except (CallError, LookupError, TypeError, AttributeError):
                real_type = None  # the first error is the one to report
            if real_type in (None, input_type):
                raise
            log.info("%s takes %s, not %s.", call.name, real_type, input_type)
            self._input_types[call.name] = str(real_type)
            response, data = self._post(call.document(real_type), call.name, variables, call.repeatable)
        payload = data.get(call.name)
        if not isinstance(payload, dict):
            response.unexpected(f"has no {call.name}")
        return calls.read_value(call, payload, response), response

    def query(self, document: str, *, name: str) -> dict[str, Any]:
        """Send a GraphQL query once and return its data. `name` is for messages."""
        return self._post(document, name, None, repeatable=True)[1]

    def _post(
        self, document: str, name: str, variables: dict[str, Any] | None, repeatable: bool
    ) -> tuple[Response, dict[str, Any]]:
        from gql import GraphQLRequest, gql
        from gql.transport.exceptions import TransportError
        from gql.transport.requests import RequestsHTTPTransport

        endpoint = self.settings.endpoint
        transport = RequestsHTTPTransport(
            endpoint.graphql_url, headers={"x-api-key": self.settings.api_key, "Accept": "application/json"}
        )
        transport.session = self._session
        request = GraphQLRequest(gql(document), variable_values=variables)
        problem: Exception | None = None
        self._session.forget()
        try:
            # gql's result is not used, because it may contain the key.
            with _transport.without_library_logs():
                transport.execute(request)
        except (TransportError, *_TROUBLE) as error:
            problem = error
        except (TypeError, AttributeError):  # the response is not an object
            if self._session.response is None:
                raise
        response = self._response(problem, name, endpoint.app_url, repeatable=repeatable)
        return response, graphql_data(response)

    def _response(self, problem: Exception | None, name: str, host: str, *, repeatable: bool) -> Response:
        """Return the response, or raise if there is none.

        Not called while an exception is handled, because that one holds the key and would be the context of
        the new one.
        """
        response, host = self._session.response, self._session.place(host)
        if response is None:
            body = self._session.body
            was_sent = body is None or body.was_read
            error = problem or RuntimeError("the session has no response")
            raise no_response(error, call=name, host=host, may_have_executed=was_sent and not repeatable)
        return Response(
            call=name,
            host=host,
            status=response.status_code,
            headers={key.lower(): value for key, value in response.headers.items()},
            body=response.content,
            repeatable=repeatable,
            secret=self.settings.api_key,
            unreadable=self._session.unreadable,
        )
