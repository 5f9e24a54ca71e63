"""One deployment for all tests of this folder, and an emulator and a connection for each."""

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
# What requirements.txt installs.
NEEDED = ("airflow.providers.celery", "psycopg2", "asyncpg", "redis")
# The order of the tests: where time is short, what costs money when it breaks comes first.
ORDER = ("deaths", "kills", "answers", "keys", "crowd", "dag_test")
# After so many minutes no test begins; none takes longer than the rest of what CI has.
MINUTES = float(os.environ.get("CLUSTER_MINUTES", "inf"))
BEGAN = time.monotonic()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of this folder into their order."""
    here = [item for item in items if item.path.parent == HERE]
    names = [f"test_cluster_{name}" for name in ORDER]
    if len(here) == len(items):
        items.sort(key=lambda item: (names.index(item.path.stem), bool(item.get_closest_marker("slow"))))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Begin no test once the time is over."""
    if time.monotonic() - BEGAN > 60 * MINUTES:
        pytest.skip(f"{MINUTES:g} minutes have passed: `make cluster` without MINUTES runs it.")


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The deployment. Without what it takes, the tests are skipped, and say why."""
    missing = [name for name in NEEDED if not _has(name)]
    if missing:
        pytest.skip(f"{', '.join(missing)} cannot be imported: run `make cluster`.")
    from tests.support.cluster import Cluster
    from tests.support.services import NotInstalledError, Postgres, Redis

    # A runner that ends the tests with SIGTERM would leave the whole Airflow behind.
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
    """An emulator in a process of its own, whose runs go on until the test ends them."""
    with EmulatorProcess(EmulatorSettings(**limits)) as emulator:
        emulator.next_run(ENDLESS)
        yield emulator


@pytest.fixture
def conn_id(request: pytest.FixtureRequest, airflow: Cluster, arize: EmulatorProcess) -> Iterator[str]:
    """A connection of Airflow's database to the emulator."""
    name = re.sub(r"\W+", "_", request.node.name)
    airflow.set_connection(name, arize)
    yield name
    airflow.tidy()
