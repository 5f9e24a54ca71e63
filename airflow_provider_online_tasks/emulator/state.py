"""Everything one emulator holds, and the log of what it was asked."""

from __future__ import annotations

import collections
import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.clock import Clock
from airflow_provider_online_tasks.emulator.control.faults import FaultBox
from airflow_provider_online_tasks.emulator.judges.hub import Hub
from airflow_provider_online_tasks.emulator.judges.judge import OfflineJudge, OpenAIJudge
from airflow_provider_online_tasks.emulator.limits import RateLimiter
from airflow_provider_online_tasks.emulator.runs.engine import RunEngine
from airflow_provider_online_tasks.emulator.runs.tasks import TaskBook
from airflow_provider_online_tasks.emulator.spans.sample import load_spans
from airflow_provider_online_tasks.emulator.store import Store

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator.judges.judge import Judge
    from airflow_provider_online_tasks.emulator.settings import EmulatorSettings

_LOG_LENGTH = 200_000


@dataclasses.dataclass(slots=True)
class LoggedRequest:
    """A request to one of the two APIs, as the emulator saw it; the key is not kept."""

    operation: str
    method: str
    path: str
    time: float
    host_header: str
    headers: dict[str, str]
    status: int | None = None
    key_ok: bool = False
    executed: bool = False
    fault: str | None = None


class EmulatorState:
    """The parts of an emulator, made and used by one thread."""

    def __init__(self, settings: EmulatorSettings) -> None:
        self.settings = settings
        self.clock = Clock()
        self.started_at = self.clock.now()
        self.faults = FaultBox()
        self.limiter = RateLimiter()
        self.requests: collections.deque[LoggedRequest] = collections.deque(maxlen=_LOG_LENGTH)
        self.store = Store(settings.database)
        spans = Path(settings.spans) if settings.spans is not None else None
        self.store.add_spans(load_spans(spans, now=datetime.now(UTC)), ids.PROJECT_ID)
        self.hub = Hub(self.store, self.clock)
        self.tasks = TaskBook(self.store, self.clock, self.known_attributes)
        self.runs = RunEngine(
            store=self.store,
            clock=self.clock,
            hub=self.hub,
            judge=_judge(settings),
            judge_is_remote=settings.judge_url is not None,
            settings=lambda: self.settings,
        )

    def configure(self, changes: dict[str, Any]) -> None:
        """Change settings while running."""
        self.settings = self.settings.changed(changes)

    def known_attributes(self, project_id: str) -> frozenset[str] | None:
        """Return the attributes that a filter on a project's spans can name; None for any."""
        return None if self.settings.lenient else self.store.attribute_names(project_id)

    def tick(self) -> None:
        """Do what happens by the clock besides runs proceeding."""
        self.runs.look_for_new_spans(self.tasks.all(), self.tasks.save)

    def reset(self) -> None:
        """Forget everything but the spans and the settings."""
        self.clock.reset()  # first, since the evaluators are made anew by it
        self.store.clear()
        self.hub.clear()
        self.tasks.clear()
        self.runs.clear()
        self.faults.clear()
        self.faults.clear_fates()
        self.limiter.clear()
        self.requests.clear()


def _judge(settings: EmulatorSettings) -> Judge:
    if settings.judge_url is None:
        return OfflineJudge()
    return OpenAIJudge(settings.judge_url, settings.judge_key, settings.judge_model or "")
