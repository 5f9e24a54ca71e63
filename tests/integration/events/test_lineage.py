"""The OpenLineage events of the operators, which OpenLineage's provider writes to a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator

HAS_OPENLINEAGE = find_spec("airflow.providers.openlineage") is not None
FACET = "arizeOnlineTasks_run"
SCRIPT = Path(__file__).with_name("lineage_dag.py")


@pytest.fixture
def told(arize: Emulator, tmp_path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """The events of a DAG run by task and event type."""
    events = tmp_path / "events.json"
    environment = {
        **os.environ,
        "CONNECTION": arize.connection_json,
        "MODEL_ID": arize.project_id,
        "EVENTS": str(events),
    }
    done = subprocess.run(
        [sys.executable, SCRIPT], env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert events.exists(), done.stdout[-4000:] + done.stderr[-4000:]
    assert arize.api_key not in events.read_text()
    read = [json.loads(line) for line in events.read_text().splitlines()]
    return {(event["job"]["name"].partition(".")[2], event["eventType"]): event for event in read}


@pytest.mark.slow
@pytest.mark.dag
@pytest.mark.skipif(not HAS_OPENLINEAGE, reason="apache-airflow-providers-openlineage is not installed")
def test_openlineage_events_contain_spans_window_and_counts(
    arize: Emulator, told: dict[tuple[str, str], dict[str, Any]]
) -> None:
    spans = [(arize.url, f"projects/{arize.project_id}/spans")]

    def inputs(event: dict[str, Any]) -> list[tuple[str, str]]:
        return [(one["namespace"], one["name"]) for one in event["inputs"]]

    [task] = arize.tasks()
    created = told["create_task", "COMPLETE"]
    assert created["run"]["facets"][FACET]["online_task_id"] == task["id"]
    assert inputs(created) == spans

    runs = {run["id"]: run for run in arize.runs()}
    for name in ("run_False", "run_True"):
        event = told[name, "COMPLETE"]
        facet = event["run"]["facets"][FACET]
        run = runs[facet["run_id"]]
        assert facet["online_task_id"] == task["id"]
        assert (facet["status"], facet["num_successes"]) == ("COMPLETED", run["num_successes"])
        assert facet["data_start_time"] < facet["data_end_time"]
        assert inputs(event) == spans
        assert event["run"]["facets"]["parent"]["job"]["name"] == "tells_openlineage"

    failed = told["run_nothing", "FAIL"]
    assert failed["run"]["facets"][FACET]["data_start_time"] == "2026-01-01T00:00:00Z"
    assert failed["run"]["facets"][FACET]["num_successes"] == 0
    assert inputs(failed) == spans

    assert told["run_False", "START"]["run"]["facets"][FACET]["online_task_id"] == task["id"]
