"""The pytest fixture, used by a DAG author's tests in a separate pytest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TEST = """
import pytest, requests

def test_defaults(online_tasks_emulator):
    settings = online_tasks_emulator.settings
    assert settings.run_seconds == 0
    assert settings.queries_per_minute is settings.mutations_per_minute is None
    assert online_tasks_emulator.info()["spans"] > 300
    assert online_tasks_emulator.tasks() == []

@pytest.mark.online_tasks_emulator(run_seconds=1.5)
class TestMarked:
    def test_of_class(self, online_tasks_emulator):
        assert online_tasks_emulator.settings.run_seconds == 1.5

    @pytest.mark.online_tasks_emulator(run_seconds=2.5)
    def test_of_test(self, online_tasks_emulator):
        assert online_tasks_emulator.settings.run_seconds == 2.5
"""

INI = """[pytest]
addopts = --strict-markers
online_tasks_emulator =
    status_case = lower
    queries_per_minute = 7
    retry_after = true
    mutations_per_minute = none
    run_seconds = 0.5
"""

TEST_INI = """
def test_ini(online_tasks_emulator):
    settings = online_tasks_emulator.settings
    assert (settings.status_case, settings.queries_per_minute, settings.retry_after) == ("lower", 7, True)
    assert settings.mutations_per_minute is None
    assert settings.run_seconds == 3.5
    assert settings.api_key == "1234"
    assert settings.mutations_permitted is False
"""


def pytest_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest as another project would."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_fixture_works_in_a_project_that_only_installs_the_package(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")
    (tmp_path / "test_dag.py").write_text(TEST)
    result = pytest_in(tmp_path)
    assert "3 passed" in result.stdout, result.stdout + result.stderr


def test_settings_are_read_from_ini_file_and_command_line(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text(INI)
    (tmp_path / "test_dag.py").write_text(TEST_INI)
    arguments = ("run_seconds=3.5", "api_key=1234", "mutations_permitted=false")
    result = pytest_in(tmp_path, *(f"--online-tasks-emulator={each}" for each in arguments))
    assert "1 passed" in result.stdout, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nonsense", "name=value"),
        ("status_case=title", "'upper' or 'lower'"),
        ("run_seconds=soon", "run_seconds=soon"),
        ("colour=red", "colour"),
    ],
)
def test_invalid_setting_is_reported(tmp_path: Path, line: str, words: str) -> None:
    (tmp_path / "pytest.ini").write_text(INI)
    (tmp_path / "test_dag.py").write_text(TEST_INI)
    result = pytest_in(tmp_path, f"--online-tasks-emulator={line}")
    assert result.returncode != 0
    assert words in result.stdout


def test_plugin_import_is_light(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_other.py").write_text(
        "import sys\n"
        "def test_other():\n"
        "    assert 'airflow_provider_online_tasks.emulator.pytest_plugin' in sys.modules\n"
        "    heavy = {'airflow', 'ariadne', 'requests', 'sqlalchemy', 'starlette', 'uvicorn'}\n"
        "    assert not heavy & set(sys.modules)\n"
    )
    result = pytest_in(tmp_path)
    assert "1 passed" in result.stdout, result.stdout + result.stderr
