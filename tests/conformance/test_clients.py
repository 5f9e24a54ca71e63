"""What each of Arize's clients can do with the emulator, unchanged: the table in docs/emulator.md.

With ``WRITE_TABLE=1`` the table is written; else it has to be the one that is measured.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import EmulatorProcess

pytestmark = pytest.mark.conformance

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "emulator.md"
VENV = Path(sys.prefix)
CAPABILITIES = {
    "projects": "find spaces and projects",
    "evaluators": "evaluators and their versions",
    "tasks": "create, list and get tasks",
    "runs": "start a run and wait for it",
    "spans": "read spans with evaluations",
    "annotations": "annotate spans",
    "integrations": "list AI integrations",
    "queues": "annotation configs, queues and their records",
    "datasets": "create datasets, append and list examples",
    "others": "experiments, prompts",
}
CLIENTS: dict[str, tuple[list[str], dict[str, str]]] = {
    "`arize` 8.61": ([sys.executable, str(HERE / "clients" / "sdk.py")], {}),
    "`arize` 8.50": (
        [sys.executable, str(HERE / "clients" / "sdk.py")],
        {"PYTHONPATH": str(VENV / "arize-8.50")},
    ),
    "`ax` 0.39": ([sys.executable, str(HERE / "clients" / "ax.py")], {}),
    "`@arizeai/ax-client` 1.28": (
        [shutil.which("node") or "node", str(HERE / "clients" / "client.cjs")],
        {"NODE_PATH": str(VENV / "node" / "node_modules")},
    ),
    "`arize-toolkit` 1.0.20": ([sys.executable, str(HERE / "clients" / "toolkit.py")], {}),
}
_measured: dict[str, dict[str, str]] = {}


@pytest.mark.parametrize("client", CLIENTS)
def test_client_matches_the_published_table(client: str, emulator: EmulatorProcess) -> None:
    command, environment = CLIENTS[client]
    outcomes = run(command, environment, emulator)
    _measured[client] = outcomes
    failed = {name: outcome for name, outcome in outcomes.items() if outcome.startswith("no")}
    assert not failed


def test_published_table_is_the_measured_one(emulator: EmulatorProcess) -> None:
    assert list(_measured) == list(CLIENTS)
    table = "\n".join(
        [
            "| | " + " | ".join(CLIENTS) + " |",
            "| --- |" + " --- |" * len(CLIENTS),
            *(
                f"| {what} | " + " | ".join(_measured[client].get(name, "") for client in CLIENTS) + " |"
                for name, what in CAPABILITIES.items()
            ),
        ]
    )
    text = PAGE.read_text(encoding="utf-8")
    marked = re.compile(r"(<!-- clients -->\n).*?(\n<!-- /clients -->)", re.DOTALL)
    if os.environ.get("WRITE_TABLE"):
        PAGE.write_text(marked.sub(lambda found: found[1] + table + found[2], text), encoding="utf-8")
    else:
        assert table in text


def run(command: list[str], environment: dict[str, str], emulator: EmulatorProcess) -> dict[str, str]:
    """Run a client's script and return what it printed: outcomes by capability."""
    given: dict[str, Any] = {
        "url": emulator.url,
        "key": emulator.api_key,
        "space": "Emulated space",
        "space_id": emulator.space_id,
        "project_id": emulator.project_id,
        "integration_id": "TGxtSW50ZWdyYXRpb246MTpxUndY",
        "mappings": {"input": "attributes.input.value", "output": "attributes.output.value"},
        "filter": "attributes.openinference.span.kind = 'AGENT'",
    }
    done = subprocess.run(
        command,
        check=False,
        env={**os.environ, **environment, "GIVEN": json.dumps(given)},
        capture_output=True,
        text=True,
        timeout=3600,  # starting a client takes as long as the machine wants
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('["')]
    assert lines, done.stdout + done.stderr
    return dict(lines)
