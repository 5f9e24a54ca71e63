"""How many requests may be sent, and when."""

from __future__ import annotations

import asyncio
import collections

# A little more than a minute, for requests that take unequally long to arrive.
WINDOW_SECONDS = 61.0
# Several processes share what Arize allows a key, and do not know of each other. Each lowers its rate to
# this share when it is refused, and raises it by so much of its limit a minute: so the rates of all come to
# add up to what Arize allows.
LOWERED_TO = 0.6
RAISED_A_MINUTE = 1 / 30
LOWEST_SHARE = 1 / 10


class Budget:
    """At most so many requests in any minute, evenly spread after a small burst.

    A twelfth of them may be sent at once. The rest is spread such that the burst and all that follows it
    within a minute stay within the limit. Refusals lower the rate for a while.

    :param per_minute: most requests in any minute, 1 or more.
    """

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        # How many cancellations wait for an answer: other requests wait for them.
        self.held = 0
        self._rate = float(per_minute)
        self._raised_at = float("-inf")
        self._refused_at = float("-inf")
        self._full_at = float("-inf")
        self._sent: collections.deque[float] = collections.deque(maxlen=per_minute)
        self._set_pace()
        self._most_ahead = self._ahead

    @property
    def rate(self) -> float:
        """How many requests a minute may be sent at present."""
        return self._rate

    def _set_pace(self) -> None:
        self.burst = max(1, int(self._rate // 12))
        self.gap = WINDOW_SECONDS / (self._rate - self.burst + 1)
        self._ahead = (self.burst - 1) * self.gap

    def ready_at(self) -> float:
        """Return when the next request may be sent."""
        return self._full_at - min(self._ahead, self._most_ahead)

    def take(self, now: float) -> None:
        """Count a request that is being sent."""
        self._raise_rate(now)
        self._sent.append(now)
        self._full_at = max(now, self._full_at) + self.gap

    def reserve(self, now: float) -> float:
        """Count a request, and return when it may be sent."""
        at = max(now, self.ready_at())
        self.take(now)
        return at

    def refused(self, now: float, *, sent_at: float) -> None:
        """Send less: the server refused a request because there were too many.

        :param sent_at: when the request was sent. What was under way at the last refusal says nothing new.
        """
        if sent_at < self._refused_at:
            return
        self._raise_rate(now)
        recent = sum(at > now - WINDOW_SECONDS for at in self._sent)
        lowest = max(1.0, self.per_minute * LOWEST_SHARE)
        self._rate = max(lowest, LOWERED_TO * min(self._rate, float(recent)))
        self._refused_at = self._raised_at = now
        self._set_pace()

    def _raise_rate(self, now: float) -> None:
        if self._rate < self.per_minute:
            passed = (now - self._raised_at) / 60.0
            self._rate = min(self.per_minute, self._rate + passed * RAISED_A_MINUTE * self.per_minute)
            self._raised_at = now
            self._set_pace()


class Share:
    """A part of a budget, for those that must not take all of it.

    :param budget: the whole.
    :param part: how much of it, above 0 and below 1.
    """

    def __init__(self, budget: Budget, part: float) -> None:
        self._budget = budget
        self._part = part
        self._free_at = float("-inf")
        # First come, first served: among those that sleep until the same moment, one may win every time.
        self._turn = asyncio.Lock()

    async def wait(self) -> None:
        """Count a request, and return when it may be sent."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            await asyncio.sleep(self._free_at - loop.time())
            at = self._budget.reserve(loop.time())
            self._free_at = at + self._budget.gap / self._part
        await asyncio.sleep(at - loop.time())

    def refused(self, now: float, *, sent_at: float) -> None:
        """Send less: the server refused a request because there were too many."""
        self._budget.refused(now, sent_at=sent_at)


class Allowance:
    """At most so many requests in any minute, as soon as they are wanted.

    :param per_minute: most requests in any minute, 1 or more.
    """

    def __init__(self, per_minute: int) -> None:
        self._sent: collections.deque[float] = collections.deque(maxlen=per_minute)

    def ready_at(self) -> float:
        """Return when the next request may be sent."""
        is_full = len(self._sent) == self._sent.maxlen
        return self._sent[0] + WINDOW_SECONDS if is_full else float("-inf")

    def take(self, now: float) -> None:
        """Count a request that is being sent."""
        self._sent.append(now)
