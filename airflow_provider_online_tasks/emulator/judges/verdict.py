"""What evaluators return, and how they fail."""

from __future__ import annotations

from typing import NamedTuple


class Verdict(NamedTuple):
    """What an evaluator says about a span."""

    label: str
    score: float | None
    explanation: str | None


class JudgeError(Exception):
    """The evaluator could not give a label; the span counts as an error of its run."""
