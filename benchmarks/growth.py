"""How the cost of waiting grows with the number of waits."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.figures import read
from benchmarks.waiting import described, together, wait

if TYPE_CHECKING:
    from benchmarks.measuring import Bench

# A round of a hundred tasks takes this many times longer than a small one.
LONGER = 3


def measure(bench: Bench) -> dict[str, Any]:
    """Wait for ever more runs; those that ``waiting`` has measured already are taken from there."""
    before = read(bench.output, "waiting") or {"data": {"rows": []}}
    # One request for each run and poll would never end with the limit.
    rows = [row for row in before["data"]["rows"] if row["limited"] == (row["kind"] == "ours")]
    *small, largest = bench.sizes.waits
    wanted = [("ours", count) for count in small]
    wanted += [("yardstick", count) for count in bench.sizes.compared if count in small]
    there = {(row["kind"], row["waits"]) for row in rows}
    rows += together(
        partial(wait, bench, "ours", largest, limited=True, most_seconds=LONGER * bench.sizes.most_seconds),
        *(
            partial(wait, bench, kind, count, limited=kind == "ours")
            for kind, count in wanted
            if (kind, count) not in there
        ),
    )
    rows.sort(key=lambda row: (row["kind"], row["waits"]))
    return {"rows": rows, "sizes": described(bench)}
