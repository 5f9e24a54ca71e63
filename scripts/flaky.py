"""Run the unit tests again and again on a busy machine, and name those that fail now and then.

``make flaky`` calls it. Some runs go side by side, so that they are each other's load; where few are left,
processes that only count keep the processors as busy. Each run draws its own examples.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator

TESTS = ("tests/unit", "tests/integration/events/test_task_runs_trigger.py")
SELECTED = ("-m", "not slow and not dag and not live", "-p", "no:cacheprovider", "-q", "--tb=short")
# Tests wait now and then: this many runs give a load of about eight.
SIDE_BY_SIDE = 10
RUN_SECONDS = 3600
SHOWN = 4_000


class Runs:
    """Runs of the tests, some at a time.

    :param times: how many.
    :param tests: the files and folders.
    """

    def __init__(self, times: int, tests: list[str]) -> None:
        self.failed: Counter[str] = Counter()
        self._times, self._tests = times, tests
        self._begun = self._ended = 0
        self._over = False
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[str]] = set()

    def go_on(self) -> None:
        """Run the tests until they have run often enough; then be load for those that still run."""
        while number := self._next():
            with self._process("-m", "pytest", *SELECTED, *self._tests) as process:
                try:
                    printed, _ = process.communicate(timeout=RUN_SECONDS)
                except subprocess.TimeoutExpired:
                    process.terminate()
                    printed, _ = process.communicate()
            if self._over:
                return
            self._note(number, process.returncode, printed)
        with self._process("-c", "while True: pass") as process:
            process.wait()

    def end(self) -> None:
        """End what runs."""
        with self._lock:
            self._over = True
            for process in self._processes:
                process.terminate()

    def _next(self) -> int | None:
        with self._lock:
            if self._over or self._begun >= self._times:
                return None
            self._begun += 1
            return self._begun

    @contextlib.contextmanager
    def _process(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        with self._lock:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            self._processes.add(process)
            if self._over:
                process.terminate()
        try:
            yield process
        finally:
            with self._lock:
                self._processes.remove(process)

    def _note(self, number: int, code: int, printed: str) -> None:
        names = re.findall(r"^(?:FAILED|ERROR) (\S+)", printed, re.MULTILINE)
        with self._lock:
            self.failed.update(names or (["a run of pytest"] if code else []))
            self._ended += 1
            last = printed.rstrip().rpartition("\n")[2]
            say(f"run {number} of {self._times}: {last} (load {os.getloadavg()[0]:.1f})")
            if code:
                say(printed[-SHOWN:])
        if self._ended >= self._times:
            self.end()


def main() -> int:
    """Run them and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("times", nargs="?", type=int, default=20)
    parser.add_argument("--tests", nargs="+", default=list(TESTS))
    options = parser.parse_args()
    runs = Runs(options.times, options.tests)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # or the processes would outlive it
    threads = [threading.Thread(target=runs.go_on) for _ in range(SIDE_BY_SIDE)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        runs.end()
    for name, count in runs.failed.most_common():
        say(f"failed in {count} of {options.times} runs: {name}")
    return int(bool(runs.failed))


def say(line: str) -> None:
    """Print at once."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
