"""Times go to and fro unchanged, windows are checked, and a long one is cut without gap or overlap."""

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
from airflow_provider_online_tasks.inputs import DataWindow, split_window
from airflow_provider_online_tasks.runs.window import check_window_arguments, resolve_window
from tests.support.random_examples import examples

zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
past = st.datetimes(datetime(2000, 1, 1), datetime(2024, 12, 31), timezones=zones)


@given(past)
def test_a_time_comes_back_from_the_wire_as_the_same_instant(at: datetime) -> None:
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
def test_a_time_without_a_zone_is_utc(written: str | datetime, wire: str) -> None:
    assert wire_time(parse_time(written, "t")) == wire


@given(st.text() | st.integers() | st.none() | st.floats() | st.dates())
def test_what_is_no_time_is_refused(value: Any) -> None:
    try:
        found = parse_time(value, "created_at")
    except ValueError as error:
        said = str(error)
    else:
        assert found.tzinfo is UTC
        return
    assert said.startswith("created_at is ")
    assert len(said) < 250


def test_what_is_no_time_is_not_repeated_at_length() -> None:
    with pytest.raises(ValueError, match="created_at is not a time: ") as caught:
        parse_time("x" * 100_000, "created_at")
    assert len(str(caught.value)) < 250


# Splitting -----------------------------------------------------------------------------------------------


@settings(max_examples=examples(60), deadline=None)
@given(
    start=past,
    length=st.timedeltas(timedelta(microseconds=1), timedelta(days=300)),
    days=st.floats(1, 30) | st.integers(1, 30) | st.sampled_from(["7", 0.5]),
)
def test_pieces_cover_the_window_without_gap_or_overlap(
    start: datetime, length: timedelta, days: float | str
) -> None:
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


def test_the_seed_pages_60_days_are_three_pieces() -> None:
    pieces = split_window("2024-10-08T00:01:41.644Z", "2024-12-07T01:01:41.644Z")
    assert [piece["data_end_time"] for piece in pieces] == [
        "2024-11-07T00:01:41.644Z",
        "2024-12-07T00:01:41.644Z",
        "2024-12-07T01:01:41.644Z",
    ]


@pytest.mark.parametrize("days", [0, -1, 31, float("nan"), "many", 1e-9, True, None])
def test_pieces_that_are_none_or_too_long(days: Any) -> None:
    with pytest.raises(InvalidInput, match="days must be a"):
        split_window("2024-10-08", "2024-12-07", days=days)


def test_only_a_window_can_be_cut() -> None:
    with pytest.raises(InvalidInput, match="The window is reversed"):
        split_window("2024-12-07", "2024-10-08")


# One window ----------------------------------------------------------------------------------------------


def test_a_window_may_end_now_and_a_little_later_by_another_clock() -> None:
    now = datetime(2024, 10, 9, tzinfo=UTC)
    assert DataWindow.read("2024-10-08", now + timedelta(seconds=59), now=now).end > now
    with pytest.raises(
        InvalidInput, match=r"ends in the future, at 2024-10-09T00:01:01Z \(now is 2024-10-09T"
    ):
        DataWindow.read("2024-10-08", now + timedelta(seconds=61), now=now)


def test_a_window_of_30_days_is_not_long() -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    assert not DataWindow.read(start, start + timedelta(days=30)).is_long
    assert DataWindow.read(start, start + timedelta(days=30, seconds=1)).is_long
    assert str(DataWindow.read("2024-01-01", "2024-01-02")) == "2024-01-01T00:00:00Z to 2024-01-02T00:00:00Z"


# The window of a run -------------------------------------------------------------------------------------

MONDAY, TUESDAY = datetime(2024, 10, 7, tzinfo=UTC), datetime(2024, 10, 8, tzinfo=UTC)
DAY = timedelta(days=1)


@dataclass
class DagRun:
    """As much of a DAG run as decides the window."""

    data_interval_start: datetime | None = None
    data_interval_end: datetime | None = None
    run_after: datetime | None = TUESDAY


def window_of(dag_run: DagRun, **arguments: Any) -> DataWindow:
    given_arguments = {"start": None, "end": None, "lookback": None} | arguments
    return resolve_window({"dag_run": dag_run}, **given_arguments)


def test_the_window_is_the_data_interval() -> None:
    assert window_of(DagRun(MONDAY, TUESDAY)) == DataWindow(start=MONDAY, end=TUESDAY)


def test_a_window_that_is_given_comes_before_the_data_interval() -> None:
    given_window = window_of(DagRun(MONDAY, TUESDAY), start="2024-01-01", end="2024-01-02T12:00:00+02:00")
    assert str(given_window) == "2024-01-01T00:00:00Z to 2024-01-02T10:00:00Z"


def test_a_lookback_ends_with_the_data_interval() -> None:
    run = DagRun(MONDAY, MONDAY, run_after=TUESDAY)
    assert window_of(run, lookback=DAY) == DataWindow(start=MONDAY - DAY, end=MONDAY)


def test_a_lookback_without_a_data_interval_ends_when_the_run_is_due() -> None:
    assert window_of(DagRun(), lookback=7 * DAY) == DataWindow(start=TUESDAY - 7 * DAY, end=TUESDAY)


@given(interval=st.timedeltas(timedelta(minutes=1), timedelta(days=90)), start=past)
def test_every_try_computes_the_same_window(interval: timedelta, start: datetime) -> None:
    run = DagRun(start, start + interval)
    assert window_of(run) == window_of(run) == DataWindow(start=start, end=start + interval)


THREE_WAYS = ("data_start_time and data_end_time", "lookback=timedelta(days=1)", "CronDataIntervalTimetable(")


@pytest.mark.parametrize(
    ("run", "arguments", "said"),
    [
        (DagRun(), {}, "The DAG run has no data interval."),
        (
            DagRun(MONDAY, MONDAY),
            {},
            "The DAG run's data interval has no length: on Airflow 3 a cron schedule",
        ),
        (DagRun(run_after=None), {"lookback": DAY}, "neither a data interval nor a run-after time."),
        (DagRun(MONDAY, TUESDAY), {"start": MONDAY}, "data_start_time is given without data_end_time."),
        (DagRun(MONDAY, TUESDAY), {"end": MONDAY}, "data_end_time is given without data_start_time."),
        (
            DagRun(),
            {"start": MONDAY, "end": TUESDAY, "lookback": DAY},
            "lookback and data_start_time are given both.",
        ),
    ],
)
def test_a_run_whose_window_nobody_can_tell_names_the_three_ways_to_say_it(
    run: DagRun, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        window_of(run, **arguments)
    assert said in str(caught.value)
    assert all(way in str(caught.value) for way in THREE_WAYS)


@pytest.mark.parametrize("lookback", [timedelta(0), -DAY, 0, "0", "1 fortnight", "", True, float("nan"), [1]])
def test_a_lookback_that_is_no_length_of_time(lookback: Any) -> None:
    with pytest.raises(InvalidInput, match="lookback must be "):
        check_window_arguments(None, None, lookback)


@pytest.mark.parametrize("lookback", [DAY, 86400, 86400.0, "86400", "P1D", "PT24H", "1 day, 0:00:00"])
def test_a_lookback_is_a_timedelta_seconds_or_iso_8601(lookback: Any) -> None:
    check_window_arguments(None, None, lookback)
    # It ends where the data interval ends, however long that is.
    assert window_of(DagRun(MONDAY, TUESDAY), lookback=lookback) == DataWindow(start=MONDAY, end=TUESDAY)
    assert window_of(DagRun(MONDAY - DAY, TUESDAY), lookback=lookback) == DataWindow(
        start=MONDAY, end=TUESDAY
    )


def test_a_lookback_that_is_a_template_is_read_when_it_is_rendered() -> None:
    check_window_arguments(None, None, "{{ params.lookback }}")


def test_a_lookback_longer_than_time() -> None:
    with pytest.raises(InvalidInput, match="lookback is longer than time itself"):
        window_of(DagRun(), lookback=timedelta.max)


def test_an_interval_that_is_not_over_yet() -> None:
    tomorrow = datetime.now(UTC) + DAY
    with pytest.raises(InvalidInput, match="ends in the future"):
        window_of(DagRun(tomorrow - 2 * DAY, tomorrow))
