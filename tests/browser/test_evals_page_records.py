"""The Evals page of DAGs that really ran: what the operators leave is what the page shows.

What the page does with a long history, on each Airflow, is in ``test_evals_page.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow_provider_online_tasks.results.history import RESULTS_KEY

if TYPE_CHECKING:
    from playwright.sync_api import FrameLocator, Page

    from tests.support.deployment import DagRun, Deployment
    from tests.support.example_runs import ExampleRuns

pytestmark = [
    pytest.mark.live,
    pytest.mark.browser,
    pytest.mark.since_airflow("3.3", "the UI that these tests know"),
]


@pytest.fixture
def gate(example_runs: ExampleRuns) -> DagRun:
    """The run of the example DAG that has a gate, once it has finished."""
    assert example_runs.gate.until_over() == "success"
    return example_runs.gate


def frame(page: Page) -> FrameLocator:
    """The page within Airflow's."""
    return page.frame_locator("iframe")


def test_records_of_operators_appear_in_overview_and_history(page: Page, gate: DagRun) -> None:
    from playwright.sync_api import expect

    page.goto("/plugin/arize-evals")
    row = frame(page).get_by_role("row", name=gate.dag_id)
    expect(row).to_contain_text("release_correctness")
    expect(row).to_contain_text("passed")

    row.get_by_role("button", name=gate.dag_id).click()

    section = frame(page).get_by_label("Evaluator release_correctness", exact=True)
    expect(section.locator("canvas").first).to_be_visible()
    expect(section.locator("h3").filter(has_text="Share of correct")).to_be_visible()


def test_gate_task_instance_shows_its_verdict(page: Page, gate: DagRun) -> None:
    from playwright.sync_api import expect

    page.goto(f"/dags/{gate.dag_id}/runs/{gate.run_id}/tasks/gate/plugin/arize-evals-task-instance")

    expect(frame(page).get_by_role("heading", name="The gate passed")).to_be_visible()
    expect(frame(page).get_by_role("row", name="score_mean")).to_contain_text("passed")


def test_records_equal_those_of_the_airflow_api(airflow: Deployment, gate: DagRun) -> None:
    keys = airflow.ask(
        "GET", f"dags/{gate.dag_id}/dagRuns/{gate.run_id}/taskInstances/~/xcomEntries?limit=100"
    )

    assert RESULTS_KEY in {entry["key"] for entry in keys["xcom_entries"]}
