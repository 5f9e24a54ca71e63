"""How the provider names itself to Arize."""

from __future__ import annotations

from airflow_provider_online_tasks import __version__


def user_agent() -> str:
    """Return the User-Agent header."""
    return f"airflow-provider-online-tasks/{__version__}"
