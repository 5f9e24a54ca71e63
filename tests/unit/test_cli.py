"""The doctor as a command of Airflow's own command line, where providers can have some (3.2 and later)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator


@pytest.mark.since_airflow("3.2", "commands of providers")
@pytest.mark.dag
def test_airflow_has_the_doctor(arize: Emulator, tmp_path: Path) -> None:
    result = subprocess.run(
        [str(Path(sys.executable).with_name("airflow")), "online-tasks", "doctor", "--conn-id", "mine"],
        env={**os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW_CONN_MINE": arize.connection_json},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{arize.url} accepts the key" in result.stdout


def test_its_commands_load_next_to_nothing() -> None:
    """Airflow loads them for each of its own commands."""
    code = (
        "import sys; from airflow_provider_online_tasks.cli import run_doctor; "
        "print([name for name in ('airflow', 'graphql', 'gql', 'requests') if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert found.stdout.strip() == "[]"
