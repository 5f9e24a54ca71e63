"""Run the tests on every supported Airflow and Python, one after the other, and print a table.

``make matrix`` calls it. Each pair has a virtual environment of its own in ``.venv-matrix/``, kept for the
next time; a Python that this machine does not have is named and left out. What a test run printed is in
``.tmp/matrix/``. The newest Airflow on Python 3.11 is not here: that is what ``make test`` runs on.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

PROJECT = Path(__file__).resolve().parents[1]
ENVIRONMENTS = PROJECT / ".venv-matrix"
OUTPUT = PROJECT / ".tmp" / "matrix"
CONSTRAINTS = PROJECT / "constraints.txt"
TEST_PACKAGES = ("pytest", "pytest-xdist", "hypothesis", "playwright")
# As in the Makefile: the tests of a file run in one process, the longest first.
IN_PROCESSES = ("--numprocesses=logical", "--maxprocesses=8", "--dist=loadfile", "--no-loadscope-reorder")

SUITES = ("unit", "integration", "browser")
NOT_HERE = "not slow and not live"
# What a version of Airflow or Python is likeliest to break, and what .ci/run has the time for.
QUICK_OTHER_PYTHON = (
    "unit/inputs",
    "unit/operators",
    "unit/test_provider_info.py",
    "integration/test_example_dags.py",
)
QUICK_OLDER_AIRFLOW = (
    "unit/inputs",
    "unit/operators",
    "unit/runs",
    "unit/ui",
    "unit/test_provider_info.py",
    "unit/triggers",
    "integration",
)
QUICK_KEYWORDS = "not next_to_nothing"  # a measurement, which takes as long as many tests

INSTALL_SECONDS, TEST_SECONDS = 900, 1800
SHOWN_LINES = 150


@dataclass(frozen=True)
class Cell:
    """An Airflow on a Python.

    :param airflow: the last release of a minor version.
    :param python: the Python's minor version.
    :param until: what was published by then is installed with it, as on the day of its release. None: the
        versions of constraints.txt.
    """

    airflow: str
    python: str
    until: str | None = None

    @property
    def name(self) -> str:
        """What its environment and its log are called."""
        return f"airflow-{self.airflow}-python-{self.python}"

    def is_of(self, version: str) -> bool:
        """Whether it is of an Airflow or Python version."""
        return version in {self.python, self.airflow} or self.airflow.startswith(f"{version}.")

    @property
    def quick_suites(self) -> tuple[str, ...]:
        """What is tested where time is short."""
        return QUICK_OTHER_PYTHON if self.until is None else QUICK_OLDER_AIRFLOW

    @property
    def requirements(self) -> list[str]:
        """What is installed beside the package, as arguments of uv."""
        if self.until is None:
            return ["--constraints", str(CONSTRAINTS), "--build-constraints", str(CONSTRAINTS)]
        return [f"apache-airflow=={self.airflow}", "--exclude-newer", self.until]


def pinned_airflow() -> str:
    """Return the Airflow of constraints.txt."""
    pin = re.search(r"^apache-airflow==(\S+)", CONSTRAINTS.read_text(), re.MULTILINE)
    if pin is None:
        raise SystemExit(f"{CONSTRAINTS.name} pins no apache-airflow.")
    return pin[1]


# The dates are a week or two after each release, before that of the minor version which followed.
CELLS = (
    Cell("3.0.6", "3.11", until="2025-09-10"),
    Cell("3.1.8", "3.11", until="2026-03-20"),
    Cell("3.2.2", "3.11", until="2026-06-10"),
    *(Cell(pinned_airflow(), python) for python in ("3.12", "3.13")),
)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a cell went.

    :param verdict: a word for the table.
    :param is_failure: whether the whole matrix fails for it.
    """

    cell: Cell
    verdict: str
    is_failure: bool = False
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0


def main() -> int:
    """Run the cells and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only what a version is likeliest to break")
    parser.add_argument("only", nargs="*", metavar="VERSION", help="an Airflow, as 3.0, or a Python, as 3.12")
    options = parser.parse_args()
    chosen = [cell for cell in CELLS if not options.only or any(map(cell.is_of, options.only))]
    if not chosen:
        parser.error(f"No such cell. There are: {', '.join(cell.name for cell in CELLS)}.")
    OUTPUT.mkdir(parents=True, exist_ok=True)
    outcomes = [run(cell, quick=options.quick) for cell in chosen]
    show(outcomes)
    return int(
        any(outcome.is_failure for outcome in outcomes) or not any(outcome.passed for outcome in outcomes)
    )


def run(cell: Cell, *, quick: bool) -> Outcome:
    """Install a cell and run its tests."""
    started = time.monotonic()
    interpreter = find_python(cell.python)
    if interpreter is None:
        say(f"{cell.name}: no Python {cell.python} here, left out.")
        return Outcome(cell=cell, verdict="no interpreter")
    say(f"{cell.name}: installing")
    try:
        python = install(cell, interpreter)
    except subprocess.SubprocessError as error:
        say(f"{cell.name}: {error}\n{(getattr(error, 'stderr', None) or '')[-4000:]}")
        return Outcome(
            cell=cell, verdict="not installed", is_failure=True, seconds=time.monotonic() - started
        )
    say(f"{cell.name}: testing")
    return test(cell, python, quick=quick, started=started)


def find_python(version: str) -> str | None:
    """Return an interpreter of a minor version: on the PATH, or among those that pyenv keeps beside it."""
    kept = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    candidates = [shutil.which(f"python{version}"), *map(str, kept.glob(f"{version}.*/bin/python"))]
    for candidate in filter(None, candidates):
        asked = subprocess.run(
            [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        # What pyenv puts on the PATH may stand for a version that is not chosen.
        if asked.returncode == 0 and asked.stdout.strip() == version:
            return candidate
    return None


def install(cell: Cell, interpreter: str) -> Path:
    """Make the cell's environment, or bring it up to date, and return its Python.

    :raises subprocess.SubprocessError: uv fails, or takes too long.
    """
    environment = ENVIRONMENTS / cell.name
    python = environment / "bin" / "python"
    if not python.exists():
        uv("venv", "--python", interpreter, str(environment))
    package = ["--editable", f"{PROJECT}[emulator]"]
    uv("pip", "install", "--python", str(python), *package, *TEST_PACKAGES, *cell.requirements)
    return python


def uv(*arguments: str) -> None:
    """Run the uv that is installed beside this Python, else the one on the PATH."""
    beside = Path(sys.executable).parent / "uv"
    subprocess.run(
        [beside if beside.exists() else "uv", *arguments, "--quiet"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=True,
    )


def test(cell: Cell, python: Path, *, quick: bool, started: float) -> Outcome:
    """Run the cell's tests; what fails is shown."""
    log, report = OUTPUT / f"{cell.name}.log", OUTPUT / f"{cell.name}.xml"
    report.unlink(missing_ok=True)
    # What a browser shows of the newest Airflow, `make test` looks at.
    suites = [
        f"tests/{suite}"
        for suite in (cell.quick_suites if quick else SUITES)
        if cell.until is not None or not suite.startswith("browser")
    ]
    options = [
        "-m",
        NOT_HERE,
        "-k",
        QUICK_KEYWORDS if quick else "",
        f"--junitxml={report}",
        *IN_PROCESSES,
        "-p",
        "no:cacheprovider",
    ]
    with log.open("wb") as output:
        try:
            code = subprocess.run(
                [python, "-m", "pytest", *options, *suites],
                cwd=PROJECT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=TEST_SECONDS,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            code = -1
            output.write(f"\nNot over after {TEST_SECONDS} s.\n".encode())
    seconds = time.monotonic() - started
    counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    if report.exists():
        suite = ET.parse(report).getroot().find("testsuite")
        counts |= {name: int(suite.get(name, 0)) for name in counts} if suite is not None else {}
    failed = counts["failures"] + counts["errors"]
    if code:
        say("".join(log.read_text(errors="replace").splitlines(keepends=True)[-SHOWN_LINES:]))
        say(f"{cell.name}: pytest ended with exit code {code}. All it printed: {log.relative_to(PROJECT)}")
    return Outcome(
        cell=cell,
        verdict="failed" if code else "passed",
        is_failure=code != 0,
        passed=counts["tests"] - failed - counts["skipped"],
        failed=failed,
        skipped=counts["skipped"],
        seconds=seconds,
    )


def show(outcomes: list[Outcome]) -> None:
    """Print the table."""
    say(f"\n{'Airflow':<9} {'Python':<8} {'passed':>7} {'failed':>7} {'skipped':>8} {'seconds':>8}")
    for outcome in outcomes:
        cell = outcome.cell
        numbers = f"{outcome.passed:>7} {outcome.failed:>7} {outcome.skipped:>8} {outcome.seconds:>8.0f}"
        say(f"{cell.airflow:<9} {cell.python:<8} {numbers}   {outcome.verdict}")


def say(line: str) -> None:
    """Print at once."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
