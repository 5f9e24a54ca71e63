"""What a person who waits for a run reads in the task log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_online_tasks._text import on_one_line
from airflow_provider_online_tasks.api.responses.runs import RunStatus

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.responses.runs import TaskRun

QUIET_SECONDS = 60.0


class ProgressLog:
    """Turns what is read of one run into log lines, few enough to be read.

    A line when the status changed; else, one a minute.

    :param max_spans: the run's cap of spans, where it is known.
    """

    def __init__(self, *, max_spans: int | None = None) -> None:
        self._max_spans = max_spans
        self._shown: TaskRun | None = None
        self._shown_at = 0.0

    def is_news(self, run: TaskRun, now: float) -> bool:
        """Return whether there is anything new to say of a run as it is now."""
        shown = self._shown
        if shown is None or shown.status_text.upper() != run.status_text.upper():
            return True
        return now - self._shown_at >= QUIET_SECONDS

    def line(self, run: TaskRun, now: float) -> str | None:
        """Return the line to log for a run as it is now, or None if there is nothing new to say.

        :param run: the run as it was just read.
        :param now: seconds of any clock that does not jump.
        """
        if not self.is_news(run, now):
            return None
        shown, passed = self._shown, now - self._shown_at
        self._shown, self._shown_at = run, now
        parts = [self._status(run, shown), self._spans(run)]
        if shown is not None and passed > 0 and run.counts.done > shown.counts.done:
            pace = (run.counts.done - shown.counts.done) / passed
            parts.append(f"{pace:.1f} spans a second" if pace >= 1 else f"{60 * pace:.1f} spans a minute")
        if run.counts.errors:
            parts.append(f"{run.counts.error_rate:.1%} errors")
        return ", ".join(parts) + "."

    def _status(self, run: TaskRun, shown: TaskRun | None) -> str:
        status = on_one_line(run.status_text.upper())
        if run.status is not RunStatus.UNKNOWN:
            return f"Run {run.id} is {status}"
        if shown is not None and shown.status_text.upper() == run.status_text.upper():
            return f"Run {run.id} is {status!r}"
        return f"Run {run.id} is {status!r}, a status this version does not know and takes for still running"

    def _spans(self, run: TaskRun) -> str:
        cap = f" of at most {self._max_spans}" if self._max_spans else ""
        return f"{run.counts.done}{cap} spans done ({run.counts})"
