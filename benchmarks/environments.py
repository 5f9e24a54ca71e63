"""The virtual environments that are measured: Airflow alone, with this provider, and with its peer."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
HERE = PROJECT / ".venv-bench"
OUTPUT = PROJECT / ".tmp" / "bench"
# What the page was written from. It is committed, so that each clone can write the page anew.
FIGURES = PROJECT / "benchmarks" / "found"
CONSTRAINTS = PROJECT / "constraints.txt"
PAGE = PROJECT / "docs" / "performance.md"
PACKAGE = PROJECT / "airflow_provider_online_tasks"
PEER, PLOTS = (PROJECT / "benchmarks" / name for name in ("peer.txt", "plots.txt"))
DISTRIBUTION = "airflow-provider-online-tasks"
PEER_DISTRIBUTION = "arize-ax-airflow-provider"


@dataclass(frozen=True)
class Environment:
    """A virtual environment."""

    name: str

    @property
    def folder(self) -> Path:
        """Where it is."""
        return HERE / self.name

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def packages(self) -> Path:
        """Where its packages are."""
        [found] = self.folder.glob("lib/python*/site-packages")
        return found

    def make(self, *arguments: str, of: str) -> None:
        """Install into it, unless that was done with the same arguments.

        :param arguments: what uv is told to install.
        :param of: what else the installation depends on.
        """
        stamp = self.folder / ".installed"
        wanted = hashlib.sha256("\n".join([sys.version, of, *arguments]).encode()).hexdigest()
        if stamp.exists() and stamp.read_text() == wanted:
            return
        print(f"Making {self.folder.relative_to(PROJECT)}", flush=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(self.folder)], check=True)
        uv("pip", "install", "--python", str(self.python), *arguments)
        stamp.write_text(wanted)


BARE, OURS, THE_PEER, DRAWING = map(Environment, ("bare", "ours", "peer", "plots"))


def uv(*arguments: str) -> None:
    """Run the project's uv."""
    command = [str(Path(sys.executable).with_name("uv")), *arguments[:2], "--quiet", *arguments[2:]]
    # As pip leaves an environment: with bytecode.
    subprocess.run(command, check=True, env=os.environ | {"UV_COMPILE_BYTECODE": "1"})


def make_all() -> None:
    """Make what is missing or has changed."""
    constraints = CONSTRAINTS.read_text()
    airflow = f"apache-airflow=={pinned('apache-airflow')}"
    limited = ("--constraints", str(CONSTRAINTS))
    BARE.make(*limited, airflow, of=constraints)
    THE_PEER.make("--requirements", str(PEER), of=PEER.read_text())
    DRAWING.make("--requirements", str(PLOTS), of=PLOTS.read_text())
    wheels = OUTPUT / "wheel"
    shutil.rmtree(wheels, ignore_errors=True)
    uv(
        *("build", "--wheel", "--python", sys.executable),
        *("--build-constraints", str(CONSTRAINTS), "--out-dir", str(wheels), str(PROJECT)),
    )
    [wheel] = wheels.glob("*.whl")
    code = hashlib.sha256()
    for file in sorted(PACKAGE.rglob("*.*")):
        if file.suffix != ".pyc":
            code.update(file.read_bytes())
    OURS.make(*limited, airflow, str(wheel), of=constraints + code.hexdigest())


def pinned(name: str, file: Path = CONSTRAINTS) -> str:
    """Return the version of a package in a file of requirements."""
    found = re.search(rf"^{re.escape(name)}==([^\s;]+)", file.read_text(), re.MULTILINE)
    if found is None:
        raise SystemExit(f"{file.name} pins no {name}.")
    return found[1]
