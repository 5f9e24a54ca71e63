"""Requests in the name of another host are rejected, and a page that others can reach needs the key."""

from __future__ import annotations

import pytest
import requests

from airflow_provider_online_tasks.emulator import Emulator, EmulatorSettings
from airflow_provider_online_tasks.emulator.settings import EmulatorSettings as Settings


@pytest.mark.parametrize("path", ["/", "/v2/tasks", "/graphql", "/emulator/info"])
def test_foreign_host_header_is_rejected(emulator: Emulator, path: str) -> None:
    key = {"Authorization": f"Bearer {emulator.api_key}"}
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "192.0.2.1", "localhost.evil"):
        response = requests.get(f"{emulator.url}{path}", headers={**key, "Host": host}, timeout=60)
        assert response.status_code == 421, host
        assert response.headers["content-type"] == "application/problem+json"
    assert emulator.requests() == []


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1234", "127.0.0.1", "127.0.0.9:80", "[::1]:80"])
def test_loopback_names_are_accepted(emulator: Emulator, host: str) -> None:
    assert requests.get(emulator.url, headers={"Host": host}, timeout=60).status_code == 200


@pytest.mark.parametrize(
    ("host", "answers"),
    [("10.0.0.5:8080", True), ("arize", True), ("ARIZE:80", True), ("evil.example", False), ("", True)],
)
def test_public_emulator_accepts_its_host_names(host: str, answers: bool) -> None:
    settings = Settings(host="0.0.0.0", host_names="arize,other")
    assert settings.accepts_host(host) is answers


def test_page_needs_the_key_unless_on_loopback() -> None:
    with Emulator(EmulatorSettings(host="0.0.0.0")) as emulator:
        url = emulator.url.replace("0.0.0.0", "127.0.0.1")
        for path in ("", "/organizations/x/spaces/y"):
            refused = requests.get(f"{url}{path}", timeout=60)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"].startswith("Basic")
            assert "Runs" not in refused.text
            assert requests.get(f"{url}{path}", auth=("", "wrong"), timeout=60).status_code == 401
            shown = requests.get(f"{url}{path}", auth=("me", emulator.api_key), timeout=60)
            assert (shown.status_code, "Runs" in shown.text) == (200, True)
    with Emulator() as loopback:
        assert requests.get(loopback.url, timeout=60).status_code == 200
