"""``airflow online-tasks doctor``, on Airflow versions where providers can have commands (3.2 and later)."""

from __future__ import annotations

import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_provider_online_tasks.cli import run_doctor

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator


@pytest.mark.since_airflow("3.2", "commands of providers")
@pytest.mark.dag
def test_airflow_command_line_has_doctor(arize: Emulator, tmp_path: Path) -> None:
    result = subprocess.run(
        [
            str(Path(sys.executable).with_name("airflow")),
            "online-tasks",
            "doctor",
            "--conn-id",
            "mine",
            "--all",
        ],
        env={**os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW_CONN_MINE": arize.connection_json},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert arize.url in result.stdout


def test_command_exits_with_doctors_code(arize: Emulator) -> None:
    for conn_id, code in (("arize_online_tasks_default", 0), ("no_such_connection", 2)):
        with pytest.raises(SystemExit) as caught:
            run_doctor(Namespace(conn_id=conn_id, all=False))
        assert caught.value.code == code


def test_module_of_commands_imports_nothing_heavy() -> None:
    """Airflow loads the module for each of its commands."""
    code = (
        "import sys; from airflow_provider_online_tasks.cli import run_doctor; "
        "print([name for name in ('airflow', 'graphql', 'gql', 'requests') if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert result.stdout.strip() == "[]"
