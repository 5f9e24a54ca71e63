"""Which pages of a task's runs are read, and when its runs are read by their IDs instead."""

from __future__ import annotations

from typing import Any, cast

import pytest

from airflow_provider_online_tasks.runs.polling.schedule import BY_ID_INTERVALS, PolledRun, TaskPages, Wait


def pages_of(*run_ids: str, interval: float = 10.0) -> TaskPages:
    """Return a task with waited-for runs, all due, in a round that has read no page."""
    task = TaskPages(task_id="task")
    for run_id in run_ids:
        run = task.runs[run_id] = PolledRun(run_id=run_id)
        run.waits.append(Wait(cast("Any", None), run, conn_id="arize", poll_interval=interval))
    task.begin_round(0.0)
    return task


def test_add_page_more_runs_missing_than_fruitless_pages_reads_on() -> None:
    task = pages_of("a", "b", "c")
    assert task.add_page(set(), "2")
    assert not task.add_page(set(), "3")


def test_add_page_shows_missing_run_resets_fruitless_pages() -> None:
    task = pages_of("a", "b", "c", "d", "e")
    assert [task.add_page(set(), str(number)) for number in range(3)] == [True, True, True]
    assert task.add_page({"a"}, "3")
    assert task.add_page(set(), "4")
    assert not task.add_page({"b", "c", "d"}, "5")


def test_add_page_shows_run_that_was_not_due_is_fruitless() -> None:
    task = pages_of("a", "b", "c")
    assert task.add_page({"x", "y"}, "2")
    assert not task.add_page({"x", "y"}, "3")


def test_add_page_one_run_missing_stops() -> None:
    task = pages_of("a", "b")
    assert not task.add_page({"a"}, "2")
    assert task.end_round(0.0) == {"b"}


@pytest.mark.parametrize("cursor", [None, "2"])
def test_add_page_cursor_missing_or_repeated_stops(cursor: str | None) -> None:
    task = pages_of("a", "b", "c", "d", "e", "f")
    assert task.add_page(set(), "2")
    assert not task.add_page(set(), cursor)


def test_begin_round_again_follows_the_cursors_again() -> None:
    task = pages_of("a", "b", "c")
    for _ in range(2):
        assert task.add_page(set(), "2")
        task.end_round(0.0)
        task.begin_round(0.0)
        assert task.cursor is None


def test_begin_round_includes_runs_due_within_a_quarter_of_their_interval() -> None:
    task = pages_of("now", "soon", "later", interval=10.0)
    task.runs["soon"].due, task.runs["later"].due = 102.5, 102.6
    task.begin_round(100.0)
    assert task.missing == {"now", "soon"}


def test_begin_round_leaves_out_runs_read_by_id() -> None:
    task = pages_of("a", "b")
    task.runs["b"].by_id = True
    task.begin_round(0.0)
    assert task.missing == {"a"}


def test_remove_run_of_round_does_not_read_it() -> None:
    task = pages_of("a", "b")
    task.remove(task.runs["a"])
    assert task.end_round(0.0) == {"b"}
    assert set(task.runs) == {"b"}


@pytest.mark.parametrize(("shown", "prefers_ids"), [(set(), True), ({"x"}, True), ({"x", "y"}, False)])
def test_end_round_pages_show_one_run_each_prefers_ids(shown: set[str], prefers_ids: bool) -> None:
    task = pages_of("a", "b")
    task.add_page(shown, None)
    assert task.end_round(100.0) == {"a", "b"}
    assert task.prefers_ids(99.0 + BY_ID_INTERVALS * 10.0) is prefers_ids
    assert not task.prefers_ids(100.0 + BY_ID_INTERVALS * 10.0)


def test_end_round_small_pages_show_every_run_keeps_pages() -> None:
    task = pages_of("a", "b")
    task.add_page({"a"}, "2")
    task.add_page({"b"}, None)
    assert task.end_round(100.0) == set()
    assert not task.prefers_ids(100.0)


def test_end_round_use_ids_prefers_ids_for_a_while() -> None:
    task = pages_of("a", "b", interval=2.0)
    assert task.end_round(100.0, use_ids=True) == {"a", "b"}
    assert task.by_id_until == 100.0 + BY_ID_INTERVALS * 2.0


def test_end_round_without_runs_has_nothing_to_read() -> None:
    task = pages_of()
    assert task.end_round(100.0, use_ids=True) == set()
    assert task.missing is None


def test_prefers_ids_single_run_always() -> None:
    assert pages_of("a").prefers_ids(0.0)
    assert not pages_of("a", "b").prefers_ids(0.0)


def test_add_page_after_failure_forgets_the_failure() -> None:
    task = pages_of("a", "b")
    task.failing_since = 100.0
    task.add_page({"a"}, None)
    assert task.failing_since is None
