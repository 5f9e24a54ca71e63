"""One Airflow and one emulator for all live tests."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_provider_online_tasks.emulator import EmulatorProcess, EmulatorSettings
from tests.support.deployment import Deployment
from tests.support.online_task import ENDLESS

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def arize() -> Iterator[EmulatorProcess]:
    """The emulator, in a separate process."""
    settings = EmulatorSettings(queries_per_minute=None, mutations_per_minute=None)
    with EmulatorProcess(settings) as emulator:
        emulator.next_run(ENDLESS)
        yield emulator


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory, arize: EmulatorProcess) -> Iterator[Deployment]:
    """An Airflow deployment that is connected to the emulator."""
    # Stop the deployment if the test runner is terminated.
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated", returncode=143))
    environment = {"AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT": arize.connection_json}
    home = tmp_path_factory.mktemp("airflow")
    with Deployment(home, dags=HERE / "dags", environment=environment) as deployment:
        yield deployment
