"""The provider's commands in the ``airflow`` command line, on Airflow 3.2 and later.

Airflow loads this module for each of its commands, so imports happen when a command runs.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from airflow_provider_online_tasks._defaults import DEFAULT_CONN_ID

if TYPE_CHECKING:
    from airflow.cli.cli_config import CLICommand


def get_commands() -> list[CLICommand]:
    """Return the commands: ``airflow online-tasks doctor``."""
    from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand

    doctor = ActionCommand(
        name="doctor",
        help="check that a connection works and that Arize is what this version expects; changes nothing",
        func=run_doctor,
        args=(
            Arg(  # type: ignore[no-untyped-call]
                ("--conn-id",), default=DEFAULT_CONN_ID, help="Airflow connection (default: %(default)s)"
            ),
            Arg(("--all",), action="store_true", help="print successful checks, too"),  # type: ignore[no-untyped-call]
        ),
    )
    return [GroupCommand(name="online-tasks", help="Arize online tasks", subcommands=(doctor,))]


def run_doctor(options: argparse.Namespace) -> None:
    """Run the doctor and exit with its code."""
    from airflow_provider_online_tasks import diagnostics

    sys.exit(diagnostics.run_doctor(options.conn_id, show_all=options.all))
