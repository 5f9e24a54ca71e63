"""Tests for the plugin of the Evals page: entry point, cheap import, and safe files."""

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


def test_plugin_is_found_by_its_entry_point() -> None:
    [found] = [point for point in entry_points(group="airflow.plugins") if point.name == "arize_online_evals"]

    assert found.load() is plugin.EvalsPlugin


@pytest.mark.since_airflow("3.1", "external views")
def test_views_of_all_destinations_have_unique_routes() -> None:
    views = plugin.EvalsPlugin.external_views

    assert [view["destination"] for view in views] == ["nav", "dag", "task", "task_instance"]
    assert len({view["url_route"] for view in views}) == len(views)
    assert [app["url_prefix"] for app in plugin.EvalsPlugin.fastapi_apps] == [plugin.PREFIX]


@pytest.mark.since_airflow("3.3", "the modules that this test expects")
def test_plugin_import_loads_no_server_modules() -> None:
    completed = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)

    loaded = json.loads(completed.stdout.splitlines()[-1])
    assert [name for name in loaded if name.startswith(HEAVY)] == []
    assert len(loaded) < 10


def test_views_behind_a_path_prefix_have_it_in_their_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://data.example.com/airflow/")

    assert {view["href"].partition("?")[0] for view in plugin._views()} == {"/airflow/arize-evals/"}


def test_browser_files_small_licensed_and_self_contained() -> None:
    assert sum(file.stat().st_size for file in WWW.iterdir()) < 150_000
    assert "Permission is hereby granted" in (WWW / "uPlot.LICENSE").read_text()
    page = (WWW / "index.html").read_text()
    assert "http://" not in page
    assert "https://" not in page


def test_scripts_insert_no_text_as_html() -> None:
    for file in WWW.glob("*.js"):
        if file.name.startswith("uPlot"):
            continue
        script = file.read_text()
        for sink in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("):
            assert sink not in script
        assert "http" not in script.replace("http://www.w3.org/2000/svg", "")  # the SVG namespace


def test_files_for_the_browser_are_all_served() -> None:
    app = (WWW.parent / "app.py").read_text()

    for file in WWW.iterdir():
        assert f'"{file.name}"' in app


def test_plugin_is_supported_from_airflow_3_1_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for version, is_supported in (("3.0.6", False), ("3.1.0", True), ("3.3.2", True), ("4.0.0.dev0", True)):
        monkeypatch.setattr(plugin, "airflow_version", version)
        assert plugin._is_supported() is is_supported


@pytest.mark.skipif(plugin._is_supported(), reason="This Airflow has external views.")
def test_plugin_on_airflow_3_0_registers_nothing() -> None:
    assert plugin.EvalsPlugin.fastapi_apps == []
    assert not plugin.EvalsPlugin.external_views
