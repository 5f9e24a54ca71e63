"""A copy of the package with something added; and what mypy says where it was forgotten in other places."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

import airflow_provider_online_tasks


def copied(folder: Path, additions: Iterable[tuple[str, str, str]]) -> Path:
    """Return a copy of the package with something added.

    :param folder: where the copy is made.
    :param additions: a file, a text that is there once, and what is added behind it.
    """
    package = Path(airflow_provider_online_tasks.__file__).parent
    copy = folder / package.name
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for file, before, added in additions:
        source = (copy / file).read_text(encoding="utf-8")
        assert source.count(before) == 1, (file, before)
        (copy / file).write_text(source.replace(before, before + added), encoding="utf-8")
    return copy


def forgotten(folder: Path, additions: Iterable[tuple[str, str, str]], checked: Sequence[str]) -> list[str]:
    """Return a line for each place that does not know what was added.

    :param folder: where the copy is made.
    :param additions: as for :func:`copied`.
    :param checked: the files that are checked.

    Where there is no mypy, the test is skipped: what it says is no matter of Airflow's version.
    """
    pytest.importorskip("mypy")
    copy = copied(folder, additions)
    # What Airflow and pydantic are made of does not matter here, and takes mypy minutes on a busy machine.
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
