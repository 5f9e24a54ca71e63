"""The User-Agent header."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version

DISTRIBUTION = "airflow-provider-online-tasks"


@cache
def user_agent() -> str:
    """Return the User-Agent header."""
    return f"{DISTRIBUTION}/{version(DISTRIBUTION)}"
