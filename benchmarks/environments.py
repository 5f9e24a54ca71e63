"""The virtual environments to measure: Airflow alone, with this provider, and with the peer."""

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
OUTPUT = PROJECT / ".tmp" / "bench"
# The measured figures are committed, so that each clone can write the table.
FIGURES = PROJECT / "benchmarks" / "found"
CONSTRAINTS = PROJECT / "constraints.txt"
PAGE = PROJECT / "docs" / "performance.md"
PACKAGE = PROJECT / "airflow_provider_online_tasks"
PEER = PROJECT / "benchmarks" / "peer.txt"
DISTRIBUTION, PEER_DISTRIBUTION = "airflow-provider-online-tasks", "arize-ax-airflow-provider"


@dataclass(frozen=True)
class Environment:
    """A virtual environment in ``.venv-bench/``."""

    name: str

    @property
    def folder(self) -> Path:
        """Its folder."""
        return PROJECT / ".venv-bench" / self.name

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def packages(self) -> Path:
        """Its site-packages."""
        [folder] = self.folder.glob("lib/python*/site-packages")
        return folder

    def install(self, *arguments: str, key: str) -> None:
        """Create the environment, unless it exists with the same arguments and key.

        :param arguments: arguments for ``uv pip install``.
        :param key: further content that the installation depends on.
        """
        stamp = self.folder / ".installed"
        wanted = hashlib.sha256("\n".join([sys.version, key, *arguments]).encode()).hexdigest()
        if stamp.exists() and stamp.read_text() == wanted:
            return
        print(f"Creating {self.folder.relative_to(PROJECT)}", flush=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(self.folder)], check=True)
        uv("pip", "install", "--python", str(self.python), *arguments)
        stamp.write_text(wanted)


BARE, OURS, THE_PEER = Environment("bare"), Environment("ours"), Environment("peer")


def uv(*arguments: str) -> None:
    """Run the project's uv. It compiles bytecode, as pip does."""
    command = [str(Path(sys.executable).with_name("uv")), *arguments[:2], "--quiet", *arguments[2:]]
    subprocess.run(command, check=True, env=os.environ | {"UV_COMPILE_BYTECODE": "1"})


def make_all() -> None:
    """Create the environments that are missing or outdated."""
    constraints = CONSTRAINTS.read_text()
    airflow = f"apache-airflow=={pinned('apache-airflow')}"
    BARE.install("--constraints", str(CONSTRAINTS), airflow, key=constraints)
    THE_PEER.install("--requirements", str(PEER), key=PEER.read_text())
    wheels = OUTPUT / "wheel"
    shutil.rmtree(wheels, ignore_errors=True)
    build = ("build", "--wheel", "--python", sys.executable, "--build-constraints", str(CONSTRAINTS))
    uv(*build, "--out-dir", str(wheels), str(PROJECT))
    [wheel] = wheels.glob("*.whl")
    code = hashlib.sha256()
    for file in sorted(PACKAGE.rglob("*.*")):
        if file.suffix != ".pyc":
            code.update(file.read_bytes())
    OURS.install("--constraints", str(CONSTRAINTS), airflow, str(wheel), key=constraints + code.hexdigest())


def pinned(name: str, file: Path = CONSTRAINTS) -> str:
    """Return the version of a package in a requirements file."""
    pin = re.search(rf"^{re.escape(name)}==([^\s;]+)", file.read_text(), re.MULTILINE)
    if pin is None:
        raise SystemExit(f"{file.name} doesn't pin {name}.")
    return pin[1]
