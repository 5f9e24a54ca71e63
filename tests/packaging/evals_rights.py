"""Query Airflow's API server with the FAB auth manager as users with few permissions; print JSON.

Needs an environment with FAB, and an empty Airflow home.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path

HOME = Path(os.environ["AIRFLOW_HOME"])
DAGS = ("evals_00", "evals_01")
PASSWORD = "no-secret"
USERS = {
    "reader_of_the_dag": ["DAG:evals_00"],
    "reader_of_the_xcoms": ["DAG:evals_00", "XComs"],
}
DAG_FILE = """
from datetime import datetime
from airflow.sdk import DAG, task
from airflow_provider_online_tasks.results.history import RESULTS_KEY, results_record

for dag_id in {dags!r}:
    with DAG(dag_id, schedule=None, start_date=datetime(2026, 1, 1)) as dag:
        @task
        def read_results(ti=None):
            found = {{"evaluated": 10, "labels": {{"correct": {{"count": 9}}, "incorrect": {{"count": 1}}}}}}
            ti.xcom_push(key=RESULTS_KEY, value=results_record({{"evaluators": {{"correctness": found}}}}))
        read_results()
    globals()[dag_id] = dag
"""


def airflow(*arguments: str) -> None:
    """Run an Airflow command in this process, because importing Airflow takes longer than most commands."""
    from airflow.cli import cli_parser

    command = cli_parser.get_parser().parse_args(arguments)
    with contextlib.redirect_stdout(sys.stderr):
        command.func(command)


def prepare() -> None:
    """Create the database, two DAGs with a record each, and the users."""
    (HOME / "dags").mkdir(parents=True)
    (HOME / "dags" / "evals.py").write_text(DAG_FILE.format(dags=DAGS))
    airflow("db", "migrate")
    airflow("dags", "reserialize")
    for dag_id in DAGS:
        airflow("dags", "test", dag_id)
    airflow("sync-perm", "--include-dags")
    for name, resources in USERS.items():
        airflow("roles", "create", name)
        for resource in resources:
            airflow("roles", "add-perms", name, "-a", "can_read", "-r", resource)
        airflow(
            "users", "create", "--username", name, "--role", name, "--password", PASSWORD,
            "--firstname", "A", "--lastname", "User", "--email", f"{name}@example.com",
        )  # fmt: skip


def ask() -> dict[str, dict[str, object]]:
    """Return the responses to each user."""
    from airflow.api_fastapi.app import create_app
    from fastapi.testclient import TestClient

    server = TestClient(create_app(apps="core"))
    answers: dict[str, dict[str, object]] = {}
    for name in USERS:
        token = server.post("/auth/token", json={"username": name, "password": PASSWORD}).json()
        headers = {"Authorization": f"Bearer {token['access_token']}"}
        answers[name] = {}
        for dag_id in DAGS:
            xcoms = f"/api/v2/dags/{dag_id}/dagRuns/~/taskInstances/~/xcomEntries"
            answers[name][f"REST {dag_id}"] = server.get(xcoms, headers=headers).status_code
            page = server.get(f"/arize-evals/api/history?dag_id={dag_id}", headers=headers)
            answers[name][f"page {dag_id}"] = page.status_code
        overview = server.get("/arize-evals/api/overview", headers=headers)
        answers[name]["overview"] = sorted({one["dag_id"] for one in overview.json()["evaluators"]})
    return answers


if __name__ == "__main__":
    prepare()
    sys.stdout.write(json.dumps(ask()) + "\n")
