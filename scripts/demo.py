"""Run an eval and a gate on a real Airflow against the emulator, and print the results.

``make demo`` calls it. It writes to ``.demo/`` in the checkout, which it empties first, and stops all
processes at the end.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_online_tasks.emulator import DEFAULT_API_KEY, EmulatorControl
from airflow_provider_online_tasks.emulator.handles import connection_fields

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).resolve().parents[1]
DEMO = PROJECT / ".demo"
AIRFLOW_HOME = DEMO / "airflow"
AIRFLOW_LOG = DEMO / "airflow.log"
EMULATOR_LOG = DEMO / "emulator.log"
DAG_ID = "recurring_eval"
GATE_DAG_ID = "quality_gate"
# The share of correct answers that the gate requires; the sample passes.
MIN_CORRECT = 0.2
RUN_SECONDS = 12.0
START_TIMEOUT = 60
MIGRATE_TIMEOUT = 300
DAG_TIMEOUT = 300
LINE_LENGTH = 150


class DemoError(Exception):
    """A step of the demo failed."""


def main() -> int:
    """Run the demo and return its exit code."""
    shutil.rmtree(DEMO, ignore_errors=True)
    (AIRFLOW_HOME / "logs").mkdir(parents=True)
    today = datetime.now(tz=UTC).date()
    try:
        with emulator() as arize:
            say(f"1. The emulator listens on {arize.url}: a local Arize with a week of sample spans.")
            environment = airflow_environment(arize)
            say("2. Airflow creates its database in .demo/airflow.")
            airflow("db migrate", environment, timeout=MIGRATE_TIMEOUT, show=False)
            say(f"3. Airflow runs the DAG {DAG_ID} for {today}. The full log is in .demo/airflow.log:\n")
            airflow(f"dags test {DAG_ID} {today}", environment, timeout=DAG_TIMEOUT, show=True)
            report(arize)
            say(f"\n4. Airflow runs the DAG {GATE_DAG_ID}, which stops a release if the eval fails:\n")
            conf = json.dumps({"min_correct": MIN_CORRECT}, separators=(",", ":"))
            airflow(f"dags test {GATE_DAG_ID} --conf {conf}", environment, timeout=DAG_TIMEOUT, show=True)
            report_gate()
    except DemoError as error:
        say(f"\nThe demo failed: {error}")
        for log in (AIRFLOW_LOG, EMULATOR_LOG):
            show_tail(log)
        return 1
    return 0


def say(text: str) -> None:
    """Print without buffering, so that the lines are in order with the output of other processes."""
    print(text, flush=True)


@contextlib.contextmanager
def emulator(*, run_seconds: float = RUN_SECONDS, spans: Path | None = None) -> Iterator[EmulatorControl]:
    """Start an emulator on a free port, and stop it at the end.

    :param run_seconds: the duration of a run in seconds.
    :param spans: a file of spans to use instead of the sample.
    :raises DemoError: if it does not start in time.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "airflow_provider_online_tasks.emulator"]
    options = [f"--port={port}", f"--run-seconds={run_seconds}", f"--api-key={DEFAULT_API_KEY}"]
    if spans is not None:
        options.append(f"--spans={spans}")
    with EMULATOR_LOG.open("wb") as log:
        process = subprocess.Popen(
            [*command, *options], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        control = EmulatorControl(f"http://127.0.0.1:{port}", DEFAULT_API_KEY)
        wait_until_ready(control, process)
        yield control
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_ready(control: EmulatorControl, process: subprocess.Popen[bytes]) -> None:
    """Wait until the emulator responds.

    :raises DemoError: if it stops, or does not respond in time.
    """
    deadline = time.monotonic() + START_TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            control.info()
            return
        time.sleep(0.1)
    raise DemoError("The emulator did not start.")


def airflow_environment(arize: EmulatorControl) -> dict[str, str]:
    """Return the environment variables of an Airflow in ``.demo/`` that is connected to the emulator."""
    # Without the settings of the user's own Airflow.
    own = {name: os.environ[name] for name in os.environ if not name.startswith(("AIRFLOW_", "_AIRFLOW_"))}
    connection = connection_fields(arize.url, DEFAULT_API_KEY)
    return own | {
        "AIRFLOW_HOME": str(AIRFLOW_HOME),
        "AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT": json.dumps(connection),
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "example_dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        # Retry after one second instead of five minutes.
        "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
        # On a busy machine, five seconds (the default) are too short to wait for another writer.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{AIRFLOW_HOME / 'airflow.db'}?timeout=60",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(AIRFLOW_HOME / "logs"),
        "AIRFLOW__LOGGING__LOG_FORMAT": "   %(asctime)s %(levelname)s %(message)s",
        "AIRFLOW__LOGGING__LOG_TIMESTAMP_FORMAT": "%H:%M:%S",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "AIRFLOW__LOGGING__NAMESPACE_LEVELS": "airflow.task=INFO airflow_provider_online_tasks=INFO",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        # Warnings of Airflow's command line that do not concern this run.
        "PYTHONWARNINGS": "ignore:Could not import graphviz,ignore:Using `httpx` with",
    }


def airflow(arguments: str, environment: dict[str, str], *, timeout: float, show: bool) -> None:
    """Run an Airflow command and append its output to a file.

    :param show: whether to print the output as well.
    :raises DemoError: if it fails or exceeds the timeout.
    """
    command = f"airflow {arguments}"
    process = subprocess.Popen(
        [sys.executable, "-m", *command.split()],
        cwd=PROJECT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    timer = threading.Timer(timeout, process.kill)
    timer.start()
    try:
        assert process.stdout is not None
        with AIRFLOW_LOG.open("a", encoding="utf-8") as log:
            log.write(f"$ {command}\n")
            for line in process.stdout:
                log.write(line)
                if show:
                    say(shortened(line.rstrip("\n")))
        code = process.wait()
        timed_out = not timer.is_alive()
    finally:
        timer.cancel()
        process.kill()
        process.wait()
    if timed_out:
        raise DemoError(f"`{command}` did not finish within {timeout} seconds and was stopped.")
    if code:
        raise DemoError(f"`{command}` ended with exit code {code}.")


def shortened(line: str) -> str:
    """Return a line of a log, shortened to fit on a screen."""
    return line if len(line) <= LINE_LENGTH else f"{line[: LINE_LENGTH - 1]}…"


def report(arize: EmulatorControl) -> None:
    """Print the records of the emulator and of Airflow.

    :raises DemoError: if the records are not those of one evaluated run.
    """
    tasks, runs = arize.tasks(), arize.runs()
    if len(tasks) != 1 or len(runs) != 1:
        raise DemoError(f"Expected one task and one run in the emulator, found {len(tasks)} and {len(runs)}.")
    [task], [run] = tasks, runs
    evaluations = arize.evaluations(run_id=run["id"])
    if run["status"] != "COMPLETED" or not evaluations:
        raise DemoError(f"The run is {run['status']} with {len(evaluations)} evaluations.")

    say("\nIn the emulator\n")
    say(f"   Eval task   {task['name']}   {task['id']}")
    say(f"   Run         {run['id']}")
    say(f"   Spans from  {shown(run['data_start'])} to {shown(run['data_end'])}\n")
    for state, at in (
        ("PENDING", run["created_at"]),
        ("RUNNING", run["started_at"]),
        (run["status"], run["finished_at"]),
    ):
        say(f"   {state:<12}{shown(at, '%H:%M:%S')}   after {at - run['created_at']:4.1f} s")
    counts = {"evaluated": "num_successes", "errors": "num_errors", "skipped": "num_skipped"}
    say("\n   " + "   ".join(f"{word} {run[field]}" for word, field in counts.items()) + "\n")
    for name in sorted({evaluation["name"] for evaluation in evaluations}):
        labels = Counter(item["label"] for item in evaluations if item["name"] == name)
        say(f"   {name:<20}{'spans':>6}{'share':>8}")
        for label, count in labels.most_common():
            share = count / labels.total()
            say(f"     {label:<18}{count:>6}{share:>8.0%}   {'#' * round(share * 40)}")
    say("\nIn Airflow\n")
    for name, state, seconds in task_instances():
        say(f"   {name:<16}{state:<10}{seconds:6.1f} s")


def report_gate() -> None:
    """Print the gate's verdict from Airflow's database.

    :raises DemoError: if there is no verdict.
    """
    query = "SELECT value FROM xcom WHERE dag_id = ? AND task_id = 'gate' AND key = 'return_value'"
    with contextlib.closing(sqlite3.connect(AIRFLOW_HOME / "airflow.db")) as database:
        row = database.execute(query, (GATE_DAG_ID,)).fetchone()
    verdict = json.loads(row[0]) if row else None
    if isinstance(verdict, str):
        verdict = json.loads(verdict)
    if not verdict or not verdict["rules"]:
        raise DemoError("The gate has no verdict.")
    say("\nThe gate\n")
    say(f"   {'evaluator':<22}{'measure':<16}{'rule':<10}{'measured':>10}   verdict")
    for rule in verdict["rules"]:
        outcome = rule["outcome"] if rule["outcome"] == "passed" else rule["outcome"].upper()
        name, measure = rule["evaluator"], rule["measure"]
        say(f"   {name:<22}{measure:<16}{rule['rule']:<10}{rule['measured']:>10.4g}   {outcome}")
    say(f"\n   The release is {'published' if verdict['passed'] else 'stopped'}.")
    say("\nTo see a week of evals in Airflow's UI: make ui")
    say("\nThe labels come from the emulator's offline evaluator: simple rules instead of an LLM.")


def task_instances() -> list[tuple[str, str, float]]:
    """Return name, state and duration in seconds of each task of the DAG run, from Airflow's database."""
    query = (
        "SELECT task_id, state, start_date, end_date FROM task_instance WHERE dag_id = ? ORDER BY start_date"
    )
    with contextlib.closing(sqlite3.connect(AIRFLOW_HOME / "airflow.db")) as database:
        rows = database.execute(query, (DAG_ID,)).fetchall()
    moment = datetime.fromisoformat
    return [(name, state, (moment(end) - moment(start)).total_seconds()) for name, state, start, end in rows]


def shown(seconds: float, form: str = "%Y-%m-%d %H:%M") -> str:
    """Return a time of the emulator's records in a readable form."""
    return f"{datetime.fromtimestamp(seconds, tz=UTC):{form}} UTC"


def show_tail(log: Path, lines: int = 30) -> None:
    """Print the end of a log, if it exists."""
    if log.exists():
        say(f"\nEnd of {log.relative_to(PROJECT)}:\n")
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]:
            say(f"   {line}")


if __name__ == "__main__":
    sys.exit(main())
