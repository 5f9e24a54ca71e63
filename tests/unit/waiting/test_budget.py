"""The request budget: never more than the limit in any minute, whatever is asked of it, and evenly spread."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_online_tasks.waiting.budget import Budget


def sent(budget: Budget, wanted: list[float]) -> list[float]:
    """Send each request when it is wanted, or as soon after as the budget permits."""
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
def test_no_minute_has_more_requests_than_the_limit(per_minute: int, wanted: list[float]) -> None:
    times = sent(Budget(per_minute), wanted)

    for first, last in zip(times, times[per_minute:], strict=False):
        assert last - first >= 60.0


@pytest.mark.parametrize(("per_minute", "at_once"), [(1, 1), (60, 5), (600, 50)])
def test_a_twelfth_may_be_sent_at_once(per_minute: int, at_once: int) -> None:
    times = sent(Budget(per_minute), [0.0] * (at_once + 1))

    assert times[at_once - 1] == pytest.approx(times[0])
    assert times[at_once] > times[0] + 0.09


def test_the_rest_is_spread_evenly_and_uses_nine_tenths_of_the_limit() -> None:
    times = sent(Budget(60), [0.0] * 600)

    gaps = {round(later - earlier, 6) for earlier, later in pairwise(times[10:])}
    assert len(gaps) == 1
    assert 60 / gaps.pop() > 54


def test_it_is_idle_until_half_of_the_burst_is_spent() -> None:
    budget = Budget(60)
    assert budget.is_idle(0.0)

    for _ in range(3):
        budget.take(0.0)

    assert not budget.is_idle(0.0)
    assert budget.is_idle(3.0)
