"""The window of a run, and when the run may start, from the operator's arguments and the DAG run."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks import _clock
from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.inputs.arguments import check_id, read_time
from airflow_provider_online_tasks.inputs.templating import is_templated
from airflow_provider_online_tasks.inputs.windows import DataWindow

if TYPE_CHECKING:
    from airflow.sdk import Context

_SHORTHAND = re.compile(r"\s*(\d{1,6})\s*([hms])(?:ours?|in(?:ute)?s?|ec(?:ond)?s?)?\s*", re.IGNORECASE)
HOW_TO_SET_A_WINDOW = (
    "Set the window in one of three ways: data_start_time and data_end_time; lookback=timedelta(days=1), "
    "which ends with the DAG run's data interval; or a schedule whose DAG runs have a data interval, "
    "such as CronDataIntervalTimetable('@daily', timezone='UTC')."
)

# The length of months and years differs.
_CALENDAR_DURATION = re.compile(r"\s*[+-]?P[^T]*[YM]", re.IGNORECASE)


def read_duration(value: Any, name: str, *, may_be_zero: bool = False) -> timedelta:
    """Return a timedelta, a number of seconds, or an ISO 8601 duration such as ``PT2H`` as a timedelta."""
    from pydantic import TypeAdapter, ValidationError

    if isinstance(value, str) and _CALENDAR_DURATION.match(value):
        raise InvalidInput(f"{name} must be in days or shorter units, such as 'P30D', not {shown(value)}.")
    try:
        seconds: Any = float(value) if isinstance(value, str) else value
    except ValueError:
        seconds = value
    try:
        found = TypeAdapter(timedelta).validate_python(None if isinstance(value, bool) else seconds)
    except (ValidationError, OverflowError):
        match = _SHORTHAND.fullmatch(value) if isinstance(value, str) else None
        hint = f" Did you mean 'PT{match[1]}{match[2].upper()}'?" if match else ""
        raise InvalidInput(
            f"{name} must be a timedelta, a number of seconds or an ISO 8601 duration such as 'PT2H', not "
            f"{shown(value)}.{hint}"
        ) from None
    if found < timedelta(0) or (not found and not may_be_zero):
        raise InvalidInput(f"{name} must be {'at least' if may_be_zero else 'above'} 0, not {shown(value)}.")
    return found


def check_window_arguments(
    data_start_time: Any, data_end_time: Any, lookback: Any, partition_length: Any = None
) -> None:
    """Check that the arguments set one window."""
    if (data_start_time is None) != (data_end_time is None):
        name, missing = ("data_start_time", "data_end_time")[:: 1 if data_end_time is None else -1]
        raise InvalidInput(f"{name} is set without {missing}. {HOW_TO_SET_A_WINDOW}")
    arguments = {
        "lookback": lookback,
        "partition_length": partition_length,
        "data_start_time": data_start_time,
    }
    names = [name for name, value in arguments.items() if value is not None]
    if len(names) > 1:
        raise InvalidInput(f"Set only one of {names[0]} and {names[1]}. {HOW_TO_SET_A_WINDOW}")
    for name in ("lookback", "partition_length"):
        if arguments[name] is not None and not is_templated(arguments[name]):
            read_duration(arguments[name], name)


def check_run_or_window(run_id: Any, online_task_id: Any, data_start_time: Any, data_end_time: Any) -> None:
    """Check that the arguments set a run, or a task and a window."""
    window = [online_task_id, data_start_time, data_end_time]
    if (run_id is None) == (online_task_id is None) or len({part is None for part in window}) > 1:
        raise InvalidInput("Set either run_id, or online_task_id with data_start_time and data_end_time.")
    if run_id is not None:
        check_id(run_id, "run_id")
    else:
        check_id(online_task_id, "online_task_id")
        check_window_literals(data_start_time, data_end_time)


def check_window_literals(data_start_time: Any, data_end_time: Any) -> None:
    """Check the literals of a window when the DAG is parsed. The window may end later."""
    for value, name in ((data_start_time, "data_start_time"), (data_end_time, "data_end_time")):
        if not is_templated(value):
            read_time(value, name)
    if not is_templated((data_start_time, data_end_time)):
        DataWindow.of(data_start_time, data_end_time)


def resolve_window(
    context: Context, *, data_start_time: Any, data_end_time: Any, lookback: Any, partition_length: Any = None
) -> DataWindow:
    """Return the window of a run from the rendered arguments. It is the same in every try of a DAG run."""
    check_window_arguments(data_start_time, data_end_time, lookback, partition_length)
    dag_run = context["dag_run"]
    if data_start_time is not None:
        return DataWindow.read(data_start_time, data_end_time)
    if partition_length is not None:
        start: datetime | None = getattr(dag_run, "partition_date", None)
        if start is None:
            key = getattr(dag_run, "partition_key", None)
            raise InvalidInput(
                f"The DAG run has no partition date{f' for its partition {shown(key)}' if key else ''}. "
                f"partition_length needs Airflow 3.3 and a partition of an asset that stands for a time. "
                f"{HOW_TO_SET_A_WINDOW}"
            )
        length = read_duration(partition_length, "partition_length")
        return DataWindow.read(start, _shift(start, length, context, "partition_length"))
    interval_start = getattr(dag_run, "data_interval_start", None)
    interval_end = getattr(dag_run, "data_interval_end", None)
    logical_date: Any = getattr(dag_run, "logical_date", None)
    # TriggerDagRunOperator sets the data interval of a past logical date to the present.
    is_interval_later = bool(logical_date and interval_start and logical_date < interval_start)
    if lookback is not None:
        end = logical_date if is_interval_later else interval_end or getattr(dag_run, "run_after", None)
        if end is None:
            raise InvalidInput(
                f"The DAG run has neither a data interval nor a run-after time. {HOW_TO_SET_A_WINDOW}"
            )
        length = read_duration(lookback, "lookback")
        return DataWindow.read(_shift(end, length, context, "lookback", sign=-1), end)
    if interval_start is None or interval_end is None:
        raise InvalidInput(
            f"The DAG run has no data interval: an asset triggered it, or it was triggered manually without "
            f"a logical date. {HOW_TO_SET_A_WINDOW}"
        )
    if interval_start == interval_end:
        raise InvalidInput(
            f"The DAG run's data interval is empty: on Airflow 3, a cron schedule such as '@daily' creates "
            f"intervals that start and end at the same time. {HOW_TO_SET_A_WINDOW}"
        )
    if is_interval_later:
        raise InvalidInput(
            f"The DAG run's data interval starts at {wire_time(interval_start)}, after its logical date "
            f"{wire_time(logical_date)}: TriggerDagRunOperator sets the interval to the time of the trigger. "
            f"Set lookback, which ends at the logical date, or data_start_time and data_end_time."
        )
    return DataWindow.read(interval_start, interval_end)


def _shift(moment: datetime, length: timedelta, context: Context, name: str, *, sign: int = 1) -> datetime:
    """Return a time that is a duration later, or earlier.

    Whole days are days in the time zone of the DAG's cron schedule: daily windows then neither overlap nor
    leave a gap when the clocks change.
    """
    import pendulum

    zone = _zone_of(getattr(context.get("dag"), "timetable", None))
    try:
        if zone is None or length % timedelta(days=1):
            return moment + sign * length
        return pendulum.instance(moment).in_timezone(zone).add(days=sign * length.days)
    except (OverflowError, ValueError):
        raise InvalidInput(f"{name} is out of range: {shown(length)}.") from None


def _zone_of(timetable: Any) -> Any:
    """Return the time zone of a cron schedule; None for schedules without one."""
    several = getattr(timetable, "timetables", getattr(timetable, "_timetables", ()))
    for part in (timetable, getattr(timetable, "timetable", None), *several):
        if zone := getattr(part, "timezone", getattr(part, "_timezone", None)):
            return zone
    return None


def read_index_delay(index_delay: Any) -> timedelta | None:
    """Return the ``index_delay`` argument as a timedelta; None means the connection's index delay."""
    return None if index_delay is None else read_duration(index_delay, "index_delay", may_be_zero=True)


def earliest_start(
    context: Context, window: DataWindow, *, index_delay: Any, index_delay_minutes: float, log: Any
) -> datetime | None:
    """Return when the run may start, or None if it may start now: Arize indexes spans late.

    The connection's ``index_delay_minutes`` apply without ``index_delay``, except to manual DAG runs.
    """
    index_delay = read_index_delay(index_delay)
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
    if str(getattr(run_type, "value", run_type)) == "manual" and index_delay is None:
        log.warning(
            "The DAG run was triggered manually, so the run starts at once. Arize may index spans of %s "
            "until %s: the spans of the last %s may be missing. To wait for them, set index_delay.",
            window,
            wire_time(start),
            delay,
        )
        return None
    log.info(
        "The run starts at %s, %s after its window ends, because Arize indexes spans late. Until then the "
        "task waits in the triggerer. To start at once, %s.",
        wire_time(start),
        delay,
        "trigger the DAG manually, set index_delay=0, or reduce the connection's index_delay_minutes"
        if index_delay is None
        else "set a shorter index_delay",
    )
    return start
