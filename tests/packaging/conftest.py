"""The package as its users get it: built, and installed into an environment of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pages import PROJECT

CONSTRAINTS = PROJECT / "constraints.txt"
BUILD_SECONDS, INSTALL_SECONDS = 120, 240


@dataclass(frozen=True)
class Built:
    """The files that a release consists of."""

    wheel: Path
    sdist: Path


def uv(*arguments: str | Path, timeout: float) -> None:
    """Run uv, and fail with what it says."""
    command = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if command is None:
        pytest.skip("uv is not installed; `make venv` installs it.")
    result = subprocess.run(
        [command, *map(str, arguments)], capture_output=True, text=True, timeout=timeout, check=False
    )
    if result.returncode:
        pytest.fail(f"uv {arguments[0]} failed:\n{result.stderr[-4000:]}")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The sdist, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    uv(
        "build", PROJECT, "--python", sys.executable, "--build-constraints", CONSTRAINTS, "--out-dir", folder,
        timeout=BUILD_SECONDS,
    )  # fmt: skip
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return Built(wheel=wheel, sdist=sdist)


@pytest.fixture(scope="session")
def user_environment(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a fresh virtual environment with the wheel, its emulator and pytest."""
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
    """The environment variables of somebody who has never used Airflow on this machine."""
    ours = ("AIRFLOW", "_AIRFLOW", "COV", "PYTEST", "PYTHON", "UV_", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    # Where bytecode is not written, each process would compile all of Airflow anew.
    return {
        **kept,
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path),
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": "127.0.0.1",
    }
