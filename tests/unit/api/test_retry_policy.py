"""A call is repeated only if that is harmless, and as late as the server asks."""

from __future__ import annotations

from collections.abc import Iterator

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


def delays(policy: RetryPolicy, *errors: CallError) -> list[float]:
    """Return the delays of a call that fails with these errors, the last one again and again."""
    slept: list[float] = []
    left: Iterator[CallError] = iter(errors)

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        assert len(slept) < 1_000, "the call is repeated without end"

    def fail() -> None:
        raise next(left, errors[-1])

    with pytest.raises(type(errors[-1])):
        policy.retrying(sleep)(fail)
    return slept


def test_retry_permanent_error_is_not_repeated() -> None:
    for error in (
        AuthenticationFailed("k"),
        PermissionDenied("p"),
        NotFound("n"),
        BadRequest("i"),
        TaskErrorReturned("t", code=None, reason="t"),
        Unavailable("lost", may_have_executed=True),
        UnexpectedResponse("lost", may_have_executed=True),
    ):
        assert delays(RetryPolicy(), error) == [], error


def test_retry_stops_after_the_attempts() -> None:
    for attempts in (1, 2, 4, 10):
        for error in (Unavailable("lost"), UnexpectedResponse("lost")):
            assert len(delays(RetryPolicy(attempts=attempts), error)) == attempts - 1


def test_retry_delay_doubles_up_to_the_longest() -> None:
    policy = RetryPolicy(attempts=30, first_delay=1.0, max_delay=65.0)
    for at, delay in enumerate(delays(policy, Unavailable("lost"))):
        expected = min(65.0, 2.0**at)
        assert 0.75 * expected <= delay <= 1.25 * expected


def test_retry_waits_as_long_as_the_server_asks() -> None:
    assert delays(RetryPolicy(attempts=2), Unavailable("wait", retry_after=7.0)) == [7.0]
    assert delays(RetryPolicy(attempts=4), Unavailable("wait", retry_after=0.0)) == [0.0, 0.0, 0.0]
    assert delays(RetryPolicy(max_delay=65.0), Unavailable("wait", retry_after=66.0)) == []


def test_retry_after_success_starts_with_the_first_delay_again() -> None:
    policy = RetryPolicy()
    first, second = (delays(policy, Unavailable("lost")) for _ in range(2))
    assert all(call[0] <= 1.25 for call in (first, second))


def test_rate_limit_first_delay_is_several_seconds() -> None:
    assert delays(RetryPolicy(), RateLimited("429"), NotFound("n"))[0] >= 6.0


@given(asked=st.floats(0, 300))
def test_rate_limit_waits_a_little_longer_than_asked(asked: float) -> None:
    for delay in delays(RetryPolicy(), RateLimited("429", retry_after=asked)):
        assert asked <= delay <= max(asked, 65.0) * 1.25 + 1.0


@given(asked=st.none() | st.floats(0, 60))
def test_rate_limit_counts_time_and_not_attempts(asked: float | None) -> None:
    slept = delays(RetryPolicy(), RateLimited("429", retry_after=asked))
    assert 500 <= sum(slept) <= 600
    assert 5 < len(slept) < 40


def test_rate_limit_longer_than_the_patience_is_not_waited_for() -> None:
    assert delays(RetryPolicy(), RateLimited("429", retry_after=3600.0)) == []


def test_rate_limit_delays_differ() -> None:
    limited = RateLimited("429", retry_after=30.0)
    assert len({delays(RetryPolicy(), limited, NotFound("n"))[0] for _ in range(60)}) == 60


def test_no_retry_sends_once() -> None:
    for error in (Unavailable("lost"), RateLimited("429"), RateLimited("429", retry_after=0.0)):
        assert delays(NO_RETRY, error) == []
