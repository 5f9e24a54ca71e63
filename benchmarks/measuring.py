"""What the measurements share: probes in processes of their own, emulators, and how figures are written."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.client import Client
from airflow_provider_online_tasks.api.settings import Settings
from airflow_provider_online_tasks.emulator import EmulatorProcess, EmulatorSettings
from airflow_provider_online_tasks.inputs import EvalTaskInput
from benchmarks.environments import (
    CONSTRAINTS,
    FIGURES,
    OURS,
    OUTPUT,
    PEER,
    PEER_DISTRIBUTION,
    THE_PEER,
    pinned,
)
from benchmarks.sizes import FULL, TINY, Sizes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BENCHMARKS = Path(__file__).resolve().parent
# Every operator and hook of this provider uses it when nothing else is said.
CONN_ID = "arize_online_tasks_default"
PROBE_SECONDS = 900
INLINE = {
    "template_evaluators": {
        "name": "tone",
        "rails": ["polite", "rude"],
        "template": "Is {attributes.output.value} polite or rude?",
    },
    "llm_config": {"model_name": "GPT_4o", "provider": "openAI"},
}


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What is measured, and where.

    :param sizes: how much.
    :param ours: the interpreter of an environment with this provider.
    :param peer: the interpreter of an environment with the peer, if there is one.
    :param output: the folder for what is found.
    """

    sizes: Sizes
    ours: Path
    peer: Path | None
    output: Path

    @classmethod
    def of(cls, *, tiny: bool) -> Bench:
        """Return a bench on the environments of the measurements, or a tiny one on this one alone."""
        if tiny:
            return cls(sizes=TINY, ours=Path(sys.executable), peer=None, output=OUTPUT / "tiny")
        return cls(sizes=FULL, ours=OURS.python, peer=THE_PEER.python, output=FIGURES)

    @property
    def sides(self) -> dict[str, Path]:
        """The providers that are measured, and their interpreters."""
        return {"ours": self.ours} | ({"peer": self.peer} if self.peer else {})

    def pairs(self, count: int) -> Iterator[tuple[str, Path]]:
        """Yield the sides alternately, so that what else the machine does meets both; which first, too."""
        for number in range(count):
            yield from list(self.sides.items())[:: 1 if number % 2 else -1]


def probe(
    python: Path,
    script: str,
    *,
    arize: EmulatorProcess | str | None = None,
    extra: dict[str, Any] | None = None,
    **told: Any,
) -> Any:
    """Run a script of ``probes/`` in a fresh process, and return what it found.

    :param arize: what the connections of both providers lead to.
    :param extra: what the connection of this provider says besides.
    :param told: what the script is told.
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
        if arize is not None:
            environment |= connections(arize if isinstance(arize, str) else arize.url, extra or {})
        given, found, log = (Path(folder) / name for name in ("given.json", "found.json", "log"))
        given.write_text(json.dumps(told))
        command = [str(python), str(BENCHMARKS / "probes" / f"{script}.py"), str(given), str(found)]
        started = time.perf_counter()
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
            raise SystemExit(f"{script} ended with {ended.returncode}:\n{log.read_text()[-4000:]}")
        return {"process_seconds": time.perf_counter() - started, **json.loads(found.read_text())}


API_KEY = "ak-bench-0000"


def connections(url: str, extra: dict[str, Any]) -> dict[str, str]:
    """Return the Airflow connections that lead both providers to a host."""
    ours = {"conn_type": "arize_online_tasks", "host": url, "password": API_KEY, "extra": extra}
    peer = {
        "conn_type": "arize_ax",
        "host": url.removeprefix("http://"),
        "password": API_KEY,
        "extra": {"api_scheme": "http"},
    }
    named = {CONN_ID: ours, "arize_ax_default": peer}
    return {f"AIRFLOW_CONN_{name.upper()}": json.dumps(fields) for name, fields in named.items()}


@contextlib.contextmanager
def emulator(**settings: Any) -> Iterator[EmulatorProcess]:
    """Start an emulator without limits in a process of its own, and stop it."""
    unlimited = {"queries_per_minute": None, "mutations_per_minute": None, "api_key": API_KEY}
    with EmulatorProcess(EmulatorSettings(**unlimited | settings)) as arize:
        yield arize


def client(arize: EmulatorProcess) -> Client:
    """Return a client for what has to be there before anything is measured."""
    return Client(Settings.of_connection(host=arize.url, api_key=API_KEY, extra={}, conn_id=CONN_ID))


def create_task(arize: EmulatorProcess, name: str = "measured", **evaluators: Any) -> str:
    """Create an online task and return its ID.

    :param evaluators: its evaluators, in place of one that is written in the task.
    """
    given = {
        "model_id": arize.project_id,
        "name": name,
        "run_continuously": False,
        **(evaluators or INLINE),
    }
    with client(arize) as sending:
        task = EvalTaskInput.read(given)
        return sending.send(calls.create_eval_task(task, sending.settings.sampling_rate_unit)).id


def create_runs(
    arize: EmulatorProcess, count: int, sizes: Sizes, *, seconds: tuple[float, float] | None = None
) -> list[tuple[str, str]]:
    """Start runs that only pass through their states; return their IDs with those of their tasks.

    :param seconds: how long they take, in place of the sizes' own.
    """
    made: list[tuple[str, str]] = []
    for number in itertools.count():
        if len(made) >= count:
            return made
        task = create_task(arize, f"task {number}")
        of_task = min(sizes.runs_per_task, count - len(made))
        made += [(run, task) for run in arize.create_runs(task, of_task, seconds or sizes.run_seconds)]
    raise AssertionError("the count is reached")


def versions(bench: Bench) -> dict[str, str]:
    """Return the versions of what is measured."""
    from airflow_provider_online_tasks import __version__

    found = {"this provider": __version__, "Airflow": pinned("apache-airflow")}
    if bench.peer:
        found |= {PEER_DISTRIBUTION: pinned(PEER_DISTRIBUTION, PEER), "arize": pinned("arize", PEER)}
    for name in ("requests", "httpx", "gql"):
        found[name] = pinned(name, CONSTRAINTS)
    return found


def save(name: str, bench: Bench, data: Any, *, began: float) -> None:
    """Write what a measurement found, with how it came about."""
    written = {
        "measurement": name,
        "command": f"make bench ONLY={name}",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "seconds": round(time.monotonic() - began, 1),
        "versions": versions(bench),
        "machine": f"Python {platform.python_version()}, {platform.system()}, {os.cpu_count()} cores",
        "data": data,
    }
    (bench.output / f"{name}.json").write_text(json.dumps(written) + "\n")


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that a share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
