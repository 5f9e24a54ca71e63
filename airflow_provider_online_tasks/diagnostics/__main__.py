"""``python -m airflow_provider_online_tasks.diagnostics``: the doctor for Airflow before 3.2."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from airflow_provider_online_tasks import diagnostics
from airflow_provider_online_tasks._defaults import DEFAULT_CONN_ID


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the arguments, run the doctor, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_online_tasks.diagnostics", description=diagnostics.__doc__
    )
    parser.add_argument(
        "--conn-id", default=DEFAULT_CONN_ID, help="Airflow connection (default: %(default)s)"
    )
    parser.add_argument("--all", action="store_true", help="print successful checks, too")
    options = parser.parse_args(arguments)
    return diagnostics.run_doctor(options.conn_id, show_all=options.all)


if __name__ == "__main__":
    sys.exit(main())
