"""Run measurements, and write the page from what they found: ``python -m benchmarks [NAME …]``."""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import subprocess
import time

from benchmarks import environments, report
from benchmarks.measuring import Bench, save

NAMES = ("footprint", "parse", "first_call", "warm_call", "results", "waiting", "growth")


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(NAMES)}; default: all")
    parser.add_argument(
        "--tiny", action="store_true", help="only see that it works: a few of each, in this environment alone"
    )
    options = parser.parse_args()
    if not set(options.names) <= set(NAMES):
        parser.error(f"the measurements are {', '.join(NAMES)}")
    names = options.names or NAMES
    bench = Bench.of(tiny=options.tiny)
    if options.tiny:
        shutil.rmtree(bench.output, ignore_errors=True)
    environments.OUTPUT.mkdir(parents=True, exist_ok=True)
    bench.output.mkdir(parents=True, exist_ok=True)
    if options.tiny:
        names = [name for name in names if name != "footprint"]
    else:
        environments.make_all()
    for name in names:
        began = time.monotonic()
        print(f"Measuring {name} …", end=" ", flush=True)
        found = importlib.import_module(f"benchmarks.{name}").measure(bench)
        save(name, bench, found, began=began)
        print(f"{time.monotonic() - began:.0f} s", flush=True)
    if options.tiny:
        report.write(bench.output, bench.output)
    else:
        report.write(bench.output, environments.PAGE.parent)
        draw = [str(environments.DRAWING.python), "-m", "benchmarks.plots"]
        subprocess.run(draw, check=True, cwd=environments.PROJECT, env=os.environ | {"PYTHONPATH": ""})


if __name__ == "__main__":
    main()
