"""Which certificates both clients trust, and which proxy they use.

For certificates the first of these counts: ``verify`` and ``ca_bundle`` of the connection,
``REQUESTS_CA_BUNDLE``, ``CURL_CA_BUNDLE``, ``SSL_CERT_FILE``, ``SSL_CERT_DIR``, ``certifi``. For proxies:
``proxy`` of the connection, then ``HTTPS_PROXY``, ``HTTP_PROXY`` and ``ALL_PROXY`` in either case, unless
``NO_PROXY`` names the host.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_online_tasks.exceptions import InvalidConnection

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.settings import Settings

CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")


def tls_context(settings: Settings) -> ssl.SSLContext:
    """Return how TLS certificates are verified. Takes some milliseconds.

    :raises InvalidConnection: the certificates to verify by cannot be read.
    """
    if settings.verify is False:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    name, place = _bundle(settings)
    try:
        if Path(place).is_dir():
            return ssl.create_default_context(capath=place)
        return ssl.create_default_context(cafile=place)
    except (OSError, ValueError) as error:
        said = error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)
    raise InvalidConnection(f"{name} names {place!r}, which holds no certificates that can be read: {said}.")


def _bundle(settings: Settings) -> tuple[str, str]:
    if isinstance(settings.verify, str):
        return "ca_bundle of the connection", settings.verify
    for variable in CA_VARIABLES:
        if place := os.environ.get(variable):
            return f"The environment variable {variable}", place
    import certifi

    return "certifi", certifi.where()


def proxy_for(settings: Settings, url: str) -> str | None:
    """Return the proxy through which a host is asked, or None.

    :raises InvalidConnection: the environment names a proxy that cannot be used.
    """
    if settings.proxy:
        return settings.proxy
    from requests.utils import get_environ_proxies, select_proxy

    from airflow_provider_online_tasks.api.settings import read_proxy

    found = select_proxy(url, get_environ_proxies(url))
    if not found:
        return None
    return read_proxy(str(found) if "://" in found else f"http://{found}", "The environment")
