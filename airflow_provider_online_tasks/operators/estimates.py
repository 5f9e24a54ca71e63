"""Estimate what a run will evaluate and cost, before it is started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_online_tasks.exceptions import EvalBudgetExceeded
from airflow_provider_online_tasks.inputs import arguments
from airflow_provider_online_tasks.inputs.arguments import is_empty
from airflow_provider_online_tasks.operators.base import OnlineTasksOperator, PlansRun

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg


class EstimateRunOperator(PlansRun, OnlineTasksOperator):
    """Estimate what a run of an eval task would evaluate and cost, without starting it.

    It sends at most 22 requests (for up to 17 evaluators). To estimate a backfill, set its entire window,
    which may be longer than 30 days, and as ``max_spans`` the sum over its runs.

    XCom: the estimate, with a low and a high end of each value, and its assumptions.

    :param online_task_id: global ID of the task; set this or ``online_task``. (templated)
    :param online_task: name of the task. (templated)
    :param data_start_time: start of the window, a datetime or ISO 8601; UTC without a zone. (templated)
    :param data_end_time: end of the window. (templated)
    :param lookback: length of a window that ends with the DAG run's data interval, as in
        ``RunOnlineTaskOperator``. Default, without another window: the data interval. (templated)
    :param partition_length: length of a window that starts at the DAG run's partition (Airflow 3.3).
        (templated)
    :param max_spans: maximum number of spans to evaluate. Default: the API's, 10,000. (templated)
    :param override_evaluations: whether spans that have a label are evaluated again. Default False.
        (templated)
    :param max_evaluations: maximum number of evaluations. If the high end of the estimate exceeds it, the
        task fails. Default: no maximum. (templated)
    :param max_cost: the same for the cost, in the currency of ``prices``. (templated)
    :param prices: ``{"gpt-4o": {"input": 2.5, "output": 10}}``, prices of models per million tokens. Default:
        the connection's ``prices``, else those of ``genai-prices`` if it is installed. (templated)
    :param from_earlier_runs: whether to send one request only, and to estimate the number of evaluations from
        the task's completed runs, without tokens and cost. Default False.
    :param conn_id: Airflow connection of type ``arize_online_tasks``. (templated)
    :raises InvalidInput: an argument is wrong, or ``max_cost`` is set and the price of a model is unknown.
    :raises EvalBudgetExceeded: the estimate exceeds ``max_evaluations`` or ``max_cost``.
    :raises CallError: Arize rejected a request or was unavailable.
    """

    template_fields: Sequence[str] = (
        "conn_id",
        "online_task_id",
        "online_task",
        "data_start_time",
        "data_end_time",
        "lookback",
        "partition_length",
        "max_spans",
        "override_evaluations",
        "max_evaluations",
        "max_cost",
        "prices",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"prices": "json"}

    def __init__(
        self,
        *,
        online_task_id: str | XComArg | None = None,
        online_task: str | XComArg | None = None,
        data_start_time: datetime | str | XComArg | None = None,
        data_end_time: datetime | str | XComArg | None = None,
        lookback: timedelta | float | str | XComArg | None = None,
        partition_length: timedelta | float | str | XComArg | None = None,
        max_spans: int | str | XComArg | None = None,
        override_evaluations: bool | str | XComArg | None = None,
        max_evaluations: int | str | XComArg | None = None,
        max_cost: float | str | XComArg | None = None,
        prices: Mapping[str, Mapping[str, float]] | str | XComArg | None = None,
        from_earlier_runs: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.online_task_id = online_task_id
        self.online_task = online_task
        self.data_start_time = data_start_time
        self.data_end_time = data_end_time
        self.lookback = lookback
        self.partition_length = partition_length
        self.max_spans = max_spans
        self.override_evaluations = override_evaluations
        self.max_evaluations = max_evaluations
        self.max_cost = max_cost
        self.prices = prices
        self.from_earlier_runs = arguments.switch(from_earlier_runs, "from_earlier_runs")
        from airflow_provider_online_tasks.costs.budgets import RunLimits

        limits = {"max_evaluations": max_evaluations, "max_cost": max_cost, "prices": prices}
        RunLimits.check_literals(**limits)
        self.check_run_literals()

    def execute(self, context: Context) -> dict[str, Any]:
        """Estimate the run, log and push the estimate, and fail if it exceeds a limit."""
        from airflow_provider_online_tasks.costs.budgets import RunLimits

        # An empty limit is no limit: this operator starts no run.
        given: dict[str, Any] = {
            "max_evaluations": self.max_evaluations,
            "max_cost": self.max_cost,
            "prices": self.prices,
        }
        limits = RunLimits.read(**{name: value for name, value in given.items() if not is_empty(value)})
        with self.hook as hook:
            run = self.plan_run(context, hook)
            estimate = hook.estimate_run(
                **run.to_rest(), prices=limits.prices, from_earlier_runs=self.from_earlier_runs
            )
        self.log.info("Estimate for %s: %s. %s", run.window, estimate, " ".join(estimate.assumptions))
        summary = estimate.summary()
        context["ti"].xcom_push(key="return_value", value=summary)
        allowed = estimate.max_spans_within(max_evaluations=limits.max_evaluations, max_cost=limits.max_cost)
        if allowed < estimate.max_spans:
            raise EvalBudgetExceeded(
                f"The estimate exceeds max_evaluations={limits.max_evaluations} or "
                f"max_cost={limits.max_cost}: {estimate}. Increase the limit, or use a shorter window or a "
                f"max_spans of at most {allowed}."
            )
        return summary
