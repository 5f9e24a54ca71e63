"""Which window a run is for, out of an operator's arguments and the DAG run."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.inputs import DataWindow
from airflow_provider_online_tasks.inputs.templating import is_templated
from airflow_provider_online_tasks.inputs.values import read_time

if TYPE_CHECKING:
    from airflow.sdk import Context

THREE_WAYS = (
    "Say which spans to evaluate in one of three ways: data_start_time and data_end_time; "
    "lookback=timedelta(days=1), which ends where the DAG run's data interval ends; or a schedule whose DAG "
    "runs have a data interval, such as CronDataIntervalTimetable('@daily', timezone='UTC')."
)


def read_duration(value: Any, name: str, *, least: timedelta | None = None) -> timedelta:
    """Read a timedelta, a number of seconds, or an ISO 8601 duration such as ``PT2H``.

    :param name: the argument, for messages.
    :param least: the shortest that will do; without one, it must be above 0.
    :raises InvalidInput: it is none of these, or too short.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        seconds: Any = float(value) if isinstance(value, str) else value
    except ValueError:
        seconds = value
    try:
        found = TypeAdapter(timedelta).validate_python(None if isinstance(value, bool) else seconds)
    except (ValidationError, OverflowError):
        raise InvalidInput(
            f"{name} must be a timedelta, a number of seconds or an ISO 8601 duration such as 'PT2H', not "
            f"{shown(value)}."
        ) from None
    if found < least if least is not None else found <= timedelta(0):
        raise InvalidInput(
            f"{name} must be {'0 or more' if least is not None else 'above 0'}, not {shown(value)}."
        )
    return found


def check_window_arguments(start: Any, end: Any, lookback: Any, partition_length: Any = None) -> None:
    """Check that the arguments say one thing.

    :raises InvalidInput: half a window, two ways at once, or a length that is no duration above 0.
    """
    if (start is None) != (end is None):
        given, missing = ("data_start_time", "data_end_time")[:: 1 if end is None else -1]
        raise InvalidInput(f"{given} is given without {missing}. {THREE_WAYS}")
    ways = {"lookback": lookback, "partition_length": partition_length, "data_start_time": start}
    chosen = [name for name, value in ways.items() if value is not None]
    if len(chosen) > 1:
        raise InvalidInput(f"{chosen[0]} and {chosen[1]} are given both. {THREE_WAYS}")
    for name in ("lookback", "partition_length"):
        if ways[name] is not None and not is_templated(ways[name]):
            read_duration(ways[name], name)


def check_window_literals(start: Any, end: Any) -> None:
    """Check what is known of a window when the DAG is parsed. It may still have to end.

    :raises InvalidInput: no time, reversed, or empty.
    """
    for value, name in ((start, "data_start_time"), (end, "data_end_time")):
        if not is_templated(value):
            read_time(value, name)
    if not is_templated((start, end)):
        DataWindow.of(start, end)


def resolve_window(
    context: Context, *, start: Any, end: Any, lookback: Any, partition_length: Any = None
) -> DataWindow:
    """Return the window of a run; the same in every try of the same DAG run.

    :param context: the Airflow context.
    :param start: begin of the window, rendered.
    :param end: end of the window, rendered.
    :param lookback: length of a window that ends with the DAG run's data interval, or when it is due.
    :param partition_length: length of a window that begins with the DAG run's partition.
    :raises InvalidInput: the DAG run gives no window, or it is reversed, empty or in the future.
    """
    check_window_arguments(start, end, lookback, partition_length)
    if start is not None:
        return DataWindow.read(start, end)
    if partition_length is not None:
        return _of_partition(context, read_duration(partition_length, "partition_length"))
    interval_start, interval_end = _interval(context)
    if lookback is not None:
        until = interval_end or getattr(context["dag_run"], "run_after", None)
        if until is None:
            raise InvalidInput(f"The DAG run has neither a data interval nor a run-after time. {THREE_WAYS}")
        try:
            return DataWindow.read(until - read_duration(lookback, "lookback"), until)
        except OverflowError:
            raise InvalidInput(f"lookback is longer than time itself: {lookback!r}.") from None
    if interval_start is None or interval_end is None:
        raise InvalidInput(
            f"The DAG run has no data interval. One that an asset triggered has none, and one that was "
            f"triggered by hand without a logical date. {THREE_WAYS}"
        )
    if interval_start == interval_end:
        raise InvalidInput(
            f"The DAG run's data interval has no length: on Airflow 3 a cron schedule such as '@daily' gives "
            f"an interval that starts and ends at the same time. {THREE_WAYS}"
        )
    return DataWindow.read(interval_start, interval_end)


def _of_partition(context: Context, length: timedelta) -> DataWindow:
    begin = getattr(context["dag_run"], "partition_date", None)
    if begin is None:
        key = getattr(context["dag_run"], "partition_key", None)
        raise InvalidInput(
            f"The DAG run has no partition date{f' for its partition {shown(key)}' if key else ''}. "
            f"partition_length needs Airflow 3.3, and a DAG run of an asset's partition that stands for a "
            f"time. {THREE_WAYS}"
        )
    try:
        return DataWindow.read(begin, begin + length)
    except OverflowError:
        raise InvalidInput(f"partition_length is longer than time itself: {length!r}.") from None


def _interval(context: Context) -> tuple[datetime | None, datetime | None]:
    dag_run = context["dag_run"]
    return getattr(dag_run, "data_interval_start", None), getattr(dag_run, "data_interval_end", None)
