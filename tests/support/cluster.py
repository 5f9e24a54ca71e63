"""An Airflow deployment with PostgreSQL, Redis, Celery, and two of each component that can be replicated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from tests.support.deployment import MIGRATE_SECONDS, PATIENCE, DagRun, Deployment, until

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import EmulatorProcess
    from tests.support.services import Postgres, Redis

# Simultaneous tasks per worker.
CONCURRENCY = 8
WORKERS = ("worker-1", "worker-2")
TRIGGERERS = ("triggerer-1", "triggerer-2")
SCHEDULERS = ("scheduler-1", "scheduler-2")

# Let Airflow notice the crash of a worker within seconds instead of minutes.
DETECTION = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "40",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    # Queue a task again that a crashed worker had taken from the queue.
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "40",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "5",
    # On a busy machine, the first response of the API server takes longer than the default timeout.
    "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "30",
}


def _worker(name: str) -> tuple[str, ...]:
    options = ("--celery-hostname", f"{name}@localhost", "--concurrency", str(CONCURRENCY))
    return ("celery", "worker", *options, "--pid", f"{name}.pid", "--skip-serve-logs")


class Cluster(Deployment):
    """An Airflow with two schedulers, two triggerers and two Celery workers.

    :param home: an empty folder for its logs.
    :param dags: the folder of its DAGs.
    :param postgres: its database.
    :param redis: its queue.
    """

    components: Mapping[str, tuple[str, ...]] = {
        "api-server": ("api-server",),
        **dict.fromkeys(SCHEDULERS, ("scheduler", "--skip-serve-logs")),
        "dag-processor": ("dag-processor",),
        **dict.fromkeys(TRIGGERERS, ("triggerer", "--skip-serve-logs")),
        **{name: _worker(name) for name in WORKERS},
    }
    workers = WORKERS

    def __init__(self, home: Path, *, dags: Path, postgres: Postgres, redis: Redis) -> None:
        self.postgres = postgres
        self.redis = redis
        self._started: list[MappedRun] = []
        super().__init__(home, dags=dags, environment={})

    def _settings(self) -> dict[str, str]:
        return {
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self.postgres.url,
            "AIRFLOW__CELERY__BROKER_URL": self.redis.url,
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{self.postgres.url}",
            # Celery does not start as root otherwise.
            "C_FORCE_ROOT": "true",
        } | DETECTION

    def _create_database(self) -> None:
        self.run_command("migrate", "db", "migrate", seconds=MIGRATE_SECONDS)

    def revive(self) -> list[str]:
        """Restart components that have ended, as a supervisor does, and return their names."""
        ended = [name for name, process in self._processes.items() if process.poll() is not None]
        for name in ended:
            self.kill(name)  # and its child processes
        missing = [name for name in self.components if name not in self._processes]
        for name in missing:
            self.start_component(name)
        return missing

    def until_healthy(self) -> None:
        """Wait until all components are healthy; restart those that have ended."""

        def healthy() -> bool:
            self.revive()
            try:
                return self._is_healthy()
            except (requests.RequestException, RuntimeError):
                return False

        until("all components are healthy", healthy, show=lambda: self.log("api-server"))

    def pids(self, component: str) -> list[int]:
        """Return the PIDs of a component and its child processes, its own first."""
        return [process.pid for process in self.family(component)]

    # Connections and DAG runs ------------------------------------------------------------------------------

    def set_connection(self, conn_id: str, arize: EmulatorProcess, *, url: str | None = None) -> None:
        """Create or update a connection to an emulator with its current key."""
        body = {
            "connection_id": conn_id,
            "conn_type": "arize_online_tasks",
            "host": url or arize.url,
            "password": arize.api_key,
            "extra": f'{{"organization_id": "{arize.organization_id}", "space_id": "{arize.space_id}"}}',
        }
        action = {"action": "create", "entities": [body], "action_on_existence": "overwrite"}
        self.ask("PATCH", "connections", {"actions": [action]})

    def start_dag(self, dag_id: str, **conf: Any) -> MappedRun:
        """Start a run of a DAG."""
        run_id = self.trigger(dag_id, **conf).run_id
        self._started.append(MappedRun(deployment=self, dag_id=dag_id, run_id=run_id))
        return self._started[-1]

    def tidy(self) -> None:
        """Wait until all components are healthy, and end and delete the DAG runs of the test.

        The emulator of the next test gives its runs the same IDs, which must not be in Airflow's database.
        """
        self.until_healthy()
        for dag_run in list(self._started):
            self.delete(dag_run)

    def delete(self, dag_run: MappedRun) -> None:
        """End a DAG run and delete it."""
        self._started.remove(dag_run)
        if dag_run.state in {"queued", "running"}:
            self.ask("PATCH", dag_run.path, {"state": "failed"})
        self.ask("DELETE", dag_run.path)


class MappedRun(DagRun):
    """A run of a DAG with a mapped task."""

    def states(self) -> Counter[str | None]:
        """Count the task instances by state."""
        return Counter(each["state"] for each in self.instances())

    def until_all(self, state: str, count: int, *, seconds: float = PATIENCE) -> None:
        """Wait until ``count`` task instances are in a state."""
        what = f"{count} task instances of {self.dag_id} are {state}"
        until(what, lambda: self.states()[state] == count, seconds=seconds, show=self.states)

    def tries(self) -> Counter[int]:
        """Count the task instances by their number of tries."""
        return Counter(each["try_number"] for each in self.instances())

    def mark_all(self, state: str) -> None:
        """Set the state of all task instances with one request, as the UI does."""
        entities = [
            {"task_id": each["task_id"], "map_index": each["map_index"], "new_state": state}
            for each in self.instances()
        ]
        body = {"actions": [{"action": "update", "entities": entities}]}
        answer = self.deployment.ask("PATCH", f"{self.path}/taskInstances", body)
        assert not answer["update"]["errors"], answer

    def delete_task(self) -> None:
        """Delete the only task instance, as the UI does."""
        self.deployment.ask("DELETE", f"{self.path}/taskInstances/run?map_index=0")
