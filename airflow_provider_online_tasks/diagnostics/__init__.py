"""Check whether a connection works, and whether Arize is what this version expects. Changes nothing.

``airflow online-tasks doctor --conn-id arize_online_tasks_default``, or before Airflow 3.2
``python -m airflow_provider_online_tasks.diagnostics``.

Exit code 0: everything that matters agrees. 1: something differs that makes calls fail. 2: Arize cannot be
reached.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from airflow_provider_online_tasks import __version__
from airflow_provider_online_tasks._airflow import AirflowNotFoundException
from airflow_provider_online_tasks.api.reachability import ask_graphql, ask_rest
from airflow_provider_online_tasks.diagnostics.schema import Check, check_schema
from airflow_provider_online_tasks.exceptions import OnlineTasksError
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook

AGREES, DIFFERS, UNREACHABLE = 0, 1, 2


def diagnose(conn_id: str, *, everything: bool = False) -> int:
    """Run the checks of a connection, print them, and return the exit code.

    :param everything: whether what agrees is printed as well.
    """
    try:
        with OnlineTasksHook(conn_id) as hook:
            return _report(list(examine(hook)), everything=everything)
    except (OnlineTasksError, AirflowNotFoundException) as error:
        _say(f"Arize cannot be reached: {error}")
        return UNREACHABLE


def examine(hook: OnlineTasksHook) -> Iterator[Check]:
    """Yield what was found: both APIs, then the GraphQL schema.

    :raises CallError: neither API can be reached, or the key is refused.
    """
    endpoint = hook.settings.endpoint
    ask_rest(hook.client)
    yield Check(subject="REST", agrees=True, found=f"{endpoint.rest_url} accepts the key")
    ask_graphql(hook.client)
    yield Check(subject="GraphQL", agrees=True, found=f"{endpoint.graphql_url} accepts the key")
    yield from check_schema(lambda document: hook.client.query(document, name="introspection"))


def _report(checks: list[Check], *, everything: bool) -> int:
    shown = [check for check in checks if everything or not check.agrees or "." not in check.subject]
    width = max(len(check.subject) for check in shown)
    for check in shown:
        verdict = "agrees " if check.agrees else "DIFFERS" if check.matters else "differs"
        _say(f"{verdict}  {check.subject.ljust(width)}  {check.found}")
    serious = sum(not check.agrees and check.matters for check in checks)
    slight = sum(not check.agrees and not check.matters for check in checks)
    _say(
        f"\nairflow-provider-online-tasks {__version__}: {sum(check.agrees for check in checks)} agree, "
        f"{serious} differ so that calls fail, {slight} differ in what is optional."
    )
    return DIFFERS if serious else AGREES


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
