"""An Airflow deployment in which each component is a process that a test can kill."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import psutil
import requests
from cryptography.fernet import Fernet

from tests.support.airflow_home import create_database

T = TypeVar("T")

# Names of processes and their Airflow commands.
COMPONENTS: Mapping[str, tuple[str, ...]] = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
MIGRATE_SECONDS, START_SECONDS, STOP_SECONDS = 180, 180, 5
# Longer than any state change takes on a busy machine; it only bounds failures.
PATIENCE = 300.0
LOG_TAIL = 6_000
SHOWN_TASK_LOGS = 6

# With Airflow's defaults, it takes minutes to notice a crash; with these, seconds.
QUICK = {
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.3",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "12",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "2",
    # On a busy machine, the first response of the API server takes longer than the default timeout.
    "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "30",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "6",
}


class ServerError(RuntimeError):
    """Airflow's REST API returned a status of 500 or above."""


class Deployment:
    """An Airflow with an API server, a scheduler with its workers, a DAG processor and a triggerer.

    :param home: an empty folder for its database and logs.
    :param dags: the folder of its DAGs.
    :param environment: further environment variables, such as ``AIRFLOW_CONN_…``.

    Use it in a ``with`` statement, which stops all processes.
    """

    components = COMPONENTS
    # The component whose processes run the tasks.
    workers: tuple[str, ...] = ("scheduler",)

    def __init__(self, home: Path, *, dags: Path, environment: Mapping[str, str]) -> None:
        self.home = home
        self.url = f"http://127.0.0.1:{free_port()}"
        self._dags = dags
        self._environment = self._airflow_environment(environment)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._session = requests.Session()
        self._session.trust_env = False

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _airflow_environment(self, more: Mapping[str, str]) -> dict[str, str]:
        own = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AIRFLOW_", "_AIRFLOW_", "COVERAGE", "COV_"))
        }
        settings = {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__API__BASE_URL": self.url,
            # Otherwise, the API of Airflow 3.0 shows XComs as text.
            "AIRFLOW__API__ENABLE_XCOM_DESERIALIZE_SUPPORT": "True",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": self.url.rpartition(":")[2],
            # Components that start at the same time in a new home would each generate their own secrets.
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(64),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(64),
            "AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode(),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__CORE__AUTH_MANAGER": (
                "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"
            ),
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(self._dags),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            # On a busy machine, five seconds (the default) are too short to wait for another writer.
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home / 'airflow.db'}?timeout=120",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.home / "logs"),
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "NO_PROXY": "127.0.0.1",
            "PYTHONUNBUFFERED": "1",
        }
        return own | settings | self._settings() | dict(more)

    def _settings(self) -> dict[str, str]:
        """Return the settings of this kind of deployment."""
        return {"AIRFLOW__CORE__EXECUTOR": "LocalExecutor", "AIRFLOW__CORE__PARALLELISM": "8"} | QUICK

    # Processes ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start all components; return when they are healthy and the DAGs are parsed."""
        self._create_database()
        for component in self.components:
            self.start_component(component)
        until("the API server responds", self._log_in, seconds=START_SECONDS)
        until("all components are healthy", self._is_healthy, seconds=START_SECONDS)
        files = len(list(self._dags.glob("*.py")))
        until("the DAGs are parsed", lambda: self._dag_files() == files, seconds=START_SECONDS)

    def _create_database(self) -> None:
        create_database(self.home / "airflow.db")

    def stop(self) -> None:
        """Stop all processes with SIGTERM, and then with SIGKILL."""
        family = [each for component in self._processes for each in self.family(component)]
        for process in self._processes.values():
            process.terminate()
        psutil.wait_procs(family, timeout=STOP_SECONDS)
        for component in list(self._processes):
            self.kill(component)
        kill_all(family)
        self._session.close()

    def start_component(self, component: str) -> None:
        """Start a component that is not running."""
        with self._log_file(component).open("ab") as log:
            self._processes[component] = subprocess.Popen(
                [sys.executable, "-m", "airflow", *self.components[component]],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def run_command(
        self, name: str, *command: str, seconds: float, environment: Mapping[str, str] | None = None
    ) -> None:
        """Run an Airflow command and append its output to the log ``name``.

        :param environment: further environment variables.
        :raises CalledProcessError: if it fails.
        """
        with self._log_file(name).open("ab") as log:
            subprocess.run(
                [sys.executable, "-m", "airflow", *command],
                env=self._environment | dict(environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=seconds,
                check=True,
            )

    def kill(self, component: str) -> None:
        """Kill a component and its child processes with SIGKILL, as the loss of its host does."""
        family, process = self.family(component), self._processes.pop(component)
        kill_all(family)
        process.wait(STOP_SECONDS)

    def family(self, component: str) -> list[psutil.Process]:
        """Return the process of a component and its child processes; the scheduler's are the workers."""
        return family_of(self._processes[component].pid)

    def _is_healthy(self) -> bool:
        for component, process in self._processes.items():
            if (code := process.poll()) is not None:
                raise RuntimeError(f"The {component} ended with exit code {code}.\n{self.log(component)}")
        health = self.ask("GET", "monitor/health")
        return {part["status"] for part in health.values()} == {"healthy"}

    def _dag_files(self) -> int:
        errors = self.ask("GET", "importErrors")["import_errors"]
        if errors:
            raise RuntimeError(f"A DAG cannot be imported:\n{errors[0]['stack_trace']}")
        return len({dag["fileloc"] for dag in self.ask("GET", "dags")["dags"]})

    # Logs ----------------------------------------------------------------------------------------------

    def _log_file(self, component: str) -> Path:
        return self.home / f"{component}.log"

    def log(self, component: str) -> str:
        """Return the end of a component's log."""
        file = self._log_file(component)
        return file.read_text(errors="replace")[-LOG_TAIL:] if file.exists() else ""

    def task_logs(self, part: str = "", *, since: float = 0.0) -> dict[str, str]:
        """Return the logs of tasks and triggers, by file, that changed after a time.

        :param part: a text that the path must contain.
        """
        files = sorted((self.home / "logs").glob("dag_id=*/**/*.log*"))
        return {
            str(file.relative_to(self.home / "logs")): file.read_text(errors="replace")
            for file in files
            if part in str(file) and file.stat().st_mtime >= since
        }

    def add_logs(self, sections: list[tuple[str, str]], *, since: float) -> None:
        """Add the logs that changed after a time to the report of a test."""
        sections += [(f"{component} log", self.log(component)) for component in self.components]
        logs = list(self.task_logs(since=since).items())
        sections += [(name, text[-LOG_TAIL:]) for name, text in logs[:SHOWN_TASK_LOGS]]

    # REST API -----------------------------------------------------------------------------------------------

    def _log_in(self) -> bool:
        try:
            # The first request creates the workers' part of the API, which takes a while.
            self._session.get(f"{self.url}/execution/health", timeout=START_SECONDS).raise_for_status()
            answer = self._session.get(f"{self.url}/auth/token", timeout=START_SECONDS)
        except requests.ConnectionError:
            return False
        answer.raise_for_status()
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return True

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Call Airflow's REST API and return the response; None if it is empty."""
        answer = self._session.request(method, f"{self.url}/api/v2/{path}", json=body, timeout=PATIENCE)
        if not answer.ok:
            problem = ServerError if answer.status_code >= 500 else RuntimeError
            raise problem(f"{method} {path}: {answer.status_code} {answer.text[:1000]}")
        return answer.json() if answer.content else None

    def trigger(self, dag_id: str, run_id: str | None = None, /, **conf: Any) -> DagRun:
        """Start a run of a DAG; Airflow generates its ID if ``run_id`` is missing."""
        body = {"logical_date": None, "conf": conf} | ({"dag_run_id": run_id} if run_id else {})
        started = self.ask("POST", f"dags/{dag_id}/dagRuns", body)
        return DagRun(deployment=self, dag_id=dag_id, run_id=started["dag_run_id"])


@dataclass(frozen=True)
class DagRun:
    """A run of a DAG whose task is called ``run``."""

    deployment: Deployment
    dag_id: str
    run_id: str

    @property
    def path(self) -> str:
        """Its path in Airflow's REST API."""
        return f"dags/{self.dag_id}/dagRuns/{self.run_id}"

    @property
    def state(self) -> str:
        """The state of the DAG run."""
        return str(self.deployment.ask("GET", self.path)["state"])

    def instances(self) -> list[dict[str, Any]]:
        """Return its task instances from the REST API."""
        answer = self.deployment.ask("GET", f"{self.path}/taskInstances?limit=100")
        return list(answer["task_instances"])

    @property
    def task(self) -> dict[str, Any]:
        """Its only task instance."""
        [instance] = self.instances()
        return instance

    def until(self, state: str, *, try_number: int = 1, seconds: float = PATIENCE) -> dict[str, Any]:
        """Wait until the task instance's try is in a state, and return the task instance.

        :raises AssertionError: if the task ends in another state, or on a timeout.
        """

        def arrived() -> dict[str, Any] | None:
            task = self.task
            if task["state"] == state and task["try_number"] == try_number:
                return task
            assert self.state in {"queued", "running"} or state in {"success", "failed"}, task
            return None

        what = f"try {try_number} of {self.dag_id} is {state}"
        return until(what, arrived, seconds=seconds, show=lambda: self.task)

    def until_over(self, seconds: float = PATIENCE) -> str:
        """Wait until the DAG run has finished, and return its state."""
        return until(
            f"{self.dag_id} has finished",
            lambda: state if (state := self.state) in {"success", "failed"} else None,
            seconds=seconds,
            show=self.instances,
        )

    def until_waiting(self, state: str) -> None:
        """Wait until the task is in a state, and the task or its trigger has logged a running run."""
        self.until(state)
        until(f"{self.dag_id} waits", lambda: self.logged("is RUNNING"), show=lambda: self.task)

    def mark(self, state: str) -> None:
        """Set the task's state, as the UI does."""
        self.deployment.ask("PATCH", f"{self.path}/taskInstances/run", {"new_state": state})

    def clear(self) -> None:
        """Clear the task, as the UI does."""
        body = {"dry_run": False, "only_failed": False, "dag_run_id": self.run_id, "task_ids": ["run"]}
        self.deployment.ask("POST", f"dags/{self.dag_id}/clearTaskInstances", body)

    def kill_worker(self) -> None:
        """Kill the worker that runs the task, and the task's process, with SIGKILL."""
        kill_all(self._worker())

    @contextlib.contextmanager
    def suspended_worker(self) -> Iterator[psutil.Process]:
        """Suspend the worker that runs the task, and the task's process, which the context gets."""
        processes = self._worker()
        for process in processes:
            process.suspend()
        try:
            yield processes[-1]
        finally:
            for process in processes:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.resume()

    def _worker(self) -> list[psutil.Process]:
        """Return the worker that runs the task, and the task's process."""
        task = psutil.Process(self.task["pid"])
        worker = task.parent()
        # Only touch processes of this deployment.
        assert worker is not None
        assert any(worker in self.deployment.family(name) for name in self.deployment.workers), worker
        return [worker, task]

    def pause(self, *, is_paused: bool = True) -> None:
        """Pause the DAG, so that Airflow starts none of its tasks."""
        self.deployment.ask("PATCH", f"dags/{self.dag_id}", {"is_paused": is_paused})

    def logged(self, text: str) -> bool:
        """Return whether a log of the task or of its trigger contains a text."""
        logs = self.deployment.task_logs(f"run_id={self.run_id}/")
        return any(text in log for log in logs.values())


def until(
    what: str,
    look: Callable[[], T | None],
    *,
    seconds: float = PATIENCE,
    show: Callable[[], object] = lambda: None,
) -> T:
    """Wait until ``look`` returns something true, and return that.

    :raises AssertionError: on a timeout; the message contains the result of ``show``.
    """
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"Not within {seconds:g} s: {what}. {show() or ''}")
        time.sleep(0.3)
    return seen


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def family_of(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def kill_all(processes: Iterable[psutil.Process]) -> None:
    """Kill processes; psutil checks the start time, so that a reused PID is not killed."""
    processes = list(processes)
    for process in processes:
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=STOP_SECONDS)
