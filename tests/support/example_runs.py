"""Runs of the example DAGs that the browser tests look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from tests.support.deployment import DagRun


@dataclass(frozen=True)
class ExampleRuns:
    """Started runs of the example DAGs.

    :param gate: a run of ``quality_gate``.
    :param backfill: a run of ``backfill_eval``: six days in three windows.
    :param asks: a run of ``asks``, two tasks of which wait for an approval.
    :param start: the start of the backfill.
    """

    gate: DagRun
    backfill: DagRun
    asks: DagRun
    start: datetime
