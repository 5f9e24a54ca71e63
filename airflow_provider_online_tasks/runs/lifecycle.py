"""One execution of RunOnlineTaskOperator: start the run once, wait for it, conclude, cancel it on a kill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self, assert_never

from airflow_provider_online_tasks import _clock
from airflow_provider_online_tasks._airflow import AirflowSkipException
from airflow_provider_online_tasks._times import parse_time, wire_time
from airflow_provider_online_tasks.api.responses import RunStatus, TaskRun
from airflow_provider_online_tasks.exceptions import (
    BadRequest,
    CallError,
    OnlineTaskRunTimeout,
    OnlineTasksError,
    TaskErrorReturned,
    WindowTooLong,
)
from airflow_provider_online_tasks.idempotency.create_once import Outcome
from airflow_provider_online_tasks.runs.blocking_wait import BlockingWait
from airflow_provider_online_tasks.runs.end_states import EndRules, EndState, read_end_state, says_no_data
from airflow_provider_online_tasks.runs.submission import Submission
from airflow_provider_online_tasks.runs.task_fate import TaskFate, worker_task_fate

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
    from airflow_provider_online_tasks.idempotency.create_once import Result
    from airflow_provider_online_tasks.inputs.runs import RunInput
    from airflow_provider_online_tasks.ui.links import Links

# Clearing a waiting task cancels its run, up to this long after the next try has resumed the run.
LATE_CANCELLATION = timedelta(seconds=90)


@dataclass(frozen=True, kw_only=True)
class StartedRun:
    """The run of an execution.

    :param id: its ID.
    :param outcome: whether it is new, resumed, or adopted.
    :param since: when this try got it.
    :param finished: the run, if it was finished then.
    """

    id: str
    outcome: Outcome
    since: datetime
    finished: TaskRun | None = None

    @classmethod
    def of(cls, result: Result[TaskRun]) -> Self:
        """Return the run that a submission started or found."""
        run = result.resource if result.resource is not None and result.resource.is_over else None
        return cls(id=result.id, outcome=result.outcome, since=_clock.now(), finished=run)

    def to_json(self) -> dict[str, str]:
        """Return what a deferred task keeps of it."""
        return {"id": self.id, "outcome": self.outcome.name, "since": wire_time(self.since)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return what :meth:`to_json` wrote.

        :raises OnlineTasksError: it is something else.
        """
        try:
            since = parse_time(value["since"], "since")
            return cls(id=value["id"], outcome=Outcome[value["outcome"]], since=since)
        except (KeyError, TypeError, ValueError) as error:
            raise OnlineTasksError(
                f"The trigger's event can't be used ({type(error).__name__}: {error}). Clear the task: the "
                f"new try resumes its run."
            ) from None

    def was_cancelled_by_clear(self, run: TaskRun) -> bool:
        """Return whether the earlier try or its clear cancelled the run that this try resumed or adopted."""
        is_recent = _clock.now() - self.since < LATE_CANCELLATION
        is_earlier = self.outcome in (Outcome.RESUMED, Outcome.ADOPTED)
        return is_earlier and is_recent and read_end_state(run) is EndState.CANCELLED


class RunLifecycle:
    """The steps of an execution, in the order of their use.

    :param context: the Airflow context.
    :param hook: the connection to Arize.
    :param rules: which end states are successes.
    :param log: the task's log.
    :ivar run: the planned run, once it is known.
    :ivar run_id: the run's ID, once it is known.
    """

    run: RunInput
    _submission: Submission

    def __init__(self, *, context: Context, hook: OnlineTasksHook, rules: EndRules, log: Any) -> None:
        self.hook = hook
        self.run_id: str | None = None
        self._context = context
        self._rules = rules
        self._log = log
        self._fate_when_killed: TaskFate | None = None

    def start(self, run: RunInput) -> StartedRun | None:
        """Start a run, or resume that of an earlier try; None if the window has no data and that succeeds.

        :raises TaskErrorReturned: Arize did not start the run.
        :raises OnlineTaskRunNothingEvaluated: the window has no data, and that fails.
        :raises AirflowSkipException: the window has no data, and that skips.
        """
        self._plan(run)
        self._stop_if_killed()
        try:
            return self._started(self._submission.obtain())
        except TaskErrorReturned as error:
            if says_no_data(error.code, error.reason):
                self._rules.conclude_without_run(error.reason, run.window, log=self._log)
                return None
            self._raise_if_window_too_long(error)
            raise
        except BadRequest as error:
            self._raise_if_window_too_long(error)
            raise

    def resume(self, run: RunInput, run_id: str) -> None:
        """Continue with a run that this execution has started before."""
        self._plan(run)
        self.run_id = run_id

    def restart(self, cancelled: TaskRun) -> StartedRun:
        """Start a new run instead of one that was cancelled after this try had resumed it."""
        self._log.warning(
            "Run %s was cancelled just after this try resumed it, as clearing a task does. Starting a new "
            "run.",
            cancelled.id,
        )
        return self._started(self._submission.start_instead_of(cancelled.id))

    def _plan(self, run: RunInput) -> None:
        self.run = run
        self._submission = Submission(
            hook=self.hook,
            run=run,
            context=self._context,
            log=self._log,
            rerun_if_nothing_evaluated=self._rules.on_nothing_evaluated == "fail",
            max_error_rate=self._rules.max_error_rate,
        )

    def _started(self, result: Result[TaskRun]) -> StartedRun:
        self.run_id = result.id
        self._stop_if_killed()
        return StartedRun.of(result)

    def _raise_if_window_too_long(self, error: CallError) -> None:
        if self.run.window.is_long:
            raise WindowTooLong(
                f"{error} The window {self.run.window} is longer than the documented maximum of 30 days: "
                f"split it with split_window() and map the operator over the parts."
            ) from error

    def wait(self, *, poll_interval: float, limit: WaitLimit | None) -> TaskRun:
        """Wait in this process until the run finishes, and return it.

        :param poll_interval: seconds between two polls.
        :raises OnlineTaskRunTimeout: it did not finish in time and was cancelled.
        :raises OnlineTaskRunUnreachable: Arize rejected the polls for minutes.
        """
        wait = BlockingWait(run_id=str(self.run_id), poll_interval=poll_interval, log=self._log)
        timeout = None if limit is None else limit.seconds
        run = wait.until_finished(self.hook, timeout=timeout, check=self._stop_if_killed)
        return run or self.time_out(wait.run, limit)

    def time_out(self, last_seen: TaskRun | None, limit: WaitLimit | None) -> TaskRun:
        """Cancel a run that is late; return it if it finished before that.

        :param last_seen: the run as it was last read.
        :raises OnlineTaskRunTimeout: it had not finished.
        """
        run = self._cancel(self.hook)
        # A cancelled run was cancelled here: the response to an earlier attempt was lost.
        if run is not None and run.status is not RunStatus.CANCELLED:
            return run
        counts = f" {last_seen.counts} so far; the labels are kept." if last_seen else ""
        url = self.find_links().spans
        raise OnlineTaskRunTimeout(
            f"Run {self.run_id} did not finish within {limit or 'its time'} and was cancelled.{counts} A "
            f"retry starts a run for the remaining spans. If the run was only slow, increase the limit or "
            f"use a shorter window.{f' See {url}' if url else ''}"
        )

    def find_links(self) -> Links:
        """Return the links into the Arize UI, which takes up to three requests."""
        return self.hook.links(self.run.online_task_id, self.run.window)

    def conclude(self, run: TaskRun, links: Links) -> None:
        """Return if the finished run counts as a success, else raise.

        :raises OnlineTaskRunUnsuccessful: the subclass of the run's end state.
        :raises AirflowSkipException: nothing was evaluated, and that skips.
        """
        try:
            self._rules.conclude(
                run, log=self._log, url=links.spans, task=links.task, max_spans=self.run.max_spans
            )
        except AirflowSkipException:
            self._submission.finish()
            raise

    def finish(self) -> None:
        """Note the success, so that clearing the task later starts a new run."""
        self._submission.finish()

    # -- Kills. --

    def on_kill(self) -> None:
        """Cancel the run if the task ended; leave it to the next try otherwise.

        Called by a signal handler. A run that is being started is cancelled once its ID is known.
        """
        self._fate_when_killed = worker_task_fate(self._context["ti"])
        if self.run_id is not None:
            # The signal may interrupt a request or a call to Airflow: use another session, and don't read the
            # connection again.
            with self.hook.sibling() as hook:
                self._end_run(hook, self._fate_when_killed)

    def _stop_if_killed(self) -> None:
        """Raise after a kill: Airflow gives the process a few seconds more."""
        if self._fate_when_killed is None:
            return
        if self._fate_when_killed is TaskFate.UNKNOWN:  # the signal interrupted a call to Airflow; ask again
            self._fate_when_killed = worker_task_fate(self._context["ti"])
        if self.run_id is None:
            raise OnlineTasksError("Airflow ended the task before it started a run.")
        self._end_run(self.hook, self._fate_when_killed)
        raise OnlineTasksError(f"Airflow ended the task while it waited for run {self.run_id}.")

    def _end_run(self, hook: OnlineTasksHook, fate: TaskFate) -> None:
        match fate:
            case TaskFate.ENDED:
                self._cancel(hook)
            case TaskFate.RESUMED | TaskFate.UNKNOWN:
                self._log.warning(
                    "Airflow ends this process: %s. Run %s is not cancelled.", fate.value, self.run_id
                )
                self._log.warning(
                    "The next try resumes it. If there is no next try, cancel it with "
                    "CancelOnlineTaskRunOperator."
                )
            case _:
                assert_never(fate)

    def _cancel(self, hook: OnlineTasksHook) -> TaskRun | None:
        """Cancel the run, and return it if it was finished already. Errors are only logged."""
        try:
            run, was_finished = hook.end_task_run(str(self.run_id))
        except CallError as error:
            self._log.error(
                "Run %s could not be cancelled and may still be running. Cancel it in the Arize UI: %s",
                self.run_id,
                error,
            )
            return None
        if was_finished:
            self._log.info("Run %s finished before the cancellation: %s.", self.run_id, run.status.value)
            return run
        self._log.info("Cancelled run %s: %s.", self.run_id, run.counts)
        return None


@dataclass(frozen=True, kw_only=True)
class WaitLimit:
    """The maximum length of a wait.

    :param seconds: the length.
    :param argument: the argument that sets it.
    """

    seconds: float
    argument: str

    def __str__(self) -> str:
        return f"{self.seconds:g} s ({self.argument})"
