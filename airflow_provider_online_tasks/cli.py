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
    """Return the commands of ``airflow online-tasks``, such as ``doctor``."""
    from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand

    conn_id = Arg(  # type: ignore[no-untyped-call]
        ("--conn-id",), default=DEFAULT_CONN_ID, help="Airflow connection (default: %(default)s)"
    )
    doctor = ActionCommand(
        name="doctor",
        help="check that a connection works and that Arize is what this version expects; changes nothing",
        func=run_doctor,
        args=(
            conn_id,
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
    estimate = ActionCommand(
        name="estimate",
        help="estimate what a run would evaluate and cost, without starting it",
        func=run_estimate,
        args=(
            Arg(("online_task_id",), help="global ID of the eval task"),  # type: ignore[no-untyped-call]
            Arg(("start",), help="start of the window, such as 2026-01-01T00:00:00Z"),  # type: ignore[no-untyped-call]
            Arg(("end",), help="end of the window"),  # type: ignore[no-untyped-call]
            conn_id,
            Arg(("--max-spans",), type=int, help="maximum number of spans (default: 10000)"),  # type: ignore[no-untyped-call]
            Arg(  # type: ignore[no-untyped-call]
                ("--prices",), help='prices per million tokens: \'{"gpt-4o": {"input": 2.5, "output": 10}}\''
            ),
            Arg(("--from-earlier-runs",), action="store_true", help="send one request; no tokens and cost"),  # type: ignore[no-untyped-call]
            Arg(("--json",), action="store_true", help="print JSON"),  # type: ignore[no-untyped-call]
        ),
    )
    replay = ActionCommand(
        name="replay-gate",
        help="apply rules to earlier results in Airflow's database, and print when they would have failed",
        func=run_replay_gate,
        args=(
            Arg(("dag_id",), help="the DAG"),  # type: ignore[no-untyped-call]
            Arg(("task_id",), help="its EvalResultsOperator"),  # type: ignore[no-untyped-call]
            Arg(("rules",), help='rules on labels: \'{"correctness": {"correct": ">= 0.95"}}\''),  # type: ignore[no-untyped-call]
            Arg(("--labels",), help='all labels: \'{"correctness": ["correct", "incorrect"]}\''),  # type: ignore[no-untyped-call]
            Arg(  # type: ignore[no-untyped-call]
                ("--false-alarms-per-year",), type=float, default=1, help="budget (default: %(default)s)"
            ),
            Arg(("--map-index",), type=int, help="only this index of a mapped task (default: all)"),  # type: ignore[no-untyped-call]
        ),
    )
    commands = (doctor, estimate, orphaned_runs, replay)
    return [GroupCommand(name="online-tasks", help="Arize online tasks", subcommands=commands)]


def run_doctor(options: argparse.Namespace) -> None:
    """Run the doctor and exit with its code."""
    from airflow_provider_online_tasks import diagnostics
    from airflow_provider_online_tasks._airflow import find_connections_in_database

    find_connections_in_database()
    sys.exit(diagnostics.run_doctor(options.conn_id, show_all=options.all))


def run_estimate(options: argparse.Namespace) -> None:
    """Print an estimate, and exit with 0, or with 1 after an error."""
    import json

    from airflow_provider_online_tasks._airflow import AirflowException, find_connections_in_database
    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook

    find_connections_in_database()
    try:
        with OnlineTasksHook(options.conn_id) as hook:
            estimate = hook.estimate_run(
                options.online_task_id,
                data_start_time=options.start,
                data_end_time=options.end,
                max_spans=options.max_spans,
                prices=options.prices,
                from_earlier_runs=options.from_earlier_runs,
            )
    except AirflowException as error:
        sys.exit(f"No estimate: {error}")
    if options.json:
        print(json.dumps(estimate.summary(), indent=2))  # noqa: T201
        return
    lines = [f"{each.name}: {each}" for each in estimate.evaluators]
    print(f"{estimate}", *lines, *estimate.assumptions, sep="\n")  # noqa: T201


def run_orphaned_runs(options: argparse.Namespace) -> None:
    """List or cancel the orphaned runs, and exit with 0, 1 after an error, or 2 before Airflow 3.3."""
    from airflow_provider_online_tasks._airflow import find_connections_in_database
    from airflow_provider_online_tasks.runs import orphaned_runs

    find_connections_in_database()
    sys.exit(orphaned_runs.run_orphaned_runs(options.conn_id, cancel=options.cancel))


def run_replay_gate(options: argparse.Namespace) -> None:
    """Print when rules would have failed, and exit with 0, or with 1 after an error."""
    import json

    from airflow_provider_online_tasks.exceptions import InvalidInput
    from airflow_provider_online_tasks.ui.evals.replay import run_replay

    try:
        lines = run_replay(
            options.dag_id,
            options.task_id,
            json.loads(options.rules),
            labels=json.loads(options.labels or "null"),
            false_alarms_per_year=options.false_alarms_per_year,
            map_index=options.map_index,
        )
        print(*lines, sep="\n")  # noqa: T201
    except (InvalidInput, json.JSONDecodeError) as error:
        sys.exit(f"No replay: {error}")
