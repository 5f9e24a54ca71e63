"""Waiting for a run in the worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks import _clock
from airflow_provider_online_tasks._text import on_one_line, sentence
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
from airflow_provider_online_tasks.runs.polling.endpoint_state import LONGEST_RETRY_AFTER, REFUSED_SECONDS
from airflow_provider_online_tasks.runs.progress import ProgressLog

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.responses.runs import TaskRun
    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook

REFUSALS = (BadRequest, AuthenticationFailed, NotFound, PermissionDenied)


class WorkerWait:
    """A wait for a run that outlives hiccups of Arize and of what is in between.

    :param hook: how Arize is called.
    :param run_id: the run.
    :param poll_interval: seconds between two looks.
    :param deadline: seconds since 1970 until which to wait; None for no limit.
    :param log: the task's log.
    :param check: called after each look; raises to end the wait.
    :param renew: called when the key is refused; returns whether there is another one.
    """

    def __init__(
        self,
        *,
        hook: OnlineTasksHook,
        run_id: str,
        poll_interval: float,
        deadline: float | None,
        log: Any,
        check: Callable[[], None],
        renew: Callable[[], bool],
    ) -> None:
        self._hook = hook
        self._run_id = run_id
        self._poll_interval = poll_interval
        self._deadline = deadline
        self._log = log
        self._check = check
        self._renew = renew
        self._progress = ProgressLog()
        self._refused_since: float | None = None
        self.run: TaskRun | None = None

    def until_over(self) -> TaskRun | None:
        """Return the run when it is over, or None when the deadline has passed.

        :raises OnlineTaskRunUnreachable: Arize refused to show it for five minutes without a break.
        """
        while True:
            pause = self._look()
            if self.run is not None and self.run.is_over:
                return self.run
            self._check()
            left = float("inf") if self._deadline is None else self._deadline - _clock.epoch()
            if left <= 0:
                return None
            _clock.sleep(min(pause, left))

    def _look(self) -> float:
        """Look at the run, and return the seconds until the next look."""
        try:
            self.run = self._hook.get_task_run(self._run_id)
        except (RateLimited, Unavailable) as error:
            self._log.warning("%s The task goes on waiting for the run.", sentence(error))
            return max(self._poll_interval, min(error.retry_after or 0.0, LONGEST_RETRY_AFTER))
        except REFUSALS as error:
            if isinstance(error, AuthenticationFailed) and self._has_new_key():
                return 0.0
            self._refused(error)
        else:
            self._refused_since = None
            if (line := self._progress.line(self.run, _clock.epoch())) is not None:
                self._log.info("%s", line)
        return self._poll_interval

    def _has_new_key(self) -> bool:
        try:
            has_new_key = self._renew()
        except Exception as error:  # noqa: BLE001  whatever Airflow raises, the wait outlives it
            self._log.warning("The connection cannot be read again: %s", on_one_line(str(error)))
            return False
        if has_new_key:
            self._log.info("The connection has changed. The task goes on with what it says now.")
        return has_new_key

    def _refused(self, error: CallError) -> None:
        now = _clock.monotonic()
        if self._refused_since is None:
            self._refused_since = now
        if now - self._refused_since >= REFUSED_SECONDS:
            raise OnlineTaskRunUnreachable(
                f"Arize refused to show run {self._run_id} for {REFUSED_SECONDS:.0f} s. {sentence(error)} "
                f"The run may go on: a retry takes it up again."
            ) from error
        self._log.warning(
            "%s The task goes on waiting for the run, unless this lasts for %.0f s.",
            sentence(error),
            REFUSED_SECONDS,
        )
