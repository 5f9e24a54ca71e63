"""Send a request that creates something, and recover it if the response is lost.

A request without a response may have been executed. Before it is repeated, Arize is searched for its result
for up to :data:`SEARCH_SECONDS`, because a server may act late. If the search finds the result, it is
adopted. If it finds nothing, the request is sent again, at most :data:`MAX_REQUESTS` times. If the search
itself fails, nothing is repeated: the try fails, and the next try searches first.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from airflow_provider_online_tasks import _clock
from airflow_provider_online_tasks._text import sentence
from airflow_provider_online_tasks.api.calls import Page, RestCall, pages
from airflow_provider_online_tasks.exceptions import CallError, RateLimited, Unavailable
from airflow_provider_online_tasks.idempotency.intents import IntentStore, IntentT, TryNoLongerCurrent

if TYPE_CHECKING:
    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook

SEARCH_SECONDS = 60.0
MAX_PAUSE = 10.0
MAX_REQUESTS = 3
# A process can be suspended after it wrote its intent: an older intent is written again before sending.
MAX_INTENT_AGE = timedelta(seconds=2)
# What was created may be older by this than Arize's clock said just before the request.
SERVER_TIME_MARGIN = timedelta(seconds=60)


class HasId(Protocol):
    """Anything that Arize creates."""

    @property
    def id(self) -> str:
        """The global ID."""


Resource = TypeVar("Resource", bound=HasId)
Item = TypeVar("Item")


class Outcome(enum.Enum):
    """How an execution got the object that it needs."""

    CREATED = "created"
    ADOPTED = "adopted after a lost response"
    RESUMED = "started by an earlier try and still running"
    FINISHED = "started by an earlier try and finished"
    EXISTED = "exists already"


@dataclass(frozen=True, kw_only=True)
class Result(Generic[Resource]):
    """The object that an execution needs; ``resource`` is None if it was just created."""

    id: str
    outcome: Outcome
    resource: Resource | None = None


class CreateOnce(ABC, Generic[IntentT, Resource]):
    """Creates one object per execution, however often the request has to be sent.

    A subclass says what to request and how to recognize the result.
    """

    noun: ClassVar[str]
    verb: ClassVar[str] = "create"

    def __init__(self, *, hook: OnlineTasksHook, intents: IntentStore[IntentT], log: Any) -> None:
        self._hook = hook
        self._intents = intents
        self._try = intents.current_try
        self._log = log
        self._note_server_time(_clock.now())

    @abstractmethod
    def _send_request(self) -> str:
        """Send the request once, and return the ID of what was created."""

    @abstractmethod
    def _find_matching(self, intent: IntentT) -> Iterable[Resource]:
        """Search Arize for the result of an intent; the most likely match first."""

    @abstractmethod
    def _describe_created(self, intent: IntentT, created_id: str) -> str:
        """Return the log line that names what was created."""

    def _withdraw_intent(self, intent: IntentT) -> None:
        """Forget an intent whose request was not executed."""
        self._intents.delete()

    def _confirm_id(self, intent: IntentT, created_id: str) -> str:
        """Return the ID by which Arize's other calls know what was created."""
        return created_id

    def _discard(self, created_id: str) -> None:
        """Undo a request whose result no try will use."""

    def _create_once(self, intent: IntentT) -> Result[Resource]:
        """Send the request and return its result: created, or adopted after a lost response."""
        for _ in range(MAX_REQUESTS):
            # The server may still execute an earlier request without a response: keep its intent.
            is_first = intent.sent_at is None
            intent = self._write_intent(intent)
            try:
                created_id = self._send_if_current(intent)
            except CallError as error:
                found = self._recover(intent, error) if error.may_have_executed else None
                if found is not None:
                    self._store_id(intent, found.id)
                    return Result(id=found.id, outcome=Outcome.ADOPTED, resource=found)
                if error.may_have_executed and isinstance(error, Unavailable):
                    self._log.warning("Arize did not %s a %s. Sending again.", self.verb, self.noun)
                    continue
                if is_first:
                    self._withdraw_intent(intent)
                raise
            created_id = self._confirm_id(intent, created_id)
            try:
                self._store_id(intent, created_id)
            except TryNoLongerCurrent:
                self._discard(created_id)
                raise
            return Result(id=created_id, outcome=Outcome.CREATED)
        raise Unavailable(
            f"Arize did not respond to {MAX_REQUESTS} requests to {self.verb} a {self.noun} and did not "
            f"execute them. It seems to be unavailable. The next try searches for the {self.noun} before it "
            f"sends another request.",
            may_have_executed=True,
        )

    def _write_intent(self, intent: IntentT) -> IntentT:
        """Write the intent with the current time: from now on the server may execute the request."""
        return self._intents.write(intent.sent(server_now=self._server_now, worker_now=_clock.now()))

    def _send_if_current(self, intent: IntentT) -> str:
        """Send the request. Write the intent again if it is no longer fresh when the request leaves.

        The rate limiter can delay a request by minutes, and the process can be suspended. The monotonic clock
        stops in a suspended machine, so the wall clock counts.
        """
        written_at = _clock.now()

        def confirm() -> None:
            nonlocal written_at
            if abs(_clock.now() - written_at) > MAX_INTENT_AGE:
                self._write_intent(intent)
                written_at = _clock.now()

        with self._hook.client.before_send(confirm):
            return self._send_request()

    def _store_id(self, intent: IntentT, resource_id: str) -> IntentT:
        # Log first: if the state store fails, the ID is still in the task log.
        self._log.info("%s", self._describe_created(intent, resource_id))
        try:
            return self._intents.write(replace(intent, id=resource_id))
        except TryNoLongerCurrent:
            raise  # the current try may have adopted it
        except Exception:
            if self._try.is_last:
                self._discard(resource_id)
            raise

    def _recover(self, intent: IntentT, error: CallError) -> Resource | None:
        """Search for the result of a request whose response was lost. Raise Unavailable if that fails."""
        # A server that responded has finished with the request: one search is enough.
        seconds = SEARCH_SECONDS if isinstance(error, Unavailable) else 0.0
        duration = f" for up to {seconds:.0f} s" if seconds else ""
        self._log.warning("%s Searching for the %s%s.", sentence(error), self.noun, duration)
        try:
            return self._search(intent, seconds=seconds)
        except CallError as search_error:
            raise Unavailable(
                f"{error} The search for the {self.noun} failed, too ({search_error}). The next try searches "
                f"before it sends another request. If there is no next try, check in Arize whether the "
                f"{self.noun} exists.",
                may_have_executed=True,
            ) from error

    def _search_for_earlier(self, earlier: IntentT | None, wanted: IntentT) -> Resource | None:
        """Search for the result of an earlier try, by its intent or, if that is lost, by this try's."""
        if earlier is not None:
            self._log.info("An earlier try may have sent the request. Searching for the %s.", self.noun)
            return self._search(earlier)
        if self._intents.may_be_lost and self._try.number > 1:
            return self._search(wanted, seconds=SEARCH_SECONDS)
        return None

    def _search(self, intent: IntentT, *, seconds: float | None = None) -> Resource | None:
        """Search for the result of an intent until it appears or the deadline passes.

        By default, search as long as the server may still execute a request of an earlier try. Raise
        CallError if the last search failed, so that the result is unknown.
        """
        from tenacity import RetryCallState, Retrying, retry_if_exception_type, retry_if_result
        from tenacity.wait import wait_exponential

        backoff = wait_exponential(max=MAX_PAUSE)
        deadline = None if seconds is None else _clock.monotonic() + seconds

        def remaining() -> float:
            nonlocal deadline
            if deadline is None:  # the first search has shown Arize's clock
                age = intent.age(server_now=self._server_now, worker_now=_clock.now())
                deadline = _clock.monotonic() + SEARCH_SECONDS - age
            return deadline - _clock.monotonic()

        def last_result(state: RetryCallState) -> Any:
            return state.outcome.result() if state.outcome else None

        return Retrying(
            retry=retry_if_result(lambda found: found is None)
            | retry_if_exception_type((RateLimited, Unavailable)),
            wait=lambda state: min(backoff(state), remaining()),
            stop=lambda _: remaining() <= 0,
            sleep=_clock.sleep,
            retry_error_callback=last_result,
        )(lambda: next(iter(self._find_matching(intent)), None))

    def _list(self, call_at: Callable[[str | None], RestCall[Page[Item]]]) -> Iterator[Item]:
        """Yield the items of a list, page by page, and note Arize's clock."""
        for page in pages(self._read_page, call_at):
            yield from page.items

    def _read_page(self, call: RestCall[Page[Item]]) -> Page[Item]:
        page, response = self._hook.client.exchange(call)
        self._note_server_time(response.date or _clock.now())
        return page

    def _note_server_time(self, server_time: datetime) -> None:
        self._server_time, self._server_time_noted_at = server_time, _clock.monotonic()

    @property
    def _server_now(self) -> datetime:
        """The time by Arize's clock, if it is known."""
        return self._server_time + timedelta(seconds=_clock.monotonic() - self._server_time_noted_at)
