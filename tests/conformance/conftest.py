"""Arize's SDK, pointed at an emulator in a separate process."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from airflow_provider_online_tasks.emulator import EmulatorProcess, EmulatorSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from arize import ArizeClient

# The SDK takes its settings from these: the developer's own must not decide where requests go.
for _name in [name for name in os.environ if name.startswith("ARIZE_") or name.lower().endswith("_proxy")]:
    del os.environ[_name]

SETTINGS = EmulatorSettings(run_seconds=0.3, queries_per_minute=None, mutations_per_minute=None)


@pytest.fixture(scope="session")
def _emulator_process() -> Iterator[EmulatorProcess]:
    with EmulatorProcess(SETTINGS) as process:
        yield process


@pytest.fixture
def emulator(_emulator_process: EmulatorProcess) -> Iterator[EmulatorProcess]:
    """An emulator without tasks, runs and limits."""
    yield _emulator_process
    _emulator_process.reset()
    _emulator_process.configure(queries_per_minute=SETTINGS.queries_per_minute)


@pytest.fixture
def make_client(emulator: EmulatorProcess, tmp_path: Path) -> Callable[[str], ArizeClient]:
    """Make a client of the SDK for a key, pointed at the emulator by its host options."""
    from arize import ArizeClient

    logging.getLogger("arize").setLevel(logging.ERROR)
    address = urlsplit(emulator.url)

    def make(api_key: str) -> ArizeClient:
        return ArizeClient(
            api_key=api_key,
            single_host=str(address.hostname),
            single_port=int(address.port or 0),
            api_scheme=address.scheme,
            arize_directory=str(tmp_path),
            enable_caching=False,
        )

    return make


@pytest.fixture
def arize(make_client: Callable[[str], ArizeClient], emulator: EmulatorProcess) -> ArizeClient:
    """The SDK with the emulator's key."""
    return make_client(emulator.api_key)
