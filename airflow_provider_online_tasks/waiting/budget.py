"""How many requests may be sent, and when."""

from __future__ import annotations

# A little more than a minute, for requests that take unequally long to arrive.
WINDOW_SECONDS = 61.0


class Budget:
    """At most so many requests in any minute, evenly spread after a small burst.

    A twelfth of them may be sent at once. The rest is spread such that the burst and all that follows it
    within a minute stay within the limit.

    :param per_minute: most requests in any minute, 1 or more.
    """

    def __init__(self, per_minute: int) -> None:
        self.burst = max(1, per_minute // 12)
        self.gap = WINDOW_SECONDS / (per_minute - self.burst + 1)
        self._full_at = float("-inf")

    def ready_at(self) -> float:
        """Return when the next request may be sent."""
        return self._full_at - (self.burst - 1) * self.gap

    def take(self, now: float) -> None:
        """Count a request that is being sent."""
        self._full_at = max(now, self._full_at) + self.gap

    def is_idle(self, now: float) -> bool:
        """Return whether at least half of the burst is left."""
        return self._full_at <= now + self.gap * (self.burst - 1) / 2
