"""Wait for a run of an online task.

API: https://arize.com/docs/api-reference/tasks/get-task-run
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_online_tasks._airflow import AirflowSensorTimeout
from airflow_provider_online_tasks._defaults import DEFAULT_CONN_ID, DEFAULT_POLL_INTERVAL
from airflow_provider_online_tasks._text import sentence
from airflow_provider_online_tasks.asset_events import tell_of_run
from airflow_provider_online_tasks.exceptions import (
    AuthenticationFailed,
    BadRequest,
    CallError,
    NotFound,
    OnlineTaskRunUnreachable,
    PermissionDenied,
    RateLimited,
    Unavailable,
)
from airflow_provider_online_tasks.inputs import read_id
from airflow_provider_online_tasks.inputs.arguments import (
    check_id,
    check_name,
    positive_seconds,
    read_deferrable,
)
from airflow_provider_online_tasks.operators.base import UsesArize
from airflow_provider_online_tasks.runs.end_states import EndingRules, OnNothingEvaluated, wait_error
from airflow_provider_online_tasks.ui.links import EvaluatorLink, OnlineTaskRunLink, ProjectLink

# Where refusals are kept between the looks of the mode ``reschedule``, and how far apart they may be.
REFUSALS_KEY = "refusals"
REFUSALS_APART = 3.0

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_provider_online_tasks.api.responses.runs import TaskRun
    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
    from airflow_provider_online_tasks.runs.progress import ProgressLog


class OnlineTaskRunSensor(UsesArize, BaseSensorOperator):
    """Wait until a run is over, and return its summary.

    It looks at once, and defers only if the run goes on. It never cancels the run. A run that ended badly
    cannot get better, so that failure is not retried. While Arize cannot be reached, it goes on waiting until
    its own ``timeout``. When Arize asks for a pause (``Retry-After``), it looks again after that, at most 5
    minutes later. When Arize refuses to show the run (401, 403, 404) for 5 minutes, it fails, and a retry
    waits again; before Airflow 3.3 it fails at the first refusal in the mode ``reschedule``.

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
    :raises OnlineTaskRunUnsuccessful: the run failed, was cancelled, or had too many errors.
    :raises OnlineTaskRunUnreachable: Arize refused for 5 minutes to show the run.
    """

    template_fields: Sequence[str] = ("conn_id", "run_id")
    operator_extra_links = (OnlineTaskRunLink(), ProjectLink(), EvaluatorLink())
    ui_color = "#fff0e0"

    _seen: TaskRun | None = None
    _progress: ProgressLog | None = None
    _paused_until = float("-inf")
    _refused_since: float | None = None

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
        super().__init__(poke_interval=positive_seconds(poke_interval, "poke_interval"), **kwargs)
        self.run_id = run_id
        self.conn_id: Any = conn_id
        self.deferrable = read_deferrable(deferrable)
        self.on_nothing_evaluated = on_nothing_evaluated
        self.max_error_rate = max_error_rate
        check_name(conn_id, "conn_id")
        self._rules()
        check_id(run_id, "run_id")

    def _rules(self) -> EndingRules:
        return EndingRules(on_nothing_evaluated=self.on_nothing_evaluated, max_error_rate=self.max_error_rate)

    def poke(self, context: Context) -> PokeReturnValue:
        """Look at the run once."""
        from airflow_provider_online_tasks.runs.progress import ProgressLog

        with self.hook as hook:
            run, self._seen = self._seen, None
            if run is None:
                run = self._look(hook, context)
            if run is None:
                return PokeReturnValue(is_done=False)
            self._progress = self._progress or ProgressLog()
            if (line := self._progress.line(run, time.time())) is not None:
                self.log.info("%s", line)
            if not run.is_over:
                return PokeReturnValue(is_done=False)
            return PokeReturnValue(is_done=True, xcom_value=self._settle(context, hook, run))

    def _look(self, hook: OnlineTasksHook, context: Context) -> TaskRun | None:
        """Return the run as it is now; None if it is to be looked at later."""
        from airflow_provider_online_tasks.api import calls
        from airflow_provider_online_tasks.api.retry import NO_RETRY

        if time.monotonic() < self._paused_until:
            return None
        run_id = read_id(self.run_id, "run_id")
        try:
            run = hook.client.send(calls.get_task_run(run_id), retry=NO_RETRY)
        except (RateLimited, Unavailable) as error:
            self._refused_since = None
            self._pause(error)
        except (AuthenticationFailed, PermissionDenied, NotFound, BadRequest) as error:
            self._refused(error, context)
        else:
            self._refused_since = None
            return run
        return None

    def _pause(self, error: RateLimited | Unavailable) -> None:
        from airflow_provider_online_tasks.runs.polling.endpoint_state import (
            FIRST_RATE_LIMIT_PAUSE,
            pause_for,
        )

        seconds = FIRST_RATE_LIMIT_PAUSE if isinstance(error, RateLimited) else 0.0
        if error.retry_after is not None:
            seconds = pause_for(error.retry_after)
        self._paused_until = time.monotonic() + seconds
        self.log.warning("%s The task goes on waiting for the run.", sentence(error))

    def _refused(self, error: CallError, context: Context) -> None:
        """Go on waiting, unless Arize has refused for long.

        :raises OnlineTaskRunUnreachable: it has.
        """
        from airflow_provider_online_tasks.runs.polling.endpoint_state import REFUSED_SECONDS

        if not self.deferrable and self._refused_for(context) >= REFUSED_SECONDS:
            raise OnlineTaskRunUnreachable(
                f"Arize does not show run {self.run_id}, which may go on. A retry waits for it again. {error}"
            ) from error
        self.log.warning("%s The task goes on waiting for the run.", sentence(error))

    def _refused_for(self, context: Context) -> float:
        """Return for how many seconds Arize has refused, as far as that is known."""
        now = time.time()
        if not self.reschedule:
            self._refused_since = now if self._refused_since is None else self._refused_since
            return now - self._refused_since
        # Each look is a process of its own, so the time has to be stored. Before Airflow 3.3 it cannot be.
        store = context.get("task_state_store")
        if store is None:
            return float("inf")
        kept: Any = store.get(REFUSALS_KEY)
        since, last, attempt = kept or (now, now, None)
        if now - last > REFUSALS_APART * self.poke_interval or attempt != context["ti"].try_number:
            since = now  # there were answers in between, or this is another try
        store.set(REFUSALS_KEY, [since, now, context["ti"].try_number])
        return float(now - since)

    def _get_next_poke_interval(
        self, started_at: datetime | float, run_duration: Callable[[], float], poke_count: int
    ) -> float:
        """Wait for as long as Arize asks, but not beyond the sensor's timeout."""
        interval: float = super()._get_next_poke_interval(started_at, run_duration, poke_count)
        pause = min(self._paused_until - time.monotonic(), self.timeout - run_duration())
        return max(interval, pause)

    def _settle(self, context: Context, hook: OnlineTasksHook, run: TaskRun) -> dict[str, Any]:
        from airflow_provider_online_tasks.inputs import DataWindow

        url = task = None
        if run.task_id and run.data_start_time and run.data_end_time:
            window = DataWindow(start=run.data_start_time, end=run.data_end_time)
            self.links = hook.links(run.task_id, window)
            url, task = self.links.spans, self.links.task
        self._rules().settle(run, log=self.log, url=url, task=task, final=True)
        tell_of_run(context, self.outlets, run.summary())
        return run.summary()

    def execute(self, context: Context) -> Any:
        """Wait, here or in the triggerer."""
        if self.deferrable:
            with self.hook as hook:
                self._seen = self._look(hook, context)
            if self._seen is None or not self._seen.is_over:
                self._defer(context)
        return super().execute(context)

    def _defer(self, context: Context) -> NoReturn:
        from airflow_provider_online_tasks.triggers.runs import OnlineTaskRunTrigger

        self.defer_in_try(
            context.get("ti"),
            trigger=OnlineTaskRunTrigger(
                run_id=read_id(self.run_id, "run_id"),
                online_task_id=self._seen.task_id if self._seen else None,
                conn_id=self.conn_id,
                poll_interval=self.poke_interval,
                deadline=time.time() + self.timeout,
                cancel_on_kill=False,
                payload={},
            ),
            method_name="execute_complete",
        )

    def execute_complete(self, context: Context, event: Any) -> dict[str, Any]:
        """Act on what the trigger saw."""
        from airflow_provider_online_tasks.triggers.events import OVER, TIMEOUT, read_event

        seen = read_event(event)
        if seen.run_id != read_id(self.run_id, "run_id"):
            raise wait_error(None, f"The event is about run {seen.run_id}, not {self.run_id}.")
        if seen.outcome == TIMEOUT:
            raise AirflowSensorTimeout(f"Run {self.run_id} was not over within {self.timeout:g} s.")
        if seen.outcome != OVER or seen.run is None:
            raise wait_error(seen.error_type, f"Waiting for run {self.run_id} ended: {seen.error_message}")
        with self.hook as hook:
            return self._settle(context, hook, seen.run)
