"""When a wait for a run or a queue continues, pauses, ends or logs: one policy for all that wait.

=============================================  ==============================================================
response to a poll                             the wait
=============================================  ==============================================================
429                                            continues after ``Retry-After``, at most 300 s, or else
                                               after 15 s
no response, 5xx                               continues after ``Retry-After``, or at the next poll
401, 403, 404, 400, or an unreadable response  continues, and ends with :class:`OnlineTaskRunUnreachable` or
                                               :class:`AnnotationQueueUnreachable` when there was nothing else
                                               for 300 s in at least 3 polls
=============================================  ==============================================================

A deadline ends a wait at any time. Any other error is a bug or a missing connection, and ends it at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_online_tasks import exceptions
from airflow_provider_online_tasks._text import on_one_line
from airflow_provider_online_tasks.api.responses import RunStatus, TaskRun

QUIET_SECONDS = 60.0
LONGEST_RETRY_AFTER = 300.0
FIRST_RATE_LIMIT_PAUSE = 15.0
# Rejections for this long aren't a hiccup of a deployment, a proxy or a permission cache.
REJECTED_SECONDS = 300.0
LEAST_REJECTIONS = 3

REJECTIONS = (
    exceptions.AuthenticationFailed,
    exceptions.BadRequest,
    exceptions.NotFound,
    exceptions.PermissionDenied,
    exceptions.UnexpectedResponse,
)


@dataclass(slots=True, kw_only=True)
class Rejections:
    """The rejected polls of one wait since the last other response."""

    count: int = 0
    since: float = 0.0  # the first one, on a clock of the caller's choice

    def add(self, now: float) -> None:
        """Count a rejected poll."""
        if self.count == 0 or now < self.since:  # a wall clock may be set back
            self.since = now
        self.count += 1

    def clear(self) -> None:
        """Start again: Arize sent another response."""
        self.count = 0

    def end_wait(self, now: float) -> bool:
        """Return whether Arize has rejected the polls for so long that the wait ends."""
        return self.count >= LEAST_REJECTIONS and now - self.since >= REJECTED_SECONDS


def connection_may_have_changed(error: exceptions.CallError) -> bool:
    """Return whether the connection is read again after a poll that failed: its key or host may be old."""
    return not isinstance(error, exceptions.RateLimited)


def pause_after(error: exceptions.CallError) -> float:
    """Return the minimum seconds until the next poll after a poll that failed."""
    if not isinstance(error, exceptions.RateLimited | exceptions.Unavailable):
        return 0.0
    if error.retry_after is not None:
        return min(max(error.retry_after, 0.0), LONGEST_RETRY_AFTER)
    return FIRST_RATE_LIMIT_PAUSE if isinstance(error, exceptions.RateLimited) else 0.0


def run_unreachable(
    run_id: str, error: BaseException, seconds: float | None = None
) -> exceptions.OnlineTaskRunUnreachable:
    """Return the exception of a wait whose run can't be read, for a number of seconds if that ended it."""
    duration = "" if seconds is None else f" for {seconds:.0f} s"
    reason = str(error) if isinstance(error, exceptions.CallError) else f"{type(error).__name__}: {error}"
    return exceptions.OnlineTaskRunUnreachable(
        f"Run {run_id} could not be read{duration} and may still be running. A retry resumes it. "
        f"{reason.removesuffix('.')}."
    )


def backoff(failures: int, *, first: float, longest: float) -> float:
    """Return the seconds to wait after a number of failures in a row, doubled with each of them."""
    doublings = min(max(failures, 1) - 1, 64)  # a larger exponent could overflow
    return min(first * 2.0**doublings, longest)


class ProblemLog:
    """Decides which failed polls are logged: a new problem at once, the same one once per minute."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._problem: str | None = None
        self._problem_at = 0.0

    def problem_line(self, problem: Exception | str, now: float) -> str | None:
        """Return the line to log if a poll failed, or None."""
        text = on_one_line(str(problem))
        if text == self._problem and now - self._problem_at < QUIET_SECONDS:
            return None
        self._problem, self._problem_at = text, now
        return f"{self._what} can't be read at the moment, the wait continues: {text}"


class ProgressLog(ProblemLog):
    """Decides which polls of one run are logged: a change at once, everything else once per minute."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"Run {run_id}")
        self._logged: TaskRun | None = None
        self._logged_at = 0.0

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
