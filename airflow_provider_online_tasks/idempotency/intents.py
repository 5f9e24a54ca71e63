"""What an execution stores before it sends a request, and what Airflow says about the current try."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from airflow_provider_online_tasks._times import parse_time, wire_time
from airflow_provider_online_tasks.exceptions import OnlineTasksError

if TYPE_CHECKING:
    from airflow.sdk import Context

# Airflow's API rejects a write to the state store like this if another try has replaced the caller's.
_STALE_TRY = frozenset({404, 409, 410})


class TryNoLongerCurrent(OnlineTasksError):
    """Another try has replaced this one, so this process must not create, keep or cancel anything."""


@dataclass(frozen=True, kw_only=True)
class CurrentTry:
    """What Airflow says about this try of the task."""

    number: int
    max_tries: int
    """Airflow's limit. Clearing the task raises it; a retry does not."""
    follows_clear: bool
    """Whether the task was cleared just before this try."""
    dag_run_due: datetime | None
    """When the DAG run was due. Clearing the DAG run does not change it."""
    dag_run_start: datetime | None
    """When the DAG run started. Clearing a finished DAG run changes it."""

    @property
    def is_last(self) -> bool:
        """Whether Airflow starts no other try if this one fails."""
        return self.number > self.max_tries

    @classmethod
    def of(cls, context: Context) -> CurrentTry:
        """Read the Airflow context."""
        ti: Any = context["ti"]
        dag_run = context.get("dag_run")
        number, max_tries = int(ti.try_number), int(getattr(ti, "max_tries", 0) or 0)
        retries = int(getattr(getattr(ti, "task", None), "retries", 0) or 0)
        return cls(
            number=number,
            max_tries=max_tries,
            # A clear sets max_tries to the tries so far plus the retries.
            follows_clear=number > 1 and number == max_tries - retries + 1,
            dag_run_due=getattr(dag_run, "run_after", None),
            dag_run_start=getattr(dag_run, "start_date", None),
        )


@dataclass(frozen=True, kw_only=True)
class Intent:
    """A request that is about to be sent. A subclass adds the fields by which its result is recognized.

    :param sent_at: when the request was last sent, by Arize's clock; None before the first request.
    :param sent_at_worker: the same moment by the worker's clock.
    :param id: the ID of what was created, once known; or of what must be deleted.
    :param succeeded_at: ``max_tries`` when the execution succeeded. A retry whose predecessor's success was
        not reported has the same ``max_tries`` and uses the same object; a cleared task has a higher one and
        starts again.
    """

    sent_at: str | None = None
    sent_at_worker: str | None = None
    id: str | None = None
    succeeded_at: int | None = None

    def sent(self, *, server_now: datetime, worker_now: datetime) -> Self:
        """Return the intent with the time of a request that is about to be sent."""
        return replace(self, sent_at=wire_time(server_now), sent_at_worker=wire_time(worker_now))

    def age(self, *, server_now: datetime, worker_now: datetime) -> float:
        """Return the seconds since the last request, 0 or more.

        Either clock may have been set in between, so the shorter of two measurements counts.
        """
        if self.sent_at is None or self.sent_at_worker is None:
            return float("inf")
        server_age = server_now - parse_time(self.sent_at, "sent_at")
        worker_age = worker_now - parse_time(self.sent_at_worker, "sent_at_worker")
        return max(0.0, min(server_age, worker_age).total_seconds())


IntentT = TypeVar("IntentT", bound=Intent)


class IntentStore(Generic[IntentT]):
    """Keeps the intent of an execution in Airflow's task state store (3.3 and later)."""

    def __init__(self, context: Context, key: str, kind: type[IntentT]) -> None:
        self.current_try = CurrentTry.of(context)
        self._store: Any = context.get("task_state_store")
        self._key = key
        self._kind = kind
        self.latest: IntentT | None = None  # as it was last read or written in this process
        self._is_unreadable = False

    @property
    def may_be_lost(self) -> bool:
        """Whether an earlier try may have had an intent that can't be read: before Airflow 3.3, always."""
        return self._store is None or self._is_unreadable

    def read(self) -> IntentT | None:
        """Return the intent, or None if there is none that this version can read."""
        from pydantic import TypeAdapter, ValidationError

        value = self._store.get(self._key) if self._store is not None else None
        if value is None:
            return None
        try:
            self.latest = TypeAdapter(self._kind).validate_python(value)
        except ValidationError:
            self._is_unreadable = True
            return None
        return self.latest

    def write(self, intent: IntentT) -> IntentT:
        """Write the intent and return it. Raise TryNoLongerCurrent if another try has replaced this one."""
        # The store takes JSON values only.
        self._set(
            self._key,
            {name: list(part) if isinstance(part, tuple) else part for name, part in asdict(intent).items()},
        )
        self.latest = intent
        return intent

    def check_try(self) -> None:
        """Raise TryNoLongerCurrent if another try has replaced this one."""
        self._set("current_try", self.current_try.number)

    def _set(self, key: str, value: Any) -> None:
        if self._store is None:
            return
        try:
            self._store.set(key, value)
        except Exception as error:
            detail = getattr(getattr(error, "error", None), "detail", None)
            if isinstance(detail, Mapping) and detail.get("status_code") in _STALE_TRY:
                raise TryNoLongerCurrent("Airflow has replaced this try of the task.") from error
            raise

    def delete(self) -> None:
        """Delete the intent."""
        self.latest = None
        if self._store is not None:
            self._store.delete(self._key)

    def finish(self) -> None:
        """Note that the execution succeeded, so that clearing the task later starts it again."""
        intent = self.read()
        if intent is not None:
            self.write(replace(intent, succeeded_at=self.current_try.max_tries))
