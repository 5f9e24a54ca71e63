"""Arguments that operators and the sensor have in common."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow_provider_online_tasks._airflow import conf
from airflow_provider_online_tasks.exceptions import InvalidInput


def default_deferrable() -> bool:
    """Return Airflow's ``[operators] default_deferrable``."""
    return bool(conf.getboolean("operators", "default_deferrable", fallback=False))


def positive_seconds(value: Any, name: str) -> float:
    """Return a number of seconds.

    :raises InvalidInput: it is not above 0.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise InvalidInput(f"{name} must be seconds above 0, not {value!r}.")
    return float(value)
