"""Base class of the sensors: one poll per poke, and the wait policy in every mode."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator

from airflow_provider_online_tasks import _clock
from airflow_provider_online_tasks._airflow import AirflowSensorTimeout, AirflowTaskTimeout
from airflow_provider_online_tasks.inputs import arguments
from airflow_provider_online_tasks.operators.base import UsesArize

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
    from airflow_provider_online_tasks.runs.blocking_wait import PolledWait

# The entry of the task state store that keeps the rejected polls of the mode "reschedule".
REJECTIONS_KEY = "rejected_polls"


class PollingSensor(UsesArize, BaseSensorOperator):
    """Polls in the modes ``poke`` and ``reschedule``, and once before it defers."""

    ui_color = "#fff0e0"

    _wait: PolledWait[Any] | None = None

    def __init__(
        self,
        *,
        conn_id: str | XComArg,
        deferrable: bool | None,
        poke_interval: float,
        **kwargs: Any,
    ) -> None:
        arguments.check_keywords(type(self), kwargs)
        super().__init__(poke_interval=arguments.positive_seconds(poke_interval, "poke_interval"), **kwargs)
        self.conn_id: Any = conn_id
        self.deferrable = arguments.read_deferrable(deferrable)
        arguments.check_name(conn_id, "conn_id")

    @abstractmethod
    def _new_wait(self, **policy: Any) -> PolledWait[Any]:
        """Return what polls, with these arguments of its base class."""

    @property
    def _limit(self) -> tuple[float, str]:
        return self.wait_limit(self.timeout) or (self.timeout, "timeout")

    def _timed_out(self, what: str) -> BaseException:
        """Return the exception of a deferred wait that reached its limit."""
        seconds, argument = self._limit
        error = AirflowSensorTimeout if argument == "timeout" else AirflowTaskTimeout
        return error(f"{what} within {seconds:g} s ({argument}).")

    def _poll(self, context: Context, hook: OnlineTasksHook) -> Any:
        """Return what is polled, or None if it can't be read at the moment."""
        from airflow_provider_online_tasks.runs.wait_policy import LEAST_REJECTIONS, Rejections

        policy: dict[str, Any] = {"poll_interval": self.poke_interval, "log": self.log}
        if not self.reschedule or self.deferrable:
            if self._wait is None:
                self._wait = self._new_wait(**policy)
            return self._wait.poll(hook)
        # Each poll is a separate process. Before Airflow 3.3 nothing is kept between them, so the first
        # rejection has to end the wait.
        store, try_number = context.get("task_state_store"), context["ti"].try_number
        stored: Any = store.get(REJECTIONS_KEY) if store else None
        rejections = Rejections() if store else Rejections(count=LEAST_REJECTIONS, since=float("-inf"))
        if stored and stored.pop("try_number") == try_number:
            rejections = Rejections(**stored)
        self._wait = self._new_wait(**policy, rejections=rejections, clock=_clock.epoch)
        polled = self._wait.poll(hook)
        if store and rejections.count:
            store.set(REJECTIONS_KEY, {**asdict(rejections), "try_number": try_number})
        elif store and stored:
            store.delete(REJECTIONS_KEY)
        return polled

    def _get_next_poke_interval(
        self, started_at: datetime | float, run_duration: Callable[[], float], poke_count: int
    ) -> float:
        """Wait as long as Arize asks for, but not beyond the sensor's timeout."""
        interval: float = super()._get_next_poke_interval(started_at, run_duration, poke_count)
        pause = self._wait.pause if self._wait else 0.0
        return max(interval, min(pause, self.timeout - run_duration()))
