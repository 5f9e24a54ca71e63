"""scripts/audit.py: the exit code and the summary of a report of pip-audit."""

from __future__ import annotations

import json
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


def test_report_without_audited_packages_differs_from_a_clean_one(tmp_path: Path) -> None:
    code, output = audit(tmp_path, UNKNOWN)
    assert code == 0
    assert output.splitlines()[-1] != audit(tmp_path, CLEAN)[1].splitlines()[-1]


def test_missing_report_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        subprocess.run(
            [sys.executable, SCRIPT, tmp_path / "missing.json"], capture_output=True, timeout=300, check=True
        )
