"""Pagination: the pages of a list, and how to read all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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

    :param items: the items of the page.
    :param next_cursor: start of the next page; None on the last one.
    """

    items: tuple[T, ...]
    next_cursor: str | None


def read_page(field: str, read: Callable[[Any], T]) -> Callable[[dict[str, Any]], Page[T]]:
    """Return a function that reads a page of a list.

    :param field: name of the field with the items.
    :param read: reads an item.
    """

    def read_page_of_items(value: dict[str, Any]) -> Page[T]:
        items, pagination = value[field], value.get("pagination") or {}
        if not isinstance(items, list):
            raise TypeError(f"{field} is {shown(items)}, not a list")
        has_more, cursor = pagination.get("has_more"), pagination.get("next_cursor")
        if has_more and not (isinstance(cursor, str) and 0 < len(cursor) <= LONGEST_CURSOR):
            raise ValueError(f"has_more is true, but next_cursor is {shown(cursor)}")
        return Page(items=tuple(read(item) for item in items), next_cursor=cursor if has_more else None)

    return read_page_of_items


class Cursors:
    """The cursors of one list, none of which may repeat.

    :param what: name of the call, for messages.
    :param most: maximum number of pages.
    """

    def __init__(self, what: str, *, most: int = MOST_PAGES) -> None:
        self.what = what
        self.most = most
        self._followed: set[int] = set()

    def after(self, page: Page[Any]) -> str | None:
        """Return the cursor of the next page, or None after the last one.

        :raises UnexpectedResponse: the cursor repeats, or the list has too many pages.
        """
        cursor = page.next_cursor
        if cursor is None:
            return None
        mark = hash(cursor)  # the text may be long
        if mark in self._followed:
            raise UnexpectedResponse(
                f"{self.what}: page {len(self._followed) + 1} repeats the cursor {shown(cursor)}, so the "
                f"list would never end"
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
    :param most: maximum number of pages.
    :raises UnexpectedResponse: a cursor repeats, or the list has too many pages.
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
