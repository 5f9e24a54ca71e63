"""Change the core's code in many small ways, each in a copy of the project, and count what tests notice.

``make mutants`` calls it. cosmic-ray makes the changes; each is tried against the tests that execute its
line. What no test noticed is written to ``.tmp/mutants.txt``, unless ``tests/mutants/survivors.md`` says why
nothing can notice it.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from changed_copies import PROJECT, Copy, in_copies

PACKAGE = "airflow_provider_online_tasks"
# What is changed, and the tests that are to notice.
CORE = {
    "once": ("tests/unit/once",),
    "waiting": ("tests/unit/waiting", "tests/integration/events/test_task_runs_trigger.py"),
    "results": ("tests/unit/results",),
    "inputs": (
        "tests/unit/inputs",
        "tests/unit/operators",
        "tests/unit/once/eval_task/test_evaluator_versions.py",
        "tests/unit/once/eval_task/test_over_rest.py",
    ),
}
# Measurements, and what starts processes or whole Airflows.
SELECTED = ("-m", "not slow and not dag and not live", "-k", "not next_to_nothing and not test_killed")
OPTIONS = ("-x", "-q", "--show-capture=no", "-p", "no:cacheprovider", "--hypothesis-seed=0")
SURVIVORS = PROJECT / "tests" / "mutants" / "survivors.md"
REPORT = PROJECT / ".tmp" / "mutants.txt"
BASELINE_SECONDS, SECONDS = 3600.0, 120.0
WANTED = 0.9


@dataclasses.dataclass(frozen=True)
class Mutant:
    """A change to a file.

    :param line: where it is.
    :param text: the whole file with the change.
    """

    file: str
    line: int
    operator: str
    text: str

    @property
    def lines(self) -> tuple[str, str]:
        """What the changed line was, and what it is."""
        before = (PROJECT / self.file).read_text(encoding="utf-8").splitlines()
        found = [
            line for line in difflib.ndiff(before, self.text.splitlines()) if line.startswith(("- ", "+ "))
        ]
        old = " ".join(line[2:].strip() for line in found if line.startswith("- "))
        new = " ".join(line[2:].strip() for line in found if line.startswith("+ "))
        return old, new

    @property
    def name(self) -> str:
        """How survivors.md names it: file, old line, new line."""
        old, new = self.lines
        return f"`{self.file.removeprefix(f'{PACKAGE}/')}`: `{old}` → `{new}`"


def main() -> int:
    """Make the changes, try them, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", metavar="PATH", help="such as once, or waiting/budget.py")
    parser.add_argument("--sample", type=int, metavar="N", help="try N of the changes; default: all")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000))
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--mutations", required=True, help="the command that runs scripts/mutations.py")
    options = parser.parse_args()
    total, mutants = make(options.only, options.seed, options.sample, options.mutations.split())
    if not mutants:
        parser.error("nothing to change there")
    say(f"{len(mutants)} of {total} changes, seed {options.seed}")
    folders = sorted({of(mutant) for mutant in mutants})
    began = time.monotonic()
    executed = baseline(folders)
    # What all of them need without a change is enough for a few with one, on a machine as busy as this.
    bound = max(SECONDS, time.monotonic() - began)
    known = SURVIVORS.read_text(encoding="utf-8") if SURVIVORS.exists() else ""
    outcomes: dict[str, list[Mutant]] = defaultdict(list)
    lock = threading.Lock()

    def work(copy: Copy, mutant: Mutant) -> None:
        began = time.monotonic()
        outcome = attempt(copy, mutant, executed, bound)
        if outcome == "survived" and mutant.name in known:
            outcome = "equivalent"
        with lock:
            outcomes[outcome].append(mutant)
            done = sum(map(len, outcomes.values()))
            say(f"{done:>4} {outcome:<10} {time.monotonic() - began:4.0f} s  {mutant.name}:{mutant.line}")

    in_copies(options.processes, mutants, work, warm=True)
    return report(outcomes)


def of(mutant: Mutant) -> str:
    """Return the part of the core that a change is in."""
    return Path(mutant.file).parts[1]


def make(only: list[str], seed: int, sample: int | None, mutations: list[str]) -> tuple[int, list[Mutant]]:
    """Return how many changes there are to the core, or to the files that were named, and those to try."""
    files = [
        str(file.relative_to(PROJECT))
        for folder in CORE
        for file in sorted((PROJECT / PACKAGE / folder).rglob("*.py"))
        if not only or any(str(file.relative_to(PROJECT / PACKAGE)).startswith(one) for one in only)
    ]
    if not files:
        return 0, []
    printed = subprocess.run(
        [
            *mutations,
            str(PROJECT / "scripts" / "mutations.py"),
            f"--seed={seed}",
            *([f"--sample={sample}"] if sample else []),
            *files,
        ],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    total, *changes = printed.stdout.splitlines()
    return int(total), [Mutant(**json.loads(line)) for line in changes]


def baseline(folders: list[str]) -> dict[str, dict[int, list[str]]]:
    """Run the tests without a change; return the tests that execute each line of each file.

    A line that is executed by an import is not among them.
    """
    tests = [test for folder in folders for test in CORE[folder]]
    say(f"Running the tests without a change: {' '.join(tests)}")
    with Copy("unchanged", warm=True) as copy:
        measured = ("--cov", "--cov-context=test", "--cov-report=")
        code, shown = copy.run([*OPTIONS, *SELECTED, *measured, *tests], seconds=BASELINE_SECONDS)
        if code:
            raise SystemExit(f"The tests fail without a change (exit code {code}):\n{shown}")
        return contexts(copy.folder)


def contexts(folder: Path) -> dict[str, dict[int, list[str]]]:
    """Return what coverage has on record in a folder."""
    from coverage import CoverageData

    data: Any = CoverageData(basename=str(folder / ".coverage"))
    data.read()
    found = {}
    for file in data.measured_files():
        by_line = data.contexts_by_lineno(file)
        found[str(Path(file).relative_to(folder))] = {
            line: sorted({name.partition("|")[0] for name in names if name})
            for line, names in by_line.items()
        }
    return found


def attempt(copy: Copy, mutant: Mutant, executed: dict[str, dict[int, list[str]]], seconds: float) -> str:
    """Try a change and return how it went.

    :param seconds: how long its tests may take.
    """
    tests = executed.get(mutant.file, {}).get(mutant.line)
    if tests is None:
        # coverage counts a statement by its first line.
        earlier = [line for line in executed.get(mutant.file, {}) if line < mutant.line]
        tests = executed[mutant.file][max(earlier)] if earlier else []
    chosen = tests or [*SELECTED, *CORE[of(mutant)]]
    with copy.changed(mutant.file, mutant.text):
        code, _ = copy.run([*OPTIONS, *chosen], seconds=seconds)
    match code:
        case 0:
            return "survived"
        case -9:
            return "timed out"
        case _:
            return "killed"


def report(outcomes: dict[str, list[Mutant]]) -> int:
    """Say how many were noticed, and return the exit code."""
    survived = outcomes["survived"]
    noticed = len(outcomes["killed"]) + len(outcomes["timed out"])
    rate = noticed / ((noticed + len(survived)) or 1)
    by_part = Counter(of(mutant) for mutant in survived)
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text("".join(f"- {mutant.name}\n" for mutant in survived), encoding="utf-8")
    equivalent = len(outcomes["equivalent"])
    say(f"\nNoticed: {noticed} of {noticed + len(survived)} ({rate:.0%}), {equivalent} more equivalent.")
    if survived:
        parts = ", ".join(f"{count} in {part}" for part, count in by_part.items())
        say(f"Not noticed: {parts}; they are in {REPORT.relative_to(PROJECT)}.")
    return int(rate < WANTED)


def say(line: str) -> None:
    """Print at once."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
