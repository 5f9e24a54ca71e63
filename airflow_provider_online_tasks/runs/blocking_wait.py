"""Wait for a run in a worker: used by the operator, and poll by poll by the sensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks import _clock
from airflow_provider_online_tasks._text import on_one_line
from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.retry import NO_RETRY
from airflow_provider_online_tasks.exceptions import AuthenticationFailed, CallError
from airflow_provider_online_tasks.runs.progress import ProgressLog
from airflow_provider_online_tasks.runs.wait_policy import (
    REJECTIONS,
    Rejections,
    pause_after,
    run_unreachable,
)

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.responses import TaskRun
    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook


class BlockingWait:
    """Polls a run until it finishes.

    :param run_id: the run.
    :param poll_interval: seconds between two polls.
    :param log: the task's log.
    :param rejections: the rejected polls before this wait. Default: none.
    :param clock: the clock of ``rejections``. Default: monotonic.
    :ivar run: the run as it was last read; None before that.
    :ivar pause: seconds until the next poll.
    """

    def __init__(
        self,
        *,
        run_id: str,
        poll_interval: float,
        log: Any,
        rejections: Rejections | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._run_id = run_id
        self._poll_interval = poll_interval
        self._log = log
        self._clock = clock or _clock.monotonic
        self._progress = ProgressLog(run_id)
        self.rejections = rejections or Rejections()
        self.run: TaskRun | None = None
        self.pause = poll_interval

    def until_finished(
        self, hook: OnlineTasksHook, *, timeout: float | None, check: Callable[[], None]
    ) -> TaskRun | None:
        """Return the run when it is finished, or None after the timeout.

        :param timeout: seconds; None waits without a limit.
        :param check: called after each poll; raises to end the wait.
        :raises OnlineTaskRunUnreachable: Arize rejected the polls for minutes.
        """
        ends = float("inf") if timeout is None else _clock.monotonic() + timeout
        while True:
            run = self.poll(hook)
            check()
            if run is not None and run.is_over:
                return run
            left = ends - _clock.monotonic()
            if left <= 0:
                return None
            _clock.sleep(min(self.pause, left))

    def poll(self, hook: OnlineTasksHook) -> TaskRun | None:
        """Return the run as it is now, or None if it can't be read at the moment.

        :raises OnlineTaskRunUnreachable: Arize rejected the polls for minutes.
        """
        try:
            # The wait is the retry: a client that retries would delay deadlines and kills.
            self.run = hook.client.send(calls.get_task_run(self._run_id), retry=NO_RETRY)
        except CallError as error:
            self._handle(error, hook)
            return None
        self.rejections.clear()
        self.pause = self._poll_interval
        if line := self._progress.line(self.run, _clock.monotonic()):
            self._log.info("%s", line)
        return self.run

    def _handle(self, error: CallError, hook: OnlineTasksHook) -> None:
        self.pause = max(self._poll_interval, pause_after(error))
        if line := self._progress.problem_line(error, _clock.monotonic()):
            self._log.warning("%s", line)
        if not isinstance(error, REJECTIONS):
            self.rejections.clear()
            return
        if isinstance(error, AuthenticationFailed) and self._renew_key(hook):
            self.rejections.clear()
            self.pause = 0.0
            return
        now = self._clock()
        self.rejections.add(now)
        if self.rejections.end_wait(now):
            raise run_unreachable(self._run_id, error, now - self.rejections.since) from error

    def _renew_key(self, hook: OnlineTasksHook) -> bool:
        """Read the connection again; return whether it has changed."""
        try:
            has_changed = hook.renew()
        except Exception as error:  # noqa: BLE001  the wait goes on, whatever Airflow raises
            self._log.warning("The connection can't be read again: %s", on_one_line(str(error)))
            return False
        if has_changed:
            self._log.info("The connection has changed. The wait uses its new values.")
        return has_changed
