"""Waits are tested as a triggerer runs them: triggers on an event loop, against the emulator over HTTP."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from waits import CONN_ID

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_online_tasks.emulator import Emulator, EmulatorControl


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """``connect(emulator, conn_id=…, requests_per_minute=…)``: an Airflow connection to an emulator."""

    def connect(emulator: EmulatorControl, conn_id: str = CONN_ID, **extra: Any) -> str:
        # Tests are not to last a minute: they get a minute's requests in less.
        extra = {"requests_per_minute": 6000, **extra}
        fields = {"conn_type": "arize_online_tasks", "host": emulator.url, "password": emulator.api_key}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps({**fields, "extra": extra}))
        return conn_id

    return connect


@pytest.fixture
def arize(online_tasks_emulator: Emulator, connect: Callable[..., str]) -> Emulator:
    """An emulator with a connection to it."""
    connect(online_tasks_emulator)
    return online_tasks_emulator
