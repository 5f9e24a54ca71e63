"""Test a connection: both APIs accept the key, see one account, and have the mutations. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.retry import NO_RETRY
from airflow_provider_online_tasks.exceptions import CallError, NotFound

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.client import Client

T = TypeVar("T")


def examine(client: Client) -> tuple[bool, str]:
    """Return whether the connection works, and a sentence about it. Sends no mutation."""
    endpoint = client.settings.endpoint
    rest, graphql = f"REST at {endpoint.rest_url}", f"GraphQL at {endpoint.graphql_url}"
    no_rest, no_graphql = _trouble(lambda: ask_rest(client)), _trouble(lambda: ask_graphql(client))
    if no_rest and no_graphql:
        problems = str(no_rest) if type(no_rest) is type(no_graphql) else f"{no_rest} GraphQL: {no_graphql}"
        return False, f"Neither {rest} nor {graphql} works: {_hint(no_rest)}{problems}"
    if no_rest:
        return False, f"{graphql} accepts the key, but {rest} does not work: {_hint(no_rest)}{no_rest}"
    if no_graphql:
        return False, f"{rest} accepts the key, but {graphql} does not work: {_hint(no_graphql)}{no_graphql}"
    both = f"{rest} and {graphql} accept the key"
    if problem := _trouble(lambda: ask_project(client)):
        return False, f"{both}, but can't read the project of the connection's model_id: {problem}"
    is_account_right, account = _compare_accounts(client)
    has_mutations, mutations = _check_mutations(client)
    return is_account_right and has_mutations, f"{both}; {account}; {mutations}."


def ask_rest(client: Client) -> None:
    """Send the smallest REST request."""
    client.send(calls.list_tasks(limit=1), retry=NO_RETRY)


def ask_graphql(client: Client) -> None:
    """Send the smallest GraphQL query."""
    client.query(calls.TYPE_NAME, name="query")


def ask_project(client: Client) -> None:
    """Read the project of the connection's model_id, if it has one."""
    if client.settings.model_id is not None:
        client.send(calls.get_project_space(client.settings.model_id), retry=NO_RETRY)


def _trouble(ask: Callable[[], object]) -> CallError | None:
    try:
        ask()
    except CallError as error:
        return error
    return None


def _hint(error: CallError) -> str:
    return "the host answers, but not as Arize does: " if isinstance(error, NotFound) else ""


def _compare_accounts(client: Client) -> tuple[bool, str]:
    """Return False if the APIs see different spaces: the key alone does not show its account."""
    by_rest = _known(lambda: client.send(calls.list_spaces(), retry=NO_RETRY))
    by_graphql = _known(lambda: calls.read_viewer_spaces(client.query(calls.VIEWER_SPACES, name="spaces")))
    if by_rest is None or by_graphql is None or not by_rest.items or not by_graphql.items:
        return True, "whether they see the same account is not known"
    graphql_ids = {space.id for space in by_graphql.items}
    common = [space.name for space in by_rest.items if space.id in graphql_ids]
    if common:
        more = f" and {len(common) - 1} more" if len(common) > 1 else ""
        return True, f"both see the space {shown(common[0])}{more}"
    if by_rest.next_cursor is None or by_graphql.next_cursor is None:
        seen = f"REST {shown(by_rest.items[0].name)} and GraphQL {shown(by_graphql.items[0].name)}"
        return False, f"but they see different spaces, {seen}, so probably two accounts"
    return True, "whether they see the same account is not known because there are too many spaces"


def _check_mutations(client: Client) -> tuple[bool, str]:
    """Return False if the schema lacks a mutation."""
    query = '{ __type(name: "Mutation") { fields { name } } }'
    existing = _known(
        lambda: {field["name"] for field in client.query(query, name="mutations")["__type"]["fields"]}
    )
    if existing is None:
        return True, "whether the mutations exist is not known because the schema is hidden"
    missing = [name for name in calls.MUTATION_INPUT_TYPES if name not in existing]
    if missing:
        return False, f"but GraphQL has no {' and no '.join(missing)}"
    return True, "the mutations exist, but only sending one shows whether your plan includes them"


def _known(ask: Callable[[], T]) -> T | None:
    """Return the result, or None if Arize rejects the request or its response is not as documented."""
    try:
        return ask()
    except (CallError, LookupError, TypeError, ValueError, AttributeError):
        return None
