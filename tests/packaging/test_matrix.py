"""scripts/matrix.py: the result of a combination whose tests hang."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.pages import PROJECT

# Stands for uv, and creates an environment whose Python hangs.
UV = """#!/bin/sh
[ "$1" = venv ] || exit 0
for environment; do :; done
mkdir -p "$environment/bin"
printf '#!/bin/sh\\nexec sleep 600\\n' > "$environment/bin/python"
chmod +x "$environment/bin/python"
"""


@pytest.fixture
def matrix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("matrix", PROJECT / "scripts" / "matrix.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "matrix", module)
    spec.loader.exec_module(module)
    uv = tmp_path / "uv"
    uv.write_text(UV)
    uv.chmod(0o755)
    monkeypatch.setattr(module, "UV", uv)
    monkeypatch.setattr(module, "PROJECT", tmp_path)
    monkeypatch.setattr(module, "OUTPUT", tmp_path / "logs")
    monkeypatch.setattr(module, "find_python", lambda _: sys.executable)
    return module


def test_combination_over_time_limit_fails(
    matrix: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(matrix, "CELLS", [matrix.Cell("9.9.9", "3.12", until="2026-01-01")])
    monkeypatch.setattr(sys, "argv", ["matrix.py", "--quick", "--minutes", "0.01"])

    assert matrix.main() == 1

    [row] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("9.9.9 ")]
    assert "failed" in row
    assert "0.01 minutes" in row


def test_command_over_time_limit_is_stopped_with_its_children(matrix: ModuleType, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as read, os.fdopen(writer, "wb") as write:
        command = ["sh", "-c", "sleep 600 & sleep 600"]
        assert matrix.execute(command, output=write, deadline=time.monotonic() + 0.3) is None
        write.close()
        assert read.read() == b""  # no process has the other end of the pipe open


def test_command_within_time_limit_returns_its_exit_code(matrix: ModuleType, tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as output:
        assert matrix.execute(["sh", "-c", "exit 3"], output=output, deadline=time.monotonic() + 600) == 3
