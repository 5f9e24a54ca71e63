"""A person answers a gate's question on Airflow's own page of required actions, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.support.deployment import DagRun, Deployment
    from tests.support.example_runs import ExampleRuns

pytestmark = [
    pytest.mark.live,
    pytest.mark.browser,
    pytest.mark.since_airflow("3.3", "the UI that these tests know"),
]

ASKED_SECONDS = 300.0
ASKING = ("awaiting_input", "deferred")


@pytest.mark.parametrize(
    ("answer", "button", "gate", "downstream"),
    [("approved", "Approve", "success", "success"), ("rejected", "Reject", "failed", "upstream_failed")],
)
def test_approval_page_shows_table_and_examples(
    page: Page,
    airflow: Deployment,
    example_runs: ExampleRuns,
    shoot: Callable[..., None],
    answer: str,
    button: str,
    gate: str,
    downstream: str,
) -> None:
    from playwright.sync_api import expect

    from tests.support.deployment import until

    run, task_id = example_runs.asks, f"gate_{answer}"
    until("the gate asks", lambda: _state(run, task_id) in ASKING, seconds=ASKED_SECONDS)

    page.goto("/required_actions?response_received=false")
    page.get_by_role("link", name=re.compile(rf"\b{task_id}\b")).first.click()

    shown = page.locator("main, body").last
    expect(shown.get_by_role("cell", name="asked_correctness").first).to_be_visible()
    expect(shown.get_by_text("FAILED").first).to_be_visible()
    expect(shown.get_by_text("Examples that violate the rules")).to_be_visible()
    expect(shown.get_by_role("link", name="in Arize").first).to_be_visible()
    if button == "Approve":
        shoot("gate-asks", height=960)
    page.get_by_role("button", name=button, exact=True).click()

    for task, state in {task_id: gate, f"deploy_{answer}": downstream}.items():
        until(f"{task} is {state}", lambda: _state(run, task) == state, seconds=ASKED_SECONDS)  # noqa: B023
    path = f"dags/asks/dagRuns/{run.run_id}/taskInstances/{task_id}/xcomEntries/return_value?stringify=false"
    verdict = airflow.ask("GET", path)["value"]
    assert (verdict["passed"], verdict["approved"]) == (False, button == "Approve")


def _state(run: DagRun, task_id: str) -> str:
    [state] = [one["state"] for one in run.instances() if one["task_id"] == task_id]
    return str(state)
