"""The clocks of this machine. Called as ``_clock.sleep(…)``, so that tests replace them in one place."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> datetime:
    """Return the time of day, at UTC."""
    return datetime.now(UTC)


def epoch() -> float:
    """Return the time of day as seconds since 1970."""
    return now().timestamp()


def monotonic() -> float:
    """Return the seconds of a clock that is never set back."""
    return time.monotonic()


def sleep(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)
