"""What a person sees of the provider in Airflow's UI, in a real browser.

The screenshots of the documentation are made here: ``make screenshots``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks.api.settings import Settings
from airflow_provider_online_tasks.get_provider_info import get_provider_info
from airflow_provider_online_tasks.inputs.windows import DataWindow
from airflow_provider_online_tasks.ui.links import ProjectPage

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from airflow_provider_online_tasks.emulator import EmulatorProcess
    from tests.support.deployment import DagRun, Deployment
    from tests.support.example_runs import ExampleRuns

pytestmark = [
    pytest.mark.live,
    pytest.mark.browser,
    pytest.mark.since_airflow("3.3", "the UI that these tests know"),
]

[CONNECTION] = get_provider_info()["connection-types"]
CONN_ID = "arize_on_premises"
# Airflow's name for the fields without a section.
EXTRA_FIELDS = "Extra Fields"

# Rows that hold a long line are wider than the page: their beginning is what is wanted.
TO_THE_TOP = """row => {
    row.scrollIntoView({block: "start", inline: "start"});
    for (let up = row; up; up = up.parentElement) up.scrollLeft = 0;
}"""

Shoot = Callable[..., None]


def test_connection_form_shows_all_fields(
    page: Page, airflow: Deployment, arize: EmulatorProcess, shoot: Shoot
) -> None:
    from playwright.sync_api import expect

    host, _, port = arize.url.rpartition(":")
    page.goto("/connections")
    page.get_by_role("button", name="Add Connection").click()
    page.get_by_role("combobox").fill(CONNECTION["hook-name"])
    page.get_by_role("option", name=CONNECTION["hook-name"], exact=True).click()

    form = page.get_by_role("dialog")
    page.locator("[name=connection_id]").fill(CONN_ID)
    page.locator("[name=host]").fill(host)
    page.locator("[name=port]").fill(port)
    key = page.locator("[name=password]")
    expect(key).to_have_attribute("type", "password")
    key.fill(arize.api_key)
    for label in CONNECTION["ui-field-behaviour"]["relabeling"].values():
        expect(page.get_by_text(label, exact=True)).to_be_visible()
    for field in CONNECTION["ui-field-behaviour"]["hidden-fields"]:
        expect(page.locator(f"[name={field}]")).to_have_count(0)
    shoot("connection-form", of=form, height=1400)

    fields = CONNECTION["conn-fields"]
    for section in dict.fromkeys(_section(field) for field in fields.values()):
        page.get_by_role("button", name=section, exact=True).click()
        for field in (field for field in fields.values() if _section(field) == section):
            row = page.get_by_role("group").filter(has_text=field["label"])
            expect(row.filter(has_text=field["description"]).last).to_be_visible()
        if section == EXTRA_FIELDS:
            shoot("connection-extra", of=form, height=1400)

    # The region is suggested, and may be another one.
    page.get_by_role("button", name=EXTRA_FIELDS, exact=True).click()
    region = page.locator("#element_region")
    suggested = page.locator(f"#{region.get_attribute('list')} option")
    assert suggested.evaluate_all("options => options.map(option => option.value)")[:2] == [
        "us",
        "eu-west-1a",
    ]
    region.fill("another-region-1a")
    expect(region).to_have_value("another-region-1a")
    region.fill("")

    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("cell", name=CONN_ID, exact=True)).to_be_visible()
    saved = airflow.ask("GET", f"connections/{CONN_ID}")
    settings = Settings.of_connection(
        host=saved["host"],
        port=saved["port"],
        api_key=arize.api_key,
        extra=json.loads(saved["extra"]),
        conn_id=CONN_ID,
    )
    assert settings == Settings.of_connection(host=arize.url, api_key=arize.api_key, extra={}, conn_id="")


def test_connection_test_button_reports_success_and_failure(
    page: Page, arize: EmulatorProcess, shoot: Shoot
) -> None:
    from playwright.sync_api import expect

    page.set_viewport_size({"width": 1280, "height": 480})
    page.goto("/connections")
    page.get_by_role("row", name=CONN_ID).get_by_role("button", name="Test Connection").click()

    expect(page.get_by_text("Test Connection Successful")).to_be_visible()
    expect(
        page.get_by_text(f"REST at {arize.url} and GraphQL at {arize.url}/graphql accept the key; ")
    ).to_be_visible()
    shoot("connection-test", height=480)


def test_printed_emulator_connection_passes_the_test_button(
    page: Page, airflow: Deployment, arize: EmulatorProcess
) -> None:
    from playwright.sync_api import expect

    printed = json.loads(arize.connection_json)
    extra = json.dumps(printed.pop("extra"))
    airflow.ask("POST", "connections", {"connection_id": "printed", **printed, "extra": extra})
    page.goto("/connections")
    page.get_by_role("row", name="printed").get_by_role("button", name="Test Connection").click()

    expect(page.get_by_text("Test Connection Successful")).to_be_visible()


def test_task_log_shows_progress(page: Page, example_runs: ExampleRuns, shoot: Shoot) -> None:
    from playwright.sync_api import expect

    assert example_runs.gate.until_over() == "success"
    page.goto(_task(example_runs.gate, "run_task"))

    for line in ("RUNNING", "COMPLETED"):
        expect(page.get_by_text(line).first).to_be_visible()
    shoot("run-log", width=1440, height=620)


def test_gate_log_shows_a_table(page: Page, example_runs: ExampleRuns, shoot: Shoot) -> None:
    from playwright.sync_api import expect

    assert example_runs.gate.until_over() == "success"
    page.goto(_task(example_runs.gate, "gate"))

    expect(page.get_by_text("score_mean").first).to_be_visible()
    shoot("gate-log", height=560)


def test_rendered_templates_are_readable(page: Page, example_runs: ExampleRuns, shoot: Shoot) -> None:
    from playwright.sync_api import expect

    assert example_runs.gate.until_over() == "success"
    page.goto(f"{_task(example_runs.gate, 'create_task')}/rendered_templates")

    evaluators = page.get_by_role("row").filter(has=page.get_by_text("template_evaluators", exact=True))
    expect(evaluators).to_contain_text('"name": "release_correctness"')
    shown = evaluators.locator("pre").inner_text().splitlines()
    assert len(shown) > 10, "it is laid out, and not one long line"
    filter_row = page.get_by_role("row").filter(has=page.get_by_text("query_filter", exact=True))
    expect(filter_row).to_contain_text("attributes.openinference.span.kind = 'AGENT'")
    evaluators.evaluate(TO_THE_TOP)
    shoot("rendered-templates")


def test_mapped_tasks_are_named_after_their_window(
    page: Page, example_runs: ExampleRuns, shoot: Shoot
) -> None:
    from playwright.sync_api import expect

    assert example_runs.backfill.until_over() == "success"
    for task in ("wait_for_run", "run_task"):
        page.goto(f"{_task(example_runs.backfill, task)}/mapped")
        for days in (0, 2, 4):
            begin = example_runs.start + timedelta(days=days)
            end = begin + timedelta(days=2)
            expect(page.get_by_role("link", name=f"{begin:%Y-%m-%d} to {end:%Y-%m-%d}")).to_be_visible()
    shoot("mapped-windows", height=580)


def test_links_lead_to_spans_project_and_evaluator(
    page: Page, arize: EmulatorProcess, example_runs: ExampleRuns, shoot: Shoot
) -> None:
    from playwright.sync_api import expect

    place = ProjectPage(
        ui_url=arize.url,
        organization_id=arize.organization_id,
        space_id=arize.space_id,
        project_id=arize.project_id,
    )
    window = DataWindow(start=example_runs.start, end=example_runs.start + timedelta(days=2))
    evaluator = place.evaluator_url(arize.evaluator_ids["output_present"])

    known = {"Spans in Arize": place.spans_url(window), "Project in Arize": place.spans_url()}

    assert example_runs.backfill.until_over() == "success"
    # A task that only starts a run links to what the connection names; the sensor asks for the evaluator.
    for task, links in {
        "run_task": known,
        "wait_for_run": {**known, "Evaluator in Arize": evaluator},
    }.items():
        page.goto(f"{_task(example_runs.backfill, task)}/mapped/0/details")
        for name, address in links.items():
            link = page.get_by_role("link", name=name)
            expect(link).to_have_attribute("href", address)
            # Arize opens next to Airflow.
            expect(link).to_have_attribute("target", "_blank")
    shoot("run-links", height=640)


def test_task_without_evaluator_page_has_no_link(page: Page, example_runs: ExampleRuns) -> None:
    from playwright.sync_api import expect

    assert example_runs.gate.until_over() == "success"
    for task, names in {
        "create_task": ["Project in Arize"],
        "run_task": ["Project in Arize", "Spans in Arize"],
        "read_results": ["Project in Arize", "Spans in Arize"],
    }.items():
        page.goto(f"{_task(example_runs.gate, task)}/details")
        links = page.get_by_role("link", name="in Arize")
        expect(links).to_have_count(len(names))
        assert sorted(links.all_inner_texts()) == names


def _section(field: dict[str, Any]) -> str:
    return str(field["schema"].get("section", EXTRA_FIELDS))


def _task(dag_run: DagRun, task_id: str) -> str:
    return f"/dags/{dag_run.dag_id}/runs/{dag_run.run_id}/tasks/{task_id}"
