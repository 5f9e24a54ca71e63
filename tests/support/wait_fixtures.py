"""Waits are tested as a triggerer runs them: triggers on an event loop, against the emulator over HTTP."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks.api.async_client import AsyncClient
from tests.support.quick_time import Clocks
from tests.support.waits import CONN_ID

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_online_tasks.emulator import Emulator, EmulatorControl


@pytest.fixture(autouse=True)
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    """The emulators whose time passes with that of the event loop: all that a connection leads to."""
    clocks = Clocks()
    monkeypatch.setattr(AsyncClient, "_request", clocks.ask())
    return clocks


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch, clocks: Clocks) -> Callable[..., str]:
    """``connect(emulator, conn_id=…, requests_per_minute=…)``: an Airflow connection to an emulator."""

    def connect(emulator: EmulatorControl, conn_id: str = CONN_ID, **extra: Any) -> str:
        extra = {"requests_per_minute": 6000, **extra}
        clocks.add(emulator)
        fields = {"conn_type": "arize_online_tasks", "host": emulator.url, "password": emulator.api_key}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps({**fields, "extra": extra}))
        return conn_id

    return connect


@pytest.fixture
def arize(arize: Emulator, connect: Callable[..., str]) -> Emulator:
    """The emulator, whose runs take their time, and a connection to it."""
    arize.configure(run_seconds=6.0)
    connect(arize)
    return arize
