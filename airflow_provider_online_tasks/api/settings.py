"""What a connection says about calling Arize."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from airflow_provider_online_tasks.api.endpoint import US_REGION, Endpoint
from airflow_provider_online_tasks.exceptions import InvalidConnection

FRACTION: Final = "fraction"
PERCENT: Final = "percent"
DEFAULT_TIMEOUT = 30.0
DEFAULT_REQUESTS_PER_MINUTE = 60
DEFAULT_INDEX_DELAY_MINUTES = 120.0
ANSWER_TIMEOUTS = 2
PROXY_SCHEMES = ("http", "https")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How one Arize is called. Two settings that compare equal may share a session and a budget.

    :param endpoint: where it is.
    :param api_key: the key. Never shown.
    :param timeout: seconds to wait for a connection, and for each part of an answer. The whole answer may
        take twice as long.
    :param verify: whether TLS certificates are verified, or the path of a CA bundle to verify them by.
    :param proxy: URL of a proxy, or None for what the environment says. Never shown: it may hold a password.
    :param requests_per_minute: requests that all waits of a process may send in a minute.
    :param sampling_rate_unit: ``fraction``, or ``percent`` for older servers.
    :param organization_id: global ID of the organisation, for links.
    :param space_id: global ID of the space, for links.
    :param model_id: global ID of the project, for DAGs that read it from the connection, and for links.
    :param index_delay_minutes: minutes until Arize has indexed a span, so that runs see it.
    """

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

    @property
    def answer_timeout(self) -> float:
        """Seconds until an answer is whole."""
        return ANSWER_TIMEOUTS * self.timeout

    @property
    def unencrypted_hosts(self) -> tuple[str, ...]:
        """The hosts that get the key over plain HTTP, which anybody on the way can read."""
        urls = dict.fromkeys((self.endpoint.app_url, self.endpoint.rest_url))
        return tuple(url for url in urls if url.startswith("http://") and not _is_loopback(url))

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
        """Read the fields of an Airflow connection.

        :raises InvalidConnection: a field is missing or cannot be read.
        """
        where = f"Connection {conn_id!r}"
        if not (api_key or "").strip():
            raise InvalidConnection(f"{where} has no API key. Put it into the password field.")
        if not str(api_key).strip().strip("*"):
            raise InvalidConnection(
                f"{where} has {api_key!r} in place of an API key. Airflow 3.0 tests a saved connection with "
                f"its password hidden like that: type the key again before you test. DAGs get the real one."
            )
        unknown = sorted(set(extra) - EXTRA_FIELDS)
        if unknown:
            raise InvalidConnection(
                f"{where}: unknown extra {', '.join(unknown)}. Known: {', '.join(sorted(EXTRA_FIELDS))}."
            )
        text = {name: str("" if extra.get(name) is None else extra[name]).strip() for name in EXTRA_FIELDS}
        if host and text["region"]:
            raise InvalidConnection(f"{where} names both a host and the region {text['region']!r}: give one.")
        if text["rest_host"] and not host:
            raise InvalidConnection(f"{where} names rest_host without a host.")
        endpoint = (
            Endpoint.of_hosts(host, text["rest_host"] or None, scheme=scheme, port=port)
            if host
            else Endpoint.of_region(text["region"] or US_REGION, where=where)
        )
        unit = text["sampling_rate_unit"] or FRACTION
        if unit not in (FRACTION, PERCENT):
            raise InvalidConnection(
                f"{where}: sampling_rate_unit must be {FRACTION} or {PERCENT}, not {unit!r}."
            )
        key = str(api_key).strip()
        if not key.isascii() or not key.isprintable() or " " in key:
            raise InvalidConnection(f"{where}: the API key has characters that no key has. Paste it again.")
        return cls(
            endpoint=endpoint,
            api_key=key,
            timeout=_positive(text["timeout"], DEFAULT_TIMEOUT, f"{where}: timeout"),
            verify=_verify(extra.get("verify"), text["ca_bundle"], where),
            proxy=read_proxy(text["proxy"], where),
            requests_per_minute=max(
                1,
                round(
                    _positive(
                        text["requests_per_minute"],
                        DEFAULT_REQUESTS_PER_MINUTE,
                        f"{where}: requests_per_minute",
                    )
                ),
            ),
            sampling_rate_unit=unit,
            organization_id=text["organization_id"] or None,
            space_id=text["space_id"] or None,
            model_id=text["model_id"] or None,
            index_delay_minutes=_not_negative(
                text["index_delay_minutes"], DEFAULT_INDEX_DELAY_MINUTES, f"{where}: index_delay_minutes"
            ),
        )


EXTRA_FIELDS = frozenset(
    {
        "region",
        "rest_host",
        "model_id",
        "timeout",
        "verify",
        "ca_bundle",
        "proxy",
        "requests_per_minute",
        "sampling_rate_unit",
        "organization_id",
        "space_id",
        "index_delay_minutes",
    }
)


def _is_loopback(url: str) -> bool:
    name = urlsplit(url).hostname or ""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _positive(text: str, default: float, where: str) -> float:
    if not text:
        return default
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise InvalidConnection(f"{where} must be a number above 0, not {text!r}.")
    return number


def _not_negative(text: str, default: float, where: str) -> float:
    try:
        number = float(text) if text else default
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise InvalidConnection(f"{where} must be a number of minutes, 0 or more, not {text!r}.")
    return number


def _verify(value: Any, ca_bundle: str, where: str) -> bool | str:
    word = "true" if value is None or value == "" else str(value).strip().lower()
    if word not in ("true", "false"):
        raise InvalidConnection(
            f"{where}: verify must be true or false, not {value!r}. The path of a CA bundle goes into "
            f"ca_bundle."
        )
    if ca_bundle and not Path(ca_bundle).exists():
        raise InvalidConnection(f"{where}: ca_bundle {ca_bundle!r} does not exist on this machine.")
    return word == "true" and (ca_bundle or True)


def read_proxy(url: str, where: str) -> str | None:
    """Check the URL of a proxy.

    :raises InvalidConnection: it is none, or its scheme is not known.
    """
    if not url:
        return None
    try:
        parts = urlsplit(url)
        readable = parts.scheme in PROXY_SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        readable = False
    if not readable:  # not shown: it may hold a password
        raise InvalidConnection(
            f"{where}: proxy must be an {' or '.join(PROXY_SCHEMES)} URL, such as "
            f"'http://proxy.example.com:3128'."
        )
    return url
