"""One execution of RunOnlineTaskOperator: start the run, wait for it, and cancel it if it is late."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks import _clock, exceptions
from airflow_provider_online_tasks._times import parse_time, wire_time
from airflow_provider_online_tasks.api.responses import RunStatus, TaskRun
from airflow_provider_online_tasks.idempotency.create_once import Outcome, Result
from airflow_provider_online_tasks.inputs.runs import RunInput
from airflow_provider_online_tasks.runs.blocking_wait import BlockingWait
from airflow_provider_online_tasks.runs.end_states import EndRules, EndState, read_end_state, says_no_data
from airflow_provider_online_tasks.runs.submission import RunIntent, Submission
from airflow_provider_online_tasks.runs.task_fate import TaskFate, worker_task_fate

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
    from airflow_provider_online_tasks.ui.links import Links

# Clearing a waiting task cancels its run, up to this long after the next try has resumed the run.
LATE_CANCELLATION = timedelta(seconds=90)
# Seconds, and the argument that sets them.
WaitLimit = tuple[float, str]


class RunLifecycle:
    """The steps of an execution, in the order of their use."""

    run: RunInput
    outcome: Outcome
    since: datetime  # when this try got the run
    _submission: Submission

    def __init__(
        self, *, context: Context, hook: OnlineTasksHook, rules: EndRules, cancel_on_kill: bool, log: Any
    ) -> None:
        self.hook = hook
        self.run_id: str | None = None
        self.spending: dict[str, Any] | None = None  # what the check of the run's limits found
        self.earlier_spending: dict[str, Any] | None = None  # of an earlier run that can't be used
        self.finished: TaskRun | None = None  # set if the run had finished when this try got it
        self._context = context
        self._rules = rules
        self._cancel_on_kill = cancel_on_kill
        self._log = log
        self._fate_when_killed: TaskFate | None = None

    def resume_earlier(self, run: RunInput) -> bool:
        """Resume the run of an earlier try, if there is one."""
        self._plan(run)
        self._stop_if_killed()
        result = self._submission.find_earlier()
        if result is not None:
            self.spending = self._submission.spending
            if self.spending is not None and "max_spans" in self.spending:
                self.run = run.model_copy(update={"max_spans": self.spending["max_spans"]})
            self._use(result)
        self.earlier_spending = self._submission.earlier_spending
        return result is not None

    def start(self, run: RunInput, *, spending: dict[str, Any] | None = None) -> bool:
        """Start a new run. False: the window has no data, and that succeeds.

        :param spending: what the check of the run's limits found.
        """
        self.run, self.spending = run, spending
        self._stop_if_killed()
        try:
            self._use(self._submission.start(run, spending=spending))
        except (exceptions.BadRequest, exceptions.TaskErrorReturned) as error:
            if isinstance(error, exceptions.TaskErrorReturned) and says_no_data(error.code, error.reason):
                self._rules.conclude_without_run(error.reason, run.window, log=self._log)
                return False
            if run.window.is_long:
                raise exceptions.WindowTooLong(
                    f"{error} The window {run.window} is longer than the documented maximum of 30 days: "
                    f"split it with split_window() and map the operator over the parts."
                ) from error
            raise
        return True

    def give_up(self) -> None:
        """Don't use a run that was cancelled after this try had resumed it: :meth:`start` a new one."""
        self._log.warning(
            "Run %s was cancelled just after this try resumed it, as clearing a task does. A new run is "
            "needed.",
            self.run_id,
        )
        self._submission.give_up(str(self.run_id))
        self.run_id = self.finished = None

    def to_json(self) -> dict[str, Any]:
        """Return what a deferred task keeps of its run."""
        return {
            "run": self.run.to_rest(),
            "outcome": self.outcome.name,
            "since": wire_time(self.since),
            "spending": self.spending,
        }

    def resume(self, run_id: str, kept: Mapping[str, Any]) -> None:
        """Continue with the run that this try had before it deferred, from what :meth:`to_json` returned."""
        try:
            self._plan(RunInput.read(kept["run"]))
            self.outcome, self.since = Outcome[kept["outcome"]], parse_time(kept["since"], "since")
            self.spending = kept.get("spending")
        except (KeyError, TypeError, ValueError) as error:
            raise exceptions.OnlineTasksError(
                f"The trigger's event can't be used ({type(error).__name__}: {error}). Clear the task: the "
                f"new try resumes its run."
            ) from None
        self.run_id = run_id

    def _plan(self, run: RunInput) -> None:
        self.run = run
        # on_kill can't read the connection, because the signal may interrupt a call to Airflow.
        self.hook.settings  # noqa: B018
        self._submission = self._new_submission(self.hook)

    def _new_submission(self, hook: OnlineTasksHook) -> Submission:
        return Submission(
            hook=hook,
            run=self.run,
            context=self._context,
            log=self._log,
            rules=self._rules,
            cancel_on_kill=self._cancel_on_kill,
        )

    def _use(self, result: Result[TaskRun]) -> None:
        self.run_id, self.outcome, self.since = result.id, result.outcome, _clock.now()
        self.finished = result.resource if result.resource is not None and result.resource.is_over else None
        self._stop_if_killed()

    def wait(self, *, poll_interval: float, limit: WaitLimit | None) -> TaskRun:
        """Wait in this process until the run finishes, and return it."""
        wait = BlockingWait(run_id=str(self.run_id), poll_interval=poll_interval, log=self._log)
        ends = _clock.monotonic() + (math.inf if limit is None else limit[0])
        while True:
            run = wait.poll(self.hook)
            self._stop_if_killed()
            if run is not None and run.is_over:
                return run
            left = ends - _clock.monotonic()
            if left <= 0:
                return self.time_out(wait.run, limit)
            _clock.sleep(min(wait.pause, left))

    def time_out(self, last_seen: TaskRun | None, limit: WaitLimit | None) -> TaskRun:
        """Cancel a run that is late and raise; return the run if it finished before that."""
        # A cancelled run was cancelled by the trigger, or here: the response to an earlier attempt was lost.
        if last_seen is None or last_seen.status is not RunStatus.CANCELLED:
            self._submission.check_try()  # this process may have been suspended
            run = self._cancel(self.hook, str(self.run_id))
            if run is not None and run.status is not RunStatus.CANCELLED:
                return run
        duration = "its time" if limit is None else "{:g} s ({})".format(*limit)
        counts = f" {last_seen.counts} so far; the labels are kept." if last_seen else ""
        url = self.find_links().spans
        raise exceptions.OnlineTaskRunTimeout(
            f"Run {self.run_id} did not finish within {duration} and was cancelled.{counts} A retry starts a "
            f"run for the remaining spans. If the run was only slow, increase the limit or use a shorter "
            f"window.{f' See {url}' if url else ''}"
        )

    def was_cancelled_by_clear(self, run: TaskRun) -> bool:
        """Return whether the earlier try or its clear cancelled the run that this try resumed or adopted."""
        is_recent = _clock.now() - self.since < LATE_CANCELLATION
        is_earlier = self.outcome in (Outcome.RESUMED, Outcome.ADOPTED)
        return is_earlier and is_recent and read_end_state(run) is EndState.CANCELLED

    def find_links(self) -> Links:
        """Return the links into the Arize UI, which takes up to three requests."""
        return self.hook.links(self.run.online_task_id, self.run.window)

    def finish(self) -> None:
        """Note the success, so that clearing the task later starts a new run."""
        self._submission.finish()

    @contextlib.contextmanager
    def cancelled_if_last_try_fails(self) -> Iterator[None]:
        """Cancel the run after an error of Airflow in the last try: no other try would wait for it."""
        try:
            yield
        except Exception:
            if self._submission.is_last_try:
                self._submission.check_try()
                self._cancel(self.hook, str(self.run_id))
            raise

    def on_kill(self) -> None:
        """Cancel the run if the task ended. Called by a signal handler."""
        fate = self._fate_when_killed = worker_task_fate(self._context["ti"])
        submission = getattr(self, "_submission", None)  # None before the window is known
        intent = submission.unfinished if submission else None
        run_id = self.run_id
        if run_id is None and intent is None:
            return
        # The signal may interrupt a request or a call to Airflow: use another session, and don't read the
        # connection again.
        with self.hook.sibling() as hook:
            if run_id is None and intent is not None:
                run_id = self._find_run(hook, intent, fate)
            if run_id is not None:
                self._end_run(hook, fate, run_id)

    def _find_run(self, hook: OnlineTasksHook, intent: RunIntent, fate: TaskFate) -> str | None:
        """Return the ID of the run that this process resumes, or whose request has no response yet."""
        if intent.id is not None:
            return intent.id
        if fate is TaskFate.ENDED:
            with contextlib.suppress(exceptions.CallError):
                run = self._new_submission(hook).find(intent)
                if run is not None:
                    return run.id
        self._log.warning(
            "Airflow ends this process before Arize responded: %s. A run of task %s over the window %s may "
            "exist. The next try searches for it. If there is no next try, cancel it in the Arize UI.",
            fate.value,
            intent.online_task_id,
            intent.window,
        )
        return None

    def _stop_if_killed(self) -> None:
        """Raise after a kill: Airflow gives the process a few seconds more."""
        if self._fate_when_killed is None:
            return
        if self._fate_when_killed is TaskFate.UNKNOWN:  # the signal interrupted a call to Airflow; ask again
            self._fate_when_killed = worker_task_fate(self._context["ti"])
        if self.run_id is None:
            raise exceptions.OnlineTasksError("Airflow ended the task before it started a run.")
        self._end_run(self.hook, self._fate_when_killed, self.run_id)
        raise exceptions.OnlineTasksError(f"Airflow ended the task while it waited for run {self.run_id}.")

    def _end_run(self, hook: OnlineTasksHook, fate: TaskFate, run_id: str) -> None:
        if fate is TaskFate.ENDED:
            self._cancel(hook, run_id)
            return
        self._log.warning(
            "Airflow ends this process: %s. Run %s is not cancelled: the next try resumes it. If there is no "
            "next try, cancel it with CancelOnlineTaskRunOperator.",
            fate.value,
            run_id,
        )

    def _cancel(self, hook: OnlineTasksHook, run_id: str) -> TaskRun | None:
        """Cancel the run, and return it if it was finished already. Errors are only logged."""
        try:
            run, was_finished = hook.end_task_run(run_id)
        except exceptions.CallError as error:
            self._log.error(
                "Run %s could not be cancelled and may still be running. Cancel it in the Arize UI: %s",
                run_id,
                error,
            )
            return None
        if was_finished:
            self._log.info("Run %s finished before the cancellation: %s.", run_id, run.status.value)
            return run
        self._log.info("Cancelled run %s: %s.", run_id, run.counts)
        return None
