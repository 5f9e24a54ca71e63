"""Times of the API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pendulum
import pytest

from airflow_provider_online_tasks._times import parse_time

MOMENT = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        pendulum.instance(MOMENT),
        pendulum.instance(MOMENT).in_timezone("Europe/Berlin"),
        MOMENT.replace(tzinfo=None),
        "2026-03-29T03:30:00+02:00",
    ],
    ids=["pendulum", "pendulum, another zone", "no zone", "text"],
)
def test_parse_time_every_type_is_a_plain_datetime_at_utc(value: datetime | str) -> None:
    parsed = parse_time(value)
    assert type(parsed) is datetime
    assert parsed == MOMENT
    assert parsed.tzinfo is UTC
    assert (parsed - datetime(2026, 1, 1, tzinfo=UTC)) // timedelta(days=1) == 87
