"""Change the package in small ways, run the unit tests for each change, and report the unnoticed changes.

``make mutants ONLY=runs/window.py`` calls it, in an environment with cosmic-ray. ``[tool.cosmic-ray]`` in
pyproject.toml configures it. The changes are made in a copy of the tree, ``.tmp/mutants/``.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from cosmic_ray import commands, modules
from cosmic_ray.config import ConfigDict
from cosmic_ray.tools.filters.operators_filter import OperatorsFilter
from cosmic_ray.work_db import use_db
from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkResult

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = "airflow_provider_online_tasks"
COPY = PROJECT / ".tmp" / "mutants"
COPIED = (PACKAGE, "tests", "docs", "example_dags", "scripts", "pyproject.toml", "README.md", "CHANGELOG.md")


def main() -> int:
    """Run the changes and return the exit code: 1 if no test noticed one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("python", type=Path, help="the interpreter that runs the tests")
    parser.add_argument("only", help="a module or folder of the package, such as runs/window.py")
    parser.add_argument("--sample", type=int, help="how many changes to try, chosen at random; default: all")
    parser.add_argument("--tests", type=Path, help="the tests to run; default: those that mirror the module")
    options = parser.parse_args()
    python = options.python.absolute()
    copy_tree()
    os.chdir(COPY)
    changed = Path(PACKAGE, options.only)
    config = ConfigDict(tomllib.loads(Path("pyproject.toml").read_text())["tool"]["cosmic-ray"])
    tests = options.tests or tests_of(options.only)
    config["test-command"] = f"{python} -m pytest -x -q -p no:cacheprovider {tests}"
    print(f"Running {tests} without a change")
    subprocess.run(config["test-command"], shell=True, check=True, stdout=subprocess.DEVNULL)
    with use_db("session.sqlite") as session:
        commands.init(modules.find_modules([changed]), session, {})
        OperatorsFilter()._skip_filtered(session, config["exclude-operators"])
        pending = [item.job_id for item in session.pending_work_items]
        chosen = random.sample(pending, min(options.sample or len(pending), len(pending)))
        left_out = WorkResult(worker_outcome=WorkerOutcome.SKIPPED, output="not in the sample")
        session.set_multiple_results(list({*pending} - {*chosen}), left_out)
        print(f"Trying {len(chosen)} of {len(pending)} changes to {changed}")
        commands.execute(session, config)
        survived = [result for _, result in session.results if result.test_outcome == TestOutcome.SURVIVED]
    for result in survived:
        print(f"\n{result.diff}")
    print(f"\n{len(survived)} of {len(chosen)} changes were not noticed.")
    return int(bool(survived))


def copy_tree() -> None:
    """Copy the files that the tests need."""
    shutil.rmtree(COPY, ignore_errors=True)
    COPY.mkdir(parents=True)
    for name in COPIED:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, COPY / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, COPY / name)


def tests_of(module: str) -> Path:
    """Return the tests of a module: the file or folder of ``tests/unit`` that mirrors it most closely."""
    mirror = Path("tests/unit", module)
    mirror = mirror.with_name(f"test_{mirror.name.lstrip('_')}") if mirror.suffix else mirror
    while not mirror.exists():
        mirror = mirror.parent
    return mirror


if __name__ == "__main__":
    sys.exit(main())
