"""Run the tests on every supported Airflow and Python, and print a table.

``make matrix`` calls it. Each combination has a virtual environment in ``.venv-matrix/``, which is kept, and
a log in ``.tmp/matrix/``. Combinations whose Python isn't installed are skipped. The newest Airflow on the
project's own Python isn't part of the matrix, because ``make test`` covers it. A beta version may fail. A
combination that takes too long is stopped and counts as failed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, NamedTuple

PROJECT = Path(__file__).resolve().parents[1]
OUTPUT = PROJECT / ".tmp" / "matrix"
CONSTRAINTS = PROJECT / "constraints.txt"
UV = Path(sys.executable).with_name("uv")
OPTIONS = (
    "-m",
    "not slow and not live",
    *("-p", "no:cacheprovider"),
    *("--numprocesses=logical", "--maxprocesses=8", "--dist=loadfile", "--no-loadscope-reorder"),
    *("-o", "faulthandler_timeout=240"),  # shows in the log where a test hangs
)
EVERYTHING = ("tests/unit", "tests/integration", "tests/browser")
# What a version is most likely to break, for CI.
OTHER_PYTHON = ("operators", "test_provider_info.py")
OLDER_AIRFLOW = (
    *OTHER_PYTHON,
    "runs/polling/test_supervisor_line.py",
    "runs/submission/test_supervisor.py",
    "runs/test_orphaned_runs.py",
    "runs/test_task_fate.py",
    "sensors",
    "triggers",
    "ui",
    "test_task_groups.py",
)
SHOWN_LINES = 150
QUICK_MINUTES, MINUTES = 12, 60


class Cell(NamedTuple):
    """An Airflow on a Python.

    :param airflow: a release.
    :param python: a minor version.
    :param may_fail: whether a failure does not fail the matrix, for an Airflow before its release.
    :param until: install the versions of other packages that were published until this date, which is between
        the Airflow release and the next minor one. None: the versions of constraints.txt.
    """

    airflow: str
    python: str
    until: str | None = None
    may_fail: bool = False

    def requirements(self) -> list[str]:
        """Return the arguments for uv that determine the versions."""
        if self.until is None:
            return ["--constraints", str(CONSTRAINTS), "--build-constraints", str(CONSTRAINTS)]
        # Pre-releases are only installed of packages that are named.
        names = ("apache-airflow", "apache-airflow-core")
        return [*(f"{name}=={self.airflow}" for name in names), "--exclude-newer", self.until]

    def tests(self, *, quick: bool) -> list[str]:
        """Return the tests to run."""
        if not quick:
            return [name for name in EVERYTHING if self.until or name != "tests/browser"]
        if self.until is None:
            chosen = [*OTHER_PYTHON, "../integration/test_example_dags.py"]
        else:
            chosen = [*OLDER_AIRFLOW, "../integration"]
        return [str(Path("tests/unit", name)) for name in chosen]


NEWEST = re.findall(r"^apache-airflow==(\S+)", CONSTRAINTS.read_text(), re.MULTILINE)[0]
CELLS = (
    Cell("3.0.6", "3.11", until="2025-09-10"),
    Cell("3.1.8", "3.11", until="2026-03-20"),
    Cell("3.2.2", "3.11", until="2026-06-10"),
    Cell(NEWEST, "3.12"),
    Cell(NEWEST, "3.13"),
    Cell("3.4.0b2", "3.12", until="2026-12-01", may_fail=True),
)


def run(cell: Cell, *, quick: bool, minutes: float) -> tuple[bool | None, str]:
    """Install a combination and run its tests; return whether they passed, and the last line of the output.

    None instead of a bool: the Python is not installed.
    """
    deadline = time.monotonic() + minutes * 60
    environment = PROJECT / ".venv-matrix" / f"airflow-{cell.airflow}-python-{cell.python}"
    log = OUTPUT / f"{environment.name}.log"
    interpreter = find_python(cell.python)
    if interpreter is None:
        return None, f"Python {cell.python} is not installed"
    python = environment / "bin" / "python"
    tools = ("pytest", "pytest-xdist", "hypothesis", "playwright")
    install: list[str | Path] = [
        UV,
        "pip",
        "install",
        "--quiet",
        "--python",
        python,
        "--editable",
        f"{PROJECT}[emulator]",
    ]
    commands: list[list[str | Path]] = [
        [UV, "venv", "--quiet", "--allow-existing", "--python", interpreter, environment],
        [*install, *tools, *cell.requirements()],
        [python, "-m", "pytest", *OPTIONS, *cell.tests(quick=quick)],
    ]
    with log.open("wb") as output:
        for command in commands:
            code = execute(command, output=output, deadline=deadline)
            if code != 0:
                break
    lines = log.read_text(errors="replace").splitlines() or ["no output"]
    if code is None:
        lines.append(f"stopped after {minutes:g} minutes: a test hangs, or everything is slow")
    if code != 0:
        print("\n".join(lines[-SHOWN_LINES:]), f"Full log: {log.relative_to(PROJECT)}", sep="\n", flush=True)
    return code == 0, lines[-1].strip("= ")


def execute(command: list[str | Path], *, output: IO[bytes], deadline: float) -> int | None:
    """Run a command until the deadline, and return its exit code, or None if it was stopped.

    Its child processes end with it.
    """
    with subprocess.Popen(
        command, cwd=PROJECT, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
    ) as process:
        try:
            return process.wait(max(0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def find_python(version: str) -> str | None:
    """Return an interpreter from the PATH or from pyenv, or None."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for candidate in (f"python{version}", *map(str, pyenv.glob(f"versions/{version}.*/bin/python"))):
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            # pyenv's own python3.12 fails unless that version is selected.
            subprocess.run([candidate, "--version"], check=True, capture_output=True)
            return candidate
    return None


def main() -> int:
    """Run the combinations and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only tests that a version is likely to break")
    parser.add_argument(
        "--minutes",
        type=float,
        help=f"time limit per combination; default: {QUICK_MINUTES} with --quick, else {MINUTES}",
    )
    parser.add_argument("only", nargs="*", metavar="VERSION", help="an Airflow, such as 3.0, or a Python")
    options = parser.parse_args()

    def is_chosen(cell: Cell) -> bool:
        names = (cell.python, cell.airflow, cell.airflow.rpartition(".")[0])
        return any(name in options.only for name in names)

    chosen = [cell for cell in CELLS if not options.only or is_chosen(cell)]
    minutes = options.minutes or (QUICK_MINUTES if options.quick else MINUTES)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    passed, rows = [], []
    for cell in chosen:
        print(f"Airflow {cell.airflow}, Python {cell.python}", flush=True)
        began = time.monotonic()
        has_passed, summary = run(cell, quick=options.quick, minutes=minutes)
        if has_passed is not False or not cell.may_fail:
            passed.append(has_passed)
        verdict = {True: "passed", False: "failed", None: "skipped"}[has_passed]
        seconds = time.monotonic() - began
        rows.append(f"{cell.airflow:<8} {cell.python:<7} {verdict:<8} {seconds:>6.0f} s  {summary}")
    print("Airflow  Python  result     time  tests", *rows, sep="\n")
    return int(False in passed or True not in passed)


if __name__ == "__main__":
    sys.exit(main())
