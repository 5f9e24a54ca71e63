"""When an Arize that refuses, or does not answer, is asked again."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_online_tasks.exceptions import AuthenticationFailed, CallError, RateLimited, Unavailable
from airflow_provider_online_tasks.runs.polling.endpoint_state import EndpointState
from tests.support import quick_time

UNANSWERED = Unavailable("no answer")


def pauses(*errors: CallError | None) -> list[float]:
    """Return how long each error pauses an endpoint, each after the pause before; None is an answer."""

    async def ask() -> list[float]:
        state, loop, found = EndpointState("https://arize.example"), asyncio.get_running_loop(), []
        for error in errors:
            if error is None:
                state.answered()
                continue
            began = loop.time()
            state.pause(error, began)
            found.append(round(state.paused_until - began, 1))
            await asyncio.sleep(state.paused_until - loop.time())
        return found

    return quick_time.run(ask())


@pytest.mark.promise("poll-rate-limited")
@pytest.mark.parametrize("kind", [RateLimited, Unavailable])
@pytest.mark.parametrize(("asked_for", "paused"), [(3.0, 3.0), (45.0, 45.0), (0.0, 1.0), (86_400.0, 300.0)])
def test_it_is_asked_again_when_it_says_so_within_five_minutes(
    kind: type[RateLimited | Unavailable], asked_for: float, paused: float
) -> None:
    assert pauses(kind("later", retry_after=asked_for)) == [paused]


@pytest.mark.promise("poll-outage")
def test_an_outage_is_asked_less_and_less_often_but_twice_a_minute() -> None:
    assert pauses(*[UNANSWERED] * 9) == [1, 2, 4, 8, 16, 30, 30, 30, 30]


@pytest.mark.promise("poll-rate-limited")
def test_a_rate_limit_that_goes_on_is_asked_once_a_minute() -> None:
    assert pauses(*[RateLimited("too many")] * 4) == [15, 30, 60, 60]


def test_an_answer_ends_a_streak_of_failures() -> None:
    assert pauses(UNANSWERED, UNANSWERED, UNANSWERED, None, UNANSWERED) == [1, 2, 4, 1]


def test_a_key_is_refused_for_good_after_five_minutes_of_it_and_not_before() -> None:
    async def ask() -> list[bool]:
        state, loop, found = EndpointState("https://arize.example"), asyncio.get_running_loop(), []
        # It was in order for long.
        await asyncio.sleep(1000)
        began = loop.time()
        while loop.time() - began < 400:
            found.append(state.refused(AuthenticationFailed("no"), loop.time()))
            await asyncio.sleep(state.paused_until - loop.time())
        return found

    # At 0, 2, 6, 14, 30 and then each 30 seconds.
    assert quick_time.run(ask()) == [False] * 13 + [True] * 4
