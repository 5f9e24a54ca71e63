"""When a call is sent again: only if that is harmless, and as long as the server asks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_online_tasks.api.retry import NO_RETRY, RetryPolicy
from airflow_provider_online_tasks.exceptions import (
    CallError,
    InputRefused,
    KeyRefused,
    NotFound,
    PermissionDenied,
    RateLimited,
    TaskErrorReturned,
    Unavailable,
    UnexpectedAnswer,
)

FINAL = [
    KeyRefused("k"),
    PermissionDenied("p"),
    NotFound("n"),
    InputRefused("i"),
    TaskErrorReturned("t", code=None, reason="t"),
]


@pytest.mark.parametrize("error", FINAL, ids=lambda error: type(error).__name__)
def test_a_refusal_is_final(error: CallError) -> None:
    assert RetryPolicy().delay(error, 1) is None


@pytest.mark.parametrize("kind", [Unavailable, UnexpectedAnswer])
def test_a_call_that_may_have_been_carried_out_is_not_repeated(kind: type[Unavailable]) -> None:
    assert RetryPolicy().delay(kind("lost", may_have_executed=True), 1) is None
    assert RetryPolicy().delay(kind("lost"), 1) is not None


@given(attempt=st.integers(1, 10), attempts=st.integers(1, 10))
def test_attempts_end(attempt: int, attempts: int) -> None:
    delay = RetryPolicy(attempts=attempts).delay(Unavailable("lost"), attempt)
    assert (delay is None) is (attempt >= attempts)


@given(attempt=st.integers(1, 20))
def test_the_wait_doubles_up_to_a_bound(attempt: int) -> None:
    policy = RetryPolicy(attempts=30, first_delay=1.0, max_delay=65.0)
    delay = policy.delay(Unavailable("lost"), attempt)
    expected = min(65.0, 2.0 ** (attempt - 1))
    assert delay is not None
    assert 0.75 * expected <= delay <= 1.25 * expected


def test_a_rate_limit_is_waited_for_longer_as_it_counts_by_the_minute() -> None:
    first = RetryPolicy().delay(RateLimited("429"), 1)
    assert first is not None
    assert first >= 6.0


@pytest.mark.parametrize("kind", [RateLimited, Unavailable])
def test_the_server_says_how_long(kind: type[RateLimited | Unavailable]) -> None:
    assert RetryPolicy().delay(kind("wait", retry_after=7.0), 1) == 7.0
    assert RetryPolicy().delay(kind("wait", retry_after=0.0), 3) == 0.0
    assert RetryPolicy(max_delay=65.0).delay(kind("wait", retry_after=66.0), 1) is None


def test_no_retry() -> None:
    assert NO_RETRY.delay(Unavailable("lost"), 1) is None
