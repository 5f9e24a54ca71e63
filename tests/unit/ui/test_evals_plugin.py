"""The Evals page's place in Airflow: found by its entry point, and cheap for other processes."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from airflow_provider_online_tasks.ui.evals import plugin

WWW = Path(plugin.__file__).parent / "www"
HEAVY = ("fastapi", "airflow.api_fastapi", "airflow.models", "sqlalchemy.orm")

PROBE = """
import json, sys
import airflow.plugins_manager, airflow_provider_online_tasks._airflow
before = set(sys.modules)
import airflow_provider_online_tasks.ui.evals.plugin
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_airflow_finds_the_plugin() -> None:
    [found] = [point for point in entry_points(group="airflow.plugins") if point.name == "arize_online_evals"]

    assert found.load() is plugin.EvalsPlugin


@pytest.mark.since_airflow("3.1", "a place for pages")
def test_each_place_has_a_route_of_its_own() -> None:
    views = plugin.EvalsPlugin.external_views

    assert [view["destination"] for view in views] == ["nav", "dag", "task", "task_instance"]
    assert len({view["url_route"] for view in views}) == len(views)
    assert [app["url_prefix"] for app in plugin.EvalsPlugin.fastapi_apps] == [plugin.PREFIX]


@pytest.mark.since_airflow("3.3", "the modules that this test counts")
def test_a_process_without_a_page_loads_nothing_for_it() -> None:
    answer = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)

    loaded = json.loads(answer.stdout.splitlines()[-1])
    assert [name for name in loaded if name.startswith(HEAVY)] == []
    assert len(loaded) < 10


def test_behind_a_prefix_the_addresses_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://data.example.com/airflow/")

    assert {view["href"].partition("?")[0] for view in plugin._views()} == {"/airflow/arize-evals/"}


def test_what_the_browser_loads_is_small_and_comes_with_its_licence() -> None:
    assert sum(file.stat().st_size for file in WWW.iterdir()) < 150_000
    assert "Permission is hereby granted" in (WWW / "uPlot.LICENSE").read_text()
    page = (WWW / "index.html").read_text()
    assert "http://" not in page
    assert "https://" not in page


def test_no_text_becomes_html() -> None:
    for file in WWW.glob("*.js"):
        if file.name.startswith("uPlot"):
            continue
        script = file.read_text()
        for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("):
            assert way not in script
        assert "http" not in script.replace("http://www.w3.org/2000/svg", "")  # the name of SVG


def test_every_file_of_the_page_is_served() -> None:
    app = (WWW.parent / "app.py").read_text()

    for file in WWW.iterdir():
        assert f'"{file.name}"' in app


def test_an_airflow_without_a_place_for_pages_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for version, is_supported in (("3.0.6", False), ("3.1.0", True), ("3.3.2", True), ("4.0.0.dev0", True)):
        monkeypatch.setattr(plugin, "airflow_version", version)
        assert plugin._is_supported() is is_supported


@pytest.mark.skipif(plugin._is_supported(), reason="This Airflow has a place for pages.")
def test_airflow_3_0_has_no_page() -> None:
    assert plugin.EvalsPlugin.fastapi_apps == []
    assert not plugin.EvalsPlugin.external_views
