"""The documented rate limits: requests of a key per minute."""

from __future__ import annotations

import collections

WINDOW_SECONDS = 60.0


class RateLimiter:
    """Counts requests in a sliding minute, per key and kind of request."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, str], collections.deque[float]] = collections.defaultdict(
            collections.deque
        )

    def wait(self, key: str, kind: str, limit: int | None, now: float) -> float:
        """Count a request; return 0 if it is allowed, else the seconds until the next one is."""
        if limit is None:
            return 0.0
        times = self._times[key, kind]
        while times and times[0] <= now - WINDOW_SECONDS:
            times.popleft()
        if len(times) >= limit:
            return times[len(times) - limit] + WINDOW_SECONDS - now
        times.append(now)
        return 0.0

    def clear(self) -> None:
        """Forget all requests."""
        self._times.clear()
