"""When an endpoint that rejects requests or doesn't respond is asked again."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_online_tasks.exceptions import AuthenticationFailed, CallError, RateLimited, Unavailable
from airflow_provider_online_tasks.runs.polling.poller import EndpointState
from tests.support import quick_time

NO_RESPONSE = Unavailable("no response")
REJECTED_KEY = AuthenticationFailed("rejected")


def pauses(*errors: CallError | None) -> list[float]:
    """Return the seconds that each error pauses an endpoint, sent after the previous pause.

    :param errors: None is a response.
    """

    async def fail() -> list[float]:
        state, loop, seconds = EndpointState("https://arize.example"), asyncio.get_running_loop(), []
        for error in errors:
            if error is None:
                state.responded()
                continue
            failed_at = loop.time()
            state.failed(error, sent_at=failed_at)
            seconds.append(round(state.paused_until - failed_at, 1))
            await asyncio.sleep(state.paused_until - loop.time())
        return seconds

    return quick_time.run(fail())


@pytest.mark.promise("poll-rate-limited")
@pytest.mark.parametrize("kind", [RateLimited, Unavailable])
@pytest.mark.parametrize(
    ("retry_after", "paused"), [(3.0, 3.0), (45.0, 45.0), (0.0, 1.0), (-5.0, 1.0), (86_400.0, 300.0)]
)
def test_failed_with_retry_after_pauses_as_long_within_limits(
    kind: type[RateLimited | Unavailable], retry_after: float, paused: float
) -> None:
    assert pauses(kind("later", retry_after=retry_after)) == [paused]


@pytest.mark.promise("poll-outage")
def test_failed_without_response_again_doubles_pause_to_30_seconds() -> None:
    assert pauses(*[NO_RESPONSE] * 9) == [1, 2, 4, 8, 16, 30, 30, 30, 30]


@pytest.mark.promise("poll-rate-limited")
def test_failed_rate_limited_again_doubles_pause_to_a_minute() -> None:
    assert pauses(*[RateLimited("too many")] * 4) == [15, 30, 60, 60]


def test_failed_key_rejected_again_doubles_pause_to_30_seconds() -> None:
    assert pauses(*[REJECTED_KEY] * 6) == [2, 4, 8, 16, 30, 30]


def test_responded_after_failures_starts_with_the_first_pause_again() -> None:
    assert pauses(NO_RESPONSE, NO_RESPONSE, NO_RESPONSE, None, NO_RESPONSE) == [1, 2, 4, 1]


def test_responded_after_failure_clears_trouble() -> None:
    async def fail_and_respond() -> None:
        state = EndpointState("https://arize.example")
        for error in (NO_RESPONSE, REJECTED_KEY, RateLimited("too many")):
            state.failed(error, sent_at=asyncio.get_running_loop().time())
            assert state.trouble == str(error)
            assert state.is_in_doubt
            await asyncio.sleep(1)
            state.responded()
            assert state.trouble is None
            assert not state.is_in_doubt
            assert state.responded_at == asyncio.get_running_loop().time()

    quick_time.run(fail_and_respond())


def test_failed_requests_in_flight_when_pause_began_do_not_lengthen_it() -> None:
    async def fail_together() -> list[float]:
        state, loop = EndpointState("https://arize.example"), asyncio.get_running_loop()
        await asyncio.sleep(10)
        sent_at, ends = loop.time(), []
        for _ in range(3):
            await asyncio.sleep(0.1)
            state.failed(NO_RESPONSE, sent_at=sent_at)
            ends.append(round(state.paused_until - sent_at, 1))
        return ends

    assert quick_time.run(fail_together()) == [1.1, 1.2, 1.3]


def test_failed_shorter_retry_after_keeps_the_longer_pause() -> None:
    async def fail_twice() -> float:
        state, loop = EndpointState("https://arize.example"), asyncio.get_running_loop()
        failed_at = loop.time()
        state.failed(RateLimited("too many", retry_after=60.0), sent_at=failed_at)
        state.failed(RateLimited("too many", retry_after=5.0), sent_at=failed_at)
        return round(state.paused_until - failed_at, 1)

    assert quick_time.run(fail_twice()) == 60


def rejections(seconds: float, *, interruptions: dict[int, CallError | None] | None = None) -> list[bool]:
    """Return for each request whether the key stays rejected. Requests are sent after each pause.

    :param interruptions: errors instead of a rejection, by the number of the request; None is a response.
    """

    async def reject() -> list[bool]:
        state, loop, results = EndpointState("https://arize.example"), asyncio.get_running_loop(), []
        await asyncio.sleep(1000)  # the key was valid for long
        started_at = loop.time()
        while loop.time() - started_at < seconds:
            error = (interruptions or {}).get(len(results), REJECTED_KEY)
            if error is None:
                state.responded()
                results.append(False)
                await asyncio.sleep(1)
            else:
                results.append(state.failed(error, sent_at=loop.time()))
                await asyncio.sleep(state.paused_until - loop.time())
        return results

    return quick_time.run(reject())


def test_key_rejected_for_five_minutes_ends_waits_and_not_before() -> None:
    # Requests after 0, 2, 6, 14 and 30 seconds, and then every 30 seconds.
    assert rejections(400) == [False] * 13 + [True] * 4


@pytest.mark.parametrize(
    "interruption", [None, NO_RESPONSE, RateLimited("too many", retry_after=1)], ids=repr
)
def test_key_rejected_with_interruption_counts_five_minutes_again(interruption: CallError | None) -> None:
    assert not any(rejections(320, interruptions={12: interruption}))
    assert rejections(700, interruptions={12: interruption})[-1]
