"""Poll in a worker: until a run finishes for the operator, poll by poll for the sensors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from airflow_provider_online_tasks import _clock
from airflow_provider_online_tasks._text import on_one_line
from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.retry import NO_RETRY
from airflow_provider_online_tasks.exceptions import CallError, OnlineTasksError
from airflow_provider_online_tasks.runs import wait_policy

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.responses import TaskRun
    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook

T = TypeVar("T")


class PolledWait(ABC, Generic[T]):
    """Polls, and decides by the wait policy what a failed poll means.

    ``clock`` is that of the earlier ``rejections``, monotonic by default.
    """

    def __init__(
        self,
        *,
        problems: wait_policy.ProblemLog,
        poll_interval: float,
        log: Any,
        rejections: wait_policy.Rejections | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._problems = problems
        self._poll_interval = poll_interval
        self._log = log
        self._clock = clock or _clock.monotonic
        self._rejections = rejections or wait_policy.Rejections()
        self.pause = poll_interval

    @abstractmethod
    def _read(self, hook: OnlineTasksHook) -> T:
        """Read what the wait is about, without retries: the wait is the retry."""

    @abstractmethod
    def _unreachable(self, error: CallError, seconds: float) -> OnlineTasksError:
        """Return the exception of a wait whose polls were rejected for a number of seconds."""

    def _log_progress(self, value: T) -> None:
        """Log what was read."""

    def poll(self, hook: OnlineTasksHook) -> T | None:
        """Return what the wait is about as it is now, or None if it can't be read at the moment."""
        try:
            value = self._read(hook)
        except CallError as error:
            self.failed(error, has_changed=lambda: self._has_changed(hook))
            return None
        self.succeeded(value)
        return value

    def succeeded(self, value: T) -> None:
        """Note a poll that succeeded."""
        self._rejections.clear()
        self.pause = self._poll_interval
        self._log_progress(value)

    def failed(self, error: CallError, *, has_changed: Callable[[], bool] = lambda: False) -> None:
        """Note a poll that failed; raise an exception if that ends the wait.

        :param has_changed: whether the connection has changed since.
        """
        self.pause = max(self._poll_interval, wait_policy.pause_after(error))
        if line := self._problems.problem_line(error, _clock.monotonic()):
            self._log.warning("%s", line)
        if wait_policy.connection_may_have_changed(error) and has_changed():
            self._log.info("The connection has changed. The wait uses its new values.")
            self._rejections.clear()
            self.pause = 0.0
            return
        if not isinstance(error, wait_policy.REJECTIONS):
            self._rejections.clear()
            return
        now = self._clock()
        self._rejections.add(now)
        if self._rejections.end_wait(now):
            raise self._unreachable(error, now - self._rejections.since) from error

    def _has_changed(self, hook: OnlineTasksHook) -> bool:
        try:
            return hook.renew()
        except Exception as unreadable:  # noqa: BLE001  the wait continues after any error of Airflow
            self._log.warning("The connection can't be read again: %s", on_one_line(str(unreadable)))
            return False


class BlockingWait(PolledWait["TaskRun"]):
    """Polls a run."""

    def __init__(self, *, run_id: str, **policy: Any) -> None:
        self._run_id = run_id
        self._progress = wait_policy.ProgressLog(run_id)
        self.run: TaskRun | None = None
        super().__init__(problems=self._progress, **policy)

    def _read(self, hook: OnlineTasksHook) -> TaskRun:
        self.run = hook.client.send(calls.get_task_run(self._run_id), retry=NO_RETRY)
        return self.run

    def _unreachable(self, error: CallError, seconds: float) -> OnlineTasksError:
        return wait_policy.run_unreachable(self._run_id, error, seconds)

    def _log_progress(self, value: TaskRun) -> None:
        if line := self._progress.line(value, _clock.monotonic()):
            self._log.info("%s", line)
