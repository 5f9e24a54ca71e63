"""A server, a state store and clocks in memory: sleeping moves the clocks and nothing waits."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, ClassVar

from airflow_provider_online_tasks.exceptions import CallError, Unavailable
from airflow_provider_online_tasks.idempotency.create_once import CreateOnce, Result
from airflow_provider_online_tasks.idempotency.intents import Intent, IntentStore

LOST = Unavailable("no response", may_have_executed=True)


@dataclass
class Clocks:
    """The worker's and the server's clocks.

    :param worker_offset: by how many seconds the worker's wall clock is wrong.
    :param server_offset: by how many seconds the server's clock is wrong.
    """

    start: datetime = datetime(2026, 11, 1, tzinfo=UTC)
    elapsed: float = 0.0
    suspended: float = 0.0
    worker_offset: float = 0.0
    server_offset: float = 0.0
    pauses: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.elapsed

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.elapsed + self.suspended + self.worker_offset)

    def server_now(self) -> datetime:
        return self.start + timedelta(seconds=self.elapsed + self.suspended + self.server_offset)

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.elapsed += seconds

    def suspend(self, seconds: float) -> None:
        """Suspend the machine: its monotonic clock stops and its wall clock does not."""
        self.suspended += seconds


@dataclass(frozen=True)
class Widget:
    """What the server creates."""

    id: str
    name: str


@dataclass
class Server:
    """Creates widgets, now or late, and loses responses.

    :param requests: one entry per request: None to respond, or what is raised instead.
    :param acts_after: by request, the seconds after which the server executes it; None for never.
    :param search_errors: one entry per search: None to respond, or what is raised instead.
    :param suspend_before_send: seconds for which the process is suspended just before its next request.
    """

    clocks: Clocks
    requests: list[CallError | None] = field(default_factory=list)
    acts_after: list[float | None] = field(default_factory=list)
    search_errors: list[CallError | None] = field(default_factory=list)
    suspend_before_send: float = 0.0
    received: int = 0
    searches: int = 0
    due: list[tuple[float, Widget]] = field(default_factory=list)
    check: Callable[[], object] = lambda: None

    @property
    def widgets(self) -> list[Widget]:
        return [widget for time, widget in self.due if time <= self.clocks.elapsed]

    def create(self, name: str) -> str:
        self.clocks.suspend(self.suspend_before_send)
        self.suspend_before_send = 0.0
        self.check()
        error = self.requests.pop(0) if self.requests else None
        delay = self.acts_after.pop(0) if self.acts_after else (0.0 if error is None else None)
        self.received += 1
        widget = Widget(f"widget {self.received}", name)
        if delay is not None:
            self.due.append((self.clocks.elapsed + delay, widget))
        if error is not None:
            raise error
        return widget.id

    def find(self, name: str) -> list[Widget]:
        self.searches += 1
        error = self.search_errors.pop(0) if self.search_errors else None
        if error is not None:
            raise error
        return [widget for widget in self.widgets if widget.name == name]

    @contextlib.contextmanager
    def before_send(self, check: Callable[[], object]) -> Iterator[None]:
        self.check = check
        yield
        self.check = lambda: None


@dataclass(frozen=True, kw_only=True)
class WidgetIntent(Intent):
    """The intent to create a widget."""

    name: str


class WidgetCreation(CreateOnce[WidgetIntent, Widget]):
    """Creates a widget once."""

    noun: ClassVar[str] = "widget"

    def __init__(self, server: Server, context: Any, *, name: str = "w", key: str = "widget") -> None:
        super().__init__(
            hook=SimpleNamespace(client=server),  # type: ignore[arg-type]
            intents=IntentStore(context, key, WidgetIntent),
            log=logging.getLogger(__name__),
        )
        self.server = server
        self.name = name
        self.discarded: list[str] = []

    def run(self) -> Result[Widget] | Widget:
        """Create the widget, or return that of an earlier try."""
        intent = self._intents.read()
        if intent is not None and intent.id is None:
            found = self._search(intent)
            if found is not None:
                self._store_id(intent, found.id)
                return found
        return self._create_once(intent or WidgetIntent(name=self.name))

    def search(self, intent: WidgetIntent) -> Widget | None:
        return self._search(intent)

    def _send_request(self) -> str:
        return self.server.create(self.name)

    def _find_matching(self, intent: WidgetIntent) -> list[Widget]:
        self._note_server_time(self.server.clocks.server_now())
        return self.server.find(intent.name)

    def _describe_created(self, intent: WidgetIntent, created_id: str) -> str:
        return f"Widget {created_id} ({intent.name})."

    def _discard(self, created_id: str) -> None:
        self.discarded.append(created_id)
