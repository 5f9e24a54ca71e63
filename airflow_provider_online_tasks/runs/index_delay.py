"""The delay between the end of a window and the start of its run: Arize indexes spans late."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks import _clock
from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.runs.window import read_duration

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_online_tasks.inputs.windows import DataWindow

MANUAL = "manual"


def read_index_delay(index_delay: Any) -> timedelta | None:
    """Return the ``index_delay`` argument as a timedelta; None means the connection's index delay.

    :raises InvalidInput: it is not a duration of at least 0.
    """
    return None if index_delay is None else read_duration(index_delay, "index_delay", least=timedelta(0))


def earliest_start(
    context: Context,
    window: DataWindow,
    *,
    index_delay: timedelta | None,
    index_delay_minutes: float,
    log: Any,
) -> datetime | None:
    """Return when the run may start, or None if it may start now. The log gives the reason.

    :param context: the Airflow context.
    :param window: the window of the run.
    :param index_delay: the operator's argument.
    :param index_delay_minutes: the connection's value, which applies without the argument. A manual DAG run
        ignores it.
    :raises InvalidInput: the delay is out of range.
    """
    try:
        delay = timedelta(minutes=index_delay_minutes) if index_delay is None else index_delay
        start = window.end + delay
    except OverflowError:
        name = "index_delay_minutes" if index_delay is None else "index_delay"
        raise InvalidInput(
            f"{name} is out of range: {index_delay_minutes if index_delay is None else index_delay}."
        ) from None
    if not delay or start <= _clock.now():
        return None
    run_type = getattr(context["dag_run"], "run_type", None)
    is_manual = str(getattr(run_type, "value", run_type)) == MANUAL
    if is_manual and index_delay is None:
        log.warning("The DAG run was triggered manually, so the run starts at once.")
        log.warning(
            "Arize may index spans of %s until %s: the spans of the last %s may be missing. To wait for "
            "them, set index_delay.",
            window,
            wire_time(start),
            delay,
        )
        return None
    log.info(
        "The run starts at %s, %s after its window ends, because Arize indexes spans late. Until then the "
        "task waits in the triggerer.",
        wire_time(start),
        delay,
    )
    log.info(
        "To start at once, %s.",
        "trigger the DAG manually, set index_delay=0, or reduce the connection's index_delay_minutes"
        if index_delay is None
        else "set a shorter index_delay",
    )
    return start
