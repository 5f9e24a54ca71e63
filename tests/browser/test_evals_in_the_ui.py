"""The Evals page in Airflow's own UI, in a real browser: what a person sees and reaches from there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from airflow_provider_online_tasks.ui.evals.records import RESULTS_KEY

if TYPE_CHECKING:
    from conftest import AtWork
    from deployment import DagRun, Deployment
    from playwright.sync_api import FrameLocator, Page

pytestmark = [
    pytest.mark.live,
    pytest.mark.browser,
    pytest.mark.since_airflow("3.3", "the UI that these tests know"),
]

Shoot = Callable[..., None]


@pytest.fixture
def gate(at_work: AtWork) -> DagRun:
    """The run of the example DAG that has a gate, once it is over."""
    assert at_work.gate.until_over() == "success"
    return at_work.gate


def frame(page: Page) -> FrameLocator:
    """The page within Airflow's."""
    return page.frame_locator("iframe")


def set_theme(page: Page, theme: str) -> None:
    """Choose a theme as a person does, in Airflow's menu."""
    page.evaluate(
        "theme => { document.documentElement.classList.remove('light', 'dark');"
        " document.documentElement.classList.add(theme); }",
        theme,
    )


def test_the_overview_leads_to_the_history_of_an_evaluator(page: Page, gate: DagRun, shoot: Shoot) -> None:
    from playwright.sync_api import expect

    page.goto("/plugin/arize-evals")
    row = frame(page).get_by_role("row", name=gate.dag_id)
    expect(row).to_contain_text("release_correctness")
    expect(row).to_contain_text("held")

    row.get_by_role("button", name=gate.dag_id).click()

    section = frame(page).get_by_label("Evaluator release_correctness")
    expect(section.locator("canvas").first).to_be_visible()
    expect(section.get_by_text("Share of correct", exact=True)).to_be_visible()


def test_the_tab_of_a_dag_shows_its_evaluators(page: Page, gate: DagRun) -> None:
    from playwright.sync_api import expect

    page.goto(f"/dags/{gate.dag_id}/plugin/arize-evals-dag")

    section = frame(page).get_by_label("Evaluator release_correctness")
    expect(section).to_be_visible()
    section.get_by_text("The same numbers as a table").click()
    table = section.get_by_role("region", name="Windows of release_correctness")
    expect(table.get_by_role("row")).to_have_count(2)
    expect(table).to_contain_text("held")


def test_a_click_leads_out_of_the_frame_to_the_task_instance(page: Page, gate: DagRun) -> None:
    page.goto(f"/dags/{gate.dag_id}/plugin/arize-evals-dag")
    section = frame(page).get_by_label("Evaluator release_correctness")
    section.get_by_text("The same numbers as a table").click()

    section.get_by_role("region").get_by_role("link", name="gate", exact=True).click()

    page.wait_for_url(f"**/dags/{gate.dag_id}/runs/{gate.run_id}/tasks/gate*")


def test_the_theme_is_airflow_s_also_when_it_changes(page: Page, gate: DagRun) -> None:
    from playwright.sync_api import expect

    page.goto(f"/dags/{gate.dag_id}/plugin/arize-evals-dag")
    root = frame(page).locator("html")
    expect(frame(page).get_by_label("Evaluator release_correctness").locator("canvas").first).to_be_visible()

    set_theme(page, "dark")
    expect(root).to_have_class("dark")
    set_theme(page, "light")
    expect(root).to_have_class("")


def test_a_gate_s_task_instance_has_its_verdict(page: Page, gate: DagRun) -> None:
    from playwright.sync_api import expect

    page.goto(f"/dags/{gate.dag_id}/runs/{gate.run_id}/tasks/gate/plugin/arize-evals-task-instance")

    expect(frame(page).get_by_role("heading", name="The gate passed")).to_be_visible()
    expect(frame(page).get_by_role("row", name="score_mean")).to_contain_text("held")


def test_a_task_that_is_not_ours_says_that_it_has_no_evals(page: Page, gate: DagRun) -> None:
    from playwright.sync_api import expect

    page.goto(f"/dags/{gate.dag_id}/runs/{gate.run_id}/tasks/create_task/plugin/arize-evals-task-instance")

    expect(frame(page).get_by_role("status")).to_contain_text("This task instance has no evals to show.")


def test_the_records_are_what_airflow_s_own_api_shows(airflow: Deployment, gate: DagRun) -> None:
    keys = airflow.ask(
        "GET", f"dags/{gate.dag_id}/dagRuns/{gate.run_id}/taskInstances/~/xcomEntries?limit=100"
    )

    assert RESULTS_KEY in {entry["key"] for entry in keys["xcom_entries"]}
