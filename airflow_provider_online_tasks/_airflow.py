"""Names that Airflow 3.0 to 3.4 have in different modules, imported without a deprecation warning.

``apache-airflow-providers-common-compat`` lacks some of them in the versions that the constraints of Airflow
3.0 to 3.2 pin, and managed services use these constraints.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

try:
    from airflow.sdk import BaseHook
except ImportError:  # before 3.1
    from airflow.hooks.base import BaseHook  # type: ignore[attr-defined,no-redef]
try:
    from airflow.sdk.configuration import conf
except ImportError:  # before 3.2
    from airflow.configuration import conf
try:
    from airflow.sdk.exceptions import (
        AirflowException,
        AirflowFailException,
        AirflowNotFoundException,
        AirflowSensorTimeout,
        AirflowSkipException,
        AirflowTaskTimeout,
        TaskDeferred,
    )
except ImportError:  # before 3.2
    from airflow.exceptions import (  # type: ignore[attr-defined,no-redef]
        AirflowException,
        AirflowFailException,
        AirflowNotFoundException,
        AirflowSensorTimeout,
        AirflowSkipException,
        AirflowTaskTimeout,
        TaskDeferred,
    )

if TYPE_CHECKING:
    from airflow.sdk import Connection

__all__ = [
    "AirflowException",
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "AirflowTaskTimeout",
    "BaseHook",
    "TaskDeferred",
    "conf",
    "find_connections_in_database",
    "read_connection",
]


def find_connections_in_database() -> None:
    """Find connections in Airflow's database, too. Only for commands: tasks have no access to it."""
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"


async def read_connection(conn_id: str) -> Connection:
    """Return a connection, from an event loop.

    Airflow masks its secrets through its supervisor. Before 3.3.2 that blocks, so a thread does it.

    :raises AirflowNotFoundException: the connection does not exist.
    """
    from airflow.sdk import Connection

    if hasattr(Connection, "aextra_dejson"):
        return await BaseHook.aget_connection(conn_id)
    from asgiref.sync import sync_to_async

    return await sync_to_async(BaseHook.get_connection)(conn_id)
