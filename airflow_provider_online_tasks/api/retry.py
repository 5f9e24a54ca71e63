"""When a call is sent again: one policy for the blocking and the asynchronous client."""

from __future__ import annotations

import random
from dataclasses import dataclass

from airflow_provider_online_tasks.exceptions import CallError, RateLimited, Unavailable


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How often, and after how long, a call is sent again.

    Only a call that certainly was not carried out, or one that may be carried out twice, is repeated.

    :param attempts: most times a call is sent, 1 or more.
    :param first_delay: seconds before the second attempt; doubled for each one after it.
    :param max_delay: longest wait in seconds; a server that asks for more ends the attempts.
    """

    attempts: int = 4
    first_delay: float = 1.0
    max_delay: float = 65.0

    def delay(self, error: CallError, attempt: int) -> float | None:
        """Return the seconds to wait before the next attempt, or None to give up.

        :param error: why the attempt did not succeed.
        :param attempt: how many attempts were made, from 1.
        """
        if attempt >= self.attempts or error.may_have_executed:
            return None
        if not isinstance(error, RateLimited | Unavailable):
            return None
        if error.retry_after is not None:
            return error.retry_after if error.retry_after <= self.max_delay else None
        # A rate limit counts by the minute, so a second's wait would only meet it again.
        base = self.first_delay * (8 if isinstance(error, RateLimited) else 1)
        return min(self.max_delay, base * 2.0 ** (attempt - 1)) * random.uniform(0.75, 1.25)  # noqa: S311


NO_RETRY = RetryPolicy(attempts=1)
