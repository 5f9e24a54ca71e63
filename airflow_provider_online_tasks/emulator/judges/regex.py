"""Regular expressions of users, searched in a process that can be stopped: some would take years."""

from __future__ import annotations

import contextlib
import json
import re
import select
import subprocess
import sys
import threading
import time
from typing import Any, Final

from airflow_provider_online_tasks.emulator.judges.verdict import JudgeError

SECONDS: Final = 1.0

_PROGRAM: Final = """
import json, re, sys
for line in sys.stdin:
    pattern, text = json.loads(line)
    print(int(re.search(pattern, text) is not None), flush=True)
"""


class RegexSearcher:
    """Searches texts for patterns, for a second at most; a pattern that took longer is not tried again."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._too_slow: set[str] = set()
        self._lock = threading.Lock()

    def search(self, pattern: str, text: str) -> bool:
        """Return whether a text matches.

        :raises JudgeError: for a pattern that is none, or that takes too long.
        """
        try:
            re.compile(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            raise JudgeError(f"the pattern {pattern!r} is not a regular expression: {error}") from None
        with self._lock:
            if pattern not in self._too_slow:
                answer = self._ask(json.dumps([pattern, text]).encode() + b"\n")
                if answer is not None:
                    return answer.strip() == b"1"
                self._too_slow.add(pattern)
        raise JudgeError(f"the pattern {pattern!r} takes more than {SECONDS:.0f} s on a text")

    def _ask(self, line: bytes) -> bytes | None:
        if self._process is None or self._process.poll() is not None:
            self._process = _started()
        process = self._process
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 -- both are pipes
        process.stdin.write(line)
        process.stdin.flush()
        deadline = time.monotonic() + SECONDS
        if select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return process.stdout.readline()
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()
        self._process = None
        return None


def _started() -> subprocess.Popen[Any]:
    # It ends by itself when this process does: its input is over then.
    return subprocess.Popen(  # noqa: S603 -- this interpreter, the program above
        [sys.executable, "-I", "-c", _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
