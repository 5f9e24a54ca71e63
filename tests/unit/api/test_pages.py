"""All pages of a list are read once each, and an endless list ends with an error."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import pytest

from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.exceptions import UnexpectedResponse
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from tests.support.examples import TASK
from tests.support.servers import RecordingServer, Reply, Seen

HookOn = Callable[..., OnlineTasksHook]


def cursors_of(*cursors: str | None) -> Callable[[Seen], Reply]:
    """Serve a list whose pages have these cursors, the last one again and again."""
    left = list(cursors)

    def reply(seen: Seen) -> Reply:
        cursor = left.pop(0) if len(left) > 1 else left[0]
        pagination = {"has_more": cursor is not None, "next_cursor": cursor}
        return Reply.of({"task_runs": [], "tasks": [], "pagination": pagination})

    return reply


def count_pages(hook: OnlineTasksHook, **options: Any) -> int:
    return sum(
        1
        for _ in calls.pages(
            hook.client.send, lambda cursor: calls.list_task_runs(TASK, cursor=cursor), **options
        )
    )


def requested_cursors(server: RecordingServer) -> list[str]:
    return [seen.target.partition("cursor=")[2] for seen in server.seen]


def test_pages_are_read_once_each(hook_on: HookOn) -> None:
    with RecordingServer(cursors_of("a", "b", "c", None)) as arize:
        assert count_pages(hook_on(host=arize.url)) == 4
    assert requested_cursors(arize) == ["", "a", "b", "c"]


@pytest.mark.parametrize(("cursors", "requests"), [(("a",), 2), (("a", "b", "a"), 3)])
def test_pages_repeated_cursor_ends_the_list(
    hook_on: HookOn, cursors: tuple[str, ...], requests: int
) -> None:
    with RecordingServer(cursors_of(*cursors)) as arize, pytest.raises(UnexpectedResponse):
        count_pages(hook_on(host=arize.url))
    assert len(arize.seen) == requests


def test_pages_of_two_lists_may_have_equal_cursors(hook_on: HookOn) -> None:
    for _ in range(2):
        with RecordingServer(cursors_of("a", None)) as arize:
            assert count_pages(hook_on(host=arize.url)) == 2


def test_pages_more_than_the_maximum_end_the_list(hook_on: HookOn, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(seen: Seen) -> Reply:
        pagination = {"has_more": True, "next_cursor": f"{len(arize.seen)}"}
        return Reply.of({"task_runs": [], "pagination": pagination})

    monkeypatch.setattr(calls, "MOST_PAGES", 7)
    with RecordingServer(endless) as arize, pytest.raises(UnexpectedResponse):
        count_pages(hook_on(host=arize.url))
    assert len(arize.seen) == 7


@pytest.mark.parametrize("listing", ["list_task_runs", "list_tasks"])
def test_hook_list_repeated_cursor_ends_the_list(hook_on: HookOn, listing: str) -> None:
    with RecordingServer(cursors_of("a")) as arize:
        hook = hook_on(host=arize.url)
        items = hook.list_tasks() if listing == "list_tasks" else hook.list_task_runs(TASK)
        with pytest.raises(UnexpectedResponse):
            list(items)
    assert requested_cursors(arize) == ["", "a"]


def list_of(sizes: list[int]) -> Callable[[Seen], Reply]:
    """Serve a list of tasks of these sizes in bytes, page by page."""

    def reply(seen: Seen) -> Reply:
        query = parse_qs(seen.target.partition("?")[2])
        first, limit = int(query.get("cursor", ["0"])[0]), int(query["limit"][0])
        after = first + limit
        tasks = [
            {"id": f"task{number}", "name": "n", "prompt": "x" * sizes[number]}
            for number in range(first, min(after, len(sizes)))
        ]
        pagination = {"has_more": after < len(sizes), "next_cursor": str(after)}
        return Reply.of({"tasks": tasks, "pagination": pagination})

    return reply


def requested_limits(server: RecordingServer) -> list[int]:
    return [int(parse_qs(seen.target.partition("?")[2])["limit"][0]) for seen in server.seen]


@pytest.mark.parametrize(
    ("size", "count"), [(40_000, 60), (100_000, 60), (100_000, 200), (1_200_000, 9), (2_500_000, 5)]
)
def test_pages_too_large_are_requested_with_a_smaller_limit(hook_on: HookOn, size: int, count: int) -> None:
    with RecordingServer(list_of([size] * count)) as arize:
        found = [task.id for task in hook_on(host=arize.url).list_tasks()]
    assert found == [f"task{number}" for number in range(count)]
    limits = requested_limits(arize)
    assert limits[0] == 100
    fitting = 3 * 1024 * 1024 // (size + 100)
    needed = -(-count // min(100, fitting))
    assert len(limits) <= 8 + 2.5 * needed


def test_pages_limit_grows_again_after_large_items(hook_on: HookOn) -> None:
    with RecordingServer(list_of([2_000_000] * 2 + [10] * 1_999)) as arize:
        assert len(list(hook_on(host=arize.url).list_tasks())) == 2_001
    assert len(arize.seen) < 60
    assert requested_limits(arize)[-1] == 100


def test_pages_item_that_is_too_large_is_an_error_without_a_repeat(hook_on: HookOn) -> None:
    with RecordingServer(list_of([4_000_000] + [10] * 9)) as arize, pytest.raises(UnexpectedResponse):
        list(hook_on(host=arize.url).list_tasks())
    assert requested_limits(arize) == [100, 50, 25, 12, 6, 3, 1]


@pytest.mark.parametrize("find", ["find_task", "find_project"])
def test_find_in_an_endless_list_takes_little_memory(
    hook_on: HookOn, monkeypatch: pytest.MonkeyPatch, find: str
) -> None:
    def endless(_: Seen) -> Reply:
        page = len(arize.seen)
        arize.seen[:-1] = [None] * (page - 1)  # type: ignore[list-item]  # the server's own memory
        items = [{"id": f"i{page}", "name": f"quality {page} {'n' * 900}"} for _ in range(100)]
        pagination = {"has_more": True, "next_cursor": f"{page}"}
        return Reply.of({"tasks": items, "projects": items, "pagination": pagination})

    monkeypatch.setattr(calls, "MOST_PAGES", 30)
    with RecordingServer(endless) as arize:
        hook = hook_on(host=arize.url)
        tracemalloc.start()
        try:
            with pytest.raises(UnexpectedResponse):
                getattr(hook, find)("quality")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert len(arize.seen) == 30
    assert peak < 3_000_000


def test_pages_long_cursor_is_not_followed(hook_on: HookOn) -> None:
    with RecordingServer(cursors_of("a" * 10_000)) as arize, pytest.raises(UnexpectedResponse) as caught:
        count_pages(hook_on(host=arize.url))
    assert requested_cursors(arize) == [""] * 4
    assert len(str(caught.value)) < 1_000
