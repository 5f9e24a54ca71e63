"""What `make audit` says, by what pip-audit reports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.pages import PROJECT

SCRIPT = PROJECT / "scripts" / "audit.py"

CLEAN = {"name": "gql", "version": "4.4.0", "vulns": []}
UNKNOWN = {"name": "ariadne", "skip_reason": "Dependency not found on PyPI and could not be audited: ariadne"}
FOUND = {
    "name": "sqlglot",
    "version": "26.0.0",
    "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["26.0.1"], "aliases": [], "description": "…"}],
}


def audit(tmp_path: Path, *packages: dict[str, Any]) -> tuple[int, str]:
    report = tmp_path / "audit.json"
    report.write_text(json.dumps({"dependencies": packages, "fixes": []}), encoding="utf-8")
    result = subprocess.run(
        [sys.executable, SCRIPT, report], capture_output=True, text=True, timeout=300, check=False
    )
    assert not result.stderr
    return result.returncode, result.stdout


def test_a_finding_fails(tmp_path: Path) -> None:
    code, said = audit(tmp_path, CLEAN, FOUND, UNKNOWN)
    assert code == 1
    assert "sqlglot 26.0.0: PYSEC-2026-1, fixed in 26.0.1" in said
    assert "Known vulnerabilities: 1." in said


def test_a_finding_without_a_fix_fails(tmp_path: Path) -> None:
    unfixed = {**FOUND, "vulns": [{**FOUND["vulns"][0], "fix_versions": []}]}
    code, said = audit(tmp_path, unfixed)
    assert code == 1
    assert "fixed in no version yet" in said


def test_nothing_found_passes(tmp_path: Path) -> None:
    assert audit(tmp_path, CLEAN) == (0, "No known vulnerability in the 1 of 1 packages audited.\n")


def test_what_was_left_out_is_named(tmp_path: Path) -> None:
    code, said = audit(tmp_path, CLEAN, UNKNOWN)
    assert code == 0
    assert "Not audited: ariadne." in said
    assert "No known vulnerability in the 1 of 2 packages audited." in said


def test_nothing_audited_is_not_nothing_found(tmp_path: Path) -> None:
    code, said = audit(tmp_path, UNKNOWN)
    assert code == 0
    assert "NOTHING WAS AUDITED" in said
    assert "No known vulnerability" not in said


def test_no_report_is_an_error(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, SCRIPT, tmp_path / "none.json"], capture_output=True, timeout=300, check=False
    )
    assert result.returncode != 0
