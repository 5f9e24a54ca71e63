"""TLS certificates and proxies of both clients.

Certificates: the first of ``verify`` and ``ca_bundle`` of the connection, ``REQUESTS_CA_BUNDLE``,
``CURL_CA_BUNDLE``, ``SSL_CERT_FILE``, ``SSL_CERT_DIR`` and ``certifi``. Proxies: ``proxy`` of the connection,
then ``HTTPS_PROXY``, ``HTTP_PROXY`` and ``ALL_PROXY`` in either case, unless ``NO_PROXY`` lists the host.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_online_tasks.api.settings import read_proxy
from airflow_provider_online_tasks.exceptions import InvalidConnection

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.settings import Settings

CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")


def tls_context(settings: Settings) -> ssl.SSLContext:
    """Return the TLS context. Takes some milliseconds.

    :raises InvalidConnection: the CA certificates cannot be read.
    """
    if settings.verify is False:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    source, path = _bundle(settings)
    try:
        if Path(path).is_dir():
            return ssl.create_default_context(capath=path)
        return ssl.create_default_context(cafile=path)
    except (OSError, ValueError) as error:
        reason = error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)
    raise InvalidConnection(f"{source} is {path!r}, which has no readable certificates: {reason}.")


def _bundle(settings: Settings) -> tuple[str, str]:
    if isinstance(settings.verify, str):
        return "ca_bundle of the connection", settings.verify
    for variable in CA_VARIABLES:
        if path := os.environ.get(variable):
            return f"The environment variable {variable}", path
    import certifi

    return "certifi", certifi.where()


def proxy_for(settings: Settings, url: str) -> str | None:
    """Return the proxy for a host, or None.

    :raises InvalidConnection: the environment has an unusable proxy.
    """
    if settings.proxy:
        return settings.proxy
    from requests.utils import get_environ_proxies, select_proxy

    proxy = select_proxy(url, get_environ_proxies(url))
    if not proxy:
        return None
    return read_proxy(str(proxy) if "://" in proxy else f"http://{proxy}", "The environment")
