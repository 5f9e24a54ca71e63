"""When a call is sent again: one policy for the blocking and the asynchronous client."""

from __future__ import annotations

import random
from dataclasses import dataclass

from airflow_provider_online_tasks.exceptions import CallError, RateLimited, Unavailable


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How often, and after how long, a call is sent again.

    Only a call that certainly was not carried out, or one that may be carried out twice, is repeated.

    :param attempts: most times a call is sent that finds no usable answer, 1 or more.
    :param first_delay: seconds before the second attempt; doubled for each one after it.
    :param max_delay: longest wait in seconds; a server that asks for more ends the attempts.
    :param patience: seconds that a call may wait in all because of a rate limit. It counts by time and not by
        attempts, so that a crowd of tasks that start at once gets through.
    """

    attempts: int = 4
    first_delay: float = 1.0
    max_delay: float = 65.0
    patience: float = 600.0

    def delay(self, error: CallError, attempt: int, *, waited: float = 0.0) -> float | None:
        """Return the seconds to wait before the next attempt, or None to give up.

        :param error: why the attempt did not succeed.
        :param attempt: how many attempts were made, from 1.
        :param waited: seconds that the call has waited so far.
        """
        if error.may_have_executed:
            return None
        if isinstance(error, RateLimited):
            return self._rate_limited(error, attempt, waited)
        if attempt >= self.attempts or not isinstance(error, Unavailable):
            return None
        if error.retry_after is not None:
            return error.retry_after if error.retry_after <= self.max_delay else None
        delay = self.first_delay * 2.0 ** min(attempt - 1, 30)
        return min(self.max_delay, delay) * random.uniform(0.75, 1.25)  # noqa: S311

    def _rate_limited(self, error: RateLimited, attempt: int, waited: float) -> float | None:
        if error.retry_after is not None:
            # A little later than asked, so that all who were refused do not come back at once.
            least = min(self.max_delay, self.first_delay * 2.0 ** min(attempt - 1, 30))
            delay = max(least, error.retry_after) * random.uniform(1.0, 1.25)  # noqa: S311
            delay += random.uniform(0.0, self.first_delay)  # noqa: S311
        else:
            # The limit counts by the minute, so a second's wait would only meet it again.
            base = 8 * self.first_delay * 2.0 ** min(attempt - 1, 30)
            delay = min(self.max_delay, base) * random.uniform(0.75, 1.25)  # noqa: S311
        return delay if waited + delay <= self.patience else None


NO_RETRY = RetryPolicy(attempts=1, patience=0.0)
