"""Run an online task over a window of spans, wait for it, and cancel a run.

API: https://arize.com/docs/ax/graphql-reference/apis/online-tasks-api
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import AirflowSkipException, conf

from airflow_provider_online_tasks._times import parse_time, wire_time
from airflow_provider_online_tasks.api.runs import DEFAULT_MAX_SPANS, RunStatus, TaskRun
from airflow_provider_online_tasks.asset_events import tell_of_run
from airflow_provider_online_tasks.exceptions import (
    CallError,
    InputRefused,
    InvalidInput,
    OnlineTaskRunTimeout,
    OnlineTasksError,
    RateLimited,
    TaskErrorReturned,
    Unavailable,
    WindowRefused,
)
from airflow_provider_online_tasks.inputs import RunInput, read_id
from airflow_provider_online_tasks.inputs._templating import is_templated
from airflow_provider_online_tasks.operators._base import LineageOperator, OnlineTasksOperator
from airflow_provider_online_tasks.operators._window import check_window_arguments, resolve_window
from airflow_provider_online_tasks.ui.links import EvaluatorLink, OnlineTaskRunLink, ProjectLink
from airflow_provider_online_tasks.waiting.endings import (
    Ending,
    EndingRules,
    read_ending,
    says_no_data,
    wait_error,
)

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
    from airflow_provider_online_tasks.once.run import Obtained, Submission

DEFAULT_POLL_INTERVAL = 10.0
RUN_ID_KEY = "run_id"
RUN_KEY = "run"
# A clear cancels the run of the attempt it ends, at any time up to a while after the next attempt began.
LATE_CANCEL = timedelta(seconds=90)


class RunOnlineTaskOperator(LineageOperator):
    """Run an online task over a window of historical spans (``runOnlineTask``) and return the run's ID.

    One execution leaves at most one live run behind, whatever fails: a retry takes up the run of the try
    before it. Clearing the task after it succeeded starts a new run.

    The window is ``data_start_time`` and ``data_end_time``, else ``lookback``, else the DAG run's data
    interval. Every try of a DAG run computes the same window.

    XCom: the run's ID as ``return_value`` (and ``run_id``), pushed before any waiting; ``run_url``, its
    spans in the Arize UI, ``project_url`` and ``evaluator_url``; with ``wait_for_completion``, ``run``, its
    summary, which is also the ``extra`` of the events of the task's ``outlets``.

    :param online_task_id: global ID of the task. (templated)
    :param data_start_time: begin of the window, a datetime or ISO 8601; without a zone it is UTC.
        (templated)
    :param data_end_time: end of the window. (templated)
    :param lookback: length of a window that ends with the DAG run's data interval, or when it is due.
    :param max_spans: most spans to evaluate. Default: the API's, 10,000. (templated)
    :param override_evaluations: whether spans that are labelled already are judged again. Default False.
        (templated)
    :param wait_for_completion: whether the task waits for the run's end. Default False.
    :param deferrable: whether it waits in the triggerer, without a worker slot. Default: Airflow's
        ``[operators] default_deferrable``.
    :param poll_interval: seconds between two looks at the run. Default 10.
    :param timeout: seconds after which the run is cancelled and the task fails. Default: none.
        ``execution_timeout`` is honoured too, also while deferred.
    :param cancel_on_kill: whether killing the waiting task cancels its run. Default True.
    :param on_nothing_evaluated: what a run that scored nothing does to the task: ``fail``, ``skip`` or
        ``succeed``. Default ``skip``.
    :param max_error_rate: largest acceptable share of errors among the attempted spans, 0 to 1. Default:
        any, as long as one span was scored.
    :param conn_id: Airflow connection of type ``arize_online_tasks``. (templated)
    :raises InvalidInput: an argument is wrong; when the DAG is parsed if it is a literal.
    :raises TaskErrorReturned: Arize did not start the run, and says why.
    :raises OnlineTaskRunEndedBadly: the run it waited for failed, was cancelled, or had too many errors.
    :raises OnlineTaskRunTimeout: the run was not over in time, and was cancelled.
    :raises CallError: Arize refused or could not be reached.
    """

    template_fields: Sequence[str] = (
        "conn_id",
        "online_task_id",
        "data_start_time",
        "data_end_time",
        "max_spans",
        "override_evaluations",
    )
    operator_extra_links = (OnlineTaskRunLink(), ProjectLink(), EvaluatorLink())

    def __init__(
        self,
        *,
        online_task_id: str | XComArg,
        data_start_time: datetime | str | None = None,
        data_end_time: datetime | str | None = None,
        lookback: timedelta | None = None,
        max_spans: int | str | None = None,
        override_evaluations: bool | str | None = None,
        wait_for_completion: bool = False,
        deferrable: bool | None = None,
        poll_interval: float = DEFAULT_POLL_INTERVAL,
        timeout: float | None = None,
        cancel_on_kill: bool = True,
        on_nothing_evaluated: str = "skip",
        max_error_rate: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.online_task_id = online_task_id
        self.data_start_time = data_start_time
        self.data_end_time = data_end_time
        self.lookback = lookback
        self.max_spans = max_spans
        self.override_evaluations = override_evaluations
        self.wait_for_completion = wait_for_completion
        self.deferrable = default_deferrable() if deferrable is None else deferrable
        self.poll_interval = positive_seconds(poll_interval, "poll_interval")
        self.timeout = None if timeout is None else positive_seconds(timeout, "timeout")
        self.cancel_on_kill = cancel_on_kill
        self.on_nothing_evaluated = on_nothing_evaluated
        self.max_error_rate = max_error_rate
        self._run_id: str | None = None
        self._kill_hook: OnlineTasksHook | None = None
        self._is_killed = False
        EndingRules(on_nothing_evaluated=on_nothing_evaluated, max_error_rate=max_error_rate)
        check_window_arguments(data_start_time, data_end_time, lookback)
        RunInput.check_literals(self._arguments(), partial=data_start_time is None)

    def _arguments(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.template_fields if name != "conn_id"}

    def _rules(self) -> EndingRules:
        return EndingRules(
            on_nothing_evaluated=self.on_nothing_evaluated,
            max_error_rate=self.max_error_rate,
            # The same reading as what was sent: a rendered value is text.
            max_spans=None if self.max_spans is None else int(float(self.max_spans)),
        )

    def _run_input(self, context: Context) -> RunInput:
        window = resolve_window(
            context, start=self.data_start_time, end=self.data_end_time, lookback=self.lookback
        )
        run = RunInput.read(
            {**self._arguments(), "data_start_time": window.start, "data_end_time": window.end}
        )
        if window.is_long:
            self.log.warning(
                "The window %s is longer than the 30 days that Arize documents as the limit. It is sent as "
                "it is; split_window() cuts it for dynamic task mapping.",
                window,
            )
        return run

    def _submission(self, hook: OnlineTasksHook, run: RunInput, context: Context) -> Submission:
        from airflow_provider_online_tasks.once.run import Submission

        return Submission(
            hook=hook,
            run=run,
            context=context,
            log=self.log,
            rerun_if_nothing_evaluated=self.on_nothing_evaluated == "fail",
            max_error_rate=self.max_error_rate,
        )

    def execute(self, context: Context) -> str | None:
        """Start the run, or take up that of an earlier try; wait for it if asked to."""
        run = self._run_input(context)
        with self.hook as hook:
            self._kill_hook = hook.sibling()
            submission = self._submission(hook, run, context)
            try:
                obtained = submission.obtain()
            except TaskErrorReturned as error:
                self._not_started(error, run)
                return None
            except InputRefused as error:
                if run.window.is_long:
                    raise _window_refused(error, run) from error
                raise
            return self._go_on(context, hook, submission, run, obtained)

    def _not_started(self, error: TaskErrorReturned, run: RunInput) -> None:
        if says_no_data(error.code, error.reason):
            self._rules().settle_nothing(
                f"No run was started, as there is nothing to evaluate in {run.window}. Arize says: "
                f"{error.reason}",
                log=self.log,
                run=None,
            )
            return
        if run.window.is_long:
            raise _window_refused(error, run) from error
        raise error

    def _go_on(
        self,
        context: Context,
        hook: OnlineTasksHook,
        submission: Submission,
        run: RunInput,
        obtained: Obtained,
    ) -> str:
        self._run_id = obtained.run_id
        self._stop_if_killed(hook)
        self._push(context, obtained)
        links = self.links = hook.links(run.online_task_id, run.window)
        links.push(context)  # for those who look while the task waits
        url = links.spans
        self.log.info(
            "Run %s is %s, for up to %s spans.%s",
            obtained.run_id,
            obtained.how.value,
            run.max_spans or DEFAULT_MAX_SPANS,
            f" They are shown at {url}" if url else "",
        )
        facts = {
            "online_task_id": run.online_task_id,
            "run_id": obtained.run_id,
            "data_start_time": wire_time(run.window.start),
            "data_end_time": wire_time(run.window.end),
        }
        self.note_lineage(facts, online_task_id=run.online_task_id, project_id=links.project_id)
        if not self.wait_for_completion:
            submission.finish()
            return obtained.run_id
        taken_up_at = datetime.now(UTC)
        deadline = self._deadline()
        if self.deferrable and not (obtained.run and obtained.run.is_over):
            self._defer(run, obtained, url, taken_up_at, deadline)
        ended = obtained.run if obtained.run and obtained.run.is_over else self._wait(hook, deadline, url)
        self._stop_if_killed(hook)
        if _was_cancelled_late(ended, how=obtained.how.name, taken_up_at=taken_up_at):
            return self._go_on(context, hook, submission, run, self._start_anew(submission, ended))
        return self._settle(context, submission, ended, url)

    def _start_anew(self, submission: Submission, ended: TaskRun) -> Obtained:
        self.log.warning(
            "Run %s was cancelled just after it was taken up again, as clearing a task does: "
            "a new run is started.",
            ended.id,
        )
        return submission.start_instead_of(ended.id)

    def _push(self, context: Context, obtained: Obtained) -> None:
        push = context["ti"].xcom_push
        push(key="return_value", value=obtained.run_id)
        push(key=RUN_ID_KEY, value=obtained.run_id)

    def _deadline(self) -> float | None:
        bounds = [self.timeout]
        if self.execution_timeout is not None:
            bounds.append(self.execution_timeout.total_seconds())
        seconds = [bound for bound in bounds if bound is not None]
        return time.time() + min(seconds) if seconds else None

    def _defer(
        self,
        run: RunInput,
        obtained: Obtained,
        url: str | None,
        taken_up_at: datetime,
        deadline: float | None,
    ) -> NoReturn:
        from airflow_provider_online_tasks.triggers.runs import OnlineTaskRunTrigger

        self.defer(
            trigger=OnlineTaskRunTrigger(
                run_id=obtained.run_id,
                online_task_id=run.online_task_id,
                conn_id=self.conn_id,
                poll_interval=self.poll_interval,
                deadline=deadline,
                cancel_on_kill=self.cancel_on_kill,
                max_spans=run.max_spans if isinstance(run.max_spans, int) else None,
                payload={
                    "run_id": obtained.run_id,
                    "how": obtained.how.name,
                    "taken_up_at": wire_time(taken_up_at),
                    "url": url,
                    "deadline": deadline,
                },
            ),
            method_name="execute_complete",
            timeout=None,  # the trigger keeps the deadline, so that a late run is cancelled
        )
        raise RuntimeError("defer returned")

    def _wait(self, hook: OnlineTasksHook, deadline: float | None, url: str | None) -> TaskRun:
        from airflow_provider_online_tasks.waiting.progress import ProgressLog

        run_id = str(self._run_id)
        progress = ProgressLog()
        found: TaskRun | None = None
        while True:
            try:
                found = hook.get_task_run(run_id)
            except (RateLimited, Unavailable) as error:
                self.log.warning("%s. The run is waited for all the same.", error)
            else:
                if (line := progress.line(found, time.time())) is not None:
                    self.log.info("%s", line)
                if found.is_over:
                    return found
            if deadline is not None and time.time() >= deadline:
                return self._time_out(hook, run_id, found, url)
            left = self.poll_interval if deadline is None else max(0.0, deadline - time.time())
            time.sleep(min(self.poll_interval, left))

    def _time_out(self, hook: OnlineTasksHook, run_id: str, run: TaskRun | None, url: str | None) -> TaskRun:
        """Cancel a run that is late; return it if it ended by itself meanwhile.

        :raises OnlineTaskRunTimeout: it did not.
        """
        ended = self._cancel(hook, run_id)
        # One that is cancelled was cancelled here, by a request whose answer was lost.
        if ended is not None and ended.status is not RunStatus.CANCELLED:
            return ended
        bounds = [(f"timeout={self.timeout:g} s", self.timeout)] if self.timeout is not None else []
        if self.execution_timeout is not None:
            bounds.append(("the task's execution_timeout", self.execution_timeout.total_seconds()))
        limit = min(bounds, key=lambda bound: bound[1])[0] if bounds else "its time"
        told = f" ({run.counts} so far)" if run else ""
        where = f" See {url}" if url else ""
        raise OnlineTaskRunTimeout(
            f"Run {run_id} was not over within {limit} and was asked to cancel{told}. The labels it has made "
            f"stay; a retry starts a new run, which judges what is left. If the run was only slow, allow it "
            f"more time or a shorter window.{where}"
        )

    def _cancel(self, hook: OnlineTasksHook, run_id: str) -> TaskRun | None:
        """Cancel a run, and return it if it was over already; what goes wrong is logged and hides nothing."""
        try:
            try:
                run = hook.cancel_task_run(run_id)
            except InputRefused:
                run = hook.get_task_run(run_id)
                if not run.is_over:
                    raise
                self.log.info("Run %s was over before it could be cancelled: %s.", run_id, run.status.value)
                return run
        except CallError as error:
            self.log.error("Run %s could not be cancelled and may go on, at its cost: %s", run_id, error)  # noqa: TRY400
        else:
            self.log.info("Cancelled run %s: %s.", run_id, run.counts)
        return None

    def execute_complete(self, context: Context, event: Any) -> str:
        """Act on what the trigger saw."""
        from airflow_provider_online_tasks.triggers._events import OVER, TIMEOUT, read_event

        seen = read_event(event)
        run_id = self._run_id = read_id(seen.payload.get("run_id"), "The event's run_id")
        with self.hook as hook:
            self._kill_hook = hook.sibling()
            ended = seen.run
            if seen.outcome == TIMEOUT:
                ended = self._time_out(hook, run_id, seen.run, seen.payload.get("url"))
            elif seen.outcome != OVER or ended is None:
                raise wait_error(seen.error_type, f"Waiting for run {run_id} ended: {seen.error_message}")
            if ended.id != run_id:
                raise wait_error(None, f"The event is about run {ended.id}, not {run_id}.")
            run = self._run_input(context)
            submission = self._submission(hook, run, context)
            if _was_cancelled_late(
                ended,
                how=str(seen.payload.get("how")),
                taken_up_at=parse_time(seen.payload.get("taken_up_at"), "taken_up_at"),
            ):
                return self._go_on(context, hook, submission, run, self._start_anew(submission, ended))
            return self._settle(context, submission, ended, seen.payload.get("url"))

    def _settle(self, context: Context, submission: Submission, run: TaskRun, url: str | None) -> str:
        context["ti"].xcom_push(key=RUN_KEY, value=run.summary())
        self.note_lineage(run.summary(), online_task_id=run.task_id)
        try:
            self._rules().settle(run, log=self.log, url=url)
        except AirflowSkipException:
            submission.finish()
            raise
        tell_of_run(context, self.outlets, run.summary())
        submission.finish()
        return run.id

    def on_kill(self) -> None:
        """Cancel the run that is waited for; one that is just being started, as soon as it is known."""
        self._is_killed = self.cancel_on_kill and self.wait_for_completion
        if not self._is_killed or self._run_id is None or self._kill_hook is None:
            return
        # The signal may have come amid a request, or amid a question to Airflow: so this uses neither the
        # session of the other hook nor anything that would ask for the connection again.
        with self._kill_hook as hook:
            self._cancel(hook, self._run_id)

    def _stop_if_killed(self, hook: OnlineTasksHook) -> None:
        """Go no further once ``on_kill`` was called: Airflow leaves the task a few seconds more."""
        if self._is_killed and self._run_id is not None:
            self._cancel(hook, self._run_id)
            raise OnlineTasksError(f"The task was ended while it waited for run {self._run_id}.")


class CancelOnlineTaskRunOperator(OnlineTasksOperator):
    """Cancel a run (``POST /v2/task-runs/{run_id}/cancel``) and return its summary.

    A run that is over already is no error: it stays as it is, and the log and the summary say how it ended.

    :param run_id: the run's ID, as :class:`RunOnlineTaskOperator` returns it. (templated)
    :param conn_id: Airflow connection of type ``arize_online_tasks``. (templated)
    :raises InvalidInput: an argument is wrong; when the DAG is parsed if it is a literal.
    :raises NotFound: there is no such run, or the key cannot read it.
    :raises CallError: Arize refused or could not be reached.
    """

    template_fields: Sequence[str] = ("conn_id", "run_id")

    def __init__(self, *, run_id: str | XComArg, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id
        if not is_templated(run_id):
            read_id(run_id, "run_id")

    def execute(self, context: Context) -> dict[str, Any]:
        """Cancel the run."""
        run_id = read_id(self.run_id, "run_id")
        with self.hook as hook:
            run = hook.get_task_run(run_id)
            if not run.is_over:
                try:
                    run = hook.cancel_task_run(run_id)
                except InputRefused:
                    # It may have ended meanwhile, or by a request whose answer was lost.
                    run = hook.get_task_run(run_id)
                    if not run.is_over:
                        raise
                else:
                    self.log.info("Cancelled run %s: %s.", run_id, run.counts)
                    return run.summary()
        self.log.info("Run %s is over already, %s: %s.", run_id, run.status.value, run.counts)
        return run.summary()


def _was_cancelled_late(run: TaskRun, *, how: str, taken_up_at: datetime) -> bool:
    """Whether a run that a try took up again fell to the cancellation of the try before it."""
    return (
        how == "REATTACHED"
        and read_ending(run) is Ending.CANCELLED
        and datetime.now(UTC) - taken_up_at < LATE_CANCEL
    )


def _window_refused(error: CallError, run: RunInput) -> WindowRefused:
    return WindowRefused(
        f"{error} The window {run.window} is longer than the documented 30 days: cut it with split_window() "
        f"and map the operator over the pieces."
    )


def default_deferrable() -> bool:
    """Return Airflow's ``[operators] default_deferrable``."""
    return bool(conf.getboolean("operators", "default_deferrable", fallback=False))


def positive_seconds(value: Any, name: str) -> float:
    """Return a number of seconds.

    :raises InvalidInput: it is not above 0.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise InvalidInput(f"{name} must be seconds above 0, not {value!r}.")
    return float(value)
