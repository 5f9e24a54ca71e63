"""Lists, page by page: what a page is, and how all pages of a list are read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks.exceptions import UnexpectedResponse

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.calls._rest import RestCall

T = TypeVar("T")
MOST_PAGES = 10_000
LONGEST_CURSOR = 8_192


@dataclass(frozen=True, kw_only=True)
class Page(Generic[T]):
    """A page of a list.

    :param items: what the page holds.
    :param next_cursor: where the next page begins; None on the last one.
    """

    items: tuple[T, ...]
    next_cursor: str | None


def read_page(items: str, read: Callable[[Any], T]) -> Callable[[dict[str, Any]], Page[T]]:
    """Return what reads a page of a list: its items, and where the next page begins."""

    def read_one(value: dict[str, Any]) -> Page[T]:
        listed, pagination = value[items], value.get("pagination") or {}
        if not isinstance(listed, list):
            raise TypeError(f"{items} is {shown(listed)}, not a list")
        cursor = pagination.get("next_cursor") if pagination.get("has_more") else None
        if pagination.get("has_more") and not (isinstance(cursor, str) and 0 < len(cursor) <= LONGEST_CURSOR):
            raise ValueError(f"has_more is said, and next_cursor is {shown(cursor)}")
        return Page(items=tuple(read(item) for item in listed), next_cursor=cursor)

    return read_one


class Cursors:
    """The cursors of one listing, none of which may come twice.

    :param what: the list, for messages, such as ``list spans``.
    :param most: pages after which the list counts as endless.
    """

    def __init__(self, what: str, *, most: int = MOST_PAGES) -> None:
        self.what = what
        self.most = most
        self._followed: set[int] = set()

    def after(self, page: Page[Any]) -> str | None:
        """Return where the page after this one begins, or None after the last one.

        :raises UnexpectedResponse: the cursor came before, or the list does not end.
        """
        cursor = page.next_cursor
        if cursor is None:
            return None
        mark = hash(cursor)  # in place of the text, which may be long
        if mark in self._followed:
            raise UnexpectedResponse(
                f"{self.what}: page {len(self._followed) + 1} names a cursor that came before, "
                f"{shown(cursor)}, so the list would never end"
            )
        self._followed.add(mark)
        if len(self._followed) >= self.most:
            raise UnexpectedResponse(f"{self.what}: the list has more than {self.most} pages")
        return cursor


def pages(
    send: Callable[[RestCall[Page[T]]], Page[T]],
    call_at: Callable[[str | None], RestCall[Page[T]]],
    *,
    most: int = MOST_PAGES,
) -> Iterator[Page[T]]:
    """Yield the pages of a list.

    :param send: sends a call, such as ``client.send``.
    :param call_at: returns the call for the page at a cursor, such as
        ``lambda cursor: list_tasks(cursor=cursor)``.
    :param most: pages after which the list counts as endless.
    :raises UnexpectedResponse: a cursor came twice, or the list does not end.
    """
    call = call_at(None)
    cursors = Cursors(call.name, most=most)
    while True:
        page = send(call)
        yield page
        cursor = cursors.after(page)
        if cursor is None:
            return
        call = call_at(cursor)


async def pages_async(
    send: Callable[[RestCall[Page[T]]], Awaitable[Page[T]]],
    call_at: Callable[[str | None], RestCall[Page[T]]],
    *,
    most: int = MOST_PAGES,
) -> AsyncIterator[Page[T]]:
    """As :func:`pages`, for an asynchronous client."""
    call = call_at(None)
    cursors = Cursors(call.name, most=most)
    while True:
        page = await send(call)
        yield page
        cursor = cursors.after(page)
        if cursor is None:
            return
        call = call_at(cursor)
