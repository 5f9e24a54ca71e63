"""What Airflow asks of an installed provider. Pure data: Airflow reads it while it is itself starting."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata."""
    return {}
