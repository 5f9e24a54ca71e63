"""Copies of the project in which a change is tried against tests, each with a process that starts them."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self, TypeVar

PROJECT = Path(__file__).resolve().parents[1]
# Of this process: another may try changes at the same time.
COPIES = PROJECT / ".tmp" / f"changed-{os.getpid()}"
SHOWN = 3_000
# What takes seconds to import and is not the project's own.
WARM = (
    "airflow.sdk",
    "ariadne",
    "gql",
    "hypothesis",
    "httpx",
    "requests",
    "sqlalchemy",
    "sqlglot",
    "uvicorn",
)

T = TypeVar("T")


class Copy:
    """A copy of the project's files, and a process that runs tests in it.

    :param name: tells it from other copies.
    :param warm: have imported what takes seconds to import. Airflow reads its settings then, so tests that
        need its database cannot run.

    Use it in a ``with`` statement.
    """

    def __init__(self, name: str, *, warm: bool) -> None:
        self.folder = COPIES / name
        self._warm = warm

    def __enter__(self) -> Self:
        shutil.rmtree(self.folder, ignore_errors=True)
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=True,
        )
        for name in filter(None, listed.stdout.split("\0")):
            source, target = PROJECT / name, self.folder / name
            if source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
        self._process = subprocess.Popen(
            [sys.executable, __file__, *(["warm"] if self._warm else [])],
            cwd=self.folder,
            env=os.environ
            | {
                "AIRFLOW_HOME": str(self.folder / ".tmp" / "airflow"),
                "PYTHONPATH": str(self.folder),
                # A changed file can have the time and the size of the one before.
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            COPIES.rmdir()

    def run(self, arguments: Iterable[str], *, seconds: float) -> tuple[int, str]:
        """Run pytest and return its exit code and the end of what it printed; -9 when it took too long."""
        assert self._process.stdin
        assert self._process.stdout
        asked = {"arguments": list(arguments), "seconds": seconds}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"The process of {self.folder} has ended.")
        said: dict[str, Any] = json.loads(answer)
        return said["code"], said["shown"]

    @contextlib.contextmanager
    def changed(self, file: str, text: str) -> Any:
        """Have another text in a file meanwhile."""
        path = self.folder / file
        before = path.read_text(encoding="utf-8")
        path.write_text(text, encoding="utf-8")
        try:
            yield
        finally:
            path.write_text(before, encoding="utf-8")


def in_copies(count: int, tasks: list[T], work: Callable[[Copy, T], None], *, warm: bool) -> None:
    """Do all tasks, some at a time, each in a copy of the project."""
    left: queue.SimpleQueue[T] = queue.SimpleQueue()
    for task in tasks:
        left.put(task)
    problems: list[BaseException] = []

    def go_on(number: int) -> None:
        try:
            with Copy(str(number), warm=warm) as copy, contextlib.suppress(queue.Empty):
                while not problems:
                    work(copy, left.get_nowait())
        except BaseException as problem:  # noqa: BLE001 -- raised again by the thread that waits
            problems.append(problem)

    threads = [threading.Thread(target=go_on, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]


def serve(*, warm: bool) -> None:
    """Run pytest as often as asked, each time in a fork of this process."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if warm:
        for name in (*WARM, "pytest", "_pytest.assertion.rewrite"):
            importlib.import_module(name)
        # Airflow has read the provider's description; what is tested is imported anew by each fork.
        for name in [name for name in sys.modules if name.startswith("airflow_provider_online_tasks")]:
            del sys.modules[name]
    output = Path(".tmp") / "output"
    output.parent.mkdir(exist_ok=True)
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if not child:
            _run(asked["arguments"], output)
        code = _wait(child, asked["seconds"])
        shown = output.read_text(errors="replace")[-SHOWN:] if output.exists() else ""
        answers.write(json.dumps({"code": code, "shown": shown}) + "\n")
        answers.flush()


def _run(arguments: list[str], output: Path) -> None:
    os.setpgid(0, 0)
    with output.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    import pytest

    code = 1
    try:
        code = int(pytest.main(arguments))
    finally:
        sys.stdout.flush()
        os._exit(code)


def _wait(child: int, seconds: float) -> int:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            break
        time.sleep(0.02)
    else:
        code = -9
    # What its tests have started goes with it.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    if code == -9:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)
    return code


if __name__ == "__main__":
    serve(warm="warm" in sys.argv[1:])
