"""Log lines about a run that a task waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_online_tasks._text import on_one_line
from airflow_provider_online_tasks.api.responses import RunStatus

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.responses import TaskRun

QUIET_SECONDS = 60.0


class ProgressLog:
    """Decides which polls of one run are logged: a change at once, everything else once per minute.

    Times are seconds of a monotonic clock.
    """

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._logged: TaskRun | None = None
        self._logged_at = 0.0
        self._problem: str | None = None
        self._problem_at = 0.0

    def has_news(self, run: TaskRun, now: float) -> bool:
        """Return whether :meth:`line` would return a line."""
        logged = self._logged
        if self._problem is not None or logged is None:
            return True
        return logged.status_text.upper() != run.status_text.upper() or now - self._logged_at >= QUIET_SECONDS

    def line(self, run: TaskRun, now: float) -> str | None:
        """Return the line to log for a run that was just read, or None."""
        if not self.has_news(run, now):
            return None
        before, elapsed = self._logged, now - self._logged_at
        self._logged, self._logged_at, self._problem = run, now, None
        status = on_one_line(run.status_text.upper())
        if run.status is RunStatus.UNKNOWN:
            is_new = before is None or before.status_text.upper() != run.status_text.upper()
            status = f"{status!r}{', an unknown status that is treated as running' if is_new else ''}"
        parts = [f"Run {run.id} is {status}", f"{run.counts.done} spans done ({run.counts})"]
        if before is not None and elapsed > 0 and run.counts.done > before.counts.done:
            rate = (run.counts.done - before.counts.done) / elapsed
            parts.append(f"{rate:.1f} spans per second" if rate >= 1 else f"{60 * rate:.1f} spans per minute")
        if run.counts.errors:
            parts.append(f"{run.counts.error_rate:.1%} errors")
        return ", ".join(parts) + "."

    def problem_line(self, problem: Exception | str, now: float) -> str | None:
        """Return the line to log when the run can't be read, or None."""
        text = on_one_line(str(problem))
        if text == self._problem and now - self._problem_at < QUIET_SECONDS:
            return None
        self._problem, self._problem_at = text, now
        return f"Run {self._run_id} can't be read at the moment, the wait goes on: {text}"
