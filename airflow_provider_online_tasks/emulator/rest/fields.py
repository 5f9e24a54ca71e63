"""How the REST API reads what it is sent and writes pages."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.clock import read_time
from airflow_provider_online_tasks.emulator.errors import UnknownObjectError
from airflow_provider_online_tasks.emulator.rest.problems import ProblemError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request


DAY = 86_400.0


def json_response(document: Any, status: int = 200) -> Response:
    """Write an answer."""
    return Response(json.dumps(document), status, media_type="application/json")


def paged(
    request: Request, items: Sequence[Any], key: Callable[[Any], Any], limit: int = 100
) -> tuple[Sequence[Any], dict[str, Any]]:
    """Cut the page that the address asks for out of items whose keys fall."""
    asked = request.query_params
    text = asked.get("limit", "50")
    count = int(text) if text.isdecimal() else None
    return page_of(items, key, count=count, given=text, cursor=asked.get("cursor"), limit=limit)


def page_of(
    items: Sequence[Any],
    key: Callable[[Any], Any],
    *,
    count: int | None,
    given: object,
    cursor: str | None,
    limit: int,
) -> tuple[Sequence[Any], dict[str, Any]]:
    """Cut a page out of items whose keys fall; the cursor is the last key, so new items move nothing.

    :param count: how many items are asked for; None if that is no number.
    :param given: how it was said.
    :param limit: how many may be.
    """
    if count is None or not 1 <= count <= limit:
        raise ProblemError(400, f"limit is {given!r}; it has to be a number from 1 to {limit}")
    if cursor:
        try:
            after = json.loads(base64.b64decode(cursor, altchars=b"-_", validate=True))
            after = tuple(after) if isinstance(after, list) else after
            items = [item for item in items if key(item) < after]
        except (binascii.Error, ValueError, TypeError) as error:
            raise ProblemError(400, "cursor is none that this server gave") from error
    page = items[:count]
    if len(page) == len(items):
        return page, {"has_more": False}
    last = json.dumps(key(page[-1])).encode()
    return page, {"has_more": True, "next_cursor": base64.urlsafe_b64encode(last).decode()}


def path_id(request: Request, name: str, type_name: str) -> str:
    """Return the identifier in the path."""
    return identifier(request.path_params[name], type_name)


def identifier(value: str, type_name: str) -> str:
    """Return an identifier that can be one of this type; of another type, nothing can have it."""
    decoded = ids.decode(value)
    if decoded is None:
        raise ProblemError(400, f"{value!r} is not a global identifier")
    if decoded.type != type_name:
        raise UnknownObjectError(f"{value!r} identifies a {decoded.type}, not a {type_name}")
    return value


def only(fields: dict[str, Any], names: str, prefix: str = "") -> None:
    """Refuse fields that are none."""
    unknown = sorted(set(fields) - set(names.split()))
    if unknown:
        raise ProblemError(
            400, f"Unknown field {prefix}{unknown[0]}; the fields are {', '.join(names.split())}"
        )


def text(fields: dict[str, Any], name: str, *, required: bool = False, longest: int | None = None) -> Any:
    """Read a text.

    :param longest: how many characters it has at most.
    """
    value = fields.get(name)
    if value is None and not required:
        return None
    if not isinstance(value, str) or (required and not value):
        raise ProblemError(
            400, f"{name} is {value!r}; it has to be a text" + (" and is required" if required else "")
        )
    if longest is not None and len(value) > longest:
        raise ProblemError(400, f"{name} has {len(value)} characters; at most {longest} are allowed")
    return value


def number(fields: dict[str, Any], name: str) -> float:
    """Read a number."""
    value = fields[name]
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ProblemError(400, f"{name} is {value!r}; it has to be a number")
    return float(value)


def flag(fields: dict[str, Any], name: str) -> bool:
    """Read true or false."""
    value = fields[name]
    if not isinstance(value, bool):
        raise ProblemError(400, f"{name} is {value!r}; it has to be true or false")
    return value


def moment(fields: dict[str, Any], name: str) -> float | None:
    """Read a time, as epoch seconds."""
    value = text(fields, name)
    if value is None:
        return None
    try:
        return read_time(value)
    except ValueError as error:
        raise ProblemError(
            400, f"{name} is {value!r}; it has to be an ISO 8601 date-time with an offset"
        ) from error


def is_in_space(request: Request) -> bool:
    """Whether the space asked for is the one there is."""
    query = request.query_params
    named = query.get("space_name", "").lower() in ids.SPACE_NAME.lower()
    return query.get("space_id") in (None, ids.SPACE_ID) and named
