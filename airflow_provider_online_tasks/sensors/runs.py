"""Wait for a run of an online task.

API: https://arize.com/docs/api-reference/tasks/get-task-run
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import PokeReturnValue

from airflow_provider_online_tasks import _clock
from airflow_provider_online_tasks._defaults import DEFAULT_CONN_ID, DEFAULT_POLL_INTERVAL
from airflow_provider_online_tasks.exceptions import OnlineTaskRunUnsuccessful, OnlineTasksError
from airflow_provider_online_tasks.inputs import arguments
from airflow_provider_online_tasks.operators.base import update_asset_events
from airflow_provider_online_tasks.sensors.base import PollingSensor
from airflow_provider_online_tasks.ui.links import EvaluatorLink, OnlineTaskRunLink, ProjectLink

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_provider_online_tasks.api.responses import TaskRun
    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
    from airflow_provider_online_tasks.runs.blocking_wait import BlockingWait
    from airflow_provider_online_tasks.runs.end_states import OnNothingEvaluated


class OnlineTaskRunSensor(PollingSensor):
    """Wait until a run finishes, and return its summary.

    The sensor polls at once, and defers only if the run isn't finished. It never cancels the run. A run that
    finished without success stays as it is, so the failure isn't retried.

    While Arize is unavailable, the sensor waits until its ``timeout``. It respects ``Retry-After`` up to 300
    seconds. If Arize rejects the polls (401, 403, 404) for 5 minutes, the sensor fails, and a retry waits
    again. Before Airflow 3.3, the mode ``reschedule`` fails at the first rejected poll.

    XCom: ``run_id``, ``online_task_id``, ``status``, ``num_successes``, ``num_errors``, ``num_skipped``,
    ``error_rate``, ``failure_reason``, and the times as ISO 8601. The events of the sensor's ``outlets`` have
    the same values as their ``extra``. The keys ``run_url``, ``project_url`` and ``evaluator_url`` hold the
    links to the spans, the project and the evaluator in the Arize UI.

    :param run_id: the run's ID, as ``RunOnlineTaskOperator`` returns it. (templated)
    :param deferrable: whether to wait in the triggerer, without a worker slot. Default: Airflow's
        ``[operators] default_deferrable``.
    :param on_nothing_evaluated: what the task does if the run evaluated nothing: ``fail``, ``skip`` or
        ``succeed``. Default ``skip``.
    :param max_error_rate: maximum share of errors among the attempted spans, 0 to 1. Default: no maximum, but
        at least one span must be evaluated.
    :param poke_interval: seconds between two polls, in every mode. Default 10.
    :param conn_id: Airflow connection of type ``arize_online_tasks``. (templated)
    :raises InvalidInput: an argument is wrong; when the DAG is parsed if it is a literal.
    :raises OnlineTaskRunUnsuccessful: the run failed, was cancelled, or had too many errors.
    :raises OnlineTaskRunUnreachable: Arize rejected the polls for 5 minutes.
    """

    template_fields: Sequence[str] = ("conn_id", "run_id")
    operator_extra_links = (OnlineTaskRunLink(), ProjectLink(), EvaluatorLink())

    _polled: TaskRun | None = None

    def __init__(
        self,
        *,
        run_id: str | XComArg,
        conn_id: str | XComArg = DEFAULT_CONN_ID,
        deferrable: bool | None = None,
        on_nothing_evaluated: OnNothingEvaluated = "skip",
        max_error_rate: float | None = None,
        poke_interval: float = DEFAULT_POLL_INTERVAL,
        **kwargs: Any,
    ) -> None:
        super().__init__(conn_id=conn_id, deferrable=deferrable, poke_interval=poke_interval, **kwargs)
        self.run_id = run_id
        self.on_nothing_evaluated = on_nothing_evaluated
        self.max_error_rate = max_error_rate
        from airflow_provider_online_tasks.runs.end_states import EndRules

        self._rules = EndRules(on_nothing_evaluated=on_nothing_evaluated, max_error_rate=max_error_rate)
        arguments.check_id(run_id, "run_id")

    def execute(self, context: Context) -> Any:
        """Wait in this process, with reschedules, or in the triggerer."""
        if self.deferrable:
            with self.hook as hook:
                self._polled = self._poll(context, hook)
            if self._polled is None or not self._polled.is_over:
                from airflow_provider_online_tasks.triggers.runs import OnlineTaskRunTrigger

                trigger = OnlineTaskRunTrigger(
                    run_id=arguments.read_id(self.run_id, "run_id"),
                    online_task_id=self._polled.task_id if self._polled else None,
                    conn_id=self.conn_id,
                    poll_interval=self.poke_interval,
                    deadline=_clock.epoch() + self._limit[0],
                    cancel_at_deadline=False,
                    cancel_on_kill=False,
                )
                self.defer_in_try(context.get("ti"), trigger=trigger, method_name="execute_complete")
        return super().execute(context)

    def poke(self, context: Context) -> PokeReturnValue:
        """Poll the run once."""
        with self.hook as hook:
            run = self._polled or self._poll(context, hook)
            if run is None or not run.is_over:
                return PokeReturnValue(is_done=False)
            return PokeReturnValue(is_done=True, xcom_value=self._conclude(context, hook, run))

    def execute_complete(self, context: Context, event: Any) -> dict[str, Any]:
        """Conclude after the trigger has seen the end of the run or of the timeout."""
        from airflow_provider_online_tasks.triggers.events import read_event

        seen = read_event(event)
        if seen.run_id != arguments.read_id(self.run_id, "run_id"):
            raise OnlineTasksError(f"The trigger's event is about run {seen.run_id}, not {self.run_id}.")
        run = seen.finished_run()
        if run is None:
            raise self._timed_out(f"Run {self.run_id} did not finish")
        with self.hook as hook:
            return self._conclude(context, hook, run)

    def _new_wait(self, **policy: Any) -> BlockingWait:
        from airflow_provider_online_tasks.runs.blocking_wait import BlockingWait

        return BlockingWait(run_id=arguments.read_id(self.run_id, "run_id"), **policy)

    def _conclude(self, context: Context, hook: OnlineTasksHook, run: TaskRun) -> dict[str, Any]:
        """Return the run's summary if it counts as a success, else raise."""
        from airflow_provider_online_tasks.inputs.windows import DataWindow
        from airflow_provider_online_tasks.results.reading import labels_exist

        if run.task_id and run.data_start_time and run.data_end_time:
            window = DataWindow(start=run.data_start_time, end=run.data_end_time)
            self.links = hook.links(run.task_id, window)
        try:
            self._rules.conclude(
                run,
                log=self.log,
                hook=hook,
                url=self.links.spans,
                task=self.links.task,
                labels_exist=labels_exist(hook, run, log=self.log),
            )
        except OnlineTaskRunUnsuccessful as error:
            raise error.without_retry() from None  # a retry can't change the run
        update_asset_events(context, self.outlets, run.summary())
        return run.summary()
