"""Follow docs/tutorial.md from an empty folder.

Two things differ from the page: an existing environment with the built wheel replaces the installation, and
the ports are free ones.
"""

from __future__ import annotations

import re
import socket
import sqlite3
from contextlib import ExitStack, closing
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

import pytest

from tests.support.pages import DOCS, Block, blocks_of
from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

PAGE = DOCS / "tutorial.md"
STEP_SECONDS, DAG_SECONDS, CHAIN_SECONDS = 120, 180, 300


class Tutorial:
    """The blocks of the page, in order."""

    def __init__(self) -> None:
        self._blocks = [block for block in blocks_of(PAGE) if block.language in ("bash", "python")]

    def commands(self, hint: str) -> str:
        """Return the next block of commands, which contains the hint."""
        block = self._next()
        assert block.language == "bash"
        assert block.title is None
        assert hint in block.code, block.name
        return block.code

    def file(self, folder: Path, title: str) -> Path:
        """Write the next block, which is a file with this title."""
        block = self._next()
        assert block.title == title, block.name
        file = folder / title
        file.write_text(block.code, encoding="utf-8")
        return file

    def _next(self) -> Block:
        return self._blocks.pop(0)

    @property
    def is_over(self) -> bool:
        return not self._blocks


def replaced(code: str, what: str, by: str) -> str:
    assert code.count(what) == 1, what
    return code.replace(what, by)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.slow
def test_tutorial_works_as_written(
    user_environment: Path, users_variables: dict[str, str], tmp_path: Path
) -> None:
    page, evals = Tutorial(), tmp_path / "evals"
    # Airflow's default ports may be in use, and starting 32 workers takes long on a busy machine.
    api = free_port()
    variables = users_variables | {
        "AIRFLOW__API__PORT": str(api),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{api}",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "30",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
    }
    with ExitStack() as open_terminals:

        def terminal(name: str, folder: Path) -> Terminal:
            opened = Terminal(folder, environment=variables, output=tmp_path / f"{name}.txt")
            return open_terminals.enter_context(opened)

        first = terminal("first", tmp_path)

        def succeeds(code: str, *, seconds: float = STEP_SECONDS) -> str:
            exit_code, shown = first.run(code, seconds=seconds)
            assert exit_code == 0, shown[-6000:]
            assert "FAILED:" not in shown, shown[-6000:]
            return shown

        # 1. Install
        install = page.commands("pip install")
        install = replaced(install, "python3 -m venv .venv\n", f"ln -s '{user_environment}' .venv\n")
        succeeds(re.sub(r"^\.venv/bin/pip install .*$", "", install, flags=re.MULTILINE))
        env = page.file(evals, "env.sh")

        # 2. Start a local Arize
        second = terminal("second", evals)
        second.start(replaced(page.commands("emulator"), "8765", str(free_port())))
        second.until("the banner", lambda: "export AIRFLOW_CONN" in second.shown, seconds=STEP_SECONDS)
        (connection,) = re.findall(r"^export AIRFLOW_CONN.*$", second.shown, re.MULTILINE)
        with env.open("a", encoding="utf-8") as file:
            file.write(f"{connection}\n")
        succeeds(page.commands("airflow db migrate"))

        # 3. The eval, and its gate
        page.file(evals, "dags/answer_eval.py")
        shown = succeeds(page.commands("dags test"), seconds=DAG_SECONDS)
        assert re.search(r"^correctness +correct +>= 0.5 .* passed", shown, re.MULTILINE)
        exit_code, shown = first.run(page.commands("0.99"), seconds=DAG_SECONDS)
        assert exit_code != 0
        assert re.search(r"^correctness +correct +>= 0.99 .* FAILED", shown, re.MULTILINE)

        # 4. What comes before, and what comes after
        page.file(evals, "dags/load_answers.py")
        page.file(evals, "dags/release.py")

        # 5. Let it run
        third = terminal("third", evals)
        third.start(page.commands("airflow standalone"))
        third.until("the UI answers", lambda: answers(api), seconds=STEP_SECONDS)
        third.until(
            "the DAGs are read", lambda: has_read(evals, "load_answers", "release"), seconds=STEP_SECONDS
        )
        succeeds(page.commands("dags trigger load_answers"))
        logs = evals / "airflow" / "logs"
        third.until(
            "the release",
            lambda: is_logged(logs, "release", "The new version is out."),
            seconds=CHAIN_SECONDS,
        )
        assert page.is_over
        assert is_logged(logs, "load_answers", "Your pipeline loads answers here.")
        assert is_logged(logs, "answer_eval", ">= 0.5")


def answers(port: int) -> bool:
    """Return whether the API server responds, including its part for workers."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=STEP_SECONDS)) as connection:
        try:
            connection.request("GET", "/execution/health")
            return connection.getresponse().status == HTTPStatus.OK
        except (OSError, HTTPException):
            return False


def has_read(evals: Path, *dag_ids: str) -> bool:
    """Return whether Airflow has parsed the DAGs."""
    with closing(
        sqlite3.connect(f"file:{evals / 'airflow' / 'airflow.db'}?mode=ro", uri=True, timeout=30)
    ) as db:
        return {*dag_ids} <= {row[0] for row in db.execute("select dag_id from dag")}


def is_logged(logs: Path, dag_id: str, text: str) -> bool:
    return any(text in file.read_text(encoding="utf-8") for file in logs.glob(f"dag_id={dag_id}/**/*.log"))
