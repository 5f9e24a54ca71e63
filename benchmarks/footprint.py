"""What an installation adds to an environment that has Airflow."""

from __future__ import annotations

from importlib.metadata import distributions
from typing import TYPE_CHECKING, Any

from benchmarks.environments import BARE, DISTRIBUTION, OURS, THE_PEER

if TYPE_CHECKING:
    from benchmarks.environments import Environment
    from benchmarks.measuring import Bench


def sizes(environment: Environment) -> dict[str, dict[str, int]]:
    """Return the bytes of each package, with its bytecode and as its wheel has it."""
    found: dict[str, dict[str, int]] = {}
    for one in distributions(path=[str(environment.packages)]):
        files = {
            file.resolve() for file in (environment.packages / name for name in map(str, one.files or ()))
        }
        files = {file for file in files if file.is_file()}
        compiled = {
            pyc
            for file in files
            if file.suffix == ".py"
            for pyc in file.parent.glob(f"__pycache__/{file.stem}.*.pyc")
        }
        source = sum(file.stat().st_size for file in files if file.suffix != ".pyc")
        bytecode = sum(file.stat().st_size for file in compiled)
        found[one.metadata["Name"].lower().replace("_", "-")] = {
            "source": source,
            "installed": source + bytecode,
        }
    return found


def measure(_: Bench) -> dict[str, Any]:
    """Compare what is installed with what Airflow alone has."""
    alone = sizes(BARE)
    added = {}
    for side, environment in (("ours", OURS), ("peer", THE_PEER)):
        here = sizes(environment)
        grown = {
            name: {kind: size - alone.get(name, {}).get(kind, 0) for kind, size in here[name].items()}
            for name in here
            if here[name] != alone.get(name)
        }
        added[side] = {"packages": grown, "new": sorted(set(here) - set(alone))}
    return {"airflow": alone, "added": added, "own": DISTRIBUTION}
