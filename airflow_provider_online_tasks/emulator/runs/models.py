"""A task run: its state, its schedule, and the work that is left."""

from __future__ import annotations

import dataclasses
from typing import Any

from airflow_provider_online_tasks.emulator.errors import RequestError

STATUSES = ("PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED")
DEFAULT_MAX_SPANS = 10_000


class NotStartedError(RequestError):
    """A run cannot start; ``code`` is that of GraphQL's TaskError."""

    def __init__(self, detail: str, code: str = "INVALID_ARGUMENT") -> None:
        super().__init__(422 if code == "NO_DATA" else 400, detail)
        self.code = code


@dataclasses.dataclass(kw_only=True)
class Run:
    """A task run. Names in ``_at`` are timestamps of the server; the schedule is actual time."""

    number: int
    id: str
    task_id: str
    status: str = "PENDING"
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    data_start: float
    data_end: float
    max_spans: int
    override: bool
    num_successes: int = 0
    num_errors: int = 0
    num_skipped: int = 0
    failure_reason: str | None = None
    # The schedule, and the result.
    begins: float
    paced_until: float
    ends: float | None
    outcome: str
    reason: str | None = None
    error_rate: float = 0.0
    skips: int = 0
    target: int = 0
    position: int = 0
    synthetic: bool = False
    pinned: bool = False
    note: str | None = None
    # A run with evaluators of several granularities has a child run for each evaluator.
    parent_id: str | None = None
    children: list[str] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        # The last REST response, and the state that it shows. It is not stored.
        self.written: tuple[tuple[Any, ...], bytes] | None = None

    @property
    def over(self) -> bool:
        """Whether the run has finished."""
        return self.status in STATUSES[2:]

    def due(self, now: float) -> int:
        """Return how many spans should have been evaluated by now."""
        if now >= self.paced_until:
            return self.target
        return int(self.target * (now - self.begins) / (self.paced_until - self.begins))

    def is_forced_error(self, index: int) -> bool:
        """Whether the fate of the run makes this span an error."""
        return int((index + 1) * self.error_rate) > int(index * self.error_rate)
