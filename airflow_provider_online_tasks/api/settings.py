"""The settings of a connection: the hosts, the key, and how to call them.

Hosts as published on https://arize.com/docs/ax/security-and-settings/compliance/data-regions
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks.exceptions import InvalidConnection, InvalidInput
from airflow_provider_online_tasks.inputs.arguments import PLACEHOLDER, read_id
from airflow_provider_online_tasks.inputs.prices import Price, read_prices

BASE_DOMAIN = "arize.com"
US_REGION = "us"
_REGION = re.compile(rf"{US_REGION}|[a-z]{{2,}}(-[a-z]+)+-\d+[a-z]?")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
FRACTION: Final = "fraction"
PERCENT: Final = "percent"
DEFAULT_TIMEOUT = 30.0
DEFAULT_REQUESTS_PER_MINUTE = 60
DEFAULT_INDEX_DELAY_MINUTES = 120.0
MOST_SECONDS = 30 * 86_400
MOST_REQUESTS_PER_MINUTE = 100_000
MOST_PORT = 65_535
RESPONSE_TIMEOUTS = 2
"""The complete response may take this many timeouts."""
PROXY_SCHEMES = ("http", "https")
EXTRA_FIELDS = {
    *("region", "rest_host", "model_id", "organization_id", "space_id", "timeout", "verify", "ca_bundle"),
    *("proxy", "requests_per_minute", "sampling_rate_unit", "index_delay_minutes", "prices"),
}


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """The hosts of one Arize: ``app_url`` for the UI and GraphQL, ``rest_url`` for REST."""

    app_url: str
    rest_url: str

    @property
    def graphql_url(self) -> str:
        """The address of GraphQL."""
        return f"{self.app_url}/graphql"

    @classmethod
    def of_region(cls, region: str, *, where: str = "The connection") -> Endpoint:
        """Return the endpoint of a data region. A new region needs no new release."""
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
        where: str = "The connection",
    ) -> Endpoint:
        """Return the endpoint of a host. Only Arize's own hosts have REST at another host by default."""
        app_url = _base_url(host, f"{where}: host", scheme=scheme, port=port)
        if rest_host:
            return cls(app_url=app_url, rest_url=_base_url(rest_host, f"{where}: rest_host", scheme=scheme))
        name = urlsplit(app_url).hostname or ""
        if name.startswith("app.") and name.endswith(f".{BASE_DOMAIN}"):
            return cls(app_url=app_url, rest_url=app_url.replace("://app.", "://api.", 1))
        return cls(app_url=app_url, rest_url=app_url)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to call one Arize. Equal settings may share a session and a request budget."""

    endpoint: Endpoint
    api_key: str = field(repr=False)
    timeout: float = DEFAULT_TIMEOUT
    verify: bool | str = True
    proxy: str | None = field(default=None, repr=False)
    requests_per_minute: int = DEFAULT_REQUESTS_PER_MINUTE
    sampling_rate_unit: str = FRACTION
    organization_id: str | None = None
    space_id: str | None = None
    model_id: str | None = None
    index_delay_minutes: float = DEFAULT_INDEX_DELAY_MINUTES
    prices: Mapping[str, Price] | None = field(default=None, compare=False)

    @property
    def warnings(self) -> list[str]:
        """A warning for each host that receives the key over plain HTTP."""
        urls = dict.fromkeys((self.endpoint.app_url, self.endpoint.rest_url))
        return [
            f"The API key is sent to {url} unencrypted, and anyone on the network can read it. Use https."
            for url in urls
            if url.startswith("http://") and not _is_loopback(url)
        ]

    @classmethod
    def of_connection(
        cls,
        *,
        host: str | None,
        api_key: str | None,
        scheme: str | None = None,
        port: int | None = None,
        extra: Mapping[str, Any],
        conn_id: str,
    ) -> Settings:
        """Return the settings in the fields of an Airflow connection."""
        where = f"Connection {conn_id!r}"
        if unknown := sorted(set(extra) - EXTRA_FIELDS):
            raise InvalidConnection(
                f"{where}: unknown extra {', '.join(unknown)}. Known: {', '.join(sorted(EXTRA_FIELDS))}."
            )
        text = {name: _field_text(name, extra.get(name), where) for name in EXTRA_FIELDS - {"prices"}}
        unit = text["sampling_rate_unit"] or FRACTION
        if unit not in (FRACTION, PERCENT):
            raise InvalidConnection(
                f"{where}: sampling_rate_unit must be {FRACTION} or {PERCENT}, not {unit!r}."
            )

        if host and text["region"]:
            raise InvalidConnection(f"{where}: set only one of host and region ({text['region']!r}).")
        if host:
            rest_host = text["rest_host"] or None
            endpoint = Endpoint.of_hosts(host, rest_host, scheme=scheme, port=port, where=where)
        elif text["rest_host"]:
            raise InvalidConnection(f"{where} has rest_host but no host. Set host too.")
        else:
            endpoint = Endpoint.of_region(text["region"] or US_REGION, where=where)

        def number(name: str, default: float, most: float, *, may_be_zero: bool = False) -> float:
            try:
                value = float(text[name]) if text[name] else default
            except ValueError:
                value = -1.0
            if not (0 < value <= most or (may_be_zero and value == 0)):
                least = "at least" if may_be_zero else "a number above"
                raise InvalidConnection(
                    f"{where}: {name} must be {least} 0 and at most {most}, not {shown(text[name])}."
                )
            return value

        return cls(
            api_key=_key(api_key, where),
            endpoint=endpoint,
            timeout=number("timeout", DEFAULT_TIMEOUT, MOST_SECONDS),
            verify=_verify(extra.get("verify"), text["ca_bundle"], where),
            proxy=read_proxy(text["proxy"], where),
            requests_per_minute=max(
                1, round(number("requests_per_minute", DEFAULT_REQUESTS_PER_MINUTE, MOST_REQUESTS_PER_MINUTE))
            ),
            sampling_rate_unit=unit,
            organization_id=_id(text, "organization_id", where),
            space_id=_id(text, "space_id", where),
            model_id=_id(text, "model_id", where),
            index_delay_minutes=number(
                "index_delay_minutes", DEFAULT_INDEX_DELAY_MINUTES, MOST_SECONDS / 60, may_be_zero=True
            ),
            prices=_prices(extra.get("prices"), where),
        )


def _field_text(name: str, value: Any, where: str) -> str:
    """Return a field of the extra as text; empty if it is missing. A proxy's URL may have a password."""
    kinds = (str, int) if name.endswith("_id") else (str, int, float, bool)
    if value is not None and type(value) not in kinds:
        raise InvalidConnection(f"{where}: {name} must be a text, not a {type(value).__name__}.")
    text = "" if value is None else str(value).strip()
    if not text.isprintable():
        raise InvalidConnection(f"{where}: {name} contains a line break, a tab or another control character.")
    return text


def _base_url(host: str, where: str, *, scheme: str | None = None, port: int | None = None) -> str:
    text = host.strip().rstrip("/")
    if "://" not in text:
        text = f"{scheme or 'https'}://{text}"
    if "@" in text:  # before anything else, so that no message shows it
        raise InvalidConnection(f"{where} contains credentials. Put the API key into the password field.")
    if not text.isprintable():  # urlsplit drops line breaks and tabs, which is another host
        raise InvalidConnection(f"{where} {host!r} contains control characters. Type it again.")
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
    if chosen is not None and not 0 < chosen <= MOST_PORT:
        raise InvalidConnection(f"{where} has the port {chosen}. A port is a number from 1 to {MOST_PORT}.")
    return f"{parts.scheme}://{name.lower()}" + (f":{chosen}" if chosen is not None else "")


def _is_loopback(url: str) -> bool:
    name = urlsplit(url).hostname or ""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _key(api_key: str | None, where: str) -> str:
    key = (api_key or "").strip()
    if not key:
        raise InvalidConnection(f"{where} has no API key. Put it into the password field.")
    if not key.strip("*"):
        raise InvalidConnection(
            f"{where} has {key!r} instead of an API key. Airflow 3.0 hides the password when you test a "
            f"saved connection: type the key again to test it. DAGs use the real key."
        )
    if PLACEHOLDER.fullmatch(key):
        raise InvalidConnection(f"{where} has the placeholder {key!r} instead of an API key.")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise InvalidConnection(
            f"{where}: the API key contains characters that no key has. Paste the key again."
        )
    return key


def _id(extra: Mapping[str, str], name: str, where: str) -> str | None:
    try:
        return read_id(extra[name], name) if extra[name] else None
    except InvalidInput as error:
        raise InvalidConnection(f"{where}: {error}") from None


def _prices(value: Any, where: str) -> dict[str, Price] | None:
    try:
        return None if value in (None, "") else read_prices(value)
    except InvalidInput as error:
        raise InvalidConnection(f"{where}: {error}") from None


def _verify(value: Any, ca_bundle: str, where: str) -> bool | str:
    word = "true" if value is None or value == "" else str(value).strip().lower()
    if word not in ("true", "false"):
        raise InvalidConnection(
            f"{where}: verify must be true or false, not {value!r}. Put the path of a CA bundle into "
            f"ca_bundle."
        )
    if ca_bundle and not Path(ca_bundle).exists():
        raise InvalidConnection(f"{where}: ca_bundle {ca_bundle!r} does not exist on this machine.")
    return word == "true" and (ca_bundle or True)


def read_proxy(url: str, where: str) -> str | None:
    """Return the URL of a proxy, or None if it is empty."""
    if not url:
        return None
    try:
        parts = urlsplit(url)
        is_valid = (
            parts.scheme in PROXY_SCHEMES and bool(parts.hostname) and parts.port != 0 and url.isprintable()
        )
    except ValueError:
        is_valid = False
    if not is_valid:  # not shown, because it may have a password
        raise InvalidConnection(
            f"{where}: proxy must be an {' or '.join(PROXY_SCHEMES)} URL, such as "
            f"'http://proxy.example.com:3128'."
        )
    return url
