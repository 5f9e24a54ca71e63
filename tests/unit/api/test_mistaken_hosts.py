"""What a connection says whose host or type is a mistake: what it is, and what to do."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest

from airflow_provider_online_tasks.exceptions import InvalidConnection, Unavailable
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator


def ask(monkeypatch: pytest.MonkeyPatch, host: str, conn_type: str = "arize_online_tasks") -> str:
    fields = {"conn_type": conn_type, "host": host, "password": "ak-1"}
    monkeypatch.setenv("AIRFLOW_CONN_MINE", json.dumps(fields))
    with OnlineTasksHook("mine") as hook, pytest.raises((Unavailable, InvalidConnection)) as caught:
        hook.client.query("{ __typename }", name="query")
    return str(caught.value)


def test_a_port_where_nothing_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert "Nothing listens there: check the connection's host and port" in ask(
        monkeypatch, f"http://127.0.0.1:{port}"
    )


def test_a_host_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    said = ask(monkeypatch, "app.arize.invalid")
    assert "No host has that name: check the connection's host or region" in said


def test_a_host_without_a_scheme_that_speaks_http(arize: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    said = ask(monkeypatch, arize.url.removeprefix("http://"))
    assert "does not speak https: if it should not, write http:// before the host" in said


def test_a_connection_of_another_type(arize: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    said = ask(monkeypatch, arize.url, conn_type="http")
    assert "Connection 'mine' is of the type 'http', not 'arize_online_tasks'" in said
