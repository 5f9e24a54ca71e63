"""Check what users write with both type checkers: mypy --strict and pyright.

``example_dags``, ``tests/types/right.py`` and the Python in README and the documentation have to be clean. In
``tests/types/wrong.py`` each line that says ``# wrong`` has to be refused, and no other.

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
# `create >> run` is how DAGs are written.
STRICT = {"typeCheckingMode": "strict", "reportUnusedExpression": False}
IN_DAGS = {"typeCheckingMode": "standard", "reportUnusedExpression": False}
# What a page shows is a part of a file, and its tests have no types.
IN_PAGES = {
    **IN_DAGS,
    "reportUndefinedVariable": False,
    "reportMissingImports": False,
    "reportOptionalSubscript": False,  # Airflow fills in what a task's function has as None
}
MYPY_IN_PAGES = (
    "--allow-untyped-defs",
    "--allow-incomplete-defs",
    "--allow-untyped-calls",
    "--disable-error-code=name-defined",
    "--disable-error-code=import-not-found",
)
# Airflow converts the params of a DAG in a way that pyright does not follow.
OF_AIRFLOW = re.compile('"dict\\[str, (Param|str)\\]" .* "ParamsDict"')

Errors = dict[tuple[Path, int], str]


def mypy(*paths: Path, options: tuple[str, ...] = ()) -> Errors:
    """Return what mypy says about each line."""
    always = ("--strict", "--no-error-summary", "--hide-error-context")
    said = subprocess.run(
        [sys.executable, "-m", "mypy", *always, *options, *paths],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    if said.returncode not in (0, 1):
        sys.exit(f"mypy failed.\n{said.stdout}{said.stderr}")
    found = re.finditer(r"^(.+?):(\d+): error: (.+)$", said.stdout, re.MULTILINE)
    return {(PROJECT / one[1], int(one[2])): one[3] for one in found}


def pyright(command: list[str], settings: Mapping[str, object], *paths: Path) -> Errors:
    """Return what pyright says about each line."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "pyrightconfig.json"
        config.write_text(json.dumps({**settings, "include": [str(path) for path in paths]}))
        said = subprocess.run(
            [*command, "--outputjson", "--pythonpath", sys.executable, "--project", str(config)],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
        )
    try:
        answer = json.loads(said.stdout)
    except ValueError:
        sys.exit(f"pyright failed.\n{said.stdout}{said.stderr}")
    if not answer["summary"]["filesAnalyzed"]:
        sys.exit("pyright looked at no file.")
    return {
        (Path(one["file"]), one["range"]["start"]["line"] + 1): one["message"]
        for one in answer["generalDiagnostics"]
        if one["severity"] == "error" and not OF_AIRFLOW.search(one["message"])
    }


def write_blocks(folder: Path) -> list[Path]:
    """Write the Python of the pages to a file for each block, at the lines where its page has it."""
    written = []
    for block in blocks("python"):
        file = folder / f"{block.page.stem.replace('-', '_')}_md_{block.line}.py"
        file.write_text("\n" * (block.line - 1) + block.code, encoding="utf-8")
        written.append(file)
    return written


def wrong_lines() -> set[int]:
    """Return the lines that have to be refused."""
    lines = WRONG.read_text(encoding="utf-8").splitlines()
    return {number for number, line in enumerate(lines, 1) if "# wrong" in line}


def main(command: list[str]) -> int:
    """Run both and say what is not as it has to be."""
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
            f"{path.stem}, line {line}: {checker} refuses what a page shows: {message}"
            for (path, line), message in found.items()
        ]
    for checker, (about_right, about_wrong) in checkers.items():
        for (path, line), message in about_right.items():
            problems.append(f"{path.relative_to(PROJECT)}:{line}: {checker} refuses right code: {message}")
        refused = {line for path, line in about_wrong if path == WRONG}
        problems += [f"{WRONG.name}:{line}: {checker} accepts wrong code" for line in sorted(wrong - refused)]
        problems += [
            f"{WRONG.name}:{line}: {checker} refuses a line that is not marked as wrong"
            for line in sorted(refused - wrong)
        ]
    fine = (
        f"User code: mypy and pyright agree, accept the Python of the pages ({len(shown)} blocks), and "
        f"refuse {len(wrong)} wrong lines."
    )
    print("\n".join(problems) or fine)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
