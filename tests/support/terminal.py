"""A shell in which the commands of a page run unchanged."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

import psutil

STOP_SECONDS = 60
LOG_TAIL = 6_000


class Terminal:
    """A shell and its output.

    Use it in a ``with`` statement, which stops every process that was started in it.

    :param folder: the working directory.
    :param environment: its environment variables.
    :param output: the file for its output.
    """

    def __init__(self, folder: Path, *, environment: Mapping[str, str], output: Path) -> None:
        self._output = output
        self._typed = 0
        with output.open("wb") as shown:
            self._shell = subprocess.Popen(
                ["bash", "--noprofile", "--norc"],
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=shown,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        # Report a failing command in the middle of a block, too.
        self._write("trap 'echo FAILED: $BASH_COMMAND' ERR")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        family = [psutil.Process(self._shell.pid)]
        family += family[0].children(recursive=True)
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in family:
                if process.is_running():
                    process.send_signal(number)
            _, family = psutil.wait_procs(family, timeout=STOP_SECONDS)
        self._shell.wait(STOP_SECONDS)

    def _write(self, text: str) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.write(f"{text}\n".encode())
        self._shell.stdin.flush()

    @property
    def shown(self) -> str:
        """The output so far."""
        return self._output.read_text(encoding="utf-8", errors="replace")

    def start(self, code: str) -> None:
        """Run commands without waiting for the end."""
        self._write(code)

    def run(self, code: str, *, seconds: float) -> tuple[int, str]:
        """Run commands; return the exit code of the last one and their output."""
        before = len(self.shown)
        self._typed += 1
        mark = f"{os.getpid()}-{self._typed}-is-over"
        self._write(f"{code}\necho {mark} $?")
        self.until(mark, lambda: f"{mark} " in self.shown[before:], seconds=seconds)
        shown, _, code_and_more = self.shown[before:].partition(f"{mark} ")
        return int(code_and_more.split()[0]), shown

    def until(self, what: str, is_so: Callable[[], bool], *, seconds: float) -> None:
        """Wait until a condition is true.

        :raises AssertionError: if it is not true in time, or the shell has ended.
        """
        deadline = time.monotonic() + seconds
        while not is_so():
            is_open = self._shell.poll() is None
            assert is_open, f"The terminal was closed before: {what}.\n{self.shown[-LOG_TAIL:]}"
            in_time = time.monotonic() < deadline
            assert in_time, f"Not within {seconds:g} s: {what}.\n{self.shown[-LOG_TAIL:]}"
            time.sleep(0.2)
