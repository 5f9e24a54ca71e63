"""When a call is sent again: only if that is harmless, and as long as the server asks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_online_tasks.api.retry import NO_RETRY, RetryPolicy
from airflow_provider_online_tasks.exceptions import (
    AuthenticationFailed,
    BadRequest,
    CallError,
    NotFound,
    PermissionDenied,
    RateLimited,
    TaskErrorReturned,
    Unavailable,
    UnexpectedResponse,
)

FINAL = [
    AuthenticationFailed("k"),
    PermissionDenied("p"),
    NotFound("n"),
    BadRequest("i"),
    TaskErrorReturned("t", code=None, reason="t"),
]


@pytest.mark.parametrize("error", FINAL, ids=lambda error: type(error).__name__)
def test_a_refusal_is_final(error: CallError) -> None:
    assert RetryPolicy().delay(error, 1) is None


@pytest.mark.parametrize("kind", [Unavailable, UnexpectedResponse])
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


def test_the_server_says_how_long() -> None:
    assert RetryPolicy().delay(Unavailable("wait", retry_after=7.0), 1) == 7.0
    assert RetryPolicy().delay(Unavailable("wait", retry_after=0.0), 3) == 0.0
    assert RetryPolicy(max_delay=65.0).delay(Unavailable("wait", retry_after=66.0), 1) is None


@given(asked=st.floats(0, 300), attempt=st.integers(1, 20))
def test_a_rate_limit_is_waited_out_and_a_little_longer(asked: float, attempt: int) -> None:
    delay = RetryPolicy().delay(RateLimited("429", retry_after=asked), attempt)
    assert delay is not None
    assert asked <= delay <= max(asked, 65.0) * 1.25 + 1.0


@given(asked=st.none() | st.floats(0, 60))
def test_a_rate_limit_counts_by_time_and_ends(asked: float | None) -> None:
    policy, waited, attempt = RetryPolicy(), 0.0, 1
    while (delay := policy.delay(RateLimited("429", retry_after=asked), attempt, waited=waited)) is not None:
        waited, attempt = waited + delay, attempt + 1
    assert 500 <= waited <= 600
    assert 6 < attempt < 40


def test_a_server_that_asks_for_more_than_the_patience_ends_it() -> None:
    assert RetryPolicy().delay(RateLimited("429", retry_after=3600.0), 1) is None


def test_those_who_were_refused_together_do_not_come_back_together() -> None:
    delays = {RetryPolicy().delay(RateLimited("429", retry_after=30.0), 1) for _ in range(60)}
    assert len(delays) == 60


def test_no_retry() -> None:
    assert NO_RETRY.delay(Unavailable("lost"), 1) is None
    assert NO_RETRY.delay(RateLimited("429"), 1) is None
    assert NO_RETRY.delay(RateLimited("429", retry_after=0.0), 1) is None
