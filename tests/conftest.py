"""Fixtures and settings that all tests share."""

from __future__ import annotations

import dataclasses
import random
import re
import signal
import sys
from importlib import metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest
from packaging.version import Version

from tests.support import dag_runs
from tests.support.airflow_home import create_database, database_of, use_temporary_airflow_home
from tests.support.random_examples import IN_CI

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from airflow.dag_processing.dagbag import DagBag

    from airflow_provider_online_tasks.emulator import Emulator, EmulatorProcess
    from tests.support.dag_runs import DagResult
    from tests.support.online_task import OnlineTask

# Before anything imports Airflow.
AIRFLOW_HOME = use_temporary_airflow_home()

# The environment of the conformance tests has no hypothesis.
if find_spec("hypothesis"):
    import hypothesis

    shared = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
    hypothesis.settings.register_profile("local", max_examples=25, derandomize=True, **shared)
    hypothesis.settings.register_profile("in_ci", derandomize=False, print_blob=True, **shared)
    hypothesis.settings.load_profile("in_ci" if IN_CI else "local")

# Arize's SDK is only installed in the environment of `make conformance`.
collect_ignore = [] if find_spec("arize") else ["conformance"]


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Stop the servers of the tests when the session is terminated, and draw the seed of CI."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    # The worker processes of a session receive this option, so that they share the seed.
    if IN_CI and getattr(config.option, "hypothesis_seed", "") is None:
        config.option.hypothesis_seed = str(random.SystemRandom().randrange(2**32))


def pytest_report_header(config: pytest.Config) -> str | None:
    """Print the seed, which repeats the random examples of a CI run."""
    seed = getattr(config.option, "hypothesis_seed", None)
    return f"Repeat the random examples with CI=true and --hypothesis-seed={seed}" if seed else None


# In this order, after the tests without any of these marks.
SLOWER_MARKS = ("dag", "slow", "live")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run fast tests first in one process, and slow tests first in several processes.

    In several processes a slow test at the end would keep one of them busy while the others wait.
    """

    def slowness(item: pytest.Item) -> int:
        return max(
            (place for place, mark in enumerate(SLOWER_MARKS, 1) if item.get_closest_marker(mark)), default=0
        )

    items.sort(key=slowness, reverse=hasattr(config, "workerinput"))


# The files of these folders share an expensive fixture: an Airflow with a browser, or an installed wheel.
GROUPS = re.compile(r"tests/(browser|packaging)/(?!test_benchmarks)")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Run the tests of a file, or of a group of files, in one process (`--dist=loadfile`)."""
    from xdist.scheduler import LoadFileScheduling

    class GroupScheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            group = GROUPS.match(nodeid)
            return group[1] if group else str(super()._split_scope(nodeid))

    return GroupScheduling(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked ``since_airflow("3.3", "task state store")`` on an older Airflow."""
    for marker in item.iter_markers("since_airflow"):
        installed = metadata.version("apache-airflow")  # the conformance tests have no Airflow
        needed, feature = marker.args
        if Version(installed) < Version(needed):
            pytest.skip(f"Needs Airflow {needed} or later ({feature}); installed: {installed}.")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Add the logs of the test's Airflow deployment, if it has one, to the report of a failure."""
    report = yield
    deployment = getattr(item, "funcargs", {}).get("airflow")
    if report.failed and hasattr(deployment, "add_logs"):
        deployment.add_logs(report.sections, since=call.start)
    return report


@pytest.fixture(scope="session")
def session_emulator() -> Iterator[Emulator]:
    """The emulator that all tests of this process share; use ``arize``, which empties it first."""
    from airflow_provider_online_tasks.emulator import Emulator, EmulatorSettings

    unlimited = EmulatorSettings(run_seconds=0, queries_per_minute=None, mutations_per_minute=None)
    with Emulator(unlimited) as emulator:
        yield emulator


@pytest.fixture
def arize(session_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """An empty emulator, which the default connection points to.

    Its runs finish at once and it has no rate limit. Change that with ``arize.configure(…)``; the next test
    gets the original settings. A test that stops the emulator, or needs settings that only apply at start,
    creates its own.
    """
    from airflow_provider_online_tasks.emulator.settings import START_ONLY

    settings = dataclasses.asdict(session_emulator.settings)
    session_emulator.reset()
    session_emulator.configure(**{name: value for name, value in settings.items() if name not in START_ONLY})
    monkeypatch.setenv("AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT", session_emulator.connection_json)
    return session_emulator


@pytest.fixture
def new_online_task(arize: EmulatorProcess) -> Callable[[], OnlineTask]:
    """``new_online_task()``: create an online task, where ``arize`` is an emulator in its own process."""
    from tests.support.online_task import OnlineTask

    return lambda: OnlineTask.create(arize)


@pytest.fixture
def online_task(new_online_task: Callable[[], OnlineTask]) -> OnlineTask:
    """An online task that only this test uses."""
    return new_online_task()


@pytest.fixture(scope="session")
def airflow_db() -> None:
    """A migrated database in this process's Airflow home."""
    create_database(database_of(AIRFLOW_HOME))
    dag_runs.share_in_process_api_server()


@pytest.fixture(autouse=True)
def _database_for_dag_tests(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("dag"):
        request.getfixturevalue("airflow_db")


@pytest.fixture(scope="session")
def run_dag(airflow_db: None) -> Callable[..., DagResult]:
    """``run_dag(dag, logical_date=…, conf=None)``: run a DAG here, with its real tasks and triggers."""
    return dag_runs.run_dag


@pytest.fixture
def register_dags(airflow_db: None) -> Callable[..., None]:
    """``register_dags(dag, …)``: store DAGs in Airflow's database, unpaused."""
    return dag_runs.register_dags


@pytest.fixture
def read_dags(airflow_db: None) -> Callable[[Path], DagBag]:
    """``read_dags(folder)``: return the DAGs of a folder."""
    return dag_runs.read_dags
