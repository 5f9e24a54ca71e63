"""Tests of the policy for polls that fail."""

from __future__ import annotations

import pytest

from airflow_provider_online_tasks import exceptions
from airflow_provider_online_tasks._airflow import AirflowFailException
from airflow_provider_online_tasks.exceptions import (
    CallError,
    NotFound,
    RateLimited,
    TaskErrorReturned,
    Unavailable,
    UnexpectedResponse,
)
from airflow_provider_online_tasks.runs.wait_policy import (
    REJECTIONS,
    Rejections,
    backoff,
    pause_after,
    run_unreachable,
)

TRANSIENT = {CallError, RateLimited, TaskErrorReturned, Unavailable}


def test_rejections_every_call_error_is_classified() -> None:
    kinds = {
        kind
        for kind in vars(exceptions).values()
        if isinstance(kind, type) and issubclass(kind, CallError) and kind not in TRANSIENT
    }
    assert {kind for kind in kinds if issubclass(kind, REJECTIONS)} == kinds
    assert not any(issubclass(kind, REJECTIONS) for kind in TRANSIENT)


@pytest.mark.parametrize(
    ("polls", "ends"),
    [
        ([0, 299], False),
        ([0, 300], False),  # two responses are too few, however far apart
        ([0, 1, 299], False),
        ([0, 1, 300], True),
        ([0, 150, 300], True),
    ],
)
def test_rejections_end_wait_after_3_polls_in_300_seconds(polls: list[float], ends: bool) -> None:
    rejections = Rejections()
    for now in polls:
        rejections.add(now)
    assert rejections.end_wait(polls[-1]) is ends


def test_rejections_after_clear_start_again() -> None:
    rejections = Rejections()
    for now in (0, 100, 200, 290):
        rejections.add(now)
    rejections.clear()
    for now in (300, 400, 599):
        rejections.add(now)
        assert not rejections.end_wait(now)
    rejections.add(600)
    assert rejections.end_wait(600)


def test_rejections_clock_set_back_start_again() -> None:
    rejections = Rejections()
    for now in (1000, 1010, 0, 10):
        rejections.add(now)
        assert not rejections.end_wait(now)
    rejections.add(300)
    assert rejections.end_wait(300)


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (RateLimited("too many"), 15.0),
        (RateLimited("too many", retry_after=40.0), 40.0),
        (RateLimited("too many", retry_after=3600.0), 300.0),
        (Unavailable("no response"), 0.0),
        (Unavailable("no response", retry_after=40.0), 40.0),
        (UnexpectedResponse("garbage"), 0.0),
        (NotFound("no such run"), 0.0),
    ],
)
def test_pause_after_error_respects_retry_after(error: CallError, seconds: float) -> None:
    assert pause_after(error) == seconds


def test_run_unreachable_is_retried() -> None:
    for error in (NotFound("no such run."), ValueError("a bug")):
        assert not isinstance(run_unreachable("run-1", error, 300.0), AirflowFailException)
        assert "run-1" in str(run_unreachable("run-1", error))


def test_backoff_failures_in_a_row_doubles_up_to_longest() -> None:
    assert [backoff(failures, first=1.5, longest=10.0) for failures in range(1, 6)] == [1.5, 3, 6, 10, 10]


def test_backoff_no_failure_counts_as_one() -> None:
    assert backoff(0, first=2.0, longest=30.0) == 2.0


@pytest.mark.parametrize("failures", [1_000, 100_000])
def test_backoff_many_failures_returns_longest(failures: int) -> None:
    assert backoff(failures, first=0.5, longest=30.0) == 30.0
