"""When a wait for a run goes on, pauses or ends: one policy for the worker, the sensor and the triggerer.

=============================================  ==============================================================
response to a poll                             the wait
=============================================  ==============================================================
429                                            goes on after ``Retry-After``, at most 300 s; without it after
                                               15 s
no response, 5xx                               goes on after ``Retry-After``, or at the next poll
401, 403, 404, 400, or an unreadable response  goes on, and ends with :class:`OnlineTaskRunUnreachable` when
                                               there was nothing else for 300 s in at least 3 polls
=============================================  ==============================================================

A deadline ends a wait at any time. Any other error is a bug or a missing connection, and ends it at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_online_tasks import exceptions

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
    """The rejected polls of one run since the last other response.

    :param count: number of rejected polls in a row.
    :param since: time of the first one, on a clock of the caller's choice.
    """

    count: int = 0
    since: float = 0.0

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
    """Return the exception of a wait whose run can't be read.

    :param seconds: for how long the run could not be read; None if that is not what ended the wait.
    """
    duration = "" if seconds is None else f" for {seconds:.0f} s"
    reason = str(error) if isinstance(error, exceptions.CallError) else f"{type(error).__name__}: {error}"
    return exceptions.OnlineTaskRunUnreachable(
        f"Run {run_id} could not be read{duration} and may still be running. A retry resumes it. "
        f"{reason.removesuffix('.')}."
    )


def backoff(failures: int, *, first: float, longest: float) -> float:
    """Return the seconds to wait before the next attempt, doubled with each failure.

    :param failures: number of failures in a row; 0 counts as 1.
    :param first: seconds after the first failure.
    """
    doublings = min(max(failures, 1) - 1, 64)  # a larger exponent could overflow
    return min(first * 2.0**doublings, longest)
