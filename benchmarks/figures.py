"""From what the measurements wrote to the figures that the page and its plots show."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MEGA = 1e6
SIDES = {"ours": "this provider", "peer": "the peer", "yardstick": "one request per run and poll"}


@dataclass(frozen=True)
class Spread:
    """Figures of the same thing: their median, the smallest and the largest."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Return the spread of values."""
        return cls(tuple(values))

    @property
    def median(self) -> float:
        """The value in the middle."""
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        """The smallest value."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The largest value."""
        return max(self.values)

    def over(self, other: Spread) -> Spread:
        """Return the ratios of the pairs."""
        return Spread.of(one / two for one, two in zip(self.values, other.values, strict=True))

    def shown(self, unit: str = "", scale: float = 1.0) -> str:
        """Return median, smallest and largest value as text."""
        low, median, high = (number(value * scale) for value in (self.low, self.median, self.high))
        return f"{median}{unit} ({low} to {high})"


def number(value: float) -> str:
    """Return a number with the digits that matter."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1 else f"{value:.2g}"


def read(folder: Path, name: str) -> dict[str, Any] | None:
    """Return what a measurement wrote, or None if it was not made."""
    file = folder / f"{name}.json"
    if not file.exists():
        return None
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def spread(samples: Sequence[dict[str, Any]], value: str | Callable[[dict[str, Any]], float]) -> Spread:
    """Return the spread of a field, or of what a function makes of each sample."""
    return Spread.of(value(one) if callable(value) else one[value] for one in samples)


def footprint(data: dict[str, Any], kind: str) -> dict[str, float]:
    """Return the megabytes that each side adds."""
    return {
        side: sum(sizes[kind] for sizes in added["packages"].values()) / MEGA
        for side, added in data["added"].items()
    }


def waits(rows: Sequence[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Return the rows of a kind, fewest waits first."""
    return sorted((row for row in rows if row["kind"] == kind), key=lambda row: row["waits"])


def grown(row: dict[str, Any]) -> float:
    """Return the bytes that waiting added to the process at most."""
    return float(row["memory_peak"] - row["memory_before"])


def per_wait(rows: Sequence[dict[str, Any]]) -> float:
    """Return the bytes that each further wait takes, between the two largest numbers of waits."""
    *_, fewer, more = rows
    return (grown(more) - grown(fewer)) / float(more["waits"] - fewer["waits"])
