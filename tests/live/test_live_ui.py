"""``make ui`` shows a week of evals in Airflow's UI until Ctrl-C, and leaves nothing running."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import requests

from tests.support.deployment import family_of, kill_all, until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.live, pytest.mark.since_airflow("3.1", "a place for pages")]

PROJECT = Path(__file__).parents[2]
FILL_SECONDS = 300
DAYS = 7


class Shown:
    """The command, and what it prints."""

    def __init__(self) -> None:
        # As a shell starts it in the background: with Ctrl-C ignored.
        command = ["sh", "-c", 'trap \'\' INT; exec "$0" "$@"', sys.executable, "scripts/ui.py"]
        self.process = subprocess.Popen(
            command,
            cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, start_new_session=True,
        )  # fmt: skip
        self.lines: list[str] = []

    def until(self, text: str) -> str:
        """Read on until a line holds the text, and return all that was printed."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if text in line:
                return "".join(self.lines)
        pytest.fail(f"It ended:\n{''.join(self.lines)}")


@pytest.fixture
def shown() -> Iterator[Shown]:
    shown = Shown()
    try:
        yield shown
    finally:
        if shown.process.poll() is None:
            kill_all(family_of(shown.process.pid))
        shown.process.wait()


def test_make_ui_serves_evals_until_interrupted(shown: Shown) -> None:
    said = shown.until("Ctrl-C stops everything.")
    [page] = re.findall(r"(http\S+/plugin/arize-evals)", said)
    url = page.removesuffix("/plugin/arize-evals")

    def ask(path: str) -> Any:
        with requests.Session() as session:
            session.trust_env = False
            token = session.get(f"{url}/auth/token", timeout=60).json()["access_token"]
            answer = session.get(f"{url}{path}", headers={"Authorization": f"Bearer {token}"}, timeout=60)
            answer.raise_for_status()
            return answer.json()

    def windows() -> set[str]:
        records = ask("/arize-evals/api/history?dag_id=gated_eval")["records"]
        return {one["start"] for one in records}

    until("each day is on the Evals page", lambda: len(windows()) == DAYS, seconds=FILL_SECONDS)
    family = family_of(shown.process.pid)
    assert len(family) > 4
    shown.process.send_signal(signal.SIGINT)

    assert shown.process.wait(60) == 0
    assert shown.until("Stopped.")
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not [each for each in alive if each.status() != psutil.STATUS_ZOMBIE]
    log = (PROJECT / ".demo" / "airflow.log").read_text(errors="replace")
    assert "XCom not found" not in log
    assert "HTTP 429" not in log
