"""Compute pauses between attempts in asynchronous code."""

from __future__ import annotations

# 2.0**64 is a number; larger exponents overflow at some point, and every longest pause is shorter.
MAX_DOUBLINGS = 64


def backoff(failures: int, *, first: float, longest: float) -> float:
    """Return the seconds to wait before the next attempt, doubled with each failure.

    :param failures: number of failures in a row; 0 counts as 1.
    :param first: seconds after the first failure.
    :param longest: maximum seconds.
    """
    doublings = min(max(failures, 1) - 1, MAX_DOUBLINGS)
    return min(first * 2.0**doublings, longest)
