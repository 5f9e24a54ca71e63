"""Run an online task over a window of spans, wait for it, and cancel a run.

API: https://arize.com/docs/ax/graphql-reference/apis/online-tasks-api
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn, assert_never

from airflow_provider_online_tasks import _clock
from airflow_provider_online_tasks._airflow import AirflowSkipException
from airflow_provider_online_tasks._defaults import DEFAULT_POLL_INTERVAL
from airflow_provider_online_tasks._times import parse_time, wire_time
from airflow_provider_online_tasks.api.responses.runs import DEFAULT_MAX_SPANS, RunStatus, TaskRun
from airflow_provider_online_tasks.asset_events import tell_of_run
from airflow_provider_online_tasks.exceptions import (
    BadRequest,
    CallError,
    InvalidInput,
    OnlineTaskRunTimeout,
    OnlineTasksError,
    TaskErrorReturned,
    WindowTooLong,
)
from airflow_provider_online_tasks.idempotency.create_once import Outcome
from airflow_provider_online_tasks.inputs import DataWindow, RunInput, read_id
from airflow_provider_online_tasks.inputs.arguments import (
    check_id,
    check_name,
    positive_seconds,
    read_deferrable,
    switch,
)
from airflow_provider_online_tasks.inputs.templating import is_templated
from airflow_provider_online_tasks.inputs.values import read_name
from airflow_provider_online_tasks.operators.base import LineageOperator, OnlineTasksOperator
from airflow_provider_online_tasks.runs.end_states import (
    Ending,
    EndingRules,
    OnNothingEvaluated,
    no_run_started,
    read_ending,
    says_no_data,
)
from airflow_provider_online_tasks.runs.index_delay import IndexDelay, read_index_delay
from airflow_provider_online_tasks.runs.kill_reason import Kill, why_killed
from airflow_provider_online_tasks.runs.wait_policy import wait_error
from airflow_provider_online_tasks.runs.window import (
    check_window_arguments,
    check_window_literals,
    resolve_window,
)
from airflow_provider_online_tasks.ui.links import EvaluatorLink, Links, OnlineTaskRunLink, ProjectLink

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
    from airflow_provider_online_tasks.idempotency.create_once import Result
    from airflow_provider_online_tasks.runs.submission import Submission
    from airflow_provider_online_tasks.triggers.events import RunEvent

RUN_ID_KEY = "run_id"
RUN_KEY = "run"
RUN_ARGUMENTS = (
    "online_task_id",
    "data_start_time",
    "data_end_time",
    "max_spans",
    "override_evaluations",
)
WINDOW_ARGUMENTS = ("lookback", "partition_length")
# A clear cancels the run of the attempt it ends, at any time up to a while after the next attempt began.
LATE_CANCEL = timedelta(seconds=90)


@dataclass(frozen=True, kw_only=True)
class _Execution:
    """What one execution of the operator works with.

    :param context: the Airflow context.
    :param hook: how Arize is called.
    :param run: what is to be run.
    :param submission: what obtains the run, once.
    """

    context: Context
    hook: OnlineTasksHook
    run: RunInput
    submission: Submission

    def all_links(self) -> Links:
        """Return the links to the task's project and evaluator, and to the spans of the window."""
        return self.hook.links(self.run.online_task_id, self.run.window)


class RunOnlineTaskOperator(LineageOperator):
    """Run an online task over a window of historical spans (``runOnlineTask``) and return the run's ID.

    One execution leaves at most one live run behind, whatever fails: a retry takes up the run of the try
    before it. Clearing the task after it succeeded starts a new run.

    The window is ``data_start_time`` and ``data_end_time``, else ``lookback``, else the DAG run's data
    interval. Every try of a DAG run computes the same window.

    Arize indexes spans late, so the run starts ``index_delay`` after the window's end. Until then the task
    waits in the triggerer, without a worker slot.

    XCom: the run's ID as ``return_value`` (and ``run_id``), pushed before the task waits for its end;
    ``run_url``, its spans in the Arize UI, ``project_url`` and ``evaluator_url``, as far as they are known;
    with ``wait_for_completion``, ``run``, its summary, which is also the ``extra`` of the events of the
    task's ``outlets``.

    :param online_task_id: global ID of the task; give this or ``online_task``. (templated)
    :param online_task: name of the task, looked up when the task runs, with one more request. (templated)
    :param data_start_time: begin of the window, a datetime or ISO 8601; without a zone it is UTC.
        (templated)
    :param data_end_time: end of the window. (templated)
    :param lookback: length of a window that ends with the DAG run's data interval, or when it is due: a
        timedelta, seconds, or an ISO 8601 duration such as ``P1D``. (templated)
    :param partition_length: length of a window that begins with the DAG run's partition (Airflow 3.3,
        ``dag_run.partition_date``), as ``lookback`` is given. (templated)
    :param index_delay: minimum time between the window's end and the start of the run: a timedelta, seconds,
        or an ISO 8601 duration such as ``PT2H``; 0 starts the run at once. Default: the connection's
        ``index_delay_minutes`` (120); manual DAG runs start at once with a warning. (templated)
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
    :raises OnlineTaskRunUnsuccessful: the run it waited for failed, was cancelled, or had too many errors.
    :raises OnlineTaskRunTimeout: the run was not over in time, and was cancelled.
    :raises OnlineTaskRunUnreachable: Arize refused to show the run for minutes; a retry takes it up.
    :raises CallError: Arize refused or could not be reached.
    """

    template_fields: Sequence[str] = (
        "conn_id",
        "online_task",
        *RUN_ARGUMENTS,
        *WINDOW_ARGUMENTS,
        "index_delay",
    )
    # Rendered Templates then show the window and the task that were found.
    overwrite_rtif_after_execution = True
    operator_extra_links = (OnlineTaskRunLink(), ProjectLink(), EvaluatorLink())

    def __init__(
        self,
        *,
        online_task_id: str | XComArg | None = None,
        online_task: str | XComArg | None = None,
        data_start_time: datetime | str | XComArg | None = None,
        data_end_time: datetime | str | XComArg | None = None,
        lookback: timedelta | float | str | XComArg | None = None,
        partition_length: timedelta | float | str | XComArg | None = None,
        index_delay: timedelta | float | str | XComArg | None = None,
        max_spans: int | str | XComArg | None = None,
        override_evaluations: bool | str | XComArg | None = None,
        wait_for_completion: bool = False,
        deferrable: bool | None = None,
        poll_interval: float = DEFAULT_POLL_INTERVAL,
        timeout: float | None = None,
        cancel_on_kill: bool = True,
        on_nothing_evaluated: OnNothingEvaluated = "skip",
        max_error_rate: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.online_task_id = online_task_id
        self.online_task = online_task
        self.data_start_time = data_start_time
        self.data_end_time = data_end_time
        self.lookback = lookback
        self.partition_length = partition_length
        self.index_delay = index_delay
        self.max_spans = max_spans
        self.override_evaluations = override_evaluations
        self.wait_for_completion = switch(wait_for_completion, "wait_for_completion")
        self.deferrable = read_deferrable(deferrable)
        self.poll_interval = positive_seconds(poll_interval, "poll_interval")
        self.timeout = None if timeout is None else positive_seconds(timeout, "timeout")
        self.cancel_on_kill = switch(cancel_on_kill, "cancel_on_kill")
        self.on_nothing_evaluated = on_nothing_evaluated
        self.max_error_rate = max_error_rate
        self._shown_window: DataWindow | None = None
        self._run_id: str | None = None
        self._ti: Any = None
        self._hook: OnlineTasksHook | None = None
        self._kill: Kill | None = None
        EndingRules(on_nothing_evaluated=on_nothing_evaluated, max_error_rate=max_error_rate)
        check_window_arguments(data_start_time, data_end_time, lookback, partition_length)
        if not is_templated(index_delay):
            read_index_delay(index_delay)
        if (online_task_id is None) == (online_task is None):
            raise InvalidInput(
                "Give online_task_id, the task's global ID, or online_task, its name: one of the two."
            )
        if online_task is not None:
            check_name(online_task, "online_task")
        arguments = self._arguments()
        RunInput.check_literals(
            arguments if online_task is None else {**arguments, "online_task_id": "online_task"},
            later=("data_start_time", "data_end_time") if data_start_time is None else (),
        )
        if data_start_time is not None:
            check_window_literals(data_start_time, data_end_time)

    def _arguments(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in RUN_ARGUMENTS}

    def _rules(self, run: RunInput) -> EndingRules:
        return EndingRules(
            on_nothing_evaluated=self.on_nothing_evaluated,
            max_error_rate=self.max_error_rate,
            max_spans=run.max_spans,
        )

    def _window(self, context: Context) -> DataWindow:
        return self._shown_window or resolve_window(
            context,
            start=self.data_start_time,
            end=self.data_end_time,
            lookback=self.lookback,
            partition_length=self.partition_length,
        )

    def _find_task(self) -> None:
        """Look the task up if it is given by its name."""
        if self.online_task is None or self.online_task_id is not None:
            return
        name = read_name(self.online_task, "online_task")
        with self.hook as hook:
            self.online_task_id = hook.find_task(name).id
        self.log.info("The task %r is %s.", name, self.online_task_id)

    def _show(self, run: RunInput) -> RunInput:
        """Have Rendered Templates show what was found."""
        self._shown_window = window = run.window
        self.online_task_id = run.online_task_id
        self.data_start_time, self.data_end_time = wire_time(window.start), wire_time(window.end)
        return run

    def _run_input(self, window: DataWindow) -> RunInput:
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

    def _resumed(self, context: Context, run: Any) -> RunInput:
        """Return the run as it was before the task was deferred."""
        if run:
            return self._show(RunInput.read(run))
        return self._found_run(context)

    def _found_run(self, context: Context) -> RunInput:
        window = self._window(context)
        self._find_task()
        return self._show(self._run_input(window))

    # -- From top to bottom: index, obtain, announce, wait, conclude. --

    def execute(self, context: Context) -> str | None:
        """Wait until the spans are indexed, start the run, and wait for its end if asked to."""
        with self._open(context, self._found_run(context)) as this:
            self._wait_for_index(this)
            return self._obtain_and_follow(this)

    def execute_after_index_delay(
        self, context: Context, event: Any = None, run: Mapping[str, Any] | None = None
    ) -> str | None:
        """Go on once the spans of the window are indexed.

        :param event: the trigger's, which says only that it is time.
        :param run: the run as it was before; None in ``dag.test()``, which passes the event only.
        """
        with self._open(context, self._resumed(context, run)) as this:
            return self._obtain_and_follow(this)

    def execute_complete(self, context: Context, event: Any) -> str:
        """Go on once the trigger has seen the run's end, or its deadline."""
        from airflow_provider_online_tasks.triggers.events import read_event

        seen = read_event(event)
        self._run_id = read_id(seen.payload.get("run_id"), "The event's run_id")
        was_taken_up = seen.payload.get("how") == Outcome.RESUMED.name
        taken_up_at = parse_time(seen.payload.get("taken_up_at"), "taken_up_at")
        with self._open(context, self._resumed(context, seen.payload.get("run"))) as this:
            ended = self._seen_end(this, seen)
            if was_taken_up and _was_cancelled_late(ended, taken_up_at):
                return self._follow(this, self._start_anew(this, ended))
            return self._conclude(this, ended)

    def _obtain_and_follow(self, this: _Execution) -> str | None:
        obtained = self._obtain(this)
        return self._follow(this, obtained) if obtained else None

    def _follow(self, this: _Execution, obtained: Result[TaskRun]) -> str:
        while True:
            self._announce(this, obtained)
            if not self.wait_for_completion:
                this.submission.finish()
                return obtained.id
            taken_up_at = _clock.now()
            ended = self._wait(this, obtained, taken_up_at)
            if not (obtained.outcome is Outcome.RESUMED and _was_cancelled_late(ended, taken_up_at)):
                return self._conclude(this, ended)
            obtained = self._start_anew(this, ended)

    @contextmanager
    def _open(self, context: Context, run: RunInput) -> Iterator[_Execution]:
        """Open the one hook of this execution."""
        from airflow_provider_online_tasks.runs.submission import Submission

        with self.hook as hook:
            self._ti, self._hook = context["ti"], hook
            submission = Submission(
                hook=hook,
                run=run,
                context=context,
                log=self.log,
                rerun_if_nothing_evaluated=self.on_nothing_evaluated == "fail",
                max_error_rate=self.max_error_rate,
            )
            yield _Execution(context=context, hook=hook, run=run, submission=submission)

    # -- Index. --

    def _wait_for_index(self, this: _Execution) -> None:
        """Defer until the spans of the window are indexed; return if they are."""
        indexing = IndexDelay.of(
            this.context,
            this.run.window,
            index_delay=read_index_delay(self.index_delay),
            index_delay_minutes=this.hook.settings.index_delay_minutes,
        )
        moment = indexing.wait_until(self.log)
        if moment is None:
            return
        from airflow.providers.standard.triggers.temporal import DateTimeTrigger

        self.defer_in_try(  # a delay of hours is no hang
            this.context["ti"],
            trigger=DateTimeTrigger(moment=moment),
            method_name="execute_after_index_delay",
            kwargs={"run": this.run.to_rest()},
        )

    # -- Obtain. --

    def _obtain(self, this: _Execution) -> Result[TaskRun] | None:
        """Return the run, or None if there is nothing to evaluate and that is a success."""
        try:
            return this.submission.obtain()
        except TaskErrorReturned as error:
            if says_no_data(error.code, error.reason):
                found = no_run_started(error.reason, this.run.window)
                self._rules(this.run).settle_bad(found, log=self.log, run=None)
                return None
            _raise_if_long(error, this.run.window)
            raise
        except BadRequest as error:
            _raise_if_long(error, this.run.window)
            raise

    def _start_anew(self, this: _Execution, ended: TaskRun) -> Result[TaskRun]:
        self.log.warning(
            "Run %s was cancelled just after this try took it up again, as clearing a task does. A new run "
            "is started.",
            ended.id,
        )
        return this.submission.start_instead_of(ended.id)

    # -- Announce. --

    def _announce(self, this: _Execution, obtained: Result[TaskRun]) -> None:
        """Push the run's ID and the links that are known; log what is going on."""
        self._run_id = obtained.id
        self._stop_if_killed(this.hook)
        push = this.context["ti"].xcom_push
        push(key="return_value", value=obtained.id)
        push(key=RUN_ID_KEY, value=obtained.id)
        links = self.links = this.hook.known_links(this.run.window)
        links.push(this.context)  # for those who look while the task waits
        self.log.info(
            "Run %s (%s) evaluates up to %s spans.%s",
            obtained.id,
            obtained.outcome.value,
            this.run.max_spans or DEFAULT_MAX_SPANS,
            f" Arize shows them at {links.spans}" if links.spans else "",
        )
        self._keep_lineage(this, {**this.run.to_rest(), "run_id": obtained.id})

    def _keep_lineage(self, this: _Execution, facts: Mapping[str, Any]) -> None:
        known = self.links.project_id
        self.keep_lineage(facts, namespace=this.hook.settings.endpoint.ui_url, project_id=known)

    # -- Wait. --

    def _wait(self, this: _Execution, obtained: Result[TaskRun], taken_up_at: datetime) -> TaskRun:
        """Return the run once it is over; or defer, and have ``execute_complete`` go on.

        :raises OnlineTaskRunTimeout: it is not over in time, and is cancelled.
        :raises OnlineTaskRunUnreachable: Arize refused to show it for minutes.
        """
        if obtained.resource is not None and obtained.resource.is_over:
            return obtained.resource
        if self.deferrable:
            self._defer_until_over(this, obtained, taken_up_at, self._deadline())
        from airflow_provider_online_tasks.runs.blocking_wait import BlockingWait

        wait = BlockingWait(run_id=obtained.id, poll_interval=self.poll_interval, log=self.log)
        limit = self._limit()
        ended = wait.until_finished(
            this.hook, timeout=limit and limit[1], check=lambda: self._stop_if_killed(this.hook)
        )
        return ended or self._time_out(this, obtained.id, wait.run)

    def _deadline(self) -> float | None:
        limit = self._limit()
        return None if limit is None else _clock.epoch() + limit[1]

    def _limit(self) -> tuple[str, float] | None:
        """Return the shortest limit of the wait: its name, and its seconds."""
        limits = [] if self.timeout is None else [(f"timeout={self.timeout:g} s", self.timeout)]
        if self.execution_timeout is not None:
            limits.append(("the task's execution_timeout", self.execution_timeout.total_seconds()))
        return min(limits, key=lambda limit: limit[1], default=None)

    def _defer_until_over(
        self, this: _Execution, obtained: Result[TaskRun], taken_up_at: datetime, deadline: float | None
    ) -> NoReturn:
        from airflow_provider_online_tasks.triggers.runs import OnlineTaskRunTrigger

        run = this.run
        self.defer_in_try(  # the trigger keeps the deadline, so that a late run is cancelled
            this.context["ti"],
            trigger=OnlineTaskRunTrigger(
                run_id=obtained.id,
                online_task_id=run.online_task_id,
                conn_id=self.conn_id,
                poll_interval=self.poll_interval,
                deadline=deadline,
                cancel_on_kill=self.cancel_on_kill,
                max_spans=run.max_spans,
                payload={
                    "run_id": obtained.id,
                    "how": obtained.outcome.name,
                    "taken_up_at": wire_time(taken_up_at),
                    "run": run.to_rest(),
                },
            ),
            method_name="execute_complete",
        )

    def _seen_end(self, this: _Execution, seen: RunEvent) -> TaskRun:
        """Return the run that the trigger saw end.

        :raises OnlineTasksError: it did not see that.
        """
        from airflow_provider_online_tasks.triggers.events import OVER, TIMEOUT

        run_id = str(self._run_id)
        if seen.run_id != run_id:
            raise wait_error(None, f"The trigger's event is about run {seen.run_id}, not {run_id}.")
        if seen.outcome == TIMEOUT:
            return self._time_out(this, run_id, seen.run)
        if seen.outcome == OVER and seen.run is not None:
            return seen.run
        raise wait_error(seen.error_type, f"Waiting for run {run_id} ended: {seen.error_message}")

    def _time_out(self, this: _Execution, run_id: str, seen: TaskRun | None) -> TaskRun:
        """Cancel a run that is late; return it if it ended by itself meanwhile.

        :raises OnlineTaskRunTimeout: it did not.
        """
        ended = self._cancel(this.hook, run_id)
        # One that is cancelled was cancelled here, by a request whose answer was lost.
        if ended is not None and ended.status is not RunStatus.CANCELLED:
            return ended
        links = self.links = this.all_links()
        limit = self._limit()
        raise OnlineTaskRunTimeout(
            f"Run {run_id} was not over within {limit[0] if limit else 'its time'} and was asked to cancel"
            f"{f' ({seen.counts} so far)' if seen else ''}. The labels it has made stay; a retry starts a "
            f"new run, which judges what is left. If the run was only slow, allow it more time or a shorter "
            f"window.{f' See {links.spans}' if links.spans else ''}"
        )

    # -- Conclude. --

    def _conclude(self, this: _Execution, ended: TaskRun) -> str:
        """Act on how the run ended."""
        this.context["ti"].xcom_push(key=RUN_KEY, value=ended.summary())
        links = self.links = this.all_links()
        self._keep_lineage(this, ended.summary())
        try:
            self._rules(this.run).settle(ended, log=self.log, url=links.spans, task=links.task)
        except AirflowSkipException:
            this.submission.finish()
            raise
        tell_of_run(this.context, self.outlets, ended.summary())
        this.submission.finish()
        return ended.id

    # -- Cancel, and being killed. --

    def _cancel(self, hook: OnlineTasksHook, run_id: str) -> TaskRun | None:
        """Cancel a run, and return it if it was over already; what goes wrong is logged and hides nothing."""
        try:
            run, was_over = hook.end_task_run(run_id)
        except CallError as error:
            self.log.error("Run %s could not be cancelled. It may go on, and cost money: %s", run_id, error)  # noqa: TRY400
            return None
        if was_over:
            self.log.info("Run %s was over before it could be cancelled: %s.", run_id, run.status.value)
            return run
        self.log.info("Cancelled run %s: %s.", run_id, run.counts)
        return None

    def on_kill(self) -> None:
        """Cancel the run that is waited for, if the task was ended; one that is being started, once it is."""
        if not (self.cancel_on_kill and self.wait_for_completion):
            return
        self._kill = why_killed(self._ti)
        if self._run_id is None or self._hook is None:
            return
        # The signal may interrupt a request or a call to Airflow: use another session, and don't read the
        # connection again.
        with self._hook.sibling() as hook:
            self._end_run(hook, self._run_id, self._kill)

    def _stop_if_killed(self, hook: OnlineTasksHook) -> None:
        """Go no further once ``on_kill`` was called: Airflow leaves the task a few seconds more."""
        if self._kill is None or self._run_id is None:
            return
        if self._kill is Kill.UNKNOWN:  # a signal amid a question to Airflow: that one is over now
            self._kill = why_killed(self._ti)
        self._end_run(hook, self._run_id, self._kill)
        raise OnlineTasksError(f"The task was ended while it waited for run {self._run_id}.")

    def _end_run(self, hook: OnlineTasksHook, run_id: str, kill: Kill) -> None:
        match kill:
            case Kill.ENDED:
                self._cancel(hook, run_id)
            case Kill.GOES_ON | Kill.UNKNOWN:
                self.log.warning("%s. Run %s is not cancelled.", kill.value, run_id)
                self.log.warning(
                    "The next try waits for it. If there is no next try, cancel it with "
                    "CancelOnlineTaskRunOperator."
                )
            case _:
                assert_never(kill)


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
        check_id(run_id, "run_id")

    def execute(self, context: Context) -> dict[str, Any]:
        """Cancel the run."""
        run_id = read_id(self.run_id, "run_id")
        with self.hook as hook:
            run = hook.get_task_run(run_id)
            was_over = run.is_over
            if not was_over:
                run, was_over = hook.end_task_run(run_id)
        if was_over:
            self.log.info("Run %s is over already, %s: %s.", run_id, run.status.value, run.counts)
        else:
            self.log.info("Cancelled run %s: %s.", run_id, run.counts)
        return run.summary()


def _raise_if_long(error: CallError, window: DataWindow) -> None:
    if window.is_long:
        raise WindowTooLong(
            f"{error} The window {window} is longer than the documented 30 days: cut it with "
            f"split_window() and map the operator over the pieces."
        ) from error


def _was_cancelled_late(run: TaskRun, taken_up_at: datetime) -> bool:
    """Whether a run that a try took up again fell to the cancellation of the try before it."""
    return read_ending(run) is Ending.CANCELLED and _clock.now() - taken_up_at < LATE_CANCEL
