"""The server's clock, which a test can set wrong, and the way it writes a time."""

from __future__ import annotations

import functools
import time
from datetime import UTC, datetime
from email.utils import formatdate


class Clock:
    """True time for what happens, skewed time for what is said of it; a test can stop it or let it pass."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Show the true time, and go on."""
        self.offset = 0.0
        self.passed = 0.0
        self._stopped_at: float | None = None

    def stop(self) -> None:
        """Let no time pass of itself."""
        if self._stopped_at is None:
            self._stopped_at = time.time()

    def now(self) -> float:
        """Return the true time in epoch seconds, or when it was stopped, with what was let pass."""
        return (time.time() if self._stopped_at is None else self._stopped_at) + self.passed

    def stamp(self, when: float | None = None) -> float:
        """Return what this server's clock showed at a true time, now by default."""
        return (self.now() if when is None else when) + self.offset

    def http_date(self) -> bytes:
        """Return the value of the ``Date`` header."""
        return formatdate(self.stamp(), usegmt=True).encode()


@functools.lru_cache(maxsize=65_536)
def write_time(epoch: float | None) -> str | None:
    """Write a time as the API does: UTC, milliseconds, ``Z``."""
    if epoch is None:
        return None
    moment = datetime.fromtimestamp(epoch, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def read_time(text: str) -> float:
    """Read an ISO 8601 time that names its offset.

    :raises ValueError: if it is none, or names no offset.
    """
    moment = datetime.fromisoformat(text)
    if "T" not in text.upper() or moment.tzinfo is None:
        raise ValueError(f"{text!r} is no ISO 8601 date-time with an offset, such as 2007-12-03T10:15:30Z.")
    return moment.timestamp()
