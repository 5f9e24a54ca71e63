"""The megabytes that an installation adds to an environment with Airflow."""

from __future__ import annotations

from importlib.metadata import distributions
from typing import TYPE_CHECKING

from benchmarks.environments import BARE, DISTRIBUTION, OURS, THE_PEER, Environment

if TYPE_CHECKING:
    from benchmarks.measuring import Bench


def sizes(environment: Environment) -> dict[str, int]:
    """Return the bytes of each installed package, with bytecode."""
    found = {}
    for package in distributions(path=[str(environment.packages)]):
        files = {(environment.packages / str(name)).resolve() for name in package.files or ()}
        files |= {
            compiled
            for file in files
            if file.suffix == ".py"
            for compiled in file.parent.glob(f"__pycache__/{file.stem}.*.pyc")
        }
        size = sum(file.stat().st_size for file in files if file.is_file())
        found[package.metadata["Name"].lower().replace("_", "-")] = size
    return found


def measure(bench: Bench) -> dict[str, dict[str, int]]:
    """Return the bytes that each side adds, by package; nothing if there is no peer to compare with."""
    if "peer" not in bench.sides:
        return {}
    airflow = sizes(BARE)
    added = {}
    for side, environment in (("ours", OURS), ("peer", THE_PEER)):
        installed = sizes(environment)
        added[side] = {
            name: size - airflow.get(name, 0) for name, size in installed.items() if size != airflow.get(name)
        }
    assert DISTRIBUTION in added["ours"]
    return added
