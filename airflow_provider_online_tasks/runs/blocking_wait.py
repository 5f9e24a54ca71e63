"""Poll a run in a worker: until it finishes for the operator, poll by poll for the sensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks import _clock
from airflow_provider_online_tasks._text import on_one_line
from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.retry import NO_RETRY
from airflow_provider_online_tasks.exceptions import CallError
from airflow_provider_online_tasks.runs import wait_policy

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.responses import TaskRun
    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook


class BlockingWait:
    """Polls a run. ``clock`` is that of the earlier ``rejections``, monotonic by default."""

    def __init__(
        self,
        *,
        run_id: str,
        poll_interval: float,
        log: Any,
        rejections: wait_policy.Rejections | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._run_id = run_id
        self._poll_interval = poll_interval
        self._log = log
        self._clock = clock or _clock.monotonic
        self._progress = wait_policy.ProgressLog(run_id)
        self._rejections = rejections or wait_policy.Rejections()
        self.run: TaskRun | None = None
        self.pause = poll_interval

    def poll(self, hook: OnlineTasksHook) -> TaskRun | None:
        """Return the run as it is now, or None if it can't be read at the moment."""
        try:
            # The wait is the retry: a client that retries would delay deadlines and kills.
            self.run = hook.client.send(calls.get_task_run(self._run_id), retry=NO_RETRY)
        except CallError as error:
            self._handle(error, hook)
            return None
        self._rejections.clear()
        self.pause = self._poll_interval
        if line := self._progress.line(self.run, _clock.monotonic()):
            self._log.info("%s", line)
        return self.run

    def _handle(self, error: CallError, hook: OnlineTasksHook) -> None:
        self.pause = max(self._poll_interval, wait_policy.pause_after(error))
        if line := self._progress.problem_line(error, _clock.monotonic()):
            self._log.warning("%s", line)
        if wait_policy.connection_may_have_changed(error) and self._has_changed(hook):
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
            raise wait_policy.run_unreachable(self._run_id, error, now - self._rejections.since) from error

    def _has_changed(self, hook: OnlineTasksHook) -> bool:
        try:
            return hook.renew()
        except Exception as unreadable:  # noqa: BLE001  the wait continues after any error of Airflow
            self._log.warning("The connection can't be read again: %s", on_one_line(str(unreadable)))
            return False
