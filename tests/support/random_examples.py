"""How many random examples hypothesis draws: few and always the same locally, new ones in CI."""

from __future__ import annotations

import os

IN_CI = os.environ.get("CI", "").lower() in ("1", "true")


def examples(in_ci: int, *, locally: int = 25) -> int:
    """Return how many examples to draw, for ``@settings(max_examples=examples(300))``.

    :param in_ci: the number if the environment variable ``CI`` is ``true``.
    :param locally: the number otherwise, at most ``in_ci``.
    """
    return in_ci if IN_CI else min(locally, in_ci)
