"""Everything that one emulator holds."""

from __future__ import annotations

import collections
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.emulator.clock import Clock
from airflow_provider_online_tasks.emulator.control.faults import FaultQueue
from airflow_provider_online_tasks.emulator.evaluators.hub import Hub
from airflow_provider_online_tasks.emulator.runs.engine import Runs
from airflow_provider_online_tasks.emulator.server.requests import LoggedRequest, RateLimiter
from airflow_provider_online_tasks.emulator.spans.sample import load_spans
from airflow_provider_online_tasks.emulator.spans.store import SpanStore
from airflow_provider_online_tasks.emulator.storage import Storage
from airflow_provider_online_tasks.emulator.tasks.models import Tasks

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator.evaluators.llm_judge import LlmJudge
    from airflow_provider_online_tasks.emulator.settings import EmulatorSettings

_LOG_LENGTH = 200_000


class EmulatorState:
    """The parts of an emulator. Only one thread uses them."""

    def __init__(self, settings: EmulatorSettings) -> None:
        self.settings = settings
        self.clock = Clock()
        self.started_at = self.clock.now()
        self.storage = Storage(settings.database)
        self.usage: collections.Counter[str] = collections.Counter()  # of LLM calls
        self.spans = SpanStore(self.storage)
        path = Path(settings.spans) if settings.spans is not None else None
        self.spans.add(load_spans(path, now=datetime.now(UTC)))
        self._load()
        self.llm_judge: LlmJudge | None = None
        if settings.judge_url is not None:
            from airflow_provider_online_tasks.emulator.evaluators.llm_judge import LlmJudge

            self.llm_judge = LlmJudge(settings.judge_url, settings.judge_key, settings.judge_model or "")
            self.usage = self.llm_judge.usage
        self.runs = Runs(self)

    def configure(self, changes: dict[str, Any]) -> None:
        """Change settings while the emulator runs."""
        self.settings = self.settings.changed(changes)

    def reset(self) -> None:
        """Delete everything but the spans and the settings."""
        self.clock.reset()  # first, because the built-in evaluators are created again
        self.storage.clear()
        self.runs.clear()
        self.usage.clear()
        self._load()

    def _load(self) -> None:
        self.faults = FaultQueue()
        self.limiter = RateLimiter()
        self.requests: collections.deque[LoggedRequest] = collections.deque(maxlen=_LOG_LENGTH)
        self.hub = Hub(self.storage, self.clock)
        self.tasks = Tasks(self.storage, self.clock, self.spans)
