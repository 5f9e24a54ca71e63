"""Add facts about a run to the asset events of a task.

A task with ``outlets`` updates its assets when it succeeds. A DAG that is scheduled on such an asset reads
the facts from ``triggering_asset_events`` or ``inlet_events``, such as ``event.extra["run_id"]``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airflow.sdk import AssetAlias, Context


def update_asset_events(context: Context, outlets: Iterable[Any], facts: Mapping[str, Any]) -> None:
    """Add facts to the events of the outlets, except of aliases: only the DAG's author knows their assets."""
    for outlet in outlets:
        if not isinstance(outlet, AssetAlias):
            context["outlet_events"][outlet].extra.update(facts)
