"""Run uv to build and install the package."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.pages import PROJECT

CONSTRAINTS = PROJECT / "constraints.txt"


@dataclass(frozen=True)
class Built:
    """The distributions of a release."""

    wheel: Path
    sdist: Path


def uv(*arguments: str | Path, timeout: float) -> None:
    """Run uv, and fail the test with its output if it fails."""
    command = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if command is None:
        pytest.skip("uv is not installed; `make venv` installs it.")
    result = subprocess.run(
        [command, *map(str, arguments)], capture_output=True, text=True, timeout=timeout, check=False
    )
    if result.returncode:
        pytest.fail(f"uv {arguments[0]} failed:\n{result.stderr[-4000:]}")
