"""Wait for a run of an online task.

API: https://arize.com/docs/api-reference/tasks/get-task-run
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import AirflowSensorTimeout
from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_online_tasks._defaults import DEFAULT_CONN_ID
from airflow_provider_online_tasks.asset_events import tell_of_run
from airflow_provider_online_tasks.exceptions import RateLimited, Unavailable
from airflow_provider_online_tasks.inputs import read_id
from airflow_provider_online_tasks.inputs._templating import is_templated
from airflow_provider_online_tasks.operators._base import UsesArize
from airflow_provider_online_tasks.operators.runs import (
    DEFAULT_POLL_INTERVAL,
    default_deferrable,
    positive_seconds,
)
from airflow_provider_online_tasks.ui.links import EvaluatorLink, OnlineTaskRunLink, ProjectLink
from airflow_provider_online_tasks.waiting.endings import EndingRules, wait_error

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_online_tasks.api.runs import TaskRun
    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook


class OnlineTaskRunSensor(UsesArize, BaseSensorOperator):
    """Wait until a run is over, and return its summary.

    It never cancels the run. A run that ended badly cannot get better, so that failure is not retried;
    while Arize cannot be reached, it goes on waiting until its own ``timeout``.

    XCom: ``run_id``, ``online_task_id``, ``status``, ``num_successes``, ``num_errors``, ``num_skipped``,
    ``error_rate``, ``failure_reason``, and the times as ISO 8601. The same is the ``extra`` of the events of
    the sensor's ``outlets``. Beside it, ``run_url``, ``project_url`` and ``evaluator_url``: where the Arize
    UI shows its spans, the project and the evaluator.

    :param run_id: the run's ID, as ``RunOnlineTaskOperator`` returns it. (templated)
    :param deferrable: whether it waits in the triggerer, without a worker slot. Default: Airflow's
        ``[operators] default_deferrable``.
    :param on_nothing_evaluated: what a run that scored nothing does to the task: ``fail``, ``skip`` or
        ``succeed``. Default ``skip``.
    :param max_error_rate: largest acceptable share of errors among the attempted spans, 0 to 1. Default:
        any, as long as one span was scored.
    :param poke_interval: seconds between two looks at the run, in every mode. Default 10.
    :param conn_id: Airflow connection of type ``arize_online_tasks``. (templated)
    :raises InvalidInput: an argument is wrong; when the DAG is parsed if it is a literal.
    :raises OnlineTaskRunEndedBadly: the run failed, was cancelled, or had too many errors.
    :raises CallError: Arize refused.
    """

    template_fields: Sequence[str] = ("conn_id", "run_id")
    operator_extra_links = (OnlineTaskRunLink(), ProjectLink(), EvaluatorLink())
    ui_color = "#fff0e0"

    def __init__(
        self,
        *,
        run_id: str,
        conn_id: str = DEFAULT_CONN_ID,
        deferrable: bool | None = None,
        on_nothing_evaluated: str = "skip",
        max_error_rate: float | None = None,
        poke_interval: float = DEFAULT_POLL_INTERVAL,
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=positive_seconds(poke_interval, "poke_interval"), **kwargs)
        self.run_id = run_id
        self.conn_id = conn_id
        self.deferrable = default_deferrable() if deferrable is None else deferrable
        self.on_nothing_evaluated = on_nothing_evaluated
        self.max_error_rate = max_error_rate
        self._rules()
        if not is_templated(run_id):
            read_id(run_id, "run_id")

    def _rules(self) -> EndingRules:
        return EndingRules(on_nothing_evaluated=self.on_nothing_evaluated, max_error_rate=self.max_error_rate)

    def poke(self, context: Context) -> PokeReturnValue:
        """Look at the run once."""
        from airflow_provider_online_tasks.waiting.progress import ProgressLog

        run_id = read_id(self.run_id, "run_id")
        with self.hook as hook:
            try:
                run = hook.get_task_run(run_id)
            except (RateLimited, Unavailable) as error:
                self.log.warning("%s. The run is waited for all the same.", error)
                return PokeReturnValue(is_done=False)
            progress: ProgressLog = self.__dict__.setdefault("_progress", ProgressLog())
            if (line := progress.line(run, time.time())) is not None:
                self.log.info("%s", line)
            if not run.is_over:
                return PokeReturnValue(is_done=False)
            return PokeReturnValue(is_done=True, xcom_value=self._settle(context, hook, run))

    def _settle(self, context: Context, hook: OnlineTasksHook, run: TaskRun) -> dict[str, Any]:
        from airflow_provider_online_tasks.inputs import DataWindow

        url = None
        if run.task_id and run.data_start_time and run.data_end_time:
            window = DataWindow(start=run.data_start_time, end=run.data_end_time)
            self.links = hook.links(run.task_id, window)
            url = self.links.spans
        self._rules().settle(run, log=self.log, url=url, final=True)
        tell_of_run(context, self.outlets, run.summary())
        return run.summary()

    def execute(self, context: Context) -> Any:
        """Wait, here or in the triggerer."""
        if self.deferrable:
            self._defer()
        return super().execute(context)

    def _defer(self) -> NoReturn:
        from airflow_provider_online_tasks.triggers.runs import OnlineTaskRunTrigger

        self.defer(
            trigger=OnlineTaskRunTrigger(
                run_id=read_id(self.run_id, "run_id"),
                online_task_id=None,
                conn_id=self.conn_id,
                poll_interval=self.poke_interval,
                deadline=time.time() + self.timeout,
                cancel_on_kill=False,
                payload={},
            ),
            method_name="execute_complete",
            timeout=None,  # the trigger keeps the deadline
        )

    def execute_complete(self, context: Context, event: Any) -> dict[str, Any]:
        """Act on what the trigger saw."""
        from airflow_provider_online_tasks.triggers._events import OVER, TIMEOUT, read_event

        seen = read_event(event)
        if seen.outcome == TIMEOUT:
            raise AirflowSensorTimeout(f"Run {self.run_id} was not over within {self.timeout:g} s.")
        if seen.outcome != OVER or seen.run is None:
            raise wait_error(seen.error_type, f"Waiting for run {self.run_id} ended: {seen.error_message}")
        with self.hook as hook:
            return self._settle(context, hook, seen.run)
