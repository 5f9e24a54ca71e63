"""The clocks. Call them as ``_clock.sleep(…)``, so that tests can replace them in one place."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> datetime:
    """Return the current time at UTC."""
    return datetime.now(UTC)


def epoch() -> float:
    """Return the current time as seconds since 1970."""
    return now().timestamp()


def monotonic() -> float:
    """Return the seconds of a clock that never goes back."""
    return time.monotonic()


def sleep(seconds: float) -> None:
    """Wait for some seconds."""
    time.sleep(seconds)
