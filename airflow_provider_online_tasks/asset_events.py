"""What an asset event says about the run that caused it.

A task with ``outlets`` updates its assets when it succeeds. These facts become part of the event, so that a
DAG that is scheduled on the asset knows which spans were judged, and how it went:
``event.extra["run_id"]`` of ``triggering_asset_events`` and ``inlet_events``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import AssetAlias

if TYPE_CHECKING:
    from airflow.sdk import Context


def tell_of_run(
    context: Context,
    outlets: Iterable[Any],
    run: Mapping[str, Any],
    *,
    labels: Mapping[str, Mapping[str, float]] | None = None,
) -> None:
    """Add a run to the events of a task's assets.

    :param context: the Airflow context.
    :param outlets: the task's ``outlets``. An alias is left out: only the DAG's author knows its assets.
    :param run: the run's summary: its ID, task, status, counts, window and times.
    :param labels: the share of each label by evaluator, where the evaluations were read.
    """
    extra = dict(run) if labels is None else {**run, "labels": labels}
    for outlet in outlets:
        if not isinstance(outlet, AssetAlias):
            context["outlet_events"][outlet].extra.update(extra)
