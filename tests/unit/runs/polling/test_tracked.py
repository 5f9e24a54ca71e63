"""When the list of a task is read on, and when its runs are read by their IDs instead."""

from __future__ import annotations

from typing import Any, cast

import pytest

from airflow_provider_online_tasks.runs.polling.registry import Registry
from airflow_provider_online_tasks.runs.polling.schedule import LONGEST_BY_ID, Queue, Run, Task, Wait


def task(*run_ids: str, interval: float = 10.0) -> Task:
    """A task with runs that are waited for, and a round in which none of them was seen."""
    found = Task(task_id="task")
    for run_id in run_ids:
        run = found.runs[run_id] = Run(run_id=run_id)
        run.waits.append(Wait(cast("Any", None), run, conn_id="arize", poll_interval=interval))
    found.begin_round(set(run_ids), 1.0)
    return found


def read(found: Task, size: int, *seen: str, explored: int = 0, next_cursor: str | None = "more") -> None:
    """Have a page of some runs read, some of which are waited for."""
    assert found.unseen is not None
    found.unseen -= set(seen)
    found.count_page(size, awaited=len(seen), explored=explored, next_cursor=next_cursor)


def test_a_page_is_read_while_it_may_save_a_request() -> None:
    found = task("a", "b", "c")
    read(found, 100)
    assert found.wants_next_page(taskless=0)  # three runs, and one page without any
    read(found, 100)
    assert not found.wants_next_page(taskless=0)


def test_a_page_that_shows_a_run_makes_up_for_those_that_did_not() -> None:
    found = task("a", "b", "c", "d")
    read(found, 100)
    read(found, 100)
    read(found, 100, "a", "b")
    assert found.wants_next_page(taskless=0)
    read(found, 100)
    assert not found.wants_next_page(taskless=0)


def test_one_run_that_is_left_is_read_by_its_id() -> None:
    found = task("a", "b")
    read(found, 100, "a")
    assert not found.wants_next_page(taskless=0)
    assert found.end_round(0.0) == {"b"}


@pytest.mark.parametrize(
    ("explored", "taskless", "wanted"), [(2, 1, True), (1, 5, False), (0, 5, False), (2, 0, False)]
)
def test_a_page_that_showed_several_others_is_followed_by_the_next(
    explored: int, taskless: int, wanted: bool
) -> None:
    found = task("a")
    read(found, 100, explored=explored)
    assert found.wants_next_page(taskless=taskless) is wanted
    read(found, 100, explored=explored, next_cursor=None)
    assert not found.wants_next_page(taskless=taskless)


def test_a_page_that_shows_others_is_not_wasted() -> None:
    found = task("a", "b", "c")
    read(found, 100)
    read(found, 100, explored=1)
    assert found.wants_next_page(taskless=0)


def test_a_cursor_that_leads_back_ends_a_round() -> None:
    found = task("a", "b", "c")
    read(found, 100, next_cursor="back")
    found.cursors.add("back")
    assert not found.wants_next_page(taskless=0)
    found.begin_round({"a", "b", "c"}, 1.0)
    read(found, 100, next_cursor="back")
    assert found.wants_next_page(taskless=0)


@pytest.mark.parametrize(("size", "by_id_until"), [(0, 110.0), (1, 110.0), (2, float("-inf"))])
def test_pages_of_one_run_each_are_no_better_than_ids(size: int, by_id_until: float) -> None:
    found = task("a", "b")
    read(found, size, next_cursor=None)
    assert found.end_round(100.0) == {"a", "b"}
    assert found.by_id_until == by_id_until


def test_small_pages_that_show_every_run_will_do() -> None:
    found = task("a", "b")
    read(found, 1, "a")
    read(found, 1, "b", next_cursor=None)
    assert found.end_round(100.0) == set()
    assert found.by_id_until == float("-inf")


def test_it_is_by_ids_for_longer_each_time_until_a_page_shows_something() -> None:
    found, lasted = task("a", "b", interval=1.0), []
    for _ in range(6):
        found.begin_round({"a", "b"}, 1.0)
        read(found, 1, next_cursor=None)
        found.end_round(100.0)
        lasted.append(found.by_id_until - 100.0)
    assert lasted == [1.0, 2.0, 4.0, 8.0, LONGEST_BY_ID, LONGEST_BY_ID]

    found.begin_round({"a", "b"}, 1.0)
    read(found, 2, "a", "b", next_cursor=None)
    found.end_round(200.0)
    found.begin_round({"a", "b"}, 1.0)
    read(found, 1, next_cursor=None)
    found.end_round(300.0)
    assert found.by_id_until == 301.0


def test_a_list_that_cannot_be_read_is_left_alone_for_as_long_as_is_said() -> None:
    found = task("a", "b", interval=2.0)
    assert found.end_round(100.0, by_id_intervals=LONGEST_BY_ID) == {"a", "b"}
    assert found.by_id_until == 100.0 + LONGEST_BY_ID * 2.0


def test_a_task_whose_runs_are_all_over_has_nothing_to_read() -> None:
    found = task()
    assert found.end_round(100.0, by_id_intervals=LONGEST_BY_ID) == set()
    assert found.by_id_until == float("-inf")
    assert found.unseen is None


def test_pages_that_are_not_read_are_counted_until_one_is() -> None:
    found = task("a", "b")
    for _ in range(2):
        assert not found.count_list_failure(100.0)
        assert (found.list_failures, found.list_failing_since) == (1, 100.0)
        assert found.count_list_failure(130.0)
        assert (found.list_failures, found.list_failing_since) == (2, 100.0)
        read(found, 1)
        assert found.list_failures == 0


def test_a_task_that_is_forgotten_is_not_asked_about_any_more() -> None:
    registry, queue = Registry(), Queue()
    forgotten = registry.task("task")
    assert queue.put(forgotten, 5.0)
    registry.drop_if_idle(forgotten)
    assert registry.tasks == {}
    assert queue.first() is None
