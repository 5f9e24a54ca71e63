"""The documented rate limits: so many requests of a key in any minute."""

from __future__ import annotations

import collections

WINDOW_SECONDS = 60.0


class RateLimiter:
    """Counts requests in a sliding minute, per key and per kind of request."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], collections.deque[float]] = collections.defaultdict(
            collections.deque
        )

    def wait(self, key: str, kind: str, limit: int | None, now: float) -> float:
        """Count a request; return 0 if it may pass, else the seconds until one would."""
        if limit is None:
            return 0.0
        seen = self._seen[key, kind]
        while seen and seen[0] <= now - WINDOW_SECONDS:
            seen.popleft()
        if len(seen) >= limit:
            return seen[len(seen) - limit] + WINDOW_SECONDS - now
        seen.append(now)
        return 0.0

    def clear(self) -> None:
        """Forget what was counted."""
        self._seen.clear()
