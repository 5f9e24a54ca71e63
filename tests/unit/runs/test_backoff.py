"""Pauses between attempts."""

from __future__ import annotations

import pytest

from airflow_provider_online_tasks.runs.backoff import backoff


def test_backoff_failures_in_a_row_doubles_up_to_longest() -> None:
    assert [backoff(failures, first=1.5, longest=10.0) for failures in range(1, 6)] == [1.5, 3, 6, 10, 10]


def test_backoff_no_failure_counts_as_one() -> None:
    assert backoff(0, first=2.0, longest=30.0) == 2.0


@pytest.mark.parametrize("failures", [1_000, 100_000])
def test_backoff_very_many_failures_returns_longest(failures: int) -> None:
    assert backoff(failures, first=0.5, longest=30.0) == 30.0
