"""Asking Arize to make something, and what happens when the answer is lost.

A request that got no answer may have been carried out. So it is not repeated before Arize was searched for
what it may have made: for up to a minute, since a server may act late. If the search finds it, that is the
answer. If it finds nothing, the request is sent again, three times at most. If the search itself gets no
answer, nothing is repeated: the try fails, and the next try searches first.

``docs/reliability.md`` says what that guarantees, and what it cannot.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from airflow_provider_online_tasks import _clock
from airflow_provider_online_tasks._text import sentence
from airflow_provider_online_tasks.exceptions import CallError, RateLimited, Unavailable
from airflow_provider_online_tasks.idempotency.records import Records, RecordT

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_provider_online_tasks.api.calls import Page, RestCall
    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook

LOOK_UP_SECONDS = 60.0
LONGEST_PAUSE = 10.0
MAX_REQUESTS = 3
# A thing may be older by this than Arize's clock said just before it was asked for.
SERVER_TIME_MARGIN = timedelta(seconds=60)


class Identified(Protocol):
    """What Arize makes: whatever has an ID."""

    @property
    def id(self) -> str:
        """The global ID."""


Thing = TypeVar("Thing", bound=Identified)
Item = TypeVar("Item")


class How(enum.Enum):
    """How an operator execution got what it needs."""

    MADE = "new"
    ADOPTED = "found after its answer was lost"
    REATTACHED = "started by an earlier try, still going"
    FINISHED = "started by an earlier try, already over"
    EXISTED = "it exists already"


@dataclass(frozen=True, kw_only=True)
class Obtained(Generic[Thing]):
    """What an operator execution got.

    :param id: its ID.
    :param how: how the execution got it.
    :param thing: it, as it was found; None if it was just made.
    """

    id: str
    how: How
    thing: Thing | None = None


class Once(ABC, Generic[RecordT, Thing]):
    """Makes one thing for an operator execution, however often Arize has to be asked.

    A subclass says what is asked for, and how it is recognised.

    :param hook: how Arize is called.
    :param records: where the execution keeps its record.
    :param log: the task's log.
    :param look_up_seconds: how long to search for a thing whose answer was lost.
    """

    noun: ClassVar[str]
    verb: ClassVar[str]

    def __init__(
        self, *, hook: OnlineTasksHook, records: Records[RecordT], log: Any, look_up_seconds: float
    ) -> None:
        self._hook = hook
        self._records = records
        self._state = records.state
        self._log = log
        self._look_up_seconds = look_up_seconds
        self._note_server_time(_clock.now())

    @abstractmethod
    def _request(self) -> str:
        """Ask Arize to make it, once, and return its ID.

        :raises CallError: the subclass that fits what happened.
        """

    @abstractmethod
    def _matching(self, record: RecordT) -> Iterable[Thing]:
        """Search Arize for what a record may be about; the likeliest first.

        :raises CallError: the search got no answer.
        """

    @abstractmethod
    def _made(self, record: RecordT, made_id: str) -> str:
        """Return the line of the log that names what was made."""

    def _withdraw(self, record: RecordT) -> None:
        """Note that nothing was asked for after all."""
        self._records.delete()

    def _page(self, call: RestCall[Page[Item]]) -> Page[Item]:
        """Return a page of a list, and note Arize's clock."""
        page, answer = self._hook.client.exchange(call)
        self._note_server_time(answer.date or _clock.now())
        return page

    def _note_server_time(self, seen: datetime) -> None:
        self._server_time, self._server_time_seen_at = seen, _clock.monotonic()

    @property
    def _server_now(self) -> datetime:
        """Arize's clock, as far as it was seen."""
        return self._server_time + timedelta(seconds=_clock.monotonic() - self._server_time_seen_at)

    def _ask(self, record: RecordT) -> Obtained[Thing]:
        """Have it made, and return it: made, or found after its answer was lost.

        :raises Unavailable: whether it was made is not known. The next try searches for it first.
        :raises CallError: the subclass that fits what happened; it was not made.
        """
        for _ in range(MAX_REQUESTS):
            # An earlier request that got no answer may be carried out yet: its record is kept.
            is_first = record.asked_at is None
            record = self._note_request(record)
            try:
                # A request that was refused, as by the rate limit, is sent again minutes later.
                with self._hook.client.before_again(partial(self._note_request, record)):
                    made_id = self._request()
            except CallError as error:
                found = self._find_lost(record, error) if error.may_have_executed else None
                if found is not None:
                    self._keep(record, found.id)
                    return Obtained(id=found.id, how=How.ADOPTED, thing=found)
                if error.may_have_executed and isinstance(error, Unavailable):
                    self._log.warning(
                        "Arize did not %s a %s. The request is sent again.", self.verb, self.noun
                    )
                    continue
                if is_first:
                    self._withdraw(record)
                raise
            self._keep(record, made_id)
            return Obtained(id=made_id, how=How.MADE)
        raise Unavailable(
            f"Arize did not answer {MAX_REQUESTS} requests to {self.verb} a {self.noun}, and did not carry "
            f"them out. It seems to be unavailable. The next try searches for the {self.noun} before it asks "
            f"again.",
            may_have_executed=True,
        )

    def _note_request(self, record: RecordT) -> RecordT:
        """Write down when a request is sent: from then on it may be carried out for a while."""
        return self._records.write(record.asked(server_now=self._server_now, here_now=_clock.now()))

    def _keep(self, record: RecordT, made_id: str) -> RecordT:
        # Logged before it is stored: if the store fails, a person can still find it.
        self._log.info("%s", self._made(record, made_id))
        return self._records.write(replace(record, id=made_id))

    def _find_lost(self, record: RecordT, error: CallError) -> Thing | None:
        # A server that answered is done with the request: one look is enough.
        seconds = self._look_up_seconds if isinstance(error, Unavailable) else 0.0
        time = f", for up to {seconds:.0f} s" if seconds else ""
        self._log.warning("%s Searching for the %s%s.", sentence(error), self.noun, time)
        try:
            return self._look_up(record, seconds=seconds)
        except CallError as trouble:
            raise Unavailable(
                f"{error} The search for the {self.noun} that Arize may have made failed too ({trouble}). "
                f"The next try searches before it asks again. Without a retry, look for it in Arize.",
                may_have_executed=True,
            ) from error

    def _look_up(self, record: RecordT, *, seconds: float | None = None) -> Thing | None:
        """Search for the thing of a record until it appears or the time is over.

        :param seconds: how long; None for as long as a request of an earlier try may take to be carried out.
        :raises CallError: the last search got no answer, so that nothing is known.
        """
        until = None if seconds is None else _clock.monotonic() + seconds
        pause = 1.0
        while True:
            trouble: CallError | None = None
            try:
                found = next(iter(self._matching(record)), None)
            except (RateLimited, Unavailable) as error:
                found, trouble = None, error
            if found is not None:
                return found
            if until is None:  # only now is Arize's clock known
                until = _clock.monotonic() + self._time_left(record)
            left = until - _clock.monotonic()
            if left <= 0:
                if trouble is not None:
                    raise trouble
                return None
            _clock.sleep(min(pause, left))
            pause = min(pause * 2, LONGEST_PAUSE)

    def _time_left(self, record: RecordT) -> float:
        """Return for how many seconds a request of an earlier try may still be carried out."""
        age = record.age(server_now=self._server_now, here_now=_clock.now())
        return min(self._look_up_seconds - age, self._look_up_seconds)
