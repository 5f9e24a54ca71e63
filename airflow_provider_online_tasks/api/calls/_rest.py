"""What a REST v2 call is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks.inputs import read_id

T = TypeVar("T")
PAGE = 100
"""Items that a page of a list holds, where the API documents no smaller limit."""


@dataclass(frozen=True, kw_only=True)
class RestCall(Generic[T]):
    """A REST v2 call.

    :param name: the operation, for messages.
    :param method: HTTP method.
    :param path: path with its parts quoted.
    :param read: how to read the answer's object; KeyError, TypeError and ValueError mean: malformed.
    :param query: query parameters.
    :param body: JSON body.
    :param repeatable: whether carrying it out twice is harmless.
    :param about: the ID that the answer must have, if it has one.
    """

    name: str
    method: Literal["GET", "POST", "PATCH", "DELETE"]
    path: str
    read: Callable[[dict[str, Any]], T]
    query: Mapping[str, str | int] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    repeatable: bool = True
    about: str | None = None


def paged(limit: int, cursor: str | None, **filters: str | None) -> dict[str, str | int]:
    query: dict[str, str | int] = {"limit": limit}
    query |= {name: value for name, value in {"cursor": cursor, **filters}.items() if value is not None}
    return query


def part(value: str) -> str:
    """Quote an ID as one part of a path. One that is empty or dots would make another path of it."""
    return quote(read_id(value, "The ID in the address"), safe="")


def same_id(found: object, asked: str) -> None:
    """Check that an answer is about what was asked for.

    :raises ValueError: it is about something else.
    """
    if str(found) != asked:
        raise ValueError(f"it is about {shown(found)}, not about {shown(asked)}")
