"""The project that docs/emulator.md shows, tested with the installed wheel."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.pages import DOCS, write_files

if TYPE_CHECKING:
    from pathlib import Path

PYTEST_SECONDS = 240


@pytest.mark.slow
def test_user_project_of_the_docs_passes_its_tests(
    user_environment: Path, users_variables: dict[str, str], tmp_path: Path
) -> None:
    project = tmp_path / "project"
    files = write_files(DOCS / "emulator.md", project)
    assert [str(file.relative_to(project)) for file in files] == [
        "dags/answer_eval.py",
        "tests/conftest.py",
        "tests/test_answer_eval.py",
    ]

    result = subprocess.run(
        [user_environment / "bin" / "pytest", "-rA", "--junit-xml", "result.xml"],
        cwd=project,
        env=users_variables,
        capture_output=True,
        text=True,
        timeout=PYTEST_SECONDS,
        check=False,
    )

    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
    assert "2 passed" in result.stdout.splitlines()[-1]
    assert 'tests="2"' in (project / "result.xml").read_text(encoding="utf-8")
