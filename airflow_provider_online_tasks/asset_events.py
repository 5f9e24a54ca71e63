"""Add facts about a run to the asset events of a task.

A task with ``outlets`` updates its assets when it succeeds. A DAG that is scheduled on such an asset reads
the facts from ``triggering_asset_events`` or ``inlet_events``, such as ``event.extra["run_id"]``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import AssetAlias

if TYPE_CHECKING:
    from airflow.sdk import Context


def update_asset_events(
    context: Context,
    outlets: Iterable[Any],
    run: Mapping[str, Any],
    *,
    labels: Mapping[str, Mapping[str, float]] | None = None,
) -> None:
    """Add a run to the asset events of a task.

    :param context: the Airflow context.
    :param outlets: the task's ``outlets``. Aliases are skipped: only the DAG's author knows their assets.
    :param run: the run's summary: its ID, task, status, counts, window and times.
    :param labels: share of each label by evaluator, if the evaluations were read.
    """
    extra = dict(run) if labels is None else {**run, "labels": labels}
    for outlet in outlets:
        if not isinstance(outlet, AssetAlias):
            context["outlet_events"][outlet].extra.update(extra)
