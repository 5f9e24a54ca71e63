"""When the blocking client repeats a call."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass

from tenacity import RetryCallState, Retrying, retry_if_exception

from airflow_provider_online_tasks._text import sentence
from airflow_provider_online_tasks.exceptions import RateLimited, ResponseTooLarge, Unavailable

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How often, and after how many seconds, a call is repeated.

    A call is repeated only if it was certainly not executed, or if executing it twice is harmless.

    The server may ask for a delay. If it is longer than `max_delay` seconds, the call fails. `patience` is
    the number of seconds that a call may wait because of the rate limit. It is not a number of attempts, so
    that many tasks that start together all succeed.
    """

    attempts: int = 4
    first_delay: float = 1.0  # doubled for each further attempt
    max_delay: float = 65.0
    patience: float = 600.0

    def retrying(self, sleep: Callable[[float], None]) -> Retrying:
        """Return what repeats a call. `sleep` waits between attempts."""
        return Retrying(
            retry=retry_if_exception(
                lambda error: (
                    isinstance(error, RateLimited | Unavailable)
                    and not error.may_have_executed
                    and not isinstance(error, ResponseTooLarge)  # it would be as large again
                )
            ),
            wait=self._delay,
            stop=self._gives_up,
            sleep=sleep,
            before_sleep=_log,
            reraise=True,
        )

    def _delay(self, state: RetryCallState) -> float:
        error = _error(state)
        doubled = self.first_delay * 2.0 ** min(state.attempt_number - 1, 30)
        if not isinstance(error, RateLimited):
            if error.retry_after is not None:
                return error.retry_after
            return min(self.max_delay, doubled) * random.uniform(0.75, 1.25)  # noqa: S311
        if error.retry_after is None:
            # The limit is per minute, so a second attempt after one second would be rejected too.
            return min(self.max_delay, 8 * doubled) * random.uniform(0.75, 1.25)  # noqa: S311
        # Wait a little longer than asked, so that rejected tasks do not return together.
        delay = max(min(self.max_delay, doubled), error.retry_after) * random.uniform(1.0, 1.25)  # noqa: S311
        return delay + random.uniform(0.0, self.first_delay)  # noqa: S311

    def _gives_up(self, state: RetryCallState) -> bool:
        error = _error(state)
        if isinstance(error, RateLimited):
            return state.idle_for + state.upcoming_sleep > self.patience
        return state.attempt_number >= self.attempts or (error.retry_after or 0.0) > self.max_delay


NO_RETRY = RetryPolicy(attempts=1, patience=0.0)


def _error(state: RetryCallState) -> RateLimited | Unavailable:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, RateLimited | Unavailable)  # noqa: S101  nothing else is repeated
    return error


def _log(state: RetryCallState) -> None:
    text, delay = sentence(_error(state)), state.upcoming_sleep
    log.warning("%s Retrying in %.0f s (attempt %d).", text, delay, state.attempt_number + 1)
