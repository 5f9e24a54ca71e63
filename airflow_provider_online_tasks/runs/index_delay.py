"""Until when a task waits for Arize to index the spans of its window, and what the log says about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks import _clock
from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.runs.window import read_duration

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_online_tasks.inputs import DataWindow

MANUAL = "manual"


def read_index_delay(value: Any) -> timedelta | None:
    """Read the ``index_delay`` argument; None stands for the connection's index delay.

    :raises InvalidInput: it is no duration of 0 or more.
    """
    return None if value is None else read_duration(value, "index_delay", least=timedelta(0))


@dataclass(frozen=True, kw_only=True)
class IndexDelay:
    """When the spans of a window are taken to be indexed, and what that means for a DAG run.

    :param window: the window.
    :param delay: how long after the window's end.
    :param at: when that is.
    :param is_explicit: whether the DAG's author gave it.
    :param is_manual: whether a person started the DAG run.
    """

    window: DataWindow
    delay: timedelta
    at: datetime
    is_explicit: bool
    is_manual: bool

    @classmethod
    def of(
        cls,
        context: Context,
        window: DataWindow,
        *,
        index_delay: timedelta | None,
        index_delay_minutes: float,
    ) -> IndexDelay:
        """Return it for a DAG run.

        :param index_delay: what the DAG's author gave, if anything.
        :param index_delay_minutes: what the connection says.
        :raises InvalidInput: either is longer than the calendar.
        """
        run_type = getattr(context["dag_run"], "run_type", None)
        try:
            delay = timedelta(minutes=index_delay_minutes) if index_delay is None else index_delay
            at = window.end + delay
        except OverflowError:
            name, value = (
                ("index_delay", index_delay) if index_delay else ("index_delay_minutes", index_delay_minutes)
            )
            raise InvalidInput(f"{name} is longer than time itself: {value}.") from None
        return cls(
            window=window,
            delay=delay,
            at=at,
            is_explicit=index_delay is not None,
            is_manual=str(getattr(run_type, "value", run_type)) == MANUAL,
        )

    def wait_until(self, log: Any) -> datetime | None:
        """Return until when the task waits, or None if it starts at once; the log says why.

        :param log: the task's log.
        """
        if not self.delay or self.at <= _clock.now():
            return None
        if self.is_manual and not self.is_explicit:
            log.warning("A person started this DAG run, so the run starts at once.")
            log.warning(
                "Arize may take until %s to index all spans of %s: those of the last %s may be missing.",
                wire_time(self.at),
                self.window,
                self.delay,
            )
            log.warning("To wait for them, pass index_delay to the operator.")
            return None
        log.info("The run starts at %s, %s after its window ends.", wire_time(self.at), self.delay)
        log.info(
            "Arize indexes spans late, and a run that starts earlier misses some. The task waits in the "
            "triggerer."
        )
        log.info(
            "To start at once, %s.",
            "pass a shorter index_delay to the operator"
            if self.is_explicit
            else "trigger the DAG manually, set index_delay=0, or lower the connection's index_delay_minutes",
        )
        return self.at
