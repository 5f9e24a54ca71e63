"""What an execution writes down before it asks Arize to make something, and keeps between its tries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from airflow_provider_online_tasks._times import parse_time, wire_time
from airflow_provider_online_tasks.idempotency.execution_state import State

if TYPE_CHECKING:
    from airflow.sdk import Context


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is written down about one thing that Arize is asked to make.

    A subclass adds what is asked for, so that a later try can recognise it.

    :param server_time: Arize's clock just before the first request.
    :param asked_at: Arize's clock at the last request; None before the first.
    :param asked_at_here: the same moment on the worker's clock.
    :param id: the ID of what was made, once it is known.
    :param succeeded_at: ``max_tries`` of the task instance when its execution succeeded. Clearing a task
        raises ``max_tries``, a retry does not. So a retry whose predecessor's success was not reported takes
        the same thing, and a cleared task starts afresh.
    """

    server_time: str
    asked_at: str | None = None
    asked_at_here: str | None = None
    id: str | None = None
    succeeded_at: int | None = None

    def asked(self, *, server_now: datetime, here_now: datetime) -> Self:
        """Return the record with the time of a request that is about to be sent."""
        return replace(self, asked_at=wire_time(server_now), asked_at_here=wire_time(here_now))

    def age(self, *, server_now: datetime, here_now: datetime) -> float:
        """Return the seconds since the last request, the shorter by two clocks: one may have been set."""
        if self.asked_at is None or self.asked_at_here is None:
            return float("inf")
        return min(
            (server_now - parse_time(self.asked_at, "asked_at")).total_seconds(),
            (here_now - parse_time(self.asked_at_here, "asked_at_here")).total_seconds(),
        )


RecordT = TypeVar("RecordT", bound=Record)


class Records(Generic[RecordT]):
    """The record of an operator execution, in Airflow's task state store (3.3 and later).

    :param context: the Airflow context.
    :param key: the record's key in the store.
    :param kind: the class of the record.
    """

    def __init__(self, context: Context, key: str, kind: type[RecordT]) -> None:
        self.state = State(context, key)
        self._kind = kind

    def read(self) -> RecordT | None:
        """Return the record, or None if there is none that this version can read."""
        from pydantic import TypeAdapter, ValidationError

        value = self.state.read()
        if not isinstance(value, Mapping):
            return None
        try:
            return TypeAdapter(self._kind).validate_python(dict(value))
        except ValidationError:
            return None

    def write(self, record: RecordT) -> RecordT:
        """Write the record, and return it."""
        value: dict[str, Any] = asdict(record)
        # The store takes JSON values.
        self.state.write({name: list(one) if isinstance(one, tuple) else one for name, one in value.items()})
        return record

    def delete(self) -> None:
        """Delete the record."""
        self.state.delete()

    def finish(self) -> None:
        """Mark the execution as a success, so that a task that is cleared later starts afresh."""
        record = self.read()
        if record is not None:
            self.write(replace(record, succeeded_at=self.state.max_tries))
