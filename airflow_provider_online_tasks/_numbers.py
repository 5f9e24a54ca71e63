"""Numbers as others send them."""

from __future__ import annotations

import math


def finite(value: object) -> float | None:
    """Return a finite number; None for everything else, booleans and text included."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
