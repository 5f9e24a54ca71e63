"""The server's clock, which a test can stop, advance or set wrong, and the format of times."""

from __future__ import annotations

import functools
import time
from datetime import UTC, datetime
from email.utils import formatdate


class Clock:
    """The actual time decides what happens; timestamps show this time plus an offset."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Show the actual time again."""
        self.offset = 0.0
        self.passed = 0.0
        self._stopped_at: float | None = None

    def stop(self) -> None:
        """Stop the clock: only ``passed`` moves it."""
        if self._stopped_at is None:
            self._stopped_at = time.time()

    def now(self) -> float:
        """Return the actual time in epoch seconds, plus the time that was advanced."""
        return (time.time() if self._stopped_at is None else self._stopped_at) + self.passed

    def stamp(self, when: float | None = None) -> float:
        """Return the timestamp that the server gives to an actual time (default: now)."""
        return (self.now() if when is None else when) + self.offset

    def http_date(self) -> bytes:
        """Return the value of the ``Date`` header."""
        return formatdate(self.stamp(), usegmt=True).encode()


@functools.lru_cache(maxsize=65_536)
def write_time(epoch: float | None) -> str | None:
    """Format a time as the API does: UTC, milliseconds, ``Z``."""
    if epoch is None:
        return None
    moment = datetime.fromtimestamp(epoch, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def read_time(text: object) -> float:
    """Return the epoch seconds of an ISO 8601 date-time with an offset."""
    moment = datetime.fromisoformat(text) if isinstance(text, str) and "T" in text.upper() else None
    if moment is None or moment.tzinfo is None:
        raise ValueError("expected an ISO 8601 date-time with an offset, such as 2007-12-03T10:15:30Z")
    return moment.timestamp()
