"""What the GraphQL resolvers of all resources share."""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import TYPE_CHECKING, Any

from graphql import GraphQLError

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.errors import NotFoundError, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from graphql import GraphQLResolveInfo

    from airflow_provider_online_tasks.emulator.control.faults import Fault
    from airflow_provider_online_tasks.emulator.state import EmulatorState

USER = {"id": ids.USER_ID, "name": "Emulated user", "email": "user@example.com"}


@dataclasses.dataclass
class Context:
    """The context of resolvers.

    :param task_error: the fault that makes runOnlineTask return a TaskError.
    """

    state: EmulatorState
    task_error: Fault | None = None


@dataclasses.dataclass(frozen=True)
class Named:
    """A node with nothing but a name."""

    type: str
    id: str
    name: str


def camel(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields with the names that GraphQL has for them."""
    return {re.sub(r"_(\w)", lambda match: match[1].upper(), name): each for name, each in fields.items()}


def coded_error(message: str, code: str) -> GraphQLError:
    """Return a GraphQL error with a code."""
    return GraphQLError(message, extensions={"code": code})


def mutation(resolve: Callable[[Context, dict[str, Any]], Any]) -> Any:
    """Return a resolver of a mutation: a rejected request becomes a GraphQL error."""

    @functools.wraps(resolve)
    def resolver(_: Any, info: GraphQLResolveInfo[Context], input: dict[str, Any]) -> Any:  # noqa: A002 -- the argument's name in the schema
        try:
            return resolve(info.context, input)
        except RequestError as error:
            code = "NOT_FOUND" if isinstance(error, NotFoundError) else "BAD_USER_INPUT"
            raise coded_error(error.detail, code) from error

    return resolver


def connection(
    kind: str,
    items: Sequence[Any],
    *,
    search: str | None = None,
    useExactSearchMatch: bool | None = None,  # noqa: N803 -- the argument's name in the schema
    first: int | None = None,
    after: str | None = None,
) -> dict[str, Any]:
    """Return a page of named things; a cursor belongs to their kind."""
    wanted = (search or "").lower()
    names = [(each, (each["name"] if isinstance(each, dict) else each.name).lower()) for each in items]
    if useExactSearchMatch:
        found = [each for each, name in names if wanted in ("", name)]
    else:
        found = [each for each, name in names if wanted in name]
    begin = 0
    if after:
        cursor = ids.decode(after)
        if cursor is None or cursor.type != f"{kind}Cursor":
            raise coded_error("after is not a cursor of this list", "BAD_USER_INPUT")
        begin = cursor.number
    if first is not None and first < 1:
        raise coded_error(f"first must be at least 1, not {first}", "BAD_USER_INPUT")
    end = len(found) if first is None else begin + first
    has_next = end < len(found)
    return {
        "edges": [{"node": each} for each in found[begin:end]],
        "pageInfo": {
            "hasNextPage": has_next,
            "endCursor": ids.encode(f"{kind}Cursor", end) if has_next else None,
        },
    }
