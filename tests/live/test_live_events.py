"""In an Airflow deployment, each finished run triggers DAGs once, even if the triggerer is killed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.client import Client
from airflow_provider_online_tasks.api.settings import Settings
from airflow_provider_online_tasks.emulator import RunFate
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput
from tests.support.deployment import Deployment, ServerError, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_online_tasks.emulator import EmulatorProcess

pytestmark = pytest.mark.live

DAGS = Path(__file__).parent / "event_dags"
LIST = "rest.list_task_runs"
# As the DAGs have it.
POLL_INTERVAL = 2.0


@pytest.fixture(scope="module")
def watched(arize: EmulatorProcess) -> str:
    """The task that the DAGs watch."""
    settings = Settings.of_connection(host=arize.url, api_key=arize.api_key, extra={}, conn_id="live")
    evaluator = {
        "name": "watched",
        "template": "{attributes.input.value} {attributes.output.value}",
        "rails": ["correct", "incorrect"],
    }
    task = EvalTaskInput(
        name="watched",
        model_id=arize.project_id,
        template_evaluators=[evaluator],
        llm_config={"model_name": "GPT_4o", "provider": "openAI"},
    )
    with Client(settings) as client:
        return client.send(calls.create_eval_task(task, settings.sampling_rate_unit))


@pytest.fixture(scope="module")
def airflow(
    tmp_path_factory: pytest.TempPathFactory, arize: EmulatorProcess, watched: str
) -> Iterator[Deployment]:
    """Return an Airflow deployment whose DAGs already watch the task."""
    environment = {
        "AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT": arize.connection_json,
        "WATCHED_ONLINE_TASK_ID": watched,
    }
    home = tmp_path_factory.mktemp("airflow-events")
    with Deployment(home, dags=DAGS, environment=environment) as deployment:
        until("the task is polled", lambda: len(arize.requests(LIST)) > 3)
        time.sleep(POLL_INTERVAL)
        yield deployment


def events(airflow: Deployment, asset: str) -> list[dict[str, Any]]:
    """What Airflow has on record of an asset's events, oldest first."""
    [found] = airflow.ask("GET", f"assets?name_pattern={asset}")["assets"]
    query = f"asset_id={found['id']}&order_by=timestamp&limit=100"
    problems: list[str] = []

    def answer() -> Any:
        # Airflow cannot show an event whose DAG run has not started: it answers 500 until the run has.
        try:
            return airflow.ask("GET", f"assets/events?{query}")
        except ServerError as error:
            problems.append(str(error))
            return None

    shown = until("Airflow shows its events", answer, seconds=60, show=lambda: problems[-1:])
    return [event["extra"] for event in shown["asset_events"]]


def reported(airflow: Deployment, asset: str) -> list[str]:
    """IDs of the runs that a watcher has reported, once for each time it did."""
    return sorted(run["run_id"] for event in events(airflow, asset) for run in event["payload"]["runs"])


def until_reported(airflow: Deployment, asset: str, run_ids: list[str]) -> None:
    """Return once exactly these runs were reported, each once, and it stays so."""

    def look() -> list[str] | None:
        return seen if set(seen := reported(airflow, asset)) >= set(run_ids) else None

    until(f"{run_ids} were reported", look, show=lambda: reported(airflow, asset))
    time.sleep(2 * POLL_INTERVAL)
    assert reported(airflow, asset) == sorted(run_ids)


def read(airflow: Deployment, dag_id: str) -> list[dict[str, Any]]:
    """What the runs of a DAG have read of the events that triggered them."""
    found: list[dict[str, Any]] = []
    for dag_run in airflow.ask("GET", f"dags/{dag_id}/dagRuns")["dag_runs"]:
        if dag_run["state"] == "success":
            of_task = f"dags/{dag_id}/dagRuns/{dag_run['dag_run_id']}/taskInstances/run"
            found += airflow.ask("GET", f"{of_task}/xcomEntries/return_value?deserialize=true")["value"]
    return found


def finish(arize: EmulatorProcess, task_id: str, outcome: str) -> list[str]:
    """Have a run of the task end like this."""
    return arize.create_runs(task_id, 1, seconds=(0, 0), fate=RunFate(outcome))


def test_finished_runs_trigger_dags_once(airflow: Deployment, arize: EmulatorProcess, watched: str) -> None:
    completed, failed = finish(arize, watched, "complete"), finish(arize, watched, "fail")

    until_reported(airflow, "every_run", [*completed, *failed])
    until_reported(airflow, "bad_runs", failed)
    [event] = until("a DAG was triggered", lambda: read(airflow, "on_bad_runs"))
    assert event["from_trigger"] is True
    [run] = event["payload"]["runs"]
    assert (run["run_id"], run["status"], run["online_task_id"]) == (*failed, "FAILED", watched)


@pytest.mark.since_airflow("3.3", "state store of assets")
def test_killed_triggerer_misses_no_run(airflow: Deployment, arize: EmulatorProcess, watched: str) -> None:
    every, bad = reported(airflow, "every_run"), reported(airflow, "bad_runs")
    completed, failed = finish(arize, watched, "complete"), finish(arize, watched, "fail")
    every, bad = [*every, *completed, *failed], [*bad, *failed]
    until_reported(airflow, "every_run", every)
    until_reported(airflow, "bad_runs", bad)
    triggered = until("a DAG was triggered", lambda: len(read(airflow, "on_bad_runs")))
    # Airflow has written the events down, and they were noted as reported.
    time.sleep(10)
    airflow.kill("triggerer")
    missed, missed_and_cancelled = finish(arize, watched, "complete"), finish(arize, watched, "cancel")
    airflow.start_component("triggerer")

    until_reported(airflow, "every_run", [*every, *missed, *missed_and_cancelled])
    until_reported(airflow, "bad_runs", [*bad, *missed_and_cancelled])
    until("the DAG was triggered again", lambda: len(read(airflow, "on_bad_runs")) > triggered)

    # Both watchers are served by one poll.
    arize.clear_requests()
    time.sleep(5 * POLL_INTERVAL)
    assert len(arize.requests(LIST)) <= 6


def test_finished_run_triggers_another_dag(airflow: Deployment, arize: EmulatorProcess, watched: str) -> None:
    dag_run = airflow.trigger("waits")

    def started() -> dict[str, Any] | None:
        return next((run for run in arize.runs(watched) if not run["synthetic"]), None)

    run = until("a run was created", started)
    arize.set_run(run["id"], seconds=0.5)
    assert dag_run.until_over() == "success"

    [event] = until("a DAG was triggered", lambda: read(airflow, "on_own_run"))

    assert (event["run_id"], event["status"]) == (run["id"], "COMPLETED")
    assert event["data_start_time"] == "2026-01-01T00:00:00Z"
