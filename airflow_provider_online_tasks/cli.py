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
    """Return the commands: ``airflow online-tasks doctor`` and ``airflow online-tasks orphaned-runs``."""
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
    orphaned_runs = ActionCommand(
        name="orphaned-runs",
        help="list unfinished runs whose Airflow task ended, for example while its triggerer was dead",
        func=run_orphaned_runs,
        args=(
            Arg(("--conn-id",), help="only runs of this Airflow connection (default: all)"),  # type: ignore[no-untyped-call]
            Arg(("--cancel",), action="store_true", help="cancel these runs"),  # type: ignore[no-untyped-call]
        ),
    )
    commands = (doctor, orphaned_runs)
    return [GroupCommand(name="online-tasks", help="Arize online tasks", subcommands=commands)]


def run_doctor(options: argparse.Namespace) -> None:
    """Run the doctor and exit with its code."""
    from airflow_provider_online_tasks import diagnostics
    from airflow_provider_online_tasks._airflow import find_connections_in_database

    find_connections_in_database()
    sys.exit(diagnostics.run_doctor(options.conn_id, show_all=options.all))


def run_orphaned_runs(options: argparse.Namespace) -> None:
    """List or cancel the orphaned runs, and exit with 0, 1 after an error, or 2 before Airflow 3.3."""
    from airflow_provider_online_tasks._airflow import find_connections_in_database
    from airflow_provider_online_tasks.runs import orphaned_runs

    find_connections_in_database()
    sys.exit(orphaned_runs.run_orphaned_runs(options.conn_id, cancel=options.cancel))
