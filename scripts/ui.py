"""Start Airflow with a week of eval history, next to the emulator, until Ctrl-C.

``make ui`` calls it. It writes to ``.demo/`` in the checkout, which it empties first, and stops all processes
at the end.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import demo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DAG_ID = "gated_eval"
DAYS = 7
DAY_SECONDS = 86_400
SAMPLE = demo.PROJECT / "airflow_provider_online_tasks/emulator/spans/sample_spans.jsonl"
START_SECONDS = 240
STOP_SECONDS = 10


def main() -> int:
    """Start everything, wait for Ctrl-C, and return the exit code."""
    shutil.rmtree(demo.DEMO, ignore_errors=True)
    (demo.AIRFLOW_HOME / "logs").mkdir(parents=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # A shell that starts this script in the background makes it ignore Ctrl-C otherwise.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    spans = demo.DEMO / "spans.jsonl"
    write_spans(spans)
    try:
        with demo.emulator(run_seconds=2.0, spans=spans) as arize:
            arize.configure(queries_per_minute=None)  # a week of evals in a minute exceeds Arize's limit
            demo.say(f"1. The emulator listens on {arize.url}: a local Arize with a week of sample spans.")
            environment = ui_environment(demo.airflow_environment(arize))
            demo.say("2. Airflow creates its database in .demo/airflow.")
            demo.airflow("db migrate", environment, timeout=demo.MIGRATE_TIMEOUT, show=False)
            plan(environment)
            with airflow_at_work(environment) as url:
                demo.say(f"3. Airflow listens on {url}, without a login, and evaluates {DAYS} days.")
                demo.say(f"\n   Evals (complete in about a minute):       {url}/plugin/arize-evals")
                demo.say(f"   The DAG:                                  {url}/dags/{DAG_ID}")
                demo.say(f"   The emulator's page:                      {arize.url}/")
                demo.say("\n   Ctrl-C stops everything.")
                while True:
                    time.sleep(1)
    except demo.DemoError as error:
        demo.say(f"\nAirflow's UI could not be started: {error}")
        for log in (demo.AIRFLOW_LOG, demo.EMULATOR_LOG):
            demo.show_tail(log)
        return 1
    except KeyboardInterrupt:
        demo.say("\nStopped.")
    return 0


def write_spans(file: Path) -> None:
    """Write the sample of seven days, and a copy of its last day as an eighth day before it."""
    lines = SAMPLE.read_text(encoding="utf-8").splitlines()
    for line in list(lines):
        span = json.loads(line)
        if span["start_time"] > -DAY_SECONDS:
            for name in ("span_id", "trace_id", "parent_id"):
                span[name] = span[name] and span[name][::-1]
            for name in ("start_time", "end_time"):
                span[name] -= DAYS * DAY_SECONDS
            lines.append(json.dumps(span))
    file.write_text("\n".join(lines), encoding="utf-8")


def ui_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables of an Airflow with a UI on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    return {
        **environment,
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__LOGGING__LOG_FORMAT": "%(asctime)s %(levelname)s %(message)s",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
    }


@contextlib.contextmanager
def airflow_at_work(environment: Mapping[str, str]) -> Iterator[str]:
    """Start the components of Airflow, and stop them and their child processes at the end.

    The API server comes first: tasks that start before it responds fail.

    :raises DemoError: if it does not start in time.
    """
    url = environment["AIRFLOW__API__BASE_URL"]
    with contextlib.ExitStack() as running:
        server = running.enter_context(component("api-server", environment))
        deadline = time.monotonic() + START_SECONDS
        while not answers(f"{url}/api/v2/monitor/health"):
            if server.poll() is not None or time.monotonic() > deadline:
                raise demo.DemoError("Airflow did not start.")
            time.sleep(1)
        for name in ("dag-processor", "triggerer", "scheduler"):
            running.enter_context(component(name, environment))
        yield url


@contextlib.contextmanager
def component(name: str, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Start a component of Airflow, and stop it and its child processes at the end."""
    with demo.AIRFLOW_LOG.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "airflow", name],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that Ctrl-C only reaches this script
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(url: str) -> bool:
    """Return whether a server responds with status 200."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=10) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def plan(environment: dict[str, str]) -> None:
    """Create a backfill of the last days, which Airflow runs when it starts.

    Not while Airflow runs: two simultaneous writers can lock SQLite, which stops the scheduler.

    :raises DemoError: if a command fails.
    """
    today = datetime.now(tz=UTC).date()
    first = today - timedelta(days=DAYS - 1)
    days = f"--from-date {first} --to-date {today}"
    for command in ("dags reserialize", f"backfill create --dag-id {DAG_ID} {days} --max-active-runs 2"):
        demo.airflow(command, environment, timeout=demo.MIGRATE_TIMEOUT, show=False)


if __name__ == "__main__":
    sys.exit(main())
