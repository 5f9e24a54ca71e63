"""The distributions of the package, and an environment with the installed wheel."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pages import PROJECT
from tests.support.uv_runner import CONSTRAINTS, Built, uv

BUILD_SECONDS, INSTALL_SECONDS = 600, 900


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The sdist and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    uv(
        "build", PROJECT, "--python", sys.executable, "--build-constraints", CONSTRAINTS, "--out-dir", folder,
        timeout=BUILD_SECONDS,
    )  # fmt: skip
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return Built(wheel=wheel, sdist=sdist)


@pytest.fixture(scope="session")
def user_environment(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A new virtual environment with the wheel, its emulator extra and pytest."""
    folder = tmp_path_factory.mktemp("user") / ".venv"
    uv("venv", folder, "--python", sys.executable, timeout=INSTALL_SECONDS)
    uv(
        "pip", "install", "--python", folder / "bin" / "python", "--constraints", CONSTRAINTS,
        f"{built.wheel}[emulator]", "pytest",
        timeout=INSTALL_SECONDS,
    )  # fmt: skip
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def users_variables(tmp_path: Path) -> dict[str, str]:
    """The environment variables of a user without Airflow settings."""
    ours = ("AIRFLOW", "_AIRFLOW", "COV", "PYTEST", "PYTHON", "UV_", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    # Without PYTHONDONTWRITEBYTECODE, so that not each process compiles Airflow again.
    return {
        **kept,
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path),
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": "127.0.0.1",
    }
