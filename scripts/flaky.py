"""Run the unit tests again and again while the machine is busy, and name those that fail now and then.

``make flaky`` calls it. Eight processes keep the processors busy meanwhile; each run draws its own examples.
"""

from __future__ import annotations

import argparse
import re
import signal
import subprocess
import sys
from collections import Counter

TESTS = ("tests/unit", "tests/integration/events/test_task_runs_trigger.py")
SELECTED = ("-m", "not slow and not dag and not live", "-p", "no:cacheprovider", "-q", "--tb=short")
LOAD = 8
RUN_SECONDS = 1800
SHOWN = 4_000


def main() -> int:
    """Run them and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("times", nargs="?", type=int, default=20)
    parser.add_argument("--tests", nargs="+", default=list(TESTS))
    options = parser.parse_args()
    failed: Counter[str] = Counter()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # or the busy processes would outlive it
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(LOAD)]
    try:
        for number in range(1, options.times + 1):
            ended = subprocess.run(
                [sys.executable, "-m", "pytest", *SELECTED, *options.tests],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=RUN_SECONDS,
                check=False,
            )
            names = re.findall(r"^(?:FAILED|ERROR) (\S+)", ended.stdout, re.MULTILINE)
            failed.update(names or (["a run of pytest"] if ended.returncode else []))
            last = ended.stdout.rstrip().rpartition("\n")[2]
            say(f"run {number} of {options.times}: {last}")
            if ended.returncode:
                say(ended.stdout[-SHOWN:])
    finally:
        for process in busy:
            process.kill()
            process.wait()
    for name, count in failed.most_common():
        say(f"failed in {count} of {options.times} runs: {name}")
    return int(bool(failed))


def say(line: str) -> None:
    """Print at once."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
