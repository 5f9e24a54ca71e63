"""A connection's fields become addresses and settings; the key goes to no other host and into no message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_online_tasks.api.endpoint import Endpoint
from airflow_provider_online_tasks.api.settings import EXTRA_FIELDS, Settings
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
def test_a_region_names_the_published_hosts(region: str, app: str, rest: str) -> None:
    endpoint = settings_of(region=region).endpoint
    assert (endpoint.graphql_url, endpoint.rest_url, endpoint.ui_url) == (f"{app}/graphql", rest, app)


@pytest.mark.parametrize(
    "region", ["x", "eu west", "evil.example/", "eu-west-1a.evil.example#", "ü", "-us", "us\n.x"]
)
def test_a_region_that_is_no_name_says_what_to_give_instead(region: str) -> None:
    with pytest.raises(
        InvalidConnection, match=r"is not a region name\. Give one such as 'us', 'eu-west-1a'"
    ):
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
def test_a_host_serves_everything_unless_rest_has_its_own(
    host: str, more: dict[str, Any], app: str, rest: str
) -> None:
    endpoint = settings_of(host=host, **more).endpoint
    assert (endpoint.app_url, endpoint.rest_url) == (app, rest)


@pytest.mark.parametrize("host", ["app.notarize.com", "app.evilarize.com", "app.arize.com.evil.example"])
def test_the_key_goes_to_no_host_that_only_looks_like_arizes(host: str) -> None:
    assert settings_of(host=host).endpoint.rest_url == f"https://{host}"


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("ftp://arize.example", "has the scheme 'ftp'; use https or http"),
        ("https://arize.example/graphql", "is a host, without a path"),
        ("https://arize.example?x=1", "is a host, without a path"),
        ("arize.example:port", "cannot be read"),
        ("arize.example:99999", "cannot be read"),
        ("https://", "is not a host name"),
        ("ari ze.example", "is not a host name"),
        ("https://me:hunter2@arize.example", "carries credentials. Put the API key into the password field"),
        ("me:hunter2@arize.example:port", "carries credentials"),
    ],
)
def test_a_host_that_is_none(host: str, said: str) -> None:
    for fields in ({"host": host}, {"host": "app.example.com", "rest_host": host}):
        with pytest.raises(InvalidConnection, match=said) as caught:
            settings_of(**fields)
        assert "hunter2" not in str(caught.value)


@given(st.text())
def test_any_text_as_a_host_is_one_of_http_or_refused(host: str) -> None:
    try:
        endpoint = Endpoint.of_hosts(host)
    except InvalidConnection:
        return
    assert endpoint.app_url.startswith(("https://", "http://"))
    assert not set(endpoint.app_url[8:]) & set("/?#@\\ \t\r\n")


def test_defaults() -> None:
    found = settings_of()
    assert (found.timeout, found.verify, found.proxy, found.requests_per_minute) == (30.0, True, None, 60)
    assert (found.sampling_rate_unit, found.organization_id, found.space_id) == ("fraction", None, None)


def test_what_a_form_leaves_empty_is_the_default() -> None:
    assert (
        settings_of(**dict.fromkeys(EXTRA_FIELDS))
        == settings_of()
        == settings_of(**dict.fromkeys(EXTRA_FIELDS, ""))
    )


def test_every_setting(tmp_path: Path) -> None:
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
    )
    assert (found.timeout, found.verify, found.requests_per_minute) == (2.5, str(bundle), 90)
    assert (found.proxy, found.sampling_rate_unit) == ("http://proxy.example.com:3128", "percent")
    assert (found.organization_id, found.space_id) == ("O", "S")
    assert settings_of(verify="false", ca_bundle=str(bundle)).verify is False
    assert settings_of(verify=False).verify is False
    assert settings_of(verify=True).verify is True


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"timeout": 0}, "timeout must be a number above 0, not '0'"),
        ({"timeout": "soon"}, "timeout must be a number above 0, not 'soon'"),
        ({"timeout": "nan"}, "timeout must be a number above 0"),
        ({"timeout": "inf"}, "timeout must be a number above 0"),
        ({"requests_per_minute": 0}, "requests_per_minute must be a number above 0"),
        ({"requests_per_minute": -5}, "requests_per_minute must be a number above 0"),
        ({"verify": "/etc/ca.pem"}, "verify must be true or false.* CA bundle goes into ca_bundle"),
        ({"verify": 0}, "verify must be true or false"),
        ({"ca_bundle": "/no/such/file.pem"}, "ca_bundle '/no/such/file.pem' does not exist on this machine"),
        ({"sampling_rate_unit": "percentage"}, "sampling_rate_unit must be fraction or percent"),
        ({"regoin": "us"}, "unknown extra regoin. Known: ca_bundle, "),
        ({"rest_host": "api.example.com"}, "names rest_host without a host"),
        ({"host": "app.example.com", "region": "us"}, "names both a host and the region 'us': give one"),
        (
            {"proxy": "proxy.example.com:3128"},
            "proxy must be an http or https URL, such as 'http://proxy.example",
        ),
        ({"proxy": "ftp://me:hunter2@proxy.example.com"}, "proxy must be an http or https URL"),
        ({"proxy": "http://me:hunter2@proxy.example.com:port"}, "proxy must be an http or https URL"),
        ({"password": None}, "has no API key. Put it into the password field"),
        ({"password": "  "}, "has no API key. Put it into the password field"),
        ({"password": "ak-\nhunter2"}, "the API key has characters that no key has. Paste it again"),
        ({"password": "ak hunter2"}, "the API key has characters that no key has. Paste it again"),
        ({"password": "ak-hünter2"}, "the API key has characters that no key has. Paste it again"),
    ],
)
def test_a_connection_that_cannot_be_read_says_which_and_what(extra: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidConnection, match=said) as caught:
        settings_of(**extra)
    assert "'arize'" in str(caught.value)
    assert not any(secret in str(caught.value) for secret in (KEY, "hunter2", "hünter2"))
    assert isinstance(caught.value, InvalidInput)


def test_secrets_are_not_shown() -> None:
    shown = repr(settings_of(proxy="http://me:hunter2@proxy.example.com:3128"))
    assert KEY not in shown
    assert "hunter2" not in shown
    assert "https://app.arize.com" in shown


def test_space_around_a_pasted_key_is_no_part_of_it() -> None:
    assert settings_of(password=f" {KEY}\n").api_key == KEY


def test_two_keys_and_two_hosts_are_two_settings() -> None:
    assert settings_of() == settings_of()
    assert hash(settings_of()) == hash(settings_of())
    assert settings_of() != settings_of(password="another")
    assert settings_of() != settings_of(region="eu-west-1a")


def test_the_connection_form_and_the_settings_name_the_same_fields() -> None:
    form = get_provider_info()["connection-types"][0]["conn-fields"]
    assert set(form) == EXTRA_FIELDS


@pytest.mark.parametrize("password", ["***", " *** "])
def test_a_password_that_airflow_hid_is_told_from_a_refused_one(password: str) -> None:
    with pytest.raises(InvalidConnection, match=r"in place of an API key.*type the key again"):
        settings_of(password=password)


@pytest.mark.parametrize("region", ["Europe", "europe", "eu", "EU West", "usa"])
def test_a_region_that_arize_does_not_have_names_connection_and_field(region: str) -> None:
    with pytest.raises(
        InvalidConnection, match=rf"Connection 'arize': region '{region}' is not a region name"
    ):
        settings_of(region=region)
