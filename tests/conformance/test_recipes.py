"""The recipes of docs/emulator.md, as a reader copies them: only the address is this emulator's."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import EmulatorProcess

pytestmark = pytest.mark.conformance

PAGE = Path(__file__).parents[2] / "docs" / "emulator.md"
VENV = Path(sys.prefix)
SECONDS = 3600  # starting a client takes as long as the machine wants


def recipe(first_line: str, emulator: EmulatorProcess) -> str:
    """Return the recipe that begins so, with the emulator's address instead of the documented one."""
    blocks = re.findall(r"^```text\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    (found,) = [block for block in blocks if block.startswith(first_line)]
    assert emulator.api_key in found
    port = str(urlsplit(emulator.url).port)
    assert "8080" in found
    text: str = found.replace("8080", port)
    return text


def output(*command: str | Path, folder: Path, **environment: str) -> str:
    """Run a command and return what it wrote."""
    done = subprocess.run(
        command,
        check=False,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "NO_COLOR": "1", **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_sdk_recipe_works(emulator: EmulatorProcess, tmp_path: Path) -> None:
    script = recipe("from arize", emulator) + "\nprint(client.spaces.list().spaces[0].id)\n"
    assert emulator.space_id in output(sys.executable, "-c", script, folder=tmp_path)


def test_ax_recipe_works(emulator: EmulatorProcess, tmp_path: Path) -> None:
    ax = VENV / "bin" / "ax"
    (tmp_path / "profile.toml").write_text(recipe("[profile]", emulator), encoding="utf-8")
    create = re.search(r"`ax (profiles create [^`]*)`", PAGE.read_text(encoding="utf-8"))
    assert create is not None
    output(ax, *create[1].split(), folder=tmp_path)
    assert emulator.space_id in output(ax, "spaces", "list", "--output", "json", folder=tmp_path)


def test_typescript_recipe_works(emulator: EmulatorProcess, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node")
    script = recipe("import { createClient }", emulator)
    script = script.replace("createClient }", "createClient, listSpaces }")
    script += "\nconsole.log(JSON.stringify(await listSpaces({ client })));\n"
    (tmp_path / "node_modules").symlink_to(VENV / "node" / "node_modules")
    (tmp_path / "recipe.mjs").write_text(script, encoding="utf-8")
    assert emulator.space_id in output(node, "recipe.mjs", folder=tmp_path)
