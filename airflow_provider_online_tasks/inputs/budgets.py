"""A budget: how much may be evaluated per day, week or month."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

from airflow_provider_online_tasks._defaults import DEFAULT_MAX_SPANS
from airflow_provider_online_tasks.inputs.base import Count, WireInput


class EvalBudget(WireInput, frozen=True):
    """The maximum number of evaluations per day, week or month, counted from Arize's lists of runs.

    An evaluation is a span that a run evaluated or failed to evaluate, as Arize counts it, with all
    evaluators of the task. A run counts for the period in which it was created, at UTC. Weeks start on
    Monday.

    :param max_evaluations: maximum number of evaluations in a period.
    :param per: the period: ``day``, ``week`` or ``month`` (default).
    :param scope: whose runs count: those of the eval ``task`` (default), or of all eval tasks of its
        ``project``.
    :param max_spans: largest ``max_spans`` of the runs that share the budget. An unfinished run counts with
        this number, because Arize doesn't show its own. Default 10,000, as of runs without ``max_spans``.
    """

    max_evaluations: Count
    per: Literal["day", "week", "month"] = "month"
    scope: Literal["task", "project"] = "task"
    max_spans: Count = DEFAULT_MAX_SPANS

    def period_start(self, now: datetime) -> datetime:
        """Return the start of the period that contains a time."""
        midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        match self.per:
            case "day":
                return midnight
            case "week":
                return midnight - timedelta(days=midnight.weekday())
            case "month":
                return midnight.replace(day=1)
