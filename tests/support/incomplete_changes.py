"""Add something to a copy of the package, and let mypy find the places that don't handle it yet."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

import airflow_provider_online_tasks


def copy_package(folder: Path, additions: Iterable[tuple[str, str, str]]) -> Path:
    """Return a copy of the package with additions.

    :param folder: the folder of the copy.
    :param additions: a file, a text that it contains once, and the text to add after it.
    """
    package = Path(airflow_provider_online_tasks.__file__).parent
    copy = folder / package.name
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for file, before, added in additions:
        source = (copy / file).read_text(encoding="utf-8")
        assert source.count(before) == 1, (file, before)
        (copy / file).write_text(source.replace(before, before + added), encoding="utf-8")
    return copy


def type_errors(folder: Path, additions: Iterable[tuple[str, str, str]], checked: Sequence[str]) -> list[str]:
    """Return the lines of mypy's output about places that don't handle the additions.

    Skips the test if mypy is not installed, as in the version matrix.

    :param folder: the folder of the copy.
    :param additions: as for :func:`copy_package`.
    :param checked: the files to check.
    """
    pytest.importorskip("mypy")
    copy = copy_package(folder, additions)
    # Reading Airflow and pydantic is not necessary here, and takes mypy minutes on a busy machine.
    config = folder / "mypy.ini"
    config.write_text("[mypy]\nstrict = True\n[mypy-airflow.*,pydantic.*]\nfollow_imports = skip\n")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", f"--config-file={config}", f"--cache-dir={folder / 'cache'}"),
            *("--follow-imports=silent", *checked),
        ],
        cwd=copy,
        env={**os.environ, "MYPYPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return [line for line in done.stdout.splitlines() if "assert_never" in line]
