"""The request budget: never more than the limit in any minute, evenly spread, lower after a 429."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_online_tasks.runs.polling.budget import Budget, Share
from airflow_provider_online_tasks.runs.polling.shared_pollers import WATCHERS_SHARE
from tests.support import quick_time


def sent(budget: Budget, wanted: list[float]) -> list[float]:
    """Send each request when it is wanted, or as soon as the budget allows; return the times."""
    now, times = 1000.0, []
    for pause in wanted:
        now = max(now + pause, budget.ready_at())
        budget.take(now)
        times.append(now)
    return times


@given(
    per_minute=st.integers(1, 300),
    wanted=st.lists(st.one_of(st.just(0.0), st.floats(0.0, 90.0)), max_size=400),
)
@example(per_minute=60, wanted=[0.0] * 61)
def test_any_minute_has_at_most_the_limit(per_minute: int, wanted: list[float]) -> None:
    times = sent(Budget(per_minute), wanted)

    for first, last in zip(times, times[per_minute:], strict=False):
        assert last - first >= 60.0


@pytest.mark.parametrize(("per_minute", "at_once"), [(1, 1), (60, 5), (600, 50)])
def test_new_budget_allows_a_twelfth_at_once(per_minute: int, at_once: int) -> None:
    times = sent(Budget(per_minute), [0.0] * (at_once + 1))

    assert times[at_once - 1] == pytest.approx(times[0])
    assert times[at_once] > times[0] + 0.09


def test_requests_after_the_burst_are_spread_evenly_near_the_limit() -> None:
    times = sent(Budget(60), [0.0] * 600)

    gaps = {round(later - earlier, 6) for earlier, later in pairwise(times[10:])}
    assert len(gaps) == 1
    assert 60 / gaps.pop() > 54


# -- Several processes that share a limit. --


@pytest.mark.promise("poll-rate-limited", "several-triggerers")
def test_rate_limited_lowers_rate_below_what_was_sent() -> None:
    budget = Budget(60)
    times = sent(budget, [0.0] * 60)

    budget.rate_limited(times[-1], sent_at=times[-1])

    assert budget.rate == pytest.approx(0.6 * len([at for at in times if at > times[-1] - 61]), abs=1)


def test_rate_limited_requests_in_flight_count_once() -> None:
    budget = Budget(60)
    now = sent(budget, [0.0] * 60)[-1]

    for _ in range(8):
        budget.rate_limited(now, sent_at=now - 1)
        now += 0.1
    lowered = budget.rate
    assert lowered > 25

    budget.rate_limited(now, sent_at=now)
    assert budget.rate < lowered


@pytest.mark.promise("several-triggerers")
def test_rate_after_rate_limit_rises_slowly_up_to_the_limit() -> None:
    budget = Budget(60)
    now = sent(budget, [0.0] * 60)[-1]
    budget.rate_limited(now, sent_at=now)
    lowered = budget.rate

    budget.take(now + 60)
    assert budget.rate == pytest.approx(lowered + 2, abs=0.1)
    budget.take(now + 3600)
    assert budget.rate == 60


def test_rate_limited_again_and_again_keeps_a_lowest_rate() -> None:
    budget = Budget(60)
    for now in range(100):
        budget.rate_limited(float(now), sent_at=float(now))

    assert budget.rate == 6
    assert Budget(1).rate == 1

    small = Budget(5)
    for now in range(100):
        small.rate_limited(float(now), sent_at=float(now))
    assert small.rate == 1


@given(
    per_minute=st.integers(1, 300),
    wanted=st.lists(st.one_of(st.just(0.0), st.floats(0.0, 90.0)), max_size=400),
    refused=st.sets(st.integers(0, 400)),
)
def test_any_minute_with_rate_limits_has_at_most_the_limit(
    per_minute: int, wanted: list[float], refused: set[int]
) -> None:
    budget, now, times = Budget(per_minute), 1000.0, []
    for number, pause in enumerate(wanted):
        now = max(now + pause, budget.ready_at())
        budget.take(now)
        times.append(now)
        if number in refused:
            budget.rate_limited(now, sent_at=now)

    for first, last in zip(times, times[per_minute:], strict=False):
        assert last - first >= 60.0


def test_share_with_busy_users_leaves_the_rest_to_others() -> None:
    budget, reserved, free = Budget(60), [], []
    share = Share(budget, WATCHERS_SHARE)

    async def watch() -> None:
        while True:
            await share.wait()
            reserved.append(asyncio.get_running_loop().time())

    async def ask() -> None:
        watching, loop = asyncio.create_task(watch()), asyncio.get_running_loop()
        while loop.time() < 300.0:
            await asyncio.sleep(0.1)
            if budget.ready_at() <= loop.time():
                budget.take(loop.time())
                free.append(loop.time())
        watching.cancel()

    quick_time.run(ask())

    assert len(reserved) <= len(free) / 2 + 5
    assert len(reserved) > 80
    assert len(reserved) + len(free) > 250


@pytest.mark.promise("watch")
def test_share_with_too_many_users_gives_them_equal_turns() -> None:
    """In real time, because tasks that wake up at the same moment do so in an unspecified order."""
    share, turns = Share(Budget(6_000), 1 / 3), Counter({1: 0, 2: 0, 3: 0})
    enough = asyncio.Event()

    async def watch(number: int) -> None:
        while True:
            await share.wait()
            turns[number] += 1
            if turns.total() == 60:
                enough.set()
            await asyncio.sleep(0.02)

    async def all_watch() -> None:
        watching = [asyncio.create_task(watch(number)) for number in turns]
        await enough.wait()
        for one in watching:
            one.cancel()

    asyncio.run(all_watch())

    assert min(turns.values()) >= max(turns.values()) - 2


def test_held_budget_two_holders_releases_with_the_last_one() -> None:
    budget = Budget(60)
    with budget.hold():
        with pytest.raises(ZeroDivisionError), budget.hold():
            raise ZeroDivisionError
        assert budget.is_held
    assert not budget.is_held


def test_rate_limited_on_two_budgets_changes_only_one() -> None:
    one, other = Budget(60), Budget(60)
    now = sent(one, [0.0] * 60)[-1]
    one.rate_limited(now, sent_at=now)
    assert (one.rate < 60, other.rate) == (True, 60)
