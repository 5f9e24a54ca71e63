"""Check that a connection works and that Arize's schema is what this version expects. Changes nothing.

Run ``airflow online-tasks doctor --conn-id arize_online_tasks_default``, or before Airflow 3.2
``python -m airflow_provider_online_tasks.diagnostics``.

Exit code 0: no problem. 1: a difference makes calls fail. 2: Arize cannot be reached.
"""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_online_tasks import __version__
from airflow_provider_online_tasks._airflow import AirflowNotFoundException
from airflow_provider_online_tasks.api.reachability import ask_graphql, ask_rest
from airflow_provider_online_tasks.diagnostics.schema import Check, Status, check_schema
from airflow_provider_online_tasks.exceptions import OnlineTasksError
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook

NO_PROBLEM, CALLS_FAIL, UNREACHABLE = 0, 1, 2


def run_doctor(conn_id: str, *, show_all: bool = False) -> int:
    """Check a connection, print what was found, and return the exit code.

    :param show_all: whether to print successful checks, too.
    """
    try:
        with OnlineTasksHook(conn_id) as hook:
            checks = list(check_connection(hook))
    except (OnlineTasksError, AirflowNotFoundException) as error:
        print(f"Arize cannot be reached: {error}")  # noqa: T201
        return UNREACHABLE
    shown = [check for check in checks if show_all or check.status is not Status.OK]
    width = max((len(check.subject) for check in shown), default=0)
    for check in shown:
        print(f"{check.status.value:7}  {check.subject:{width}}  {check.detail}")  # noqa: T201
    counts = {status: sum(check.status is status for check in checks) for status in Status}
    print(  # noqa: T201
        f"airflow-provider-online-tasks {__version__}: {counts[Status.OK]} ok, {counts[Status.ERROR]} errors "
        f"(calls fail), {counts[Status.WARNING]} warnings (optional parts differ)."
    )
    return CALLS_FAIL if counts[Status.ERROR] else NO_PROBLEM


def check_connection(hook: OnlineTasksHook) -> Iterator[Check]:
    """Yield the checks of a connection: both APIs, then the GraphQL schema.

    :raises CallError: one of the APIs cannot be reached or rejects the key.
    """
    endpoint = hook.settings.endpoint
    ask_rest(hook.client)
    yield Check(subject="REST", detail=f"{endpoint.rest_url} accepts the key")
    ask_graphql(hook.client)
    yield Check(subject="GraphQL", detail=f"{endpoint.graphql_url} accepts the key")
    yield from check_schema(lambda document: hook.client.query(document, name="introspection"))
