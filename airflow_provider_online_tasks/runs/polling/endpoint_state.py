"""Whether an Arize answers, and when it may be asked again."""

from __future__ import annotations

import asyncio
import logging

from airflow_provider_online_tasks.exceptions import AuthenticationFailed, CallError, RateLimited, Unavailable
from airflow_provider_online_tasks.runs.wait_policy import (
    FIRST_RATE_LIMIT_PAUSE,
    LEAST_REJECTIONS,
    LONGEST_RETRY_AFTER,
    REJECTED_SECONDS,
)

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
LONGEST_RATE_LIMIT_PAUSE = 60.0
FIRST_REFUSED_PAUSE = 2.0


class EndpointState:
    """What the answers of all requests say about one Arize and key.

    :param url: where it is, for messages.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._loop = asyncio.get_running_loop()
        self.trouble: str | None = None
        self.paused_until = 0.0
        self.answered_at = float("-inf")
        self._paused_at = float("-inf")
        self._pauses = 0
        self._refusals = 0
        self._refused_since = 0.0

    @property
    def is_in_doubt(self) -> bool:
        """Whether the last answers said nothing of what was asked."""
        return bool(self._pauses or self._refusals)

    def answered(self) -> None:
        """Note that the endpoint answers."""
        if self.is_in_doubt:
            log.info("%s answers again.", self._url)
        self._pauses = self._refusals = 0
        self.trouble = None
        self.answered_at = self._loop.time()

    def pause(self, error: CallError, sent_at: float) -> None:
        """Ask nothing for a while.

        :param sent_at: when the request was sent.
        """
        now = self._loop.time()
        asked_for = error.retry_after if isinstance(error, RateLimited | Unavailable) else None
        self._refusals = 0
        if sent_at >= self._paused_at:  # else it was under way when the pause began, and says nothing new
            self._pauses += 1
            self._paused_at = now
        if asked_for is not None:
            seconds = pause_for(asked_for)
        elif isinstance(error, RateLimited):
            seconds = doubled(FIRST_RATE_LIMIT_PAUSE, self._pauses, LONGEST_RATE_LIMIT_PAUSE)
        else:
            seconds = doubled(FIRST_PAUSE, self._pauses, LONGEST_PAUSE)
        self._pause(seconds, error, now)

    def refused(self, error: AuthenticationFailed, sent_at: float) -> bool:
        """Ask nothing for a while, since the key was refused.

        :return: whether it has been refused for so long that it stays refused.
        """
        now = self._loop.time()
        if sent_at >= self._paused_at:
            self._refusals += 1
            self._paused_at = now
        if self._refusals <= 1:
            self._refusals, self._refused_since = 1, now
        self._pause(doubled(FIRST_REFUSED_PAUSE, self._refusals, LONGEST_PAUSE), error, now)
        return self._refusals >= LEAST_REJECTIONS and now - self._refused_since >= REJECTED_SECONDS

    def _pause(self, seconds: float, error: CallError, now: float) -> None:
        self.paused_until = max(self.paused_until, now + seconds)
        if self.trouble is None:
            log.warning("Waits pause for %.0f s and then go on: %s", seconds, error)
        self.trouble = str(error)


def pause_for(retry_after: float) -> float:
    """Return how many seconds to pause when the server asks for a pause."""
    return min(max(retry_after, FIRST_PAUSE), LONGEST_RETRY_AFTER)


def doubled(first: float, times: int, most: float) -> float:
    """Return a pause that doubles each time, up to the longest one."""
    return float(min(first * 2.0 ** (min(max(times, 1), 20) - 1), most))
