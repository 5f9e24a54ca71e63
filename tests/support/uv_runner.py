"""Runs uv, which builds the package and installs it."""

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
