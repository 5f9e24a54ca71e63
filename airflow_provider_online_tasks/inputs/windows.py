"""The window of spans that a run evaluates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.inputs.arguments import read_time, rendered_number

MAX_WINDOW = timedelta(days=30)
CLOCK_TOLERANCE = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class DataWindow:
    """The spans that started in [start, end).

    :param start: start of the window.
    :param end: end of the window.
    """

    start: datetime
    end: datetime

    @classmethod
    def of(cls, start: Any, end: Any) -> DataWindow:
        """Return a window.

        :raises InvalidInput: not a time, reversed, or empty.
        """
        window = cls(start=read_time(start, "data_start_time"), end=read_time(end, "data_end_time"))
        if window.start == window.end:
            raise InvalidInput(
                f"The window is empty: data_start_time and data_end_time are both {wire_time(window.start)}."
            )
        if window.start > window.end:
            raise InvalidInput(
                f"The window is reversed: data_start_time {wire_time(window.start)} is after "
                f"data_end_time {wire_time(window.end)}."
            )
        return window

    @classmethod
    def read(cls, start: Any, end: Any, *, now: datetime | None = None) -> DataWindow:
        """Return a window that has ended.

        :param now: the present. Default: the clock.
        :raises InvalidInput: not a time, reversed, empty, or in the future.
        """
        window = cls.of(start, end)
        present = now or datetime.now(UTC)
        if window.end > present + CLOCK_TOLERANCE:
            raise InvalidInput(
                f"The window ends in the future, at {wire_time(window.end)} (now is {wire_time(present)}). "
                f"Its spans don't exist yet: start the run after the window's end."
            )
        return window

    @property
    def is_long(self) -> bool:
        """Whether it is longer than the 30 days that the API documents as its limit."""
        return self.end - self.start > MAX_WINDOW

    @property
    def is_short(self) -> bool:
        """Whether it is shorter than a minute, probably because its length was meant in hours or days."""
        return self.end - self.start < timedelta(minutes=1)

    def __str__(self) -> str:
        return f"{wire_time(self.start)} to {wire_time(self.end)}"


def split_window(
    start: datetime | str, end: datetime | str, *, days: float = MAX_WINDOW.days
) -> list[dict[str, str]]:
    """Split a long window into windows that the API accepts, for dynamic task mapping.

    ``RunOnlineTaskOperator.partial(…).expand_kwargs(split_window(start, end))``

    :param start: start of the entire window.
    :param end: end of the entire window.
    :param days: longest part in days; above 0 and at most 30. Default 30.
    :return: ``data_start_time`` and ``data_end_time`` of each part, oldest first, without gap or overlap.
    :raises InvalidInput: ``start`` and ``end`` are not a window that has ended, or ``days`` is out of range.
    """
    window = DataWindow.read(start, end)
    length = rendered_number(days)
    step = timedelta(days=length) if length and 0 < length <= MAX_WINDOW.days else timedelta(0)
    if step < timedelta(seconds=1):
        raise InvalidInput(
            f"days must be above 0 (at least one second) and at most {MAX_WINDOW.days}, not {shown(days)}."
        )
    parts, at = [], window.start
    while at < window.end:
        until = min(at + step, window.end)
        parts.append({"data_start_time": wire_time(at), "data_end_time": wire_time(until)})
        at = until
    return parts
