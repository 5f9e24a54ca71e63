"""The fields of a connection become settings; the key reaches no other host and no message."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_online_tasks.api.settings import EXTRA_FIELDS, Endpoint, Settings
from airflow_provider_online_tasks.exceptions import InvalidConnection, InvalidInput
from airflow_provider_online_tasks.get_provider_info import get_provider_info

KEY = "ak-0123456789-secret"


def settings_of(*, host: str | None = None, password: str | None = KEY, **extra: Any) -> Settings:
    fields = {name: extra.pop(name) for name in ("scheme", "port") if name in extra}
    return Settings.of_connection(host=host, api_key=password, extra=extra, conn_id="arize", **fields)


@pytest.mark.parametrize(
    ("region", "app", "rest"),
    [
        ("", "https://app.arize.com", "https://api.arize.com"),
        ("us", "https://app.arize.com", "https://api.arize.com"),
        ("eu-west-1a", "https://app.eu-west-1a.arize.com", "https://api.eu-west-1a.arize.com"),
        (" CA-central-1a ", "https://app.ca-central-1a.arize.com", "https://api.ca-central-1a.arize.com"),
        (
            "region-of-next-year-2b",
            "https://app.region-of-next-year-2b.arize.com",
            "https://api.region-of-next-year-2b.arize.com",
        ),
    ],
)
def test_region_gives_the_published_hosts(region: str, app: str, rest: str) -> None:
    endpoint = settings_of(region=region).endpoint
    assert (endpoint.graphql_url, endpoint.rest_url, endpoint.app_url) == (f"{app}/graphql", rest, app)


@pytest.mark.parametrize(
    "region", ["x", "eu west", "evil.example/", "eu-west-1a.evil.example#", "ü", "-us", "us\n.x"]
)
def test_region_wrong_name_is_rejected(region: str) -> None:
    with pytest.raises(InvalidConnection, match="region"):
        Endpoint.of_region(region)


@pytest.mark.parametrize(
    ("host", "more", "app", "rest"),
    [
        ("app.arize.com", {}, "https://app.arize.com", "https://api.arize.com"),
        (
            "https://app.eu-west-1a.arize.com/",
            {},
            "https://app.eu-west-1a.arize.com",
            "https://api.eu-west-1a.arize.com",
        ),
        ("http://127.0.0.1:8123", {}, "http://127.0.0.1:8123", "http://127.0.0.1:8123"),
        ("127.0.0.1", {"port": 8123, "scheme": "http"}, "http://127.0.0.1:8123", "http://127.0.0.1:8123"),
        ("http://[::1]:8123", {}, "http://[::1]:8123", "http://[::1]:8123"),
        ("Arize.Example.com", {}, "https://arize.example.com", "https://arize.example.com"),
        (
            "arize_emulator:8123",
            {"scheme": "http"},
            "http://arize_emulator:8123",
            "http://arize_emulator:8123",
        ),
        (
            "app.example.com",
            {"rest_host": "api.example.com:8443"},
            "https://app.example.com",
            "https://api.example.com:8443",
        ),
    ],
)
def test_host_serves_both_apis_unless_rest_host_is_set(
    host: str, more: dict[str, Any], app: str, rest: str
) -> None:
    endpoint = settings_of(host=host, **more).endpoint
    assert (endpoint.app_url, endpoint.rest_url) == (app, rest)


@pytest.mark.parametrize("host", ["app.notarize.com", "app.evilarize.com", "app.arize.com.evil.example"])
def test_host_similar_to_arize_keeps_the_key_on_its_host(host: str) -> None:
    assert settings_of(host=host).endpoint.rest_url == f"https://{host}"


@pytest.mark.parametrize(
    "host",
    [
        "ftp://arize.example",
        "https://arize.example/graphql",
        "https://arize.example?x=1",
        "arize.example:port",
        "arize.example:99999",
        "https://",
        "ari ze.example",
        "https://me:hunter2@arize.example",
        "me:hunter2@arize.example:port",
        "arize.exa\nmple",
        "https://arize\t.example",
        "arize.example\r:443",
        "arize.example\x00",
        "arize.example\u200b",
    ],
)
def test_wrong_host_is_rejected_and_its_field_is_named(host: str) -> None:
    for field, fields in (
        ("host", {"host": host}),
        ("rest_host", {"host": "app.example.com", "rest_host": host}),
    ):
        with pytest.raises(InvalidConnection, match=rf"'arize': {field} ") as caught:
            settings_of(**fields)
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["htt\nps", "https\t", "\x00https"])
def test_control_character_in_scheme_is_rejected(scheme: str) -> None:
    with pytest.raises(InvalidConnection):
        settings_of(host="arize.example", scheme=scheme)


@pytest.mark.parametrize("host", ["arize.example\n", "\tarize.example "])
def test_blanks_around_a_host_are_removed(host: str) -> None:
    assert settings_of(host=host).endpoint.app_url == "https://arize.example"


@pytest.mark.parametrize("port", [-1, 0, 65_536, 70_000])
def test_port_out_of_range_is_rejected(port: int) -> None:
    for fields in ({"host": "arize.example", "port": port}, {"host": f"arize.example:{port}"}):
        with pytest.raises(InvalidConnection, match="'arize'"):
            settings_of(**fields)


@given(st.text())
@example("arize.\nexample")
def test_any_host_is_http_or_rejected(host: str) -> None:
    try:
        endpoint = Endpoint.of_hosts(host)
    except InvalidConnection:
        return
    assert endpoint.app_url.startswith(("https://", "http://"))
    assert not set(endpoint.app_url[8:]) & set("/?#@\\ \t\r\n")
    assert endpoint.app_url.partition("://")[2].lower() in host.lower()


# Written down from docs/connection.md, not from the code.
DOCUMENTED_DEFAULTS = {
    "timeout": 30.0,
    "verify": True,
    "proxy": None,
    "requests_per_minute": 60,
    "sampling_rate_unit": "fraction",
    "organization_id": None,
    "space_id": None,
    "model_id": None,
    "index_delay_minutes": 120.0,
    "prices": None,
}


def test_defaults_are_the_documented_ones() -> None:
    for extra in ({}, dict.fromkeys(EXTRA_FIELDS), dict.fromkeys(EXTRA_FIELDS, "")):
        settings = dataclasses.asdict(settings_of(**extra))
        assert settings.pop("endpoint") == {
            "app_url": "https://app.arize.com",
            "rest_url": "https://api.arize.com",
        }
        assert settings.pop("api_key") == KEY
        assert settings == DOCUMENTED_DEFAULTS
    given = Settings(endpoint=settings_of().endpoint, api_key=KEY)
    assert {name: getattr(given, name) for name in DOCUMENTED_DEFAULTS} == DOCUMENTED_DEFAULTS


def test_every_field_is_read(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.touch()
    found = settings_of(
        timeout="2.5",
        ca_bundle=str(bundle),
        proxy="http://proxy.example.com:3128",
        requests_per_minute=90,
        sampling_rate_unit="percent",
        organization_id="O",
        space_id="S",
        model_id="M",
        index_delay_minutes="0",
    )
    assert (found.model_id, found.index_delay_minutes) == ("M", 0.0)
    assert (found.timeout, found.verify, found.requests_per_minute) == (2.5, str(bundle), 90)
    assert (found.proxy, found.sampling_rate_unit) == ("http://proxy.example.com:3128", "percent")
    assert (found.organization_id, found.space_id) == ("O", "S")
    assert settings_of(verify="false", ca_bundle=str(bundle)).verify is False
    assert settings_of(verify=False).verify is False
    assert settings_of(verify=True).verify is True


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"timeout": 0}, "timeout"),
        ({"timeout": "soon"}, "timeout"),
        ({"timeout": "nan"}, "timeout"),
        ({"timeout": "inf"}, "timeout"),
        ({"requests_per_minute": 0}, "requests_per_minute"),
        ({"requests_per_minute": -5}, "requests_per_minute"),
        ({"index_delay_minutes": -1}, "index_delay_minutes"),
        ({"index_delay_minutes": "nan"}, "index_delay_minutes"),
        ({"verify": "/etc/ca.pem"}, "ca_bundle"),
        ({"verify": 0}, "verify"),
        ({"ca_bundle": "/no/such/file.pem"}, "/no/such/file.pem"),
        ({"sampling_rate_unit": "percentage"}, "sampling_rate_unit"),
        ({"regoin": "us"}, "regoin"),
        ({"rest_host": "api.example.com"}, "rest_host"),
        ({"host": "app.example.com", "region": "us"}, "region"),
        ({"region": "Europe"}, "region"),
        ({"region": "eu"}, "region"),
        ({"proxy": "proxy.example.com:3128"}, "proxy"),
        ({"proxy": "ftp://me:hunter2@proxy.example.com"}, "proxy"),
        ({"proxy": "http://me:hunter2@proxy.example.com:port"}, "proxy"),
        ({"proxy": "http://proxy.exa\nmple.com:3128"}, "proxy"),
        ({"proxy": "http://me:hunter2@proxy\t.example.com"}, "proxy"),
        ({"proxy": ["http://me:hunter2@proxy.example.com"]}, "proxy"),
        ({"space_id": ["S"]}, "space_id"),
        ({"organization_id": {"id": "O"}}, "organization_id"),
        ({"model_id": True}, "model_id"),
        ({"model_id": 1.5}, "model_id"),
        ({"model_id": "M\nN"}, "model_id"),
        ({"region": ["us"]}, "region"),
        ({"timeout": [30]}, "timeout"),
        ({"timeout": 1e300}, "timeout"),
        ({"requests_per_minute": 1e9}, "requests_per_minute"),
        ({"index_delay_minutes": 1e300}, "index_delay_minutes"),
        ({"ca_bundle": {"path": "/etc/ca.pem"}}, "ca_bundle"),
        ({"password": None}, "API key"),
        ({"password": "  "}, "API key"),
        ({"password": "***"}, "type the key again"),
        ({"password": " *** "}, "type the key again"),
        ({"password": "ak-\nhunter2"}, "API key"),
        ({"password": "ak hunter2"}, "API key"),
        ({"password": "ak-hünter2"}, "API key"),
    ],
)
def test_wrong_field_is_rejected_and_named(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidConnection) as caught:
        settings_of(**fields)
    assert named in str(caught.value)
    assert "'arize'" in str(caught.value)
    assert not any(secret in str(caught.value) for secret in (KEY, "hunter2", "hünter2"))
    assert isinstance(caught.value, InvalidInput)


def test_repr_has_no_secrets() -> None:
    text = repr(settings_of(proxy="http://me:hunter2@proxy.example.com:3128"))
    assert KEY not in text
    assert "hunter2" not in text
    assert "https://app.arize.com" in text


def test_spaces_around_the_key_are_removed() -> None:
    assert settings_of(password=f" {KEY}\n").api_key == KEY


def test_settings_with_another_key_or_host_differ() -> None:
    assert settings_of() == settings_of()
    assert hash(settings_of()) == hash(settings_of())
    assert settings_of() != settings_of(password="another")
    assert settings_of() != settings_of(region="eu-west-1a")


def test_connection_form_has_the_same_fields() -> None:
    form = get_provider_info()["connection-types"][0]["conn-fields"]
    assert set(form) == EXTRA_FIELDS
