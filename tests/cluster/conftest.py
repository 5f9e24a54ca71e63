"""One deployment for all tests of this folder; an emulator and a connection per test."""

from __future__ import annotations

import os
import re
import signal
import time
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_provider_online_tasks.emulator import EmulatorProcess, EmulatorSettings
from tests.support.online_task import ENDLESS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cluster import Cluster

HERE = Path(__file__).parent
# Installed by requirements.txt.
NEEDED = ("airflow.providers.celery", "psycopg2", "asyncpg", "redis")
# Run the tests first whose failure would cost a user money, for the case that CI runs out of time.
ORDER = ("crashes", "kills", "replaced", "responses", "keys", "rate_limit", "dag_test")
# Start no test after this time. Each test is shorter than the rest of CI's time.
MINUTES = float(os.environ.get("CLUSTER_MINUTES", "inf"))
BEGAN = time.monotonic()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests of this folder."""
    here = [item for item in items if item.path.parent == HERE]
    names = [f"test_cluster_{name}" for name in ORDER]
    if len(here) == len(items):
        items.sort(key=lambda item: (names.index(item.path.stem), bool(item.get_closest_marker("slow"))))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip the test if the time is used up."""
    if time.monotonic() - BEGAN > 60 * MINUTES:
        pytest.skip(f"{MINUTES:g} minutes have passed: `make cluster` without MINUTES runs it.")


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The deployment; skips the tests if a service or package is missing."""
    missing = [name for name in NEEDED if not _has(name)]
    if missing:
        pytest.skip(f"{', '.join(missing)} cannot be imported: run `make cluster`.")
    from tests.support.cluster import Cluster
    from tests.support.services import NotInstalledError, Postgres, Redis

    # Stop the deployment if the test runner is terminated.
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated", returncode=143))
    home = tmp_path_factory.mktemp("cluster")
    with ExitStack() as stack:
        try:
            services = Postgres(home), Redis(home)
        except NotInstalledError as error:
            pytest.skip(str(error))
        postgres, redis = map(stack.enter_context, services)
        yield stack.enter_context(Cluster(home, dags=HERE / "dags", postgres=postgres, redis=redis))


def _has(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@pytest.fixture
def limits(request: pytest.FixtureRequest) -> dict[str, int | None]:
    """The emulator's rate limits: none, unless the test is marked ``limited``."""
    if request.node.get_closest_marker("limited"):
        return {}
    return {"queries_per_minute": None, "mutations_per_minute": None}


@pytest.fixture
def arize(limits: dict[str, int | None]) -> Iterator[EmulatorProcess]:
    """An emulator in a separate process, whose runs continue until the test finishes them."""
    with EmulatorProcess(EmulatorSettings(**limits)) as emulator:
        emulator.next_run(ENDLESS)
        yield emulator


@pytest.fixture
def conn_id(request: pytest.FixtureRequest, airflow: Cluster, arize: EmulatorProcess) -> Iterator[str]:
    """The ID of a connection to the emulator in Airflow's database."""
    name = re.sub(r"\W+", "_", request.node.name)
    airflow.set_connection(name, arize)
    yield name
    airflow.tidy()
