"""``airflow online-tasks doctor``, on Airflow versions where providers can have commands (3.2 and later)."""

from __future__ import annotations

import json
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


@pytest.mark.slow
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


FORMS = [
    pytest.param(
        [str(Path(sys.executable).with_name("airflow")), "online-tasks", "doctor"],
        marks=pytest.mark.since_airflow("3.2", "commands of providers"),
    ),
    [sys.executable, "-m", "airflow_provider_online_tasks.diagnostics"],
]


@pytest.mark.slow
@pytest.mark.dag
@pytest.mark.parametrize("command", FORMS)
def test_doctor_finds_connection_in_database(arize: Emulator, command: list[str]) -> None:
    from airflow.models import Connection
    from airflow.utils.session import create_session

    fields = json.loads(arize.connection_json)
    fields["extra"] = json.dumps(fields["extra"])
    with create_session() as session:
        session.add(Connection(conn_id="made_in_the_ui", **fields))
    try:
        result = subprocess.run(
            [*command, "--conn-id", "made_in_the_ui"],
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    finally:
        with create_session() as session:
            session.query(Connection).filter_by(conn_id="made_in_the_ui").delete()
    assert result.returncode == 0, result.stdout + result.stderr


def test_command_exits_with_doctors_code(arize: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "client")  # restored afterwards
    for conn_id, code in (("arize_online_tasks_default", 0), ("no_such_connection", 3)):
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
