"""Where Arize is: a region or a host becomes the GraphQL, REST and UI addresses.

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
        """Where GraphQL is posted to."""
        return f"{self.app_url}/graphql"

    @property
    def ui_url(self) -> str:
        """The address a browser opens."""
        return self.app_url

    @classmethod
    def of_region(cls, region: str, *, where: str = "The connection") -> Endpoint:
        """Return the endpoint of a data region: ``us``, ``eu-west-1a``, ``ca-central-1a``, …

        The name is not checked against a list, so that a new region needs no new release.

        :param where: which connection says so, for messages.
        :raises InvalidConnection: it is not of that form.
        """
        name = region.strip().lower()
        if not _REGION.fullmatch(name):
            raise InvalidConnection(
                f"{where}: region {region!r} is not a region name. Give one such as 'us', "
                f"'eu-west-1a' or 'ca-central-1a', as in the address of Arize's UI, or set the host instead."
            )
        domain = BASE_DOMAIN if name == US_REGION else f"{name}.{BASE_DOMAIN}"
        return cls(app_url=f"https://app.{domain}", rest_url=f"https://api.{domain}")

    @classmethod
    def of_hosts(
        cls, host: str, rest_host: str | None = None, *, scheme: str | None = None, port: int | None = None
    ) -> Endpoint:
        """Return the endpoint of a host, on-premises or Arize's own.

        ``app.…`` has its REST at ``api.…``; any other single host serves everything, unless
        ``rest_host`` names another one for REST.
        """
        app_url = _base_url(host, "host", scheme=scheme, port=port)
        if rest_host:
            return cls(app_url=app_url, rest_url=_base_url(rest_host, "rest_host", scheme=scheme))
        parts = urlsplit(app_url)
        name = parts.hostname or ""
        if name.startswith("app.") and name.endswith(f".{BASE_DOMAIN}"):
            return cls(app_url=app_url, rest_url=app_url.replace("://app.", "://api.", 1))
        return cls(app_url=app_url, rest_url=app_url)


def _base_url(host: str, field: str, *, scheme: str | None = None, port: int | None = None) -> str:
    text = host.strip().rstrip("/")
    if "://" not in text:
        text = f"{scheme or 'https'}://{text}"
    if "@" in text:  # before anything else, so that no message shows them
        raise InvalidConnection(
            f"{field} of the connection carries credentials. Put the API key into the password field."
        )
    try:
        parts = urlsplit(text)
        own_port = parts.port
    except ValueError as error:
        raise InvalidConnection(f"{field} {host!r} of the connection cannot be read: {error}.") from None
    if parts.scheme not in ("http", "https"):
        raise InvalidConnection(
            f"{field} of the connection has the scheme {parts.scheme!r}; use https or http."
        )
    if parts.path or parts.query or parts.fragment:
        raise InvalidConnection(
            f"{field} of the connection is a host, without a path: got {host!r}. "
            f"'/graphql' and '/v2/…' are added to it."
        )
    name = parts.netloc.rsplit(":", 1)[0] if own_port is not None else parts.netloc
    if not _HOST.fullmatch(name):
        raise InvalidConnection(f"{field} {host!r} of the connection is not a host name.")
    chosen = own_port if own_port is not None else port
    return f"{parts.scheme}://{name.lower()}" + (f":{chosen}" if chosen is not None else "")
