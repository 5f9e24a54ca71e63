"""The addresses of GraphQL, REST and the UI, from a region or a host.

Hosts as published on https://arize.com/docs/ax/security-and-settings/compliance/data-regions
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from airflow_provider_online_tasks.exceptions import InvalidConnection

BASE_DOMAIN = "arize.com"
US_REGION = "us"
_REGION = re.compile(rf"{US_REGION}|[a-z]{{2,}}(-[a-z]+)+-\d+[a-z]?")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
THE_CONNECTION = "The connection"


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """The addresses of one Arize.

    :param app_url: the host of the UI and of GraphQL, such as ``https://app.arize.com``.
    :param rest_url: the host of REST, such as ``https://api.arize.com``.
    """

    app_url: str
    rest_url: str

    @property
    def graphql_url(self) -> str:
        """The address of GraphQL."""
        return f"{self.app_url}/graphql"

    @property
    def ui_url(self) -> str:
        """The address of the UI."""
        return self.app_url

    @classmethod
    def of_region(cls, region: str, *, where: str = THE_CONNECTION) -> Endpoint:
        """Return the endpoint of a data region: ``us``, ``eu-west-1a``, ``ca-central-1a``, …

        A new region needs no new release: any name of this form is accepted.

        :param where: the connection, for messages.
        :raises InvalidConnection: the name has another form.
        """
        name = region.strip().lower()
        if not _REGION.fullmatch(name):
            raise InvalidConnection(
                f"{where}: {region!r} is not a region. Use a name such as 'us', 'eu-west-1a' or "
                f"'ca-central-1a', as in the address of Arize's UI, or set host instead."
            )
        domain = BASE_DOMAIN if name == US_REGION else f"{name}.{BASE_DOMAIN}"
        return cls(app_url=f"https://app.{domain}", rest_url=f"https://api.{domain}")

    @classmethod
    def of_hosts(
        cls,
        host: str,
        rest_host: str | None = None,
        *,
        scheme: str | None = None,
        port: int | None = None,
        where: str = THE_CONNECTION,
    ) -> Endpoint:
        """Return the endpoint of a host, on-premises or Arize's own.

        ``app.….arize.com`` has REST at ``api.….arize.com``. Any other host serves both, unless ``rest_host``
        is set.

        :param where: the connection, for messages.
        :raises InvalidConnection: a host is wrong.
        """
        app_url = _base_url(host, f"{where}: host", scheme=scheme, port=port)
        if rest_host:
            return cls(app_url=app_url, rest_url=_base_url(rest_host, f"{where}: rest_host", scheme=scheme))
        name = urlsplit(app_url).hostname or ""
        if name.startswith("app.") and name.endswith(f".{BASE_DOMAIN}"):
            return cls(app_url=app_url, rest_url=app_url.replace("://app.", "://api.", 1))
        return cls(app_url=app_url, rest_url=app_url)


def _base_url(host: str, where: str, *, scheme: str | None = None, port: int | None = None) -> str:
    text = host.strip().rstrip("/")
    if "://" not in text:
        text = f"{scheme or 'https'}://{text}"
    if "@" in text:  # before anything else, so that no message shows it
        raise InvalidConnection(f"{where} contains credentials. Put the API key into the password field.")
    try:
        parts = urlsplit(text)
        own_port = parts.port
    except ValueError as error:
        raise InvalidConnection(f"{where} {host!r} cannot be read: {error}.") from None
    if parts.scheme not in ("http", "https"):
        raise InvalidConnection(f"{where} has the scheme {parts.scheme!r}. Use https or http.")
    if parts.path or parts.query or parts.fragment:
        raise InvalidConnection(f"{where} {host!r} has a path. Remove it: set the host only.")
    name = parts.netloc.rsplit(":", 1)[0] if own_port is not None else parts.netloc
    if not _HOST.fullmatch(name):
        raise InvalidConnection(f"{where} {host!r} is not a host name.")
    chosen = own_port if own_port is not None else port
    return f"{parts.scheme}://{name.lower()}" + (f":{chosen}" if chosen is not None else "")
