"""All pages of a list: each once, and an end to a list that has none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.async_client import AsyncClient
from airflow_provider_online_tasks.exceptions import UnexpectedResponse
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from tests.support.examples import TASK
from tests.support.servers import RecordingServer, Reply, Seen

HookOn = Callable[..., OnlineTasksHook]


def cursors_of(*cursors: str | None) -> Callable[[Seen], Reply]:
    """A list whose pages name these cursors, the last one again and again."""
    left = list(cursors)

    def answer(seen: Seen) -> Reply:
        cursor = left.pop(0) if len(left) > 1 else left[0]
        pagination = {"has_more": cursor is not None, "next_cursor": cursor}
        return Reply.of({"task_runs": [], "tasks": [], "pagination": pagination})

    return answer


def blocking(hook: OnlineTasksHook, **options: Any) -> int:
    at = lambda cursor: calls.list_task_runs(TASK, cursor=cursor)  # noqa: E731
    return sum(1 for _ in calls.pages(hook.client.send, at, **options))


def waiting(hook: OnlineTasksHook, **options: Any) -> int:
    async def main() -> int:
        client, count = AsyncClient(hook.settings), 0
        try:
            at = lambda cursor: calls.list_task_runs(TASK, cursor=cursor)  # noqa: E731
            async for _ in calls.pages_async(client.send, at, **options):
                count += 1
        finally:
            await client.close()
        return count

    return asyncio.run(main())


both = pytest.mark.parametrize("read", [blocking, waiting])


@both
def test_each_page_is_read_once(hook_on: HookOn, read: Callable[..., int]) -> None:
    with RecordingServer(cursors_of("a", "b", "c", None)) as arize:
        assert read(hook_on(host=arize.url)) == 4
    assert [seen.target.partition("cursor=")[2] for seen in arize.seen] == ["", "a", "b", "c"]


@both
@pytest.mark.parametrize(("cursors", "requests"), [(("a",), 2), (("a", "b", "a"), 3)])
def test_a_cursor_that_comes_again_ends_the_list_with_an_error(
    hook_on: HookOn, read: Callable[..., int], cursors: tuple[str, ...], requests: int
) -> None:
    with (
        RecordingServer(cursors_of(*cursors)) as arize,
        pytest.raises(UnexpectedResponse, match=r"list task runs: .*a cursor that came before, 'a'"),
    ):
        read(hook_on(host=arize.url))
    assert len(arize.seen) == requests


@both
def test_a_list_without_end_is_given_up(hook_on: HookOn, read: Callable[..., int]) -> None:
    def ever_more(seen: Seen) -> Reply:
        pagination = {"has_more": True, "next_cursor": f"{len(arize.seen)}"}
        return Reply.of({"task_runs": [], "pagination": pagination})

    with (
        RecordingServer(ever_more) as arize,
        pytest.raises(UnexpectedResponse, match="more than 7 pages"),
    ):
        read(hook_on(host=arize.url), most=7)
    assert len(arize.seen) == 7


@pytest.mark.parametrize("listing", ["list_task_runs", "list_tasks"])
def test_the_hooks_lists_end(hook_on: HookOn, listing: str) -> None:
    with RecordingServer(cursors_of("a")) as arize:
        hook = hook_on(host=arize.url)
        found = hook.list_tasks() if listing == "list_tasks" else hook.list_task_runs(TASK)
        with pytest.raises(UnexpectedResponse, match="came before"):
            list(found)
    assert [seen.target.partition("cursor=")[2] for seen in arize.seen] == ["", "a"]


def test_a_cursor_of_any_length_is_not_followed(hook_on: HookOn) -> None:
    with (
        RecordingServer(cursors_of("a" * 10_000)) as arize,
        pytest.raises(UnexpectedResponse, match="next_cursor is 'aaa") as caught,
    ):
        blocking(hook_on(host=arize.url))
    assert len(str(caught.value)) < 1_000
    assert json.dumps(str(caught.value))
