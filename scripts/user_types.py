"""Check code as users write it with mypy --strict and pyright.

``example_dags``, ``tests/types/right.py`` and the Python blocks of README and docs must have no error. In
``tests/types/wrong.py``, the lines marked ``# wrong``, and only these, must have one.

Usage: ``python scripts/user_types.py COMMAND…``, where the command starts pyright.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support.pages import PROJECT, blocks

RIGHT, WRONG = PROJECT / "tests/types/right.py", PROJECT / "tests/types/wrong.py"
EXAMPLES = PROJECT / "example_dags"
# DAGs contain expressions such as `create >> run`.
STRICT = {"typeCheckingMode": "strict", "reportUnusedExpression": False}
IN_DAGS = {"typeCheckingMode": "standard", "reportUnusedExpression": False}
# A block of a page is a part of a file, and the tests in the docs have no types.
IN_PAGES = {
    **IN_DAGS,
    "reportUndefinedVariable": False,
    "reportMissingImports": False,
    "reportOptionalSubscript": False,  # Airflow replaces the None defaults of a task's function
}
MYPY_IN_PAGES = (
    "--allow-untyped-defs",
    "--allow-incomplete-defs",
    "--allow-untyped-calls",
    "--disable-error-code=name-defined",
    "--disable-error-code=import-not-found",
)
# pyright does not understand how Airflow converts the params of a DAG.
OF_AIRFLOW = re.compile('"dict\\[str, (Param|str)\\]" .* "ParamsDict"')

Errors = dict[tuple[Path, int], str]


def mypy(*paths: Path, options: tuple[str, ...] = ()) -> Errors:
    """Return the errors that mypy reports, by line."""
    always = ("--strict", "--no-error-summary", "--hide-error-context")
    result = subprocess.run(
        [sys.executable, "-m", "mypy", *always, *options, *paths],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode not in (0, 1):
        sys.exit(f"mypy failed.\n{result.stdout}{result.stderr}")
    found = re.finditer(r"^(.+?):(\d+): error: (.+)$", result.stdout, re.MULTILINE)
    return {(PROJECT / one[1], int(one[2])): one[3] for one in found}


def pyright(command: list[str], settings: Mapping[str, object], *paths: Path) -> Errors:
    """Return the errors that pyright reports, by line."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "pyrightconfig.json"
        config.write_text(json.dumps({**settings, "include": [str(path) for path in paths]}))
        result = subprocess.run(
            [*command, "--outputjson", "--pythonpath", sys.executable, "--project", str(config)],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
        )
    try:
        report = json.loads(result.stdout)
    except ValueError:
        sys.exit(f"pyright failed.\n{result.stdout}{result.stderr}")
    if not report["summary"]["filesAnalyzed"]:
        sys.exit("pyright checked no file.")
    return {
        (Path(one["file"]), one["range"]["start"]["line"] + 1): one["message"]
        for one in report["generalDiagnostics"]
        if one["severity"] == "error" and not OF_AIRFLOW.search(one["message"])
    }


def write_blocks(folder: Path) -> list[Path]:
    """Write each Python block of the pages to a file, at the same line numbers as in its page."""
    written = []
    for block in blocks("python"):
        file = folder / f"{block.page.stem.replace('-', '_')}_md_{block.line}.py"
        file.write_text("\n" * (block.line - 1) + block.code, encoding="utf-8")
        written.append(file)
    return written


def wrong_lines() -> set[int]:
    """Return the lines that must have an error."""
    lines = WRONG.read_text(encoding="utf-8").splitlines()
    return {number for number, line in enumerate(lines, 1) if "# wrong" in line}


def main(command: list[str]) -> int:
    """Run both type checkers, print unexpected results and return the exit code."""
    problems: list[str] = []
    wrong = wrong_lines()
    checkers: dict[str, tuple[Errors, Errors]] = {
        "mypy": (mypy(RIGHT, EXAMPLES), mypy(WRONG)),
        "pyright": (
            pyright(command, STRICT, RIGHT) | pyright(command, IN_DAGS, EXAMPLES),
            pyright(command, STRICT, WRONG),
        ),
    }
    with tempfile.TemporaryDirectory() as folder:
        shown = write_blocks(Path(folder).resolve())
        about_pages = {
            "mypy": mypy(*shown, options=MYPY_IN_PAGES),
            "pyright": pyright(command, IN_PAGES, *shown),
        }
    for checker, found in about_pages.items():
        problems += [
            f"{path.stem}, line {line}: unexpected error of {checker}: {message}"
            for (path, line), message in found.items()
        ]
    for checker, (about_right, about_wrong) in checkers.items():
        for (path, line), message in about_right.items():
            problems.append(f"{path.relative_to(PROJECT)}:{line}: unexpected error of {checker}: {message}")
        refused = {line for path, line in about_wrong if path == WRONG}
        problems += [f"{WRONG.name}:{line}: {checker} reports no error" for line in sorted(wrong - refused)]
        problems += [
            f"{WRONG.name}:{line}: unexpected error of {checker}" for line in sorted(refused - wrong)
        ]
    fine = (
        f"mypy and pyright report no errors in user code, including {len(shown)} blocks of the pages, and "
        f"all {len(wrong)} expected errors."
    )
    print("\n".join(problems) or fine)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
