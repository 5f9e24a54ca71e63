"""Probes in separate processes, emulators, and the files of figures."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks import __version__
from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.client import Client
from airflow_provider_online_tasks.api.settings import Settings
from airflow_provider_online_tasks.emulator import EmulatorProcess, EmulatorSettings
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput
from benchmarks.environments import (
    FIGURES,
    OURS,
    OUTPUT,
    PEER,
    PEER_DISTRIBUTION,
    THE_PEER,
    pinned,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BENCHMARKS = Path(__file__).resolve().parent
CONN_ID = "arize_online_tasks_default"
API_KEY = "ak-bench-0000"
PROBE_SECONDS = 900
INLINE_EVALUATOR = {
    "template_evaluators": {
        "name": "tone",
        "rails": ["polite", "rude"],
        "template": "Is {attributes.output.value} polite or rude?",
    },
    "llm_config": {"model_name": "GPT_4o", "provider": "openAI"},
}


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much to measure.

    :param parses: pairs of processes that import the operators.
    :param first_calls: pairs of processes that make a call.
    :param waits: numbers of simultaneous waits for the growth, ascending.
    :param compared: the number of waits that is compared with one request per run and poll.
    :param runs_per_task: runs of each task.
    :param run_seconds: the shortest and the longest duration of a run.
    :param poll_interval: seconds between two polls of a run.
    :param max_seconds: seconds after which a wait that has not ended counts as not noticed.
    :param spans: numbers of evaluated spans to read, ascending.
    :param emulated_spans: the number of spans to read from the emulator.
    :param reads: how often to repeat each read.
    """

    parses: int = 8
    first_calls: int = 6
    waits: tuple[int, ...] = (10, 100, 1_000, 10_000)
    compared: int = 1_000
    runs_per_task: int = 100
    run_seconds: tuple[float, float] = (30.0, 120.0)
    poll_interval: float = 10.0
    max_seconds: float = 150.0
    spans: tuple[int, ...] = (1_000, 100_000)
    emulated_spans: int = 10_000
    reads: int = 3


TINY = Sizes(
    parses=1,
    first_calls=1,
    waits=(2, 4),
    compared=4,
    runs_per_task=2,
    run_seconds=(0.5, 1.0),
    poll_interval=0.5,
    max_seconds=10.0,
    spans=(500, 1_000),
    emulated_spans=500,
    reads=1,
)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What to measure, and where to store the figures.

    :param sides: the interpreters of the environments with ``ours`` and, unless tiny, the ``peer``.
    :param output: the folder for the figures.
    """

    sizes: Sizes
    sides: dict[str, Path]
    output: Path

    @classmethod
    def of(cls, *, tiny: bool) -> Bench:
        """Return a bench with the measured environments, or a tiny one with only this environment."""
        if tiny:
            return cls(sizes=TINY, sides={"ours": Path(sys.executable)}, output=OUTPUT / "tiny")
        return cls(sizes=Sizes(), sides={"ours": OURS.python, "peer": THE_PEER.python}, output=FIGURES)

    def pairs(self, count: int) -> Iterator[tuple[str, Path]]:
        """Yield the sides in alternating order, so that the machine's load affects both alike."""
        for number in range(count):
            yield from list(self.sides.items())[:: 1 if number % 2 else -1]


def probe(
    python: Path,
    script: str,
    *,
    url: str | None = None,
    extra: dict[str, Any] | None = None,
    **arguments: Any,
) -> Any:
    """Run a script of ``probes/`` in a new process and return its result.

    :param url: the host of the connections of both providers.
    :param extra: further fields of this provider's connection.
    :param arguments: arguments of the script.
    """
    environment = {name: text for name, text in os.environ.items() if not name.startswith("AIRFLOW_")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory(prefix="probe-", dir=OUTPUT) as folder:
        environment |= {
            "AIRFLOW_HOME": folder,
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "PYTHONPATH": str(BENCHMARKS),
        }
        if url is not None:
            environment |= connections(url, extra or {})
        given, found, log = (Path(folder) / name for name in ("arguments.json", "result.json", "log"))
        given.write_text(json.dumps(arguments))
        command = [str(python), str(BENCHMARKS / "probes" / f"{script}.py"), str(given), str(found)]
        with log.open("wb") as output:
            ended = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=folder,
                timeout=PROBE_SECONDS,
                check=False,
            )
        if ended.returncode:
            raise SystemExit(f"{script} exited with {ended.returncode}:\n{log.read_text()[-4000:]}")
        return json.loads(found.read_text())


def connections(url: str, extra: dict[str, Any]) -> dict[str, str]:
    """Return the environment variables with the Airflow connections of both providers."""
    ours = {"conn_type": "arize_online_tasks", "host": url, "password": API_KEY, "extra": extra}
    peer = {
        "conn_type": "arize_ax",
        "host": url.removeprefix("http://"),
        "password": API_KEY,
        "extra": {"api_scheme": "http"},
    }
    fields = {CONN_ID: ours, "arize_ax_default": peer}
    return {f"AIRFLOW_CONN_{name.upper()}": json.dumps(connection) for name, connection in fields.items()}


@contextlib.contextmanager
def emulator(**settings: Any) -> Iterator[EmulatorProcess]:
    """Run an emulator in a separate process, by default without rate limits."""
    unlimited = {"queries_per_minute": None, "mutations_per_minute": None, "api_key": API_KEY}
    with EmulatorProcess(EmulatorSettings(**unlimited | settings)) as arize:
        yield arize


def client(arize: EmulatorProcess) -> Client:
    """Return a client to prepare a measurement with."""
    return Client(Settings.of_connection(host=arize.url, api_key=API_KEY, extra={}, conn_id=CONN_ID))


def create_task(arize: EmulatorProcess, name: str = "measured") -> str:
    """Create an online task with one evaluator and return its ID."""
    fields = {"model_id": arize.project_id, "name": name, "run_continuously": False, **INLINE_EVALUATOR}
    with client(arize) as sending:
        task = EvalTaskInput.read(fields)
        return sending.send(calls.create_eval_task(task, sending.settings.sampling_rate_unit))


def create_runs(arize: EmulatorProcess, count: int, sizes: Sizes) -> list[tuple[str, str]]:
    """Create runs that evaluate nothing; return their IDs with the IDs of their tasks."""
    runs: list[tuple[str, str]] = []
    for number in itertools.count():
        if len(runs) >= count:
            break
        task = create_task(arize, f"task {number}")
        of_task = min(sizes.runs_per_task, count - len(runs))
        runs += [(run, task) for run in arize.create_runs(task, of_task, sizes.run_seconds)]
    return runs


def save(name: str, bench: Bench, data: Any) -> None:
    """Store the figures of a measurement with the machine, the date and the versions."""
    versions = {"this provider": __version__, "Airflow": pinned("apache-airflow")}
    if "peer" in bench.sides:
        versions[PEER_DISTRIBUTION] = pinned(PEER_DISTRIBUTION, PEER)
    figures = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "versions": versions,
        "machine": f"Python {platform.python_version()}, {platform.system()}, {os.cpu_count()} cores",
        "data": data,
    }
    (bench.output / f"{name}.json").write_text(json.dumps(figures, indent=1) + "\n")


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that a share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
