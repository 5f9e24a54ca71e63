"""The Evals page in a real browser, on each Airflow that has it, behind a path and with a year of history.

Only the API server runs: the history is written into its database.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo

import psutil
import pytest
import requests

from tests.support import evals_history as history
from tests.support.browsers import open_page
from tests.support.deployment import free_port, until

if TYPE_CHECKING:
    from playwright.sync_api import FrameLocator, Locator, Page

pytestmark = [pytest.mark.browser, pytest.mark.since_airflow("3.1", "a place for pages")]

PREFIX = "/airflow"
START_SECONDS = 300
DAGS: dict[str, dict[str, Any]] = {
    "support_answers": {"windows": 30, "evaluators": 1},
    "gated_release": {"windows": 365, "evaluators": 5},
    "hostile_labels": {"windows": 12, "evaluators": 2, "hostile": True, "human_labels": True},
    "one_window": {"windows": 1, "evaluators": 1},
    "sixty_names": {"windows": 30, "evaluators": 60},
    "misspelled_rule": {"windows": 12, "evaluators": 1, "misspelled": "corectness"},
    "failed_runs": {"windows": 12, "evaluators": 1, "failed_runs": 2},
    "manual_run": {
        "windows": 12,
        "evaluators": 1,
        "labels_of_first": ("complete", "2", "1"),
        "is_last_manual": True,
    },
    "recurring_gate": {
        "windows": 60,
        "evaluators": 2,
        "recurring": True,
        "human_labels": True,
        "budget": True,
    },
}
Shoot = Callable[..., None]


@pytest.fixture(scope="module")
def airflow_url(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where an API server with the history answers."""
    home, port = tmp_path_factory.mktemp("airflow"), free_port()
    origin = f"http://127.0.0.1:{port}"
    ours = ("AIRFLOW", "_AIRFLOW", "COV")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)} | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API__BASE_URL": f"{origin}{PREFIX}",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__CORE__AUTH_MANAGER": (
            "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"
        ),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "NO_PROXY": "127.0.0.1",
    }
    history.make(home, DAGS, environment)
    with (home / "api-server.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "airflow", "api-server"],
            env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        until("the API server answers", lambda: answers(f"{origin}{PREFIX}/", server), seconds=START_SECONDS)
        yield origin
    finally:
        family = [psutil.Process(server.pid)] if server.poll() is None else []
        for process in [each for one in family for each in (*one.children(recursive=True), one)]:
            process.kill()
        server.wait()


def answers(url: str, server: subprocess.Popen[bytes]) -> bool:
    assert server.poll() is None, "The API server ended."
    with requests.Session() as session:
        session.trust_env = False
        try:
            return session.get(url, timeout=60).ok
        except requests.RequestException:
            return False


@pytest.fixture(scope="module")
def visited(chromium: str, airflow_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page of a headless browser that is logged in. What goes wrong in it is in its list ``troubles``."""
    with open_page(
        chromium,
        tmp_path_factory.mktemp("chromium"),
        viewport={"width": 1400, "height": 900},
        timezone_id="America/New_York",
    ) as page:
        page.add_init_script("if (!localStorage.theme) localStorage.setItem('theme', 'light')")
        page.goto(f"{airflow_url}{PREFIX}/")
        # Airflow logs everybody in, and leads to its start page.
        page.get_by_role("link", name="Dags").first.wait_for()
        yield page


@pytest.fixture
def page(visited: Page, airflow_url: str) -> Iterator[Page]:
    """Open the page; fail on a request to another host than Airflow or on a script error."""
    asked: list[str] = []
    failed: list[str] = []
    handlers: dict[str, Callable[[Any], None]] = {
        "request": lambda request: asked.append(request.url),
        "pageerror": lambda error: failed.append(str(error)),
    }
    for event, handler in handlers.items():
        visited.on(event, handler)  # type: ignore[call-overload]
    yield visited
    for event, handler in handlers.items():
        visited.remove_listener(event, handler)
    hosts = {urlsplit(url).netloc for url in asked if urlsplit(url).scheme in ("http", "https")}
    ours = {url for url in asked if "/arize-evals" in url}
    assert {urlsplit(url).netloc for url in ours} <= {urlsplit(airflow_url).netloc}, hosts
    assert all(urlsplit(url).path.startswith(f"{PREFIX}/") for url in ours)
    assert failed == []


@pytest.fixture
def go(page: Page, airflow_url: str) -> Callable[[str], FrameLocator]:
    """``go(path)``: visit a page of Airflow, and return the frame with ours in it."""

    def visit(path: str) -> FrameLocator:
        page.goto(f"{airflow_url}{PREFIX}{path}")
        return page.frame_locator("iframe")

    return visit


# Collect what is written on canvases, because the page cannot be asked for it.
RECORD_TEXTS = """
window.canvasTexts = [];
const write = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
  window.canvasTexts.push(text);
  return write.call(this, text, ...rest);
};
"""


def run_id(days_ago: int) -> str:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return f"scheduled__{(today - timedelta(days=days_ago)).isoformat()}"


def instance(dag_id: str, task_id: str, *, days_ago: int) -> str:
    return f"/dags/{dag_id}/runs/{quote(run_id(days_ago), safe='')}/tasks/{task_id}"


def evaluator(frame: FrameLocator, name: str) -> Locator:
    return frame.get_by_label(f"Evaluator {name}", exact=True)


def test_overview_shows_the_newest_window_of_each_evaluator(go: Callable[[str], FrameLocator]) -> None:
    from playwright.sync_api import expect

    frame = go("/plugin/arize-evals")
    rows = frame.get_by_role("row")
    expect(rows).to_have_count(1 + sum(dag["evaluators"] for dag in DAGS.values()) + 1)
    row = frame.get_by_role("row", name="support_answers")
    expect(row).to_contain_text("correctness")
    expect(row).to_contain_text("passed")

    row.get_by_role("button", name="support_answers").click()
    expect(evaluator(frame, "correctness")).to_be_visible()


def test_dag_tab_shows_plots_with_numbers_on_hover(
    page: Page, go: Callable[[str], FrameLocator], shoot: Shoot
) -> None:
    from playwright.sync_api import expect

    frame = go("/dags/support_answers/plugin/arize-evals-dag")
    section = evaluator(frame, "correctness")
    expect(section.locator("canvas")).to_have_count(3)  # two labels, and the counts
    plot = section.locator(".u-over").first
    plot.hover(position={"x": 200, "y": 40})
    tip = section.locator(".tip").first
    expect(tip).to_be_visible()
    expect(tip).to_contain_text("gate:")
    expect(tip).to_contain_text(" to ")
    shoot("evals-dag", width=1500, height=700)

    plot.click(position={"x": 60, "y": 40})
    expect(section.locator(".chosen").get_by_role("link", name="spans in Arize")).to_be_visible()
    section.locator(".chosen").get_by_role("link", name="gate").click()
    page.wait_for_url(f"**{PREFIX}/dags/support_answers/runs/*/tasks/gate*")


def test_year_of_history_renders_in_dark_theme(
    page: Page, go: Callable[[str], FrameLocator], shoot: Shoot
) -> None:
    from playwright.sync_api import expect

    frame = go("/dags/gated_release/plugin/arize-evals-dag")
    expect(evaluator(frame, "correctness").locator("canvas").first).to_be_visible()
    choose_theme(page, "dark")
    expect(frame.locator("html")).to_have_class("dark")
    frame.get_by_label("Time").select_option("366")
    expect(evaluator(frame, "correctness")).to_contain_text("365 windows")
    expect(frame.get_by_role("region", name="Evaluator")).to_have_count(5)
    evaluator(frame, "toxicity").scroll_into_view_if_needed()
    expect(evaluator(frame, "toxicity").locator("canvas").first).to_be_visible()
    frame.locator("html").evaluate("html => html.scrollTo(0, 0)")
    shoot("evals-dag-dark", width=1500, height=1000)
    choose_theme(page, "light")
    expect(frame.locator("html")).to_have_class("")


def choose_theme(page: Page, theme: str) -> None:
    """Switch the theme as Airflow does, without a reload."""
    page.evaluate(
        "theme => { document.documentElement.classList.remove('light', 'dark');"
        " document.documentElement.classList.add(theme); }",
        theme,
    )


def test_page_uses_theme_and_time_zone_of_airflow(page: Page, go: Callable[[str], FrameLocator]) -> None:
    from playwright.sync_api import expect

    frame = go("/dags/one_window/plugin/arize-evals-dag")
    expect(evaluator(frame, "correctness").locator("canvas").first).to_be_visible()
    body = frame.locator("body")
    shown = {}
    for theme in ("dark", "light"):
        choose_theme(page, theme)
        expect(frame.locator("html")).to_have_class("dark" if theme == "dark" else "")
        theirs = page.evaluate(
            "() => { const one = document.createElement('div'); one.style.color = 'var(--chakra-colors-bg)';"
            " document.body.append(one); return getComputedStyle(one).color; }"
        )
        shown[theme] = body.evaluate("body => getComputedStyle(body).backgroundColor")
        assert shown[theme] == theirs
    assert shown["dark"] != shown["light"]

    expect(frame.get_by_text("Times are in America/New_York")).to_be_visible()
    page.evaluate("localStorage.setItem('timezone', JSON.stringify('UTC'))")
    expect(frame.get_by_text("Times are in UTC")).to_be_visible()
    page.evaluate("localStorage.removeItem('timezone')")


def test_filters_by_evaluator_and_time(go: Callable[[str], FrameLocator]) -> None:
    from playwright.sync_api import expect

    frame = go("/dags/gated_release/plugin/arize-evals-dag")
    sections = frame.locator("section")
    expect(sections).to_have_count(5)
    frame.get_by_label("Evaluator").first.fill("toxic")
    expect(sections).to_have_count(1)
    frame.get_by_label("Evaluator").first.fill("no such")
    expect(frame.get_by_role("status").first).to_have_text("No evaluator matches this name.")
    frame.get_by_label("Evaluator").first.fill("")

    frame.get_by_label("Time").select_option("7")
    expect(evaluator(frame, "correctness")).to_contain_text("7 windows")
    frame.get_by_label("Time").select_option("")
    today = datetime.now(UTC).date()
    frame.get_by_label("From", exact=True).fill((today - timedelta(days=40)).isoformat())
    frame.get_by_label("To", exact=True).fill((today - timedelta(days=31)).isoformat())
    expect(evaluator(frame, "correctness")).to_contain_text("10 windows")
    frame.get_by_label("From", exact=True).fill(today.isoformat())
    expect(frame.get_by_role("status").first).to_contain_text("From must be before To")


def test_table_is_reachable_by_keyboard(page: Page, go: Callable[[str], FrameLocator]) -> None:
    from playwright.sync_api import expect

    frame = go("/dags/support_answers/plugin/arize-evals-dag")
    section = evaluator(frame, "correctness")
    section.locator("summary").focus()
    page.keyboard.press("Enter")
    table = section.get_by_role("region", name="Windows of correctness")
    expect(table.get_by_role("row")).to_have_count(31)
    assert table.get_by_text("failed").count()
    assert table.get_by_text("(changed)").count() == 1
    page.keyboard.press("Tab")  # the table itself, to scroll it
    expect(table).to_be_focused()
    page.keyboard.press("Tab")
    expect(table.get_by_role("link", name="results").first).to_be_focused()


def test_plots_are_usable_by_keyboard(page: Page, go: Callable[[str], FrameLocator]) -> None:
    from playwright.sync_api import expect

    frame = go("/dags/support_answers/plugin/arize-evals-dag")
    section = evaluator(frame, "correctness")
    expect(section.locator("canvas").first).to_be_visible()
    plots = section.get_by_role("group", name="Plots of correctness")
    chosen = section.get_by_role("status")
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)

    def end(days_ago: int) -> str:
        shown = (midnight - timedelta(days=days_ago)).astimezone(ZoneInfo("America/New_York"))
        return f"to {shown:%Y-%m-%d %H:%M}"

    expect(chosen).to_contain_text(end(0))
    plots.focus()
    page.keyboard.press("ArrowLeft")
    expect(chosen).to_contain_text(end(1))
    page.keyboard.press("Home")
    expect(chosen).to_contain_text(end(29))
    expect(chosen.get_by_role("link", name="gate")).to_be_visible()


def test_failed_and_stale_evaluators_come_first_and_are_counted(
    page: Page, go: Callable[[str], FrameLocator], shoot: Shoot
) -> None:
    from playwright.sync_api import expect

    frame = go("/plugin/arize-evals")
    rows = frame.get_by_role("row")
    expect(rows.nth(1)).to_contain_text("failed")
    misspelled = frame.get_by_role("row", name="corectness")
    expect(misspelled).to_contain_text("failed")
    expect(misspelled.get_by_role("link", name="gate")).to_be_visible()
    stale = frame.get_by_role("row", name="failed_runs")
    expect(stale).to_contain_text("stale")
    expect(stale).to_contain_text("last verdict: passed")
    expect(stale.get_by_role("link", name="DAG run")).to_be_visible()
    states = [text.split()[0] for text in rows.locator("td:first-child").all_inner_texts()]
    order = ["failed", "stale", "inconclusive", "passed", "no"]
    assert states == sorted(states, key=order.index)

    shoot("evals-overview", width=1280, height=620)

    expect(frame.locator("#counts")).to_contain_text(f"{states.count('failed')} failed")
    frame.get_by_label("Status").select_option("stale")
    expect(rows).to_have_count(2)


def test_newest_window_is_of_the_schedule_with_labels_by_share(
    page: Page, go: Callable[[str], FrameLocator]
) -> None:
    from playwright.sync_api import expect

    [*_, (summary, _), _] = history.summaries(today(), **DAGS["manual_run"])
    shares = summary["evaluators"]["correctness"]["labels"]
    texts = {label: f"{shares[label]['share']:.2%}".replace("%", " %") for label in ("complete", "2", "1")}
    row = go("/plugin/arize-evals").get_by_role("row", name="manual_run")
    expect(row).to_contain_text(", ".join(f"{label} {text}" for label, text in texts.items()))

    frame = go("/dags/manual_run/plugin/arize-evals-dag")
    section = evaluator(frame, "correctness")
    expect(section.locator(".heading")).to_contain_text(
        f"12 windows of read_results; the newest is {start(1)}"
    )
    facts = section.locator(".facts div")
    for place, (label, text) in enumerate(texts.items()):
        expect(facts.nth(place)).to_contain_text(f"{label}{text}")
    expect(section.locator(".chosen")).to_contain_text(start(1))
    section.get_by_role("group", name="Plots of correctness").focus()
    page.keyboard.press("ArrowRight")
    expect(section.locator(".chosen")).to_contain_text(start(0))

    frame = go(f"{instance('manual_run', 'gate', days_ago=0)}/plugin/arize-evals-task-instance")
    cells = frame.get_by_role("row", name="correctness").get_by_role("cell")
    expect(cells.nth(2)).to_have_text(">= 90 %")
    expect(cells.nth(3)).to_contain_text("0.00 % (")


def test_dates_are_days_of_the_time_zone(page: Page, go: Callable[[str], FrameLocator]) -> None:
    from playwright.sync_api import expect

    day = (today() - timedelta(days=10)).date().isoformat()
    path = f"/dags/support_answers/plugin/arize-evals-dag?evals_from={day}&evals_to={day}"
    section = evaluator(go(path), "correctness")
    # The DAG runs are due at midnight UTC, on the evening before in New York.
    expect(section.locator(".heading")).to_contain_text(f"1 window of read_results; the newest is {start(9)}")
    page.evaluate("localStorage.setItem('timezone', JSON.stringify('UTC'))")
    expect(section.locator(".heading")).to_contain_text(
        f"the newest is {today() - timedelta(days=11):%Y-%m-%d %H:%M}"
    )
    page.evaluate("localStorage.removeItem('timezone')")


def start(days_ago: int) -> str:
    """The start of a window, as the page shows it."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    shown = (midnight - timedelta(days=days_ago + 1)).astimezone(ZoneInfo("America/New_York"))
    return f"{shown:%Y-%m-%d %H:%M}"


def test_calibrated_share_and_agreement_are_shown_next_to_the_share(
    go: Callable[[str], FrameLocator],
) -> None:
    from playwright.sync_api import expect

    frame = go("/dags/recurring_gate/plugin/arize-evals-dag")
    section = evaluator(frame, "correctness")
    summary, _ = history.summaries(today(), **DAGS["recurring_gate"])[56]
    people = summary["evaluators"]["correctness"]["human_labels"]
    share = people["labels"]["correct"]["share"]
    fact = section.locator(".facts div").filter(has_text="correct, calibrated").first
    expect(fact).to_contain_text(start(3))
    expect(fact).to_contain_text(
        f"{share['value']:.2%} ({share['low']:.2%} to {share['high']:.2%})".replace("%", " %")
    )
    expect(section.locator(".facts")).to_contain_text(f"Human labels, {start(3)}{people['labelled']}")

    section.get_by_text("Agreement with people").click()
    table = section.get_by_role("region", name="Labels of correctness and of people")
    cells = [row.locator("td").all_inner_texts() for row in table.locator("tbody tr").all()]
    labels = list(people["strata"])
    assert cells == [
        [label, *(str(people["strata"][label]["labels"][human]) for human in labels)] for label in labels
    ]
    agreed = f"{people['agreement']['value']:.2%}".replace("%", " %")
    expect(section.locator("details").first).to_contain_text(f"Agreement: {agreed}")
    expect(evaluator(frame, "helpfulness").get_by_text("Agreement with people")).to_have_count(0)


def test_recurring_gate_shows_evidence_incidents_and_since_when_it_fails(
    page: Page, go: Callable[[str], FrameLocator], shoot: Shoot
) -> None:
    from playwright.sync_api import expect

    page.add_init_script(RECORD_TEXTS)
    frame = go("/plugin/arize-evals")
    row = frame.get_by_role("row", name="recurring_gate").filter(has_text="correctness")
    expect(row).to_contain_text(f"failing since {start(5)}")

    row.get_by_role("button", name="recurring_gate").click()
    section = evaluator(frame, "correctness")
    expect(section.locator("h3").filter(has_text="Evidence against correct >= 90 %")).to_be_visible()
    verdicts = [verdict for _, verdict in history.summaries(today(), **DAGS["recurring_gate"])]
    rules = [rule for each in verdicts for rule in each["rules"] if rule["evidence"] is not None]
    recovery = 59 - next(place for place in range(20, 60) if rules[place]["failing_since"] is None)
    expect(section.get_by_role("list", name="Incidents of correctness").get_by_role("listitem")).to_have_text(
        [
            f"correct >= 90 %: failing since {start(5)} (alarm {start(5)})",
            f"correct >= 90 %: failed from {start(39)}, recovered {start(recovery)} (alarm {start(39)})",
        ]
    )
    expect(section.locator("canvas")).to_have_count(4)
    texts = set(frame.locator("html").evaluate("() => window.canvasTexts"))
    assert {"0.1", "1", "10", "100", "1000"} <= texts
    assert "null" not in texts
    shoot("evals-incidents", width=1500, height=900)
    section.get_by_text("The same numbers as a table").click()
    table = section.get_by_role("region", name="Windows of correctness")
    expect(table.get_by_role("row").nth(1)).to_contain_text(f"{rules[-1]['evidence']:.0f} of 730")


def test_evaluations_and_cost_are_shown_with_the_budget(go: Callable[[str], FrameLocator]) -> None:
    from playwright.sync_api import expect

    frame = go("/dags/recurring_gate/plugin/arize-evals-dag")
    runs = [summary["run"] for summary, _ in history.summaries(today(), **DAGS["recurring_gate"])]
    total, newest = sum(run["evaluations"] for run in runs), runs[-1]["evaluations"]
    used = runs[-1]["budget"]["finished"] + newest
    spending = frame.get_by_role("region", name="Evaluations and cost")
    expect(spending).to_contain_text(f"{total} evaluations in 60 runs")
    expect(spending).to_contain_text(f"{used} of 40000 evaluations ({used / 40_000:.2%}".replace("%", " %"))
    facts = evaluator(frame, "correctness").locator(".facts")
    expect(facts).to_contain_text(f"Evaluations of the run{newest}")
    expect(facts).to_contain_text(f"Estimated cost of the run{0.003 * newest:.2f} to {0.0035 * newest:.2f}")
    frame = go("/dags/support_answers/plugin/arize-evals-dag")
    expect(evaluator(frame, "correctness")).to_be_visible()
    expect(frame.get_by_role("region", name="Evaluations and cost")).to_have_count(0)


def today() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


@pytest.mark.parametrize("width", [1400, 1200, 800])
def test_links_are_visible_without_scrolling(
    page: Page, go: Callable[[str], FrameLocator], width: int
) -> None:
    from playwright.sync_api import expect

    page.set_viewport_size({"width": width, "height": 900})
    try:
        link = go("/plugin/arize-evals").get_by_role("link", name="gate").first
        expect(link).to_be_visible()
        box = link.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] < width
    finally:
        page.set_viewport_size({"width": 1400, "height": 900})


def test_filters_are_in_the_url_and_come_back(page: Page, go: Callable[[str], FrameLocator]) -> None:
    from playwright.sync_api import expect

    frame = go("/plugin/arize-evals")
    frame.get_by_role("button", name="gated_release").first.click()
    expect(evaluator(frame, "correctness")).to_be_visible()
    frame.get_by_label("Evaluator").first.fill("toxic")
    frame.get_by_label("Time").select_option("30")
    expect(evaluator(frame, "toxicity")).to_contain_text("30 windows")

    page.goto(page.url)
    frame = page.frame_locator("iframe")
    expect(evaluator(frame, "toxicity")).to_contain_text("30 windows")
    expect(frame.locator("section")).to_have_count(1)
    expect(frame.get_by_label("DAG")).to_have_value("gated_release")


def test_tab_of_a_dag_shows_only_that_dag(go: Callable[[str], FrameLocator]) -> None:
    from playwright.sync_api import expect

    frame = go("/dags/one_window/plugin/arize-evals-dag?evals_dag=gated_release")
    expect(frame.get_by_role("region", name="Evaluator")).to_have_count(1)
    expect(frame.get_by_label("DAG")).to_be_hidden()


def test_single_window_has_an_axis_around_its_end(page: Page, go: Callable[[str], FrameLocator]) -> None:
    from playwright.sync_api import expect

    page.add_init_script(RECORD_TEXTS)
    frame = go("/dags/one_window/plugin/arize-evals-dag")
    expect(evaluator(frame, "correctness").locator("canvas").first).to_be_visible()
    texts = set(frame.locator("html").evaluate("() => window.canvasTexts"))
    years = {text for text in texts if re.fullmatch(r"\w+ 20\d\d", text)}
    assert years == set()
    assert texts & {"00:00", "12:00"}


def test_sixty_evaluators_are_drawn_when_they_are_visible(
    page: Page, go: Callable[[str], FrameLocator]
) -> None:
    from playwright.sync_api import expect

    frame = go("/dags/sixty_names/plugin/arize-evals-dag")
    sections = frame.get_by_role("region", name="Evaluator")
    expect(sections).to_have_count(60)
    expect(sections.first.locator("canvas").first).to_be_visible()
    assert frame.locator("canvas").count() < 30
    expect(sections.last.locator("canvas")).to_have_count(0)
    sections.last.scroll_into_view_if_needed()
    expect(sections.last.locator("canvas").first).to_be_visible()


def test_hostile_labels_are_shown_as_text(page: Page, go: Callable[[str], FrameLocator]) -> None:
    from playwright.sync_api import expect

    for path in ("/plugin/arize-evals", "/dags/hostile_labels/plugin/arize-evals-dag"):
        frame = go(path)
        expect(frame.get_by_text(history.HOSTILE).first).to_be_visible()
        expect(frame.get_by_text("(empty)").first).to_be_visible()
        assert "\u202e" not in frame.locator("body").inner_text()
        assert frame.locator("img").count() == 0
        assert "hacked" not in page.title()
        assert "hacked" not in frame.locator("head title").text_content()  # type: ignore[operator]


def test_gate_task_instance_shows_each_rule(
    page: Page, go: Callable[[str], FrameLocator], shoot: Shoot
) -> None:
    from playwright.sync_api import expect

    frame = go(f"{instance('support_answers', 'gate', days_ago=7)}/plugin/arize-evals-task-instance")
    expect(frame.get_by_role("heading", name="The gate did not pass")).to_be_visible()
    row = frame.get_by_role("row", name="correctness")
    expect(row).to_contain_text(">= 90 %")
    expect(row).to_contain_text("failed")
    shoot("evals-gate", height=620)

    frame.get_by_role("link", name="results").click()
    page.wait_for_url(f"**{PREFIX}/dags/support_answers/runs/*/tasks/read_results*")


def test_task_instance_of_a_year_ago_shows_its_numbers(go: Callable[[str], FrameLocator]) -> None:
    from playwright.sync_api import expect

    frame = go(f"{instance('gated_release', 'read_results', days_ago=360)}/plugin/arize-evals-task-instance")
    expect(frame.get_by_role("row", name="groundedness")).to_contain_text("hallucinated")


@pytest.mark.parametrize("of_instance", [True, False])
def test_task_without_evals_shows_a_hint(go: Callable[[str], FrameLocator], of_instance: bool) -> None:
    from playwright.sync_api import expect

    path = (
        f"{instance('support_answers', history.OTHER_TASK, days_ago=3)}/plugin/arize-evals-task-instance"
        if of_instance
        else f"/dags/support_answers/tasks/{history.OTHER_TASK}/plugin/arize-evals-task"
    )
    expect(go(path).get_by_role("status").first).to_contain_text("no evals")


def test_gate_task_tab_shows_its_evaluators(go: Callable[[str], FrameLocator]) -> None:
    from playwright.sync_api import expect

    frame = go("/dags/gated_release/tasks/gate/plugin/arize-evals-task")
    expect(evaluator(frame, "correctness").locator("canvas").first).to_be_visible()
    expect(frame.locator("section")).to_have_count(1)


def test_narrow_window_has_no_horizontal_scrolling(page: Page, go: Callable[[str], FrameLocator]) -> None:
    from playwright.sync_api import expect

    page.set_viewport_size({"width": 480, "height": 900})
    try:
        frame = go("/plugin/arize-evals")
        expect(frame.get_by_role("row").first).to_be_visible()
        frame.get_by_role("button", name="gated_release").first.click()
        expect(evaluator(frame, "correctness").locator("canvas").first).to_be_visible()
        wider = frame.locator("html").evaluate("html => html.scrollWidth - html.clientWidth")
        assert wider <= 0
    finally:
        page.set_viewport_size({"width": 1400, "height": 900})
