"""A REST v2 request as a call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks.inputs.values import read_id

T = TypeVar("T")
PAGE = 100
"""Items of a page, where the API documents no lower limit."""


@dataclass(frozen=True, kw_only=True)
class RestCall(Generic[T]):
    """A REST v2 request.

    :param name: name of the call, for messages.
    :param method: HTTP method.
    :param path: path with quoted parts.
    :param read: reads the response's object; KeyError, TypeError and ValueError mean that it is malformed.
    :param query: query parameters.
    :param body: JSON body.
    :param repeatable: whether executing it twice is harmless.
    :param about: the ID that the response must have, if it has one.
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
    """Return the query parameters of a list, without those that are None."""
    query: dict[str, str | int] = {"limit": limit}
    return query | {name: value for name, value in {"cursor": cursor, **filters}.items() if value is not None}


def part(value: str) -> str:
    """Quote an ID as one part of a path. An empty one, or dots, would change the path."""
    return quote(read_id(value, "The ID in the address"), safe="")


def check_same_id(received: object, requested: str) -> None:
    """Check that a response is about the requested object.

    :raises ValueError: it is about another one.
    """
    if str(received) != requested:
        raise ValueError(f"it is about {shown(received)}, not about {shown(requested)}")
