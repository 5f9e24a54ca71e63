"""All pages of a list are read once each, and an endless list ends with an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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


def test_pages_long_cursor_is_not_followed(hook_on: HookOn) -> None:
    with RecordingServer(cursors_of("a" * 10_000)) as arize, pytest.raises(UnexpectedResponse) as caught:
        count_pages(hook_on(host=arize.url))
    assert requested_cursors(arize) == [""] * 4
    assert len(str(caught.value)) < 1_000
