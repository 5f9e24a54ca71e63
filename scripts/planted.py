"""Plant known mistakes, one at a time, in a copy of the project, and see that a test notices each.

``make planted`` calls it. The mistakes are in ``tests/mutants/mistakes.py``.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time

from changed_copies import PROJECT, Copy, in_copies

sys.path.insert(0, str(PROJECT / "tests" / "mutants"))

from mistakes import PLANTED, Planted

BASELINE_SECONDS, SECONDS = 3600.0, 180.0
OPTIONS = ("-x", "-q", "--show-capture=no", "-p", "no:cacheprovider", "--hypothesis-seed=0")


def main() -> int:
    """Plant them and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "only", nargs="*", metavar="TEXT", help="part of a file or of a mistake's description"
    )
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    options = parser.parse_args()
    chosen = [one for one in PLANTED if not options.only or any(text in str(one) for text in options.only)]
    problems = [problem for one in chosen if (problem := stale(one))]
    for problem in problems:
        say(problem)
    chosen = [one for one in chosen if not stale(one)]
    tests = sorted({test for one in chosen for test in one.tests})
    began = time.monotonic()
    with Copy("unchanged", warm=False) as copy:
        code, shown = copy.run([*OPTIONS, *tests], seconds=BASELINE_SECONDS)
    # What all of them need without a mistake is enough for a few with one, on a machine as busy as this.
    bound = max(SECONDS, time.monotonic() - began)
    if code:
        how = "take too long" if code == -9 else "fail"
        say(f"The tests {how} without any mistake:\n{shown}")
        return 1

    def plant(copy: Copy, one: Planted) -> None:
        before = (PROJECT / file_of(one)).read_text(encoding="utf-8")
        with copy.changed(file_of(one), before.replace(one.old, one.new)):
            code, shown = copy.run([*OPTIONS, *one.tests], seconds=bound)
        # 1 is a test that failed; 2 to 5 are tests that could not be run.
        noticed = code in {1, -9}
        failed = re.search(r"^FAILED (?:\S*/)?(\S+)", shown, re.MULTILINE)
        by = f"by {failed[1]}" if failed else "by a time-out" if code == -9 else f"exit code {code}"
        say(f"{'noticed' if noticed else 'NOT NOTICED'}: {one.what} ({one.file}, {by})")
        if not noticed:
            problems.append(f"{one.what}: {shown}")

    in_copies(options.processes, chosen, plant, warm=False)
    say(f"{len(chosen)} mistakes planted, {len(problems)} problems.")
    return int(bool(problems) or not chosen)


def file_of(one: Planted) -> str:
    """Return the path of the file in the project."""
    return f"airflow_provider_online_tasks/{one.file}"


def stale(one: Planted) -> str | None:
    """Return why a mistake cannot be planted."""
    path = PROJECT / file_of(one)
    count = path.read_text(encoding="utf-8").count(one.old) if path.exists() else 0
    return None if count == 1 else f"STALE: {one.what}: its text is {count} times in {one.file}: {one.old!r}"


def say(line: str) -> None:
    """Print at once."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
