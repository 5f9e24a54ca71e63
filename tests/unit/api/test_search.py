"""An object is found by its exact name, and memory stays bounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_online_tasks.exceptions import InvalidInput, NotFound
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from tests.support.servers import RecordingServer, Reply, Seen

HookOn = Callable[..., OnlineTasksHook]


def listing(*names: str, pages: int = 1) -> Callable[[Seen], Reply]:
    """Serve a list of projects and tasks with these names, on each of several pages."""

    def reply(seen: Seen) -> Reply:
        page = int(seen.target.partition("cursor=")[2].partition("&")[0] or 1)
        items = [{"id": f"{name}-{page}-{at}", "name": name} for at, name in enumerate(names)]
        pagination = {"has_more": page < pages, "next_cursor": str(page + 1)}
        return Reply.of({"projects": items, "tasks": items, "pagination": pagination})

    return reply


def find(hook: OnlineTasksHook, method: str) -> str:
    found: Any = getattr(hook, method)("quality")
    return found if isinstance(found, str) else found.id


both = pytest.mark.parametrize("method", ["find_project", "find_task"])


@both
def test_find_returns_the_exact_name_only(hook_on: HookOn, method: str) -> None:
    with RecordingServer(listing("my quality", "quality", "Quality")) as arize:
        assert find(hook_on(host=arize.url), method) == "quality-1-1"


@both
@pytest.mark.parametrize("pages", [1, 2])
def test_find_same_name_twice_lists_both(hook_on: HookOn, method: str, pages: int) -> None:
    names = ("quality",) * (3 - pages)
    with RecordingServer(listing(*names, pages=pages)) as arize, pytest.raises(InvalidInput) as caught:
        find(hook_on(host=arize.url), method)
    assert "quality-1-0" in str(caught.value)
    assert f"quality-{pages}-{2 - pages}" in str(caught.value)


@both
def test_find_missing_name_shows_similar_names_at_bounded_length(hook_on: HookOn, method: str) -> None:
    with (
        RecordingServer(listing(*(f"quality {at}" for at in range(100)), pages=3)) as arize,
        pytest.raises(NotFound) as caught,
    ):
        find(hook_on(host=arize.url), method)
    assert "'quality 0'" in str(caught.value)
    assert len(str(caught.value)) < 500
    assert len(arize.seen) == 3


def test_find_project_stays_in_the_space_of_the_connection(hook_on: HookOn) -> None:
    with RecordingServer(listing("quality")) as arize:
        hook_on(host=arize.url, extra={"space_id": "S"}).find_project("quality")
    assert "space_id=S" in arize.seen[0].target
