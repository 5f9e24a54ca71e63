"""An Airflow deployment that runs example DAGs, and a browser."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.client import Client
from airflow_provider_online_tasks.api.settings import Settings
from airflow_provider_online_tasks.emulator import EmulatorProcess, EmulatorSettings
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput
from tests.support.browsers import find_chromium, open_page
from tests.support.deployment import Deployment
from tests.support.example_runs import ExampleRuns

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, ViewportSize

PROJECT = Path(__file__).parents[2]
EXAMPLES = ("quality_gate", "backfill_eval")
# Long enough for the trigger to log progress while the first tests look at other pages.
RUN_SECONDS = 30.0
VIEWPORT: ViewportSize = {"width": 1280, "height": 800}


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a browser; skips the test if there is none."""
    return find_chromium()


@pytest.fixture(scope="session")
def arize(chromium: str) -> Iterator[EmulatorProcess]:
    """The emulator, in a separate process."""
    settings = EmulatorSettings(run_seconds=RUN_SECONDS, queries_per_minute=None, mutations_per_minute=None)
    with EmulatorProcess(settings) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory, arize: EmulatorProcess) -> Iterator[Deployment]:
    """An Airflow deployment with some of the example DAGs, connected to the emulator."""
    dags = tmp_path_factory.mktemp("dags")
    for name in EXAMPLES:
        shutil.copy(PROJECT / "example_dags" / f"{name}.py", dags)
    for file in (Path(__file__).parent / "dags").glob("*.py"):
        shutil.copy(file, dags)
    connection = json.loads(arize.connection_json)
    connection["extra"] |= {"organization_id": arize.organization_id, "space_id": arize.space_id}
    environment = {
        "AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT": json.dumps(connection),
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
    }
    with Deployment(tmp_path_factory.mktemp("airflow"), dags=dags, environment=environment) as deployment:
        yield deployment


@pytest.fixture(scope="session")
def example_runs(airflow: Deployment, arize: EmulatorProcess) -> ExampleRuns:
    """Started runs of the example DAGs."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    start = today - timedelta(days=6)
    gate = airflow.trigger("quality_gate", "release_42", min_correct=0.2)
    backfill = airflow.trigger(
        "backfill_eval",
        "last_days",
        online_task_id=_hub_task(arize),
        start=start.isoformat(),
        end=today.isoformat(),
        days=2,
    )
    asks = airflow.trigger("asks", "release_43")
    return ExampleRuns(gate=gate, backfill=backfill, asks=asks, start=start)


def _hub_task(arize: EmulatorProcess) -> str:
    """Create an eval task with an Eval Hub evaluator and return its ID."""
    task = EvalTaskInput.read(
        {
            "name": "answers are not empty",
            "model_id": arize.project_id,
            "evaluators": [{"evaluator_id": arize.evaluator_ids["output_present"]}],
        }
    )
    settings = Settings.of_connection(host=arize.url, api_key=arize.api_key, extra={}, conn_id="browser")
    with Client(settings) as client:
        return client.send(calls.create_eval_task(task, settings.sampling_rate_unit))


@pytest.fixture(scope="session")
def browser_page(
    chromium: str, airflow: Deployment, example_runs: ExampleRuns, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Page]:
    """The page of a headless browser."""
    profile = tmp_path_factory.mktemp("chromium")
    with open_page(
        chromium, profile, base_url=airflow.url, viewport=VIEWPORT, color_scheme="light"
    ) as opened:
        yield opened


@pytest.fixture(scope="session")
def shots(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The folders for screenshots; with ``SCREENSHOTS=1``, also that of the documentation."""
    folders = [tmp_path_factory.mktemp("screenshots")]
    if os.environ.get("SCREENSHOTS") == "1":
        folders.append(PROJECT / "docs" / "images")
    return folders


@pytest.fixture
def page(browser_page: Page, request: pytest.FixtureRequest, shots: list[Path]) -> Iterator[Page]:
    """The page as the last test left it; a failed test leaves a screenshot."""
    failed = request.session.testsfailed
    yield browser_page
    if request.session.testsfailed > failed:
        browser_page.screenshot(path=shots[0] / f"failed-{request.node.name}.png")


@pytest.fixture
def shoot(page: Page, shots: list[Path]) -> Iterator[Callable[..., None]]:
    """``shoot(name, of=part, width=…, height=…)``: take a screenshot when nothing moves."""

    def shoot_once(name: str, *, of: Locator | None = None, **size: int) -> None:
        page.set_viewport_size({**VIEWPORT, **size})
        page.wait_for_function("document.querySelector('[class*=skeleton], [class*=spinner]') === null")
        page.evaluate("document.fonts.ready.then(() => null)")
        page.wait_for_timeout(500)  # for animations
        for folder in shots:
            (of or page).screenshot(path=folder / f"{name}.png")

    yield shoot_once
    page.set_viewport_size(VIEWPORT)
