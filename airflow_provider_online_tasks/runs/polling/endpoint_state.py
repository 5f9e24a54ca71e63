"""Track whether an Arize endpoint responds, and when it may be asked again."""

from __future__ import annotations

import asyncio
import logging

from airflow_provider_online_tasks.exceptions import AuthenticationFailed, CallError, RateLimited, Unavailable
from airflow_provider_online_tasks.runs.wait_policy import (
    FIRST_RATE_LIMIT_PAUSE,
    LONGEST_RETRY_AFTER,
    Rejections,
    backoff,
)

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
FIRST_REJECTED_PAUSE = 2.0
LONGEST_RATE_LIMIT_PAUSE = 60.0


class EndpointState:
    """What the responses to all requests say about one endpoint and key."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._loop = asyncio.get_running_loop()
        self.trouble: str | None = None
        self.paused_until = float("-inf")
        self.responded_at = float("-inf")
        self._paused_at = float("-inf")
        self._failures = 0
        self._rejections = Rejections()

    @property
    def is_in_doubt(self) -> bool:
        """Whether the last response said nothing about the run that was asked for."""
        return self._failures > 0

    def responded(self) -> None:
        """Record a response: the endpoint works."""
        if self.is_in_doubt:
            log.info("%s responds again.", self._url)
        self._failures = 0
        self._rejections.clear()
        self.trouble = None
        self.responded_at = self._loop.time()

    def failed(self, error: CallError, *, sent_at: float) -> bool:
        """Pause all requests after an error that concerns no run in particular.

        :param sent_at: when the request was sent. If that was before the last pause began, the error doesn't
            make the pause longer.
        :return: whether the key has been rejected for so long that the waits end.
        """
        now = self._loop.time()
        if sent_at >= self._paused_at or not self._failures:
            self._failures += 1
            self._paused_at = now
            if isinstance(error, AuthenticationFailed):
                self._rejections.add(now)
            else:
                self._rejections.clear()
        retry_after = error.retry_after if isinstance(error, RateLimited | Unavailable) else None
        if retry_after is not None:
            seconds = min(max(retry_after, FIRST_PAUSE), LONGEST_RETRY_AFTER)
        elif isinstance(error, RateLimited):
            seconds = backoff(self._failures, first=FIRST_RATE_LIMIT_PAUSE, longest=LONGEST_RATE_LIMIT_PAUSE)
        else:
            first = FIRST_REJECTED_PAUSE if isinstance(error, AuthenticationFailed) else FIRST_PAUSE
            seconds = backoff(self._failures, first=first, longest=LONGEST_PAUSE)
        self.paused_until = max(self.paused_until, now + seconds)
        if self.trouble is None:
            log.warning("Waits pause for %.0f s and then go on: %s", seconds, error)
        self.trouble = str(error)
        return self._rejections.end_wait(now)
