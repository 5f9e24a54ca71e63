"""One Airflow and one emulator for all live tests; what they logged is shown with a test that fails."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from deployment import LOG_TAIL, Deployment, until

from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.client import Client
from airflow_provider_online_tasks.api.settings import Settings
from airflow_provider_online_tasks.emulator import EmulatorProcess, EmulatorSettings, RunFate
from airflow_provider_online_tasks.inputs import EvalTaskInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent
# A run goes on until its test ends it, so that no test depends on how long anything takes.
ENDLESS = RunFate(seconds=3600, pending_seconds=0, times=None)


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


class OnlineTask:
    """An online task of one test, as the emulator has it on record."""

    def __init__(self, arize: EmulatorProcess, task_id: str) -> None:
        self._arize = arize
        self.id = task_id

    @property
    def runs(self) -> list[dict[str, Any]]:
        """All its runs in the order they were created."""
        return self._arize.runs(self.id)

    @property
    def statuses(self) -> list[str]:
        """Their statuses."""
        return [run["status"] for run in self.runs]

    def until_started(self, count: int = 1) -> dict[str, Any]:
        """Return its latest run once it has so many."""
        return until(
            f"{count} runs were created",
            lambda: runs[-1] if len(runs := self.runs) >= count else None,
            show=lambda: self.runs,
        )

    def until_last_is(self, status: str) -> None:
        """Return when its latest run has a status."""
        until(f"the run is {status}", lambda: self.statuses[-1] == status, show=lambda: self.runs)

    def complete(self) -> None:
        """Let its live runs do what they have left, and end."""
        for run in self.runs:
            if run["status"] in {"PENDING", "RUNNING"}:
                self._arize.set_run(run["id"], seconds=0.5)


@pytest.fixture
def new_online_task(arize: EmulatorProcess) -> Callable[[], OnlineTask]:
    """Make an online task."""
    client = Client(Settings.of_connection(host=arize.url, api_key=arize.api_key, extra={}, conn_id="live"))

    def create() -> OnlineTask:
        # A label of its own: spans that carry an evaluator's label are not judged again.
        name = f"correctness {time.time_ns()}"
        task = EvalTaskInput.read(
            {
                "name": name,
                "model_id": arize.project_id,
                "sampling_rate": 1,
                "template_evaluators": [
                    {
                        "name": name,
                        "template": "{attributes.input.value} {attributes.output.value}",
                        "rails": ["correct", "incorrect"],
                    }
                ],
                "llm_config": {"model_name": "GPT_4o", "provider": "openAI", "temperature": 0},
            }
        )
        return OnlineTask(arize, client.send(calls.create_eval_task(task, "fraction")).id)

    return create


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
        for component in ("scheduler", "triggerer"):
            report.sections.append((f"{component} log", deployment.log(component)))
        for name, text in deployment.task_logs(since=call.start - 120).items():
            report.sections.append((name, text[-LOG_TAIL:]))
    return report
