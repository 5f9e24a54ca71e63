"""Run measurements and update the figures in docs/performance.md: ``python -m benchmarks [NAME …]``."""

from __future__ import annotations

import argparse
import shutil
import time

from benchmarks import environments, first_call, footprint, parse, results, table, waiting
from benchmarks.measuring import Bench, save

MEASUREMENTS = {
    "footprint": footprint.measure,
    "parse": parse.measure,
    "first_call": first_call.measure,
    "results": results.measure,
    "waiting": waiting.measure,
    "growth": waiting.measure_growth,
}


def main() -> None:
    """Run the chosen measurements, and write the table from all that are stored."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = ", ".join(MEASUREMENTS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {names}; default: all")
    parser.add_argument("--tiny", action="store_true", help="test the measurements: few samples, no peer")
    options = parser.parse_args()
    unknown = set(options.names) - set(MEASUREMENTS)
    if unknown:
        parser.error(f"unknown measurement: {', '.join(unknown)}; choose from {names}")
    bench = Bench.of(tiny=options.tiny)
    environments.OUTPUT.mkdir(parents=True, exist_ok=True)
    if options.tiny:
        shutil.rmtree(bench.output, ignore_errors=True)
    else:
        environments.make_all()
    bench.output.mkdir(parents=True, exist_ok=True)
    for name in options.names or MEASUREMENTS:
        began = time.monotonic()
        print(f"Measuring {name} …", end=" ", flush=True)
        save(name, bench, MEASUREMENTS[name](bench))
        print(f"{time.monotonic() - began:.0f} s", flush=True)
    figures = table.render(bench.output)
    if options.tiny:
        print(figures)
    else:
        table.update(environments.PAGE, figures)


if __name__ == "__main__":
    main()
