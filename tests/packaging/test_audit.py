"""scripts/audit.py: the exit code and the summary of a report of pip-audit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.pages import PROJECT

SCRIPT = PROJECT / "scripts" / "audit.py"

CLEAN = {"name": "gql", "version": "4.4.0", "vulns": []}
UNKNOWN = {"name": "ariadne", "skip_reason": "not found in the advisory service"}
VULNERABLE = {
    "name": "sqlglot",
    "version": "26.0.0",
    "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["26.0.1"], "aliases": [], "description": "…"}],
}
WITHOUT_FIX = {**VULNERABLE, "vulns": [{**VULNERABLE["vulns"][0], "fix_versions": []}]}


def audit(tmp_path: Path, *packages: dict[str, Any]) -> tuple[int, str]:
    """Return the exit code and the output of the script for a report."""
    report = tmp_path / "audit.json"
    report.write_text(json.dumps({"dependencies": packages, "fixes": []}), encoding="utf-8")
    result = subprocess.run(
        [sys.executable, SCRIPT, report], capture_output=True, text=True, timeout=300, check=False
    )
    assert not result.stderr
    return result.returncode, result.stdout


def test_vulnerability_fails_and_names_package_and_fix(tmp_path: Path) -> None:
    code, output = audit(tmp_path, CLEAN, VULNERABLE, UNKNOWN)
    assert code == 1
    for text in ("sqlglot", "26.0.0", "PYSEC-2026-1", "26.0.1"):
        assert text in output


def test_vulnerability_without_a_fix_fails(tmp_path: Path) -> None:
    code, output = audit(tmp_path, WITHOUT_FIX)
    assert code == 1
    assert "PYSEC-2026-1" in output


def test_clean_report_passes(tmp_path: Path) -> None:
    assert audit(tmp_path, CLEAN)[0] == 0


def test_unaudited_package_is_named(tmp_path: Path) -> None:
    code, output = audit(tmp_path, CLEAN, UNKNOWN)
    assert code == 0
    assert "ariadne" in output
    assert "gql" not in output


NOTHING_AUDITED = 3


def test_report_without_audited_packages_has_its_own_exit_code(tmp_path: Path) -> None:
    assert audit(tmp_path, UNKNOWN)[0] == audit(tmp_path)[0] == NOTHING_AUDITED


def test_missing_report_means_that_nothing_was_audited(tmp_path: Path) -> None:
    command = [sys.executable, SCRIPT, tmp_path / "missing.json"]
    assert (
        subprocess.run(command, capture_output=True, timeout=300, check=False).returncode == NOTHING_AUDITED
    )


@pytest.mark.parametrize(
    ("package", "code", "is_marked"), [(CLEAN, 0, False), (UNKNOWN, 0, True), (VULNERABLE, 1, False)]
)
def test_ci_summary_shows_an_audit_that_was_not_done(
    tmp_path: Path, package: dict[str, Any], code: int, is_marked: bool
) -> None:
    """Run ``.ci/run`` where every ``make`` succeeds, except an audit of this report."""
    report = json.dumps({"dependencies": [package], "fixes": []})
    make = f"""#!/bin/sh
[ "$1" = audit ] || exit 0
mkdir -p .tmp && echo '{report}' > .tmp/audit.json
.venv/bin/python scripts/audit.py .tmp/audit.json || exit 2
"""
    commands = {"bin/make": make, "bin/apt-get": "#!/bin/sh\nexit 1\n"}
    commands[".venv/bin/python"] = f'#!/bin/sh\nexec {sys.executable} "$@"\n'
    for path in (".ci/run", "scripts/audit.py"):
        commands[path] = (PROJECT / path).read_text()
    for path, text in commands.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text("*\n")
    result = subprocess.run(
        [tmp_path / ".ci" / "run"],
        env={**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == code, result.stdout + result.stderr
    summary = result.stdout.partition("All checks passed")[2]
    assert ("Known vulnerabilities (NOT DONE" in summary) is is_marked
