"""What starts a run, and the window of spans that it is for.

Fields: https://arize.com/docs/ax/graphql-reference/apis/online-tasks-api
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.inputs.base import WireInput, across_fields
from airflow_provider_online_tasks.inputs.values import Count, Flag, Id, Time, read_time, rendered_number

if TYPE_CHECKING:
    from pydantic import ValidationInfo

MAX_WINDOW = timedelta(days=30)
CLOCK_TOLERANCE = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class DataWindow:
    """The spans a run is for: those that started in [start, end).

    :param start: begin of the window.
    :param end: end of the window.
    """

    start: datetime
    end: datetime

    @classmethod
    def of(cls, start: Any, end: Any) -> DataWindow:
        """Read a window.

        :raises InvalidInput: no time, reversed, or empty.
        """
        window = cls(start=read_time(start, "data_start_time"), end=read_time(end, "data_end_time"))
        if window.start == window.end:
            raise InvalidInput(f"The window is empty: it starts and ends at {wire_time(window.start)}.")
        if window.start > window.end:
            raise InvalidInput(
                f"The window is reversed: data_start_time {wire_time(window.start)} is after "
                f"data_end_time {wire_time(window.end)}."
            )
        return window

    @classmethod
    def read(cls, start: Any, end: Any, *, now: datetime | None = None) -> DataWindow:
        """Read a window that is over.

        :param now: what is taken for the present. Default: the clock.
        :raises InvalidInput: no time, reversed, empty, or in the future.
        """
        window = cls.of(start, end)
        present = now or datetime.now(UTC)
        if window.end > present + CLOCK_TOLERANCE:
            raise InvalidInput(
                f"The window ends in the future, at {wire_time(window.end)} (now is {wire_time(present)}): "
                f"its spans are not there yet. Wait until it is over."
            )
        return window

    @property
    def is_long(self) -> bool:
        """Whether it is longer than the 30 days that today's API documents as its limit."""
        return self.end - self.start > MAX_WINDOW

    def __str__(self) -> str:
        return f"{wire_time(self.start)} to {wire_time(self.end)}"


def split_window(
    start: datetime | str, end: datetime | str, *, days: float = MAX_WINDOW.days
) -> list[dict[str, str]]:
    """Cut a long window into pieces that the API accepts, for dynamic task mapping.

    ``RunOnlineTaskOperator.partial(…).expand_kwargs(split_window(start, end))``

    :param start: begin of the whole window.
    :param end: end of the whole window.
    :param days: longest piece, in days; above 0 and at most 30.
    :return: ``data_start_time`` and ``data_end_time`` of each piece, oldest first, without gap or overlap.
    :raises InvalidInput: ``start`` and ``end`` are not a window that is over, or ``days`` is out of range.
    """
    window = DataWindow.read(start, end)
    length = rendered_number(days)
    step = timedelta(days=length) if length and 0 < length <= MAX_WINDOW.days else timedelta(0)
    if step < timedelta(seconds=1):
        raise InvalidInput(
            f"days must be a number above 0 and at most {MAX_WINDOW.days}, not {shown(days)}. "
            f"The shortest piece is a second."
        )
    pieces, at = [], window.start
    while at < window.end:
        until = min(at + step, window.end)
        pieces.append({"data_start_time": wire_time(at), "data_end_time": wire_time(until)})
        at = until
    return pieces


class RunInput(WireInput, frozen=True):
    """What runOnlineTask takes.

    :param online_task_id: global ID of the task.
    :param data_start_time: begin of the window.
    :param data_end_time: end of the window.
    :param max_spans: most spans to evaluate, 1 or more. Default: the API's, 10,000.
    :param override_evaluations: whether spans that are labelled already are judged again. Default False.
    """

    online_task_id: Id
    data_start_time: Time
    data_end_time: Time
    max_spans: Count | None = None
    override_evaluations: Flag | None = None

    @property
    def window(self) -> DataWindow:
        """The window, checked."""
        return DataWindow.read(self.data_start_time, self.data_end_time)

    @across_fields
    def _has_a_window(self, info: ValidationInfo) -> Self:
        start, end = self.data_start_time, self.data_end_time
        if isinstance(start, datetime) and isinstance(end, datetime):  # neither is only known later
            # When a DAG is parsed, the window may still have to end.
            DataWindow.of(start, end) if info.context else DataWindow.read(start, end)
        return self
