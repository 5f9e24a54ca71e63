"""Times are read and written without change; windows are validated and split without gap or overlap."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import pendulum
import pytest
from airflow.sdk import DAG, Asset
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_online_tasks._times import parse_time, wire_time
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.inputs.windows import DataWindow, split_window
from airflow_provider_online_tasks.runs.window import check_window_arguments, read_index_delay, resolve_window
from tests.support.random_examples import examples

try:
    from airflow.sdk import (
        AssetOrTimeSchedule,
        CronDataIntervalTimetable,
        CronTriggerTimetable,
        MultipleCronTriggerTimetable,
    )
except ImportError:  # before Airflow 3.2
    from airflow.timetables.assets import AssetOrTimeSchedule  # type: ignore[assignment]
    from airflow.timetables.interval import CronDataIntervalTimetable  # type: ignore[assignment]
    from airflow.timetables.trigger import (  # type: ignore[assignment]
        CronTriggerTimetable,
        MultipleCronTriggerTimetable,
    )

zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
past = st.datetimes(datetime(2000, 1, 1), datetime(2024, 12, 31), timezones=zones)


@given(past)
def test_time_round_trip_is_the_same_instant(at: datetime) -> None:
    wire = wire_time(at)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3}|\.\d{6})?Z", wire)
    assert parse_time(wire, "t") == at
    assert parse_time(at, "t") == at
    assert parse_time(at.isoformat(), "t").utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("written", "wire"),
    [
        ("2007-12-03T10:15:30Z", "2007-12-03T10:15:30Z"),
        ("2024-10-08T00:01:41.644Z", "2024-10-08T00:01:41.644Z"),
        ("2024-10-08T00:01:41.644", "2024-10-08T00:01:41.644Z"),
        ("2024-10-08T02:01:41+02:00", "2024-10-08T00:01:41Z"),
        ("2024-10-08 00:01:41", "2024-10-08T00:01:41Z"),
        ("2024-10-08", "2024-10-08T00:00:00Z"),
        ("2024-10-08T00:01:41.000001Z", "2024-10-08T00:01:41.000001Z"),
        (datetime(2024, 10, 8), "2024-10-08T00:00:00Z"),
    ],
)
def test_time_without_zone_is_utc(written: str | datetime, wire: str) -> None:
    assert wire_time(parse_time(written, "t")) == wire


@given(st.text() | st.integers() | st.none() | st.floats() | st.dates())
def test_parse_time_wrong_value_is_rejected(value: Any) -> None:
    try:
        found = parse_time(value, "created_at")
    except ValueError as error:
        said = str(error)
    else:
        assert found.tzinfo is UTC
        return
    assert said.startswith("created_at is ")
    assert len(said) < 250


def test_parse_time_long_text_is_cut() -> None:
    with pytest.raises(ValueError, match="created_at") as caught:
        parse_time("x" * 100_000, "created_at")
    assert len(str(caught.value)) < 250


# Splitting


@settings(max_examples=examples(60), deadline=None)
@given(
    start=past,
    length=st.timedeltas(timedelta(microseconds=1), timedelta(days=300)),
    days=st.floats(1, 30) | st.integers(1, 30) | st.sampled_from(["7", 0.5]),
)
def test_split_window_has_no_gap_or_overlap(start: datetime, length: timedelta, days: float | str) -> None:
    pieces = split_window(start, start + length, days=days)
    bounds = [
        (parse_time(piece["data_start_time"], "s"), parse_time(piece["data_end_time"], "e"))
        for piece in pieces
    ]
    assert bounds[0][0] == start
    assert bounds[-1][1] == start + length
    assert all(earlier[1] == later[0] for earlier, later in pairwise(bounds))
    assert all(timedelta(0) < until - at <= timedelta(days=float(days)) for at, until in bounds)
    assert all(piece.keys() == {"data_start_time", "data_end_time"} for piece in pieces)


def test_split_window_of_60_days_has_three_parts() -> None:
    pieces = split_window("2024-10-08T00:01:41.644Z", "2024-12-07T01:01:41.644Z")
    assert [piece["data_end_time"] for piece in pieces] == [
        "2024-11-07T00:01:41.644Z",
        "2024-12-07T00:01:41.644Z",
        "2024-12-07T01:01:41.644Z",
    ]


@pytest.mark.parametrize("days", [0, -1, 31, float("nan"), "many", 1e-9, True, None])
def test_split_window_wrong_days_is_rejected(days: Any) -> None:
    with pytest.raises(InvalidInput, match=r"^days "):
        split_window("2024-10-08", "2024-12-07", days=days)


def test_split_window_reversed_window_is_rejected() -> None:
    with pytest.raises(InvalidInput, match="data_start_time"):
        split_window("2024-12-07", "2024-10-08")


# Windows


def test_window_end_within_clock_tolerance_is_accepted() -> None:
    now = datetime(2024, 10, 9, tzinfo=UTC)
    assert DataWindow.read("2024-10-08", now + timedelta(seconds=59), now=now).end > now
    with pytest.raises(InvalidInput, match="2024-10-09T00:01:01Z"):
        DataWindow.read("2024-10-08", now + timedelta(seconds=61), now=now)


def test_window_below_one_minute_is_short() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert DataWindow.read(start, start + timedelta(seconds=59)).is_short
    assert not DataWindow.read(start, start + timedelta(minutes=1)).is_short


def test_window_over_30_days_is_long() -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    assert not DataWindow.read(start, start + timedelta(days=30)).is_long
    assert DataWindow.read(start, start + timedelta(days=30, seconds=1)).is_long
    assert str(DataWindow.read("2024-01-01", "2024-01-02")) == "2024-01-01T00:00:00Z to 2024-01-02T00:00:00Z"


# The window of a run

MONDAY, TUESDAY = datetime(2024, 10, 7, tzinfo=UTC), datetime(2024, 10, 8, tzinfo=UTC)
DAY = timedelta(days=1)


@dataclass
class DagRun:
    """As much of a DAG run as decides the window."""

    data_interval_start: datetime | None = None
    data_interval_end: datetime | None = None
    run_after: datetime | None = TUESDAY
    logical_date: datetime | None = None
    partition_date: datetime | None = None


def window_of(dag_run: DagRun, schedule: Any = None, **arguments: Any) -> DataWindow:
    given_arguments = {"data_start_time": None, "data_end_time": None, "lookback": None} | arguments
    return resolve_window({"dag_run": dag_run, "dag": DAG("a_dag", schedule=schedule)}, **given_arguments)


def test_run_window_defaults_to_the_data_interval() -> None:
    assert window_of(DagRun(MONDAY, TUESDAY)) == DataWindow(start=MONDAY, end=TUESDAY)


def test_run_window_explicit_times_win() -> None:
    window = window_of(
        DagRun(MONDAY, TUESDAY), data_start_time="2024-01-01", data_end_time="2024-01-02T12:00:00+02:00"
    )
    assert str(window) == "2024-01-01T00:00:00Z to 2024-01-02T10:00:00Z"


def test_run_window_lookback_ends_with_the_data_interval() -> None:
    run = DagRun(MONDAY, MONDAY, run_after=TUESDAY)
    assert window_of(run, lookback=DAY) == DataWindow(start=MONDAY - DAY, end=MONDAY)


def test_run_window_lookback_without_data_interval_ends_at_run_after() -> None:
    assert window_of(DagRun(), lookback=7 * DAY) == DataWindow(start=TUESDAY - 7 * DAY, end=TUESDAY)


@given(interval=st.timedeltas(timedelta(minutes=1), timedelta(days=90)), start=past)
def test_run_window_is_the_same_in_every_try(interval: timedelta, start: datetime) -> None:
    run = DagRun(start, start + interval)
    assert window_of(run) == window_of(run) == DataWindow(start=start, end=start + interval)


@pytest.mark.parametrize(
    ("run", "arguments"),
    [
        (DagRun(), {}),
        (DagRun(MONDAY, MONDAY), {}),
        (DagRun(run_after=None), {"lookback": DAY}),
        (DagRun(MONDAY, TUESDAY), {"data_start_time": MONDAY}),
        (DagRun(MONDAY, TUESDAY), {"data_end_time": MONDAY}),
        (DagRun(), {"data_start_time": MONDAY, "data_end_time": TUESDAY, "lookback": DAY}),
    ],
)
def test_run_window_unknown_names_the_ways_to_set_it(run: DagRun, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        window_of(run, **arguments)
    for way in ("data_start_time", "data_end_time", "lookback"):
        assert way in str(caught.value)


@pytest.mark.parametrize("lookback", [timedelta(0), -DAY, 0, "0", "1 fortnight", "", True, float("nan"), [1]])
def test_lookback_wrong_value_is_rejected(lookback: Any) -> None:
    with pytest.raises(InvalidInput, match=r"^lookback "):
        check_window_arguments(None, None, lookback)


@pytest.mark.parametrize("lookback", [DAY, 86400, 86400.0, "86400", "P1D", "PT24H", "1 day, 0:00:00"])
def test_lookback_is_a_timedelta_seconds_or_iso_8601(lookback: Any) -> None:
    check_window_arguments(None, None, lookback)
    # It ends where the data interval ends, however long that is.
    assert window_of(DagRun(MONDAY, TUESDAY), lookback=lookback) == DataWindow(start=MONDAY, end=TUESDAY)
    assert window_of(DagRun(MONDAY - DAY, TUESDAY), lookback=lookback) == DataWindow(
        start=MONDAY, end=TUESDAY
    )


def test_lookback_template_is_not_checked() -> None:
    check_window_arguments(None, None, "{{ params.lookback }}")


def test_lookback_out_of_range_is_rejected() -> None:
    with pytest.raises(InvalidInput, match="lookback"):
        window_of(DagRun(), lookback=timedelta.max)


def test_run_window_in_the_future_is_rejected() -> None:
    tomorrow = datetime.now(UTC) + DAY
    with pytest.raises(InvalidInput):
        window_of(DagRun(tomorrow - 2 * DAY, tomorrow))


# Changes of the clocks

BERLIN = "Europe/Berlin"
IN_BERLIN = [
    CronTriggerTimetable("0 0 * * *", timezone=BERLIN),
    CronDataIntervalTimetable("0 0 * * *", timezone=BERLIN),
    MultipleCronTriggerTimetable("0 0 * * *", timezone=BERLIN),
    AssetOrTimeSchedule(
        timetable=CronTriggerTimetable("0 0 * * *", timezone=BERLIN), assets=[Asset("an_asset")]
    ),
]


def midnights(first: str) -> list[datetime]:
    """Return four midnights in Berlin."""
    return [pendulum.parse(first, tz=BERLIN).add(days=number) for number in range(4)]


@pytest.mark.parametrize("lookback", [DAY, "P1D", "1 day, 0:00:00"])
@pytest.mark.parametrize("first", ["2024-03-30", "2024-10-26"])
@pytest.mark.parametrize("schedule", IN_BERLIN, ids=lambda schedule: type(schedule).__name__)
def test_lookback_of_days_tiles_over_a_change_of_the_clocks(schedule: Any, first: str, lookback: Any) -> None:
    windows = [window_of(DagRun(end, end), schedule, lookback=lookback) for end in midnights(first)]
    assert [window.end for window in windows[:-1]] == [window.start for window in windows[1:]]


@pytest.mark.parametrize(("lookback", "hours"), [(7 * DAY, 167), ("P1W", 167), (timedelta(hours=36), 36)])
def test_lookback_counts_days_in_the_zone_of_the_schedule(lookback: Any, hours: int) -> None:
    end = pendulum.datetime(2024, 4, 2, tz=BERLIN)
    window = window_of(DagRun(end, end), IN_BERLIN[0], lookback=lookback)
    assert window.end - window.start == timedelta(hours=hours)


@pytest.mark.parametrize("schedule", [None, DAY, "@daily", CronTriggerTimetable("@daily", timezone="UTC")])
def test_lookback_is_exact_without_a_zone_that_changes_its_clocks(schedule: Any) -> None:
    end = pendulum.datetime(2024, 4, 1, tz=BERLIN)
    window = window_of(DagRun(end, end), schedule, lookback=DAY)
    assert window.end - window.start == DAY


def test_partition_of_days_tiles_over_a_change_of_the_clocks() -> None:
    starts = midnights("2024-03-30")
    windows = [
        window_of(DagRun(partition_date=start), IN_BERLIN[0], partition_length=DAY) for start in starts
    ]
    assert [window.end for window in windows[:-1]] == starts[1:]


@pytest.mark.parametrize("duration", ["P1M", "P1Y", "p1m", "+P1Y2D", "P1M1DT1H"])
@pytest.mark.parametrize("name", ["lookback", "partition_length"])
def test_duration_in_months_or_years_is_rejected(name: str, duration: str) -> None:
    with pytest.raises(InvalidInput, match=name):
        check_window_arguments(None, None, **{"lookback": None, name: duration})


def test_index_delay_in_months_is_rejected_and_in_minutes_is_not() -> None:
    with pytest.raises(InvalidInput, match="index_delay"):
        read_index_delay("P1M")
    assert read_index_delay("PT1M") == timedelta(minutes=1)


# A DAG run that TriggerDagRunOperator creates for a past day

NOW = TUESDAY + timedelta(hours=15, minutes=7)


def test_lookback_ends_at_the_logical_date_before_the_data_interval() -> None:
    run = DagRun(NOW, NOW, run_after=NOW, logical_date=MONDAY)
    assert window_of(run, lookback=DAY) == DataWindow(start=MONDAY - DAY, end=MONDAY)


@pytest.mark.parametrize("interval", [(TUESDAY, NOW), (NOW, NOW)])
def test_data_interval_after_the_logical_date_is_rejected(interval: tuple[datetime, datetime]) -> None:
    with pytest.raises(InvalidInput, match="lookback"):
        window_of(DagRun(*interval, run_after=NOW, logical_date=MONDAY))


@pytest.mark.parametrize(
    ("interval", "logical_date"),
    [
        ((MONDAY, TUESDAY), MONDAY),  # scheduled, with a data interval
        ((MONDAY, TUESDAY), NOW),  # triggered manually
    ],
)
def test_data_interval_of_the_logical_date_is_the_window(
    interval: tuple[datetime, datetime], logical_date: datetime
) -> None:
    run = DagRun(*interval, logical_date=logical_date)
    assert window_of(run) == window_of(run, lookback=DAY) == DataWindow(start=MONDAY, end=TUESDAY)
