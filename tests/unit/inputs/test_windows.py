"""Times are read and written without change; windows are validated and split without gap or overlap."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_online_tasks._times import parse_time, wire_time
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.inputs.windows import DataWindow, split_window
from airflow_provider_online_tasks.runs.window import check_window_arguments, resolve_window
from tests.support.random_examples import examples

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


def window_of(dag_run: DagRun, **arguments: Any) -> DataWindow:
    given_arguments = {"data_start_time": None, "data_end_time": None, "lookback": None} | arguments
    return resolve_window({"dag_run": dag_run}, **given_arguments)


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
