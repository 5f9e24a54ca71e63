"""Without a package of the extra ``emulator``, the emulator does not start and names what to install."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from airflow_provider_online_tasks.emulator import Emulator, EmulatorProcess
from tests.support.pages import PROJECT

EXTRA = "airflow-provider-online-tasks[emulator]"


def packages() -> list[str]:
    """Return the names of the packages of the extra."""
    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    return [re.split("[^a-z]", requirement)[0] for requirement in extras["emulator"]]


@pytest.mark.parametrize("package", packages())
@pytest.mark.parametrize("emulator", [Emulator, EmulatorProcess])
def test_emulator_without_a_package_does_not_start(
    monkeypatch: pytest.MonkeyPatch, package: str, emulator: type[Emulator]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError) as caught:
        emulator().start()
    assert package in str(caught.value)
    assert EXTRA in str(caught.value)


@pytest.mark.parametrize("package", ["regex", "starlette"])
def test_command_without_a_package_ends_without_a_traceback(package: str) -> None:
    code = (
        f"import runpy, sys; sys.modules[{package!r}] = None; sys.argv = ['emulator', '--port', '0']; "
        "runpy.run_module('airflow_provider_online_tasks.emulator', run_name='__main__')"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 1
    assert package in result.stderr
    assert EXTRA in result.stderr
    assert "Traceback" not in result.stderr


def test_fixture_without_a_package_names_the_extra(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("import sys\nsys.modules['uvicorn'] = None\n")
    (tmp_path / "test_one.py").write_text("def test_one(online_tasks_emulator):\n    pass\n")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert result.returncode == 1
    assert EXTRA in result.stdout
