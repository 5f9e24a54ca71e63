"""From an Airflow connection to the settings of the API."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_online_tasks.exceptions import InvalidConnection

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from airflow_provider_online_tasks.api.settings import Settings

log = logging.getLogger(__name__)
CONN_TYPE = "arize_online_tasks"


def read_settings(connection: Connection, extra: dict[str, Any] | None = None) -> Settings:
    """Return the settings of a connection, and mask its secrets in logs.

    :param extra: the connection's extra, if it has been read already.
    :raises InvalidConnection: a field is missing or wrong.
    """
    from airflow.sdk.log import mask_secret

    from airflow_provider_online_tasks.api.settings import Settings

    if connection.conn_type not in (None, "", CONN_TYPE):
        raise InvalidConnection(
            f"Connection {connection.conn_id!r} has the type {connection.conn_type!r}, not {CONN_TYPE!r}. "
            f"Use another connection in conn_id, or change the type of this one."
        )
    settings = Settings.of_connection(
        host=connection.host,
        api_key=connection.password,
        scheme=connection.schema,
        port=connection.port,
        extra=connection.extra_dejson if extra is None else extra,
        conn_id=connection.conn_id,
    )
    mask_secret(settings.api_key)
    if settings.proxy and (password := urlsplit(settings.proxy).password):
        mask_secret(password)
    for warning in unencrypted_warnings(settings):
        log.warning("%s", warning)
    return settings


def unencrypted_warnings(settings: Settings) -> list[str]:
    """Return a warning for each host that receives the API key over plain HTTP."""
    return [
        f"The API key is sent to {url} unencrypted, and anyone on the network can read it. Use https."
        for url in settings.unencrypted_hosts
    ]
