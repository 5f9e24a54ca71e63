"""What every test shares: an Airflow home of this process's own, and a way to run a DAG in it.

The environment is set before anything imports Airflow, which reads it once. Only tests marked ``dag`` pay for
Airflow's database.
"""

from __future__ import annotations

import atexit
import dataclasses
import functools
import os
import random
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.version import Version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from airflow.dag_processing.dagbag import DagBag
    from airflow.models.dagrun import DagRun
    from airflow.sdk import DAG

    from airflow_provider_online_tasks.emulator import Emulator, EmulatorProcess
    from tests.support.online_task import OnlineTask

PROJECT = Path(__file__).resolve().parents[1]

# A folder for each process: tests may run side by side. Inside the checkout, where clean-up finds leftovers.
(PROJECT / ".tmp").mkdir(exist_ok=True)
AIRFLOW_HOME = Path(tempfile.mkdtemp(prefix="airflow-", dir=PROJECT / ".tmp"))
atexit.register(shutil.rmtree, AIRFLOW_HOME, ignore_errors=True)
(AIRFLOW_HOME / "dags").mkdir()

# Settings of the developer's own Airflow would make the tests differ from machine to machine.
for name in [name for name in os.environ if name.startswith(("AIRFLOW_", "_AIRFLOW_"))]:
    del os.environ[name]
os.environ |= {
    "AIRFLOW_HOME": str(AIRFLOW_HOME),
    # The one that Airflow makes for itself is short, which the library that signs with it warns of.
    "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(64),
    "AIRFLOW__CORE__DAGS_FOLDER": str(AIRFLOW_HOME / "dags"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    # A try that fails is followed by the next at once instead of after five minutes.
    "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{AIRFLOW_HOME / 'airflow.db'}",
    "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(AIRFLOW_HOME / "logs"),
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
}

# Each run draws examples of its own, in CI too, and says by which seed. A busy machine is no failure.
# The environment of the conformance tests has no hypothesis.
if find_spec("hypothesis"):
    import hypothesis

    hypothesis.settings.register_profile(
        "project",
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
        derandomize=False,
        print_blob=True,
    )
    hypothesis.settings.load_profile("project")

# Arize's SDK lives in an environment of its own: `make conformance`.
collect_ignore = [] if find_spec("arize") else ["conformance"]


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Let a terminated test session clean up, and draw a seed, which all processes of a session share."""
    # No server of its tests outlives it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    if getattr(config.option, "hypothesis_seed", "") is None:
        config.option.hypothesis_seed = str(random.SystemRandom().randrange(2**32))


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say how to draw the same examples again."""
    seed = getattr(config.option, "hypothesis_seed", None)
    return seed and f"examples are drawn by --hypothesis-seed={seed}"


# What takes longer comes later, so that what is quick to find is found first.
LATER = ("dag", "slow", "live")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order the tests: the fast ones first, a whole Airflow deployment last.

    In several processes it is the other way round, so that none is left alone with a long test at the end.
    """
    items.sort(
        key=lambda item: max(
            (LATER.index(name) + 1 for name in LATER if item.get_closest_marker(name)), default=0
        ),
        reverse=hasattr(config, "workerinput"),
    )


# Their files share what is expensive to make: a deployment with a browser, an environment with the wheel.
TOGETHER = re.compile(r"tests/(browser/|packaging/test_(distributions|tutorial|user_project))")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Run the tests of a file in one process, for `--dist=loadfile`."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = str(super()._split_scope(nodeid))
            return "together in " + found[1].partition("/")[0] if (found := TOGETHER.match(file)) else file

    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def session_emulator() -> Iterator[Emulator]:
    """One emulator for all tests of this process; `arize` empties it for each."""
    from airflow_provider_online_tasks.emulator import Emulator, EmulatorSettings

    unlimited = EmulatorSettings(run_seconds=0, queries_per_minute=None, mutations_per_minute=None)
    with Emulator(unlimited) as emulator:
        yield emulator


@pytest.fixture
def arize(session_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """An emulator that holds nothing, and the default connection to it.

    Its runs are over at once and nothing is limited; a test changes that by ``arize.configure(…)``, and the
    next test finds the settings as they were. A test that needs other settings from the start, or stops the
    emulator, makes one of its own.
    """
    from airflow_provider_online_tasks.emulator.settings import START_ONLY

    settings = dataclasses.asdict(session_emulator.settings)
    session_emulator.reset()
    session_emulator.configure(**{name: value for name, value in settings.items() if name not in START_ONLY})
    monkeypatch.setenv("AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT", session_emulator.connection_json)
    return session_emulator


@pytest.fixture
def new_online_task(arize: EmulatorProcess) -> Callable[[], OnlineTask]:
    """Make an online task, where ``arize`` is an emulator in a process of its own."""
    from tests.support.online_task import OnlineTask

    return lambda: OnlineTask.create(arize)


@pytest.fixture
def online_task(new_online_task: Callable[[], OnlineTask]) -> OnlineTask:
    """An online task of this test alone."""
    return new_online_task()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Add to a failure what the test's Airflow logged meanwhile, if it has a whole one."""
    report = yield
    deployment = getattr(item, "funcargs", {}).get("airflow")
    if report.failed and hasattr(deployment, "add_logs"):
        deployment.add_logs(report.sections, since=call.start)
    return report


@pytest.fixture(scope="session")
def airflow_db() -> None:
    """Airflow's database, made once in this process's Airflow home."""
    migration = subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    if migration.returncode:
        pytest.fail(f"`airflow db migrate` failed:\n{migration.stdout[-2000:]}\n{migration.stderr[-4000:]}")
    from airflow.sdk.execution_time import supervisor

    # Airflow 3.3 makes the API server of dag.test() once; older ones do for each task, which takes most of
    # their time.
    if not hasattr(supervisor.in_process_api_server, "cache_info"):
        supervisor.in_process_api_server = functools.cache(supervisor.in_process_api_server)


@pytest.fixture(autouse=True)
def _airflow_for_dag_tests(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("dag"):
        request.getfixturevalue("airflow_db")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked ``since_airflow("3.3", "task state store")`` where Airflow is older."""
    for marker in item.iter_markers("since_airflow"):
        needed, what = marker.args
        if Version(found := metadata.version("apache-airflow")) < Version(needed):
            pytest.skip(f"Airflow {found} has no {what}; {needed} has.")


@dataclass(frozen=True)
class DagResult:
    """How a DAG run ended. Tasks are named ``task_id``, or ``task_id[0]``, ``task_id[1]``, … when mapped."""

    dag_run: DagRun
    states: dict[str, str | None]
    xcoms: dict[str, dict[str, Any]]

    @property
    def state(self) -> str:
        """The state of the DAG run, such as ``success``."""
        return str(self.dag_run.state)

    def returned(self, task: str) -> Any:
        """Return what the task returned."""
        return self.xcoms[task]["return_value"]


@pytest.fixture(scope="session")
def run_dag(airflow_db: None) -> Callable[..., DagResult]:
    """``run_dag(dag, logical_date=…, conf=None)``: run a DAG here, with its real tasks and triggers."""
    return _run_dag


@pytest.fixture
def register_dags(airflow_db: None) -> Callable[..., None]:
    """``register_dags(dag, …)``: make DAGs known to Airflow and unpaused, as they are on a deployment."""
    return _register


@pytest.fixture
def read_dags(airflow_db: None) -> Callable[[Path], DagBag]:
    """``read_dags(folder)``: the DAGs of a folder."""
    return _read_dags


def _read_dags(folder: Path) -> DagBag:
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ModuleNotFoundError:  # before Airflow 3.2
        from airflow.models.dagbag import DagBag

    return DagBag(dag_folder=str(folder))


def _register(*dags: DAG) -> None:
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session
    from sqlalchemy import update

    bag = _read_dags(AIRFLOW_HOME / "dags")
    for dag in dags:
        bag.bag_dag(dag)
    DagBundlesManager().sync_bundles_to_db()
    if hasattr(bag, "sync_to_db"):  # Airflow 3.0
        for dag in dags:
            dag.relative_fileloc = dag.relative_fileloc or dag.fileloc
        bag.sync_to_db("dags-folder", None)
    else:
        sys.modules[type(bag).__module__].sync_bag_to_db(bag, "dags-folder", None)
    with create_session() as session:
        session.execute(update(DagModel).where(DagModel.dag_id.in_(bag.dags)).values(is_paused=False))


def _run_dag(dag: DAG, *, conf: dict[str, Any] | None = None, **when: datetime | None) -> DagResult:
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    # dag.test() finds a DAG's version in the database; a DAG made inside a test is in no folder.
    _register(dag)
    # Without a logical_date it is now; None makes a run without a data interval, as an asset does.
    dag_run = dag.test(run_conf=conf, **when)

    def name(row: Any) -> str:
        return row.task_id if row.map_index < 0 else f"{row.task_id}[{row.map_index}]"

    with create_session() as session:
        of_run = {"dag_id": dag.dag_id, "run_id": dag_run.run_id}
        instances = session.scalars(select(TaskInstance).filter_by(**of_run))
        states = {name(row): row.state and str(row.state) for row in instances}
        xcoms: dict[str, dict[str, Any]] = {}
        for row in session.scalars(select(XComModel).filter_by(**of_run)):
            xcoms.setdefault(name(row), {})[row.key] = XComModel.deserialize_value(row)
    return DagResult(dag_run=dag_run, states=states, xcoms=xcoms)
