"""An Airflow home for this process, with a database that is migrated once per checkout.

Migrating a database takes about 20 seconds. The first process that needs one migrates a template in
``.tmp/``; all others copy it. The template's name contains the Airflow version, so that the environments of
the version matrix don't share one.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import secrets
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from importlib import metadata
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
SCRATCH = PROJECT / ".tmp"
MIGRATION_SECONDS = 900


def use_temporary_airflow_home() -> Path:
    """Point Airflow's environment variables to a new folder, which is deleted when the process ends.

    Call this before anything imports Airflow, which reads its environment once. The settings of the
    developer's own Airflow are removed.
    """
    SCRATCH.mkdir(exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="airflow-", dir=SCRATCH))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    (home / "dags").mkdir()
    for name in [name for name in os.environ if name.startswith(("AIRFLOW_", "_AIRFLOW_"))]:
        del os.environ[name]
    os.environ |= {
        "AIRFLOW_HOME": str(home),
        # Airflow's default secret is shorter than its JWT library recommends, which causes a warning.
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(64),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        # Retry after one second instead of five minutes.
        "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{database_of(home)}",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    return home


def database_of(home: Path) -> Path:
    """Return the path of the SQLite database in an Airflow home."""
    return home / "airflow.db"


def create_database(database: Path) -> None:
    """Create a migrated Airflow database by copying the template.

    :param database: a path that doesn't exist yet.
    :raises RuntimeError: if ``airflow db migrate`` fails.
    """
    SCRATCH.mkdir(exist_ok=True)
    version = metadata.version("apache-airflow")
    template = SCRATCH / f"airflow-{version}.db"
    with (SCRATCH / f"airflow-{version}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not template.exists():
            _migrate(template)
    with closing(sqlite3.connect(template)) as source, closing(sqlite3.connect(database)) as target:
        source.backup(target)


def _migrate(template: Path) -> None:
    unfinished = template.with_suffix(".unfinished")
    unfinished.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="airflow-", dir=SCRATCH) as home:
        migration = subprocess.run(
            [sys.executable, "-m", "airflow", "db", "migrate"],
            env={
                **os.environ,
                "AIRFLOW_HOME": home,
                "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{unfinished}",
            },
            capture_output=True,
            text=True,
            timeout=MIGRATION_SECONDS,
            check=False,
        )
    if migration.returncode:
        raise RuntimeError(
            f"`airflow db migrate` failed:\n{migration.stdout[-2000:]}\n{migration.stderr[-4000:]}"
        )
    # Write what SQLite still holds in its write-ahead log before the file is renamed.
    with closing(sqlite3.connect(unfinished)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    unfinished.rename(template)
