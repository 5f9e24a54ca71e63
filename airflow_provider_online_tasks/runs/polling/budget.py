"""Limit the requests per minute."""

from __future__ import annotations

import asyncio
import collections
import contextlib
from collections.abc import Iterator

# Slightly more than a minute, because requests take unequal times to arrive.
WINDOW_SECONDS = 61.0
# Several processes share Arize's limit without knowing of each other. Each one lowers its rate to this share
# of what it sent when it gets a 429, and then raises it by a part of its limit per minute. Together the rates
# converge on Arize's limit.
LOWERED_TO = 0.6
RAISED_PER_MINUTE = 1 / 30
LOWEST_SHARE = 1 / 10


class Budget:
    """Allow at most a number of requests in any minute, evenly spread after a small burst.

    A twelfth of the requests may be sent at once. The others are spread so that the burst and everything that
    follows within a minute stay within the limit. A 429 lowers the rate for a while.
    """

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._holds = 0
        self.rate = float(per_minute)
        self._raised_at = float("-inf")
        self._limited_at = float("-inf")
        self._full_at = float("-inf")
        self._sent: collections.deque[float] = collections.deque(maxlen=per_minute)
        self._set_pace()
        self._longest_burst = self._burst_seconds

    @property
    def is_held(self) -> bool:
        """Whether more important requests are under way, for which others have to wait."""
        return self._holds > 0

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Make other requests wait while the context lasts."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1

    def ready_at(self) -> float:
        """Return when the next request may be sent."""
        return self._full_at - min(self._burst_seconds, self._longest_burst)

    def take(self, now: float) -> None:
        """Count a request that is sent now."""
        self._raise_rate(now)
        self._sent.append(now)
        self._full_at = max(now, self._full_at) + self.gap

    def rate_limited(self, now: float, *, sent_at: float) -> None:
        """Lower the rate after a 429."""
        if sent_at < self._limited_at:  # requests in flight at the last 429 say nothing new
            return
        self._raise_rate(now)
        recent = sum(at > now - WINDOW_SECONDS for at in self._sent)
        lowest = max(1.0, self.per_minute * LOWEST_SHARE)
        self.rate = max(lowest, LOWERED_TO * min(self.rate, float(recent)))
        self._limited_at = self._raised_at = now
        self._set_pace()

    def _raise_rate(self, now: float) -> None:
        if self.rate < self.per_minute:
            minutes = (now - self._raised_at) / 60.0
            self.rate = min(self.per_minute, self.rate + minutes * RAISED_PER_MINUTE * self.per_minute)
            self._raised_at = now
            self._set_pace()

    def _set_pace(self) -> None:
        burst = max(1, int(self.rate // 12))
        self.gap = WINDOW_SECONDS / (self.rate - burst + 1)
        self._burst_seconds = (burst - 1) * self.gap


class Share:
    """A part of a budget, above 0 and below 1, for users that must leave the rest to others."""

    def __init__(self, budget: Budget, part: float) -> None:
        self.budget = budget
        self._part = part
        self._free_at = float("-inf")
        # First come, first served. Without the lock, one of several that sleep until the same moment could
        # win every time.
        self._turn = asyncio.Lock()

    async def wait(self) -> None:
        """Count a request, and return when it may be sent."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            await asyncio.sleep(self._free_at - loop.time())
            now = loop.time()
            at = max(now, self.budget.ready_at())
            self.budget.take(now)
            self._free_at = at + self.budget.gap / self._part
        await asyncio.sleep(at - loop.time())
