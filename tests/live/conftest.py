"""One Airflow and one emulator for all live tests; what they logged is shown with a test that fails."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from deployment import LOG_TAIL, Deployment
from online_task import ENDLESS, OnlineTask

from airflow_provider_online_tasks.emulator import EmulatorProcess, EmulatorSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def arize() -> Iterator[EmulatorProcess]:
    """The emulator, in a process of its own."""
    settings = EmulatorSettings(queries_per_minute=None, mutations_per_minute=None)
    with EmulatorProcess(settings) as emulator:
        emulator.next_run(ENDLESS)
        yield emulator


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory, arize: EmulatorProcess) -> Iterator[Deployment]:
    """A whole Airflow whose connection is to the emulator."""
    # A runner that ends the tests with SIGTERM would leave the whole Airflow behind.
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated", returncode=143))
    environment = {"AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT": arize.connection_json}
    home = tmp_path_factory.mktemp("airflow")
    with Deployment(home, dags=HERE / "dags", environment=environment) as deployment:
        yield deployment


@pytest.fixture
def new_online_task(arize: EmulatorProcess) -> Callable[[], OnlineTask]:
    """Make an online task."""
    return lambda: OnlineTask.create(arize)


@pytest.fixture
def online_task(new_online_task: Callable[[], OnlineTask]) -> OnlineTask:
    """An online task of this test alone."""
    return new_online_task()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Add to a failure what Airflow logged meanwhile."""
    report = yield
    deployment = getattr(item, "funcargs", {}).get("airflow")
    if report.failed and isinstance(deployment, Deployment):
        for component in ("scheduler", "triggerer", "dag-processor"):
            report.sections.append((f"{component} log", deployment.log(component)))
        for name, text in deployment.task_logs(since=call.start - 120).items():
            report.sections.append((name, text[-LOG_TAIL:]))
    return report
