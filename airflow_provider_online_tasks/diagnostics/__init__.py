"""Check that a connection works and that Arize's schema is what this version expects. Changes nothing.

Run ``airflow online-tasks doctor --conn-id arize_online_tasks_default``, or before Airflow 3.2
``python -m airflow_provider_online_tasks.diagnostics``.

Exit code 0: no problem. 1: a difference makes calls fail. 2: Arize cannot be reached.
"""

from __future__ import annotations

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
            endpoint = hook.settings.endpoint
            ask_rest(hook.client)
            ask_graphql(hook.client)
            checks = [
                Check(subject="REST", detail=f"{endpoint.rest_url} accepts the key"),
                Check(subject="GraphQL", detail=f"{endpoint.graphql_url} accepts the key"),
                *check_schema(lambda document: hook.client.query(document, name="introspection")),
            ]
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
