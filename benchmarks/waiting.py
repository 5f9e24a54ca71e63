"""Waiting for many runs: requests, CPU, memory, and the delay until the end of a run is noticed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from benchmarks.measuring import CONN_ID, Bench, create_runs, create_task, emulator, probe, quantile

DOCUMENTED_PER_MINUTE = 100
# The request budget of this provider's connection if the emulator has no limit: more than it needs.
UNLIMITED_BUDGET = 600
# The rounds of ten thousand waits take longer, because the documented limit stretches them.
GROWTH_SECONDS_FACTOR = 3


def wait(bench: Bench, kind: str, count: int, *, limited: bool, seconds_factor: int = 1) -> dict[str, Any]:
    """Wait for runs in one process, with a separate emulator.

    :param kind: ``ours``, or ``yardstick`` for one request per run and poll.
    :param limited: whether the emulator enforces the documented limit.
    """
    sizes = bench.sizes
    with emulator(queries_per_minute=DOCUMENTED_PER_MINUTE if limited else None) as arize:
        task_id = create_task(arize)
        warm_up = [(run_id, task_id) for run_id in arize.create_runs(task_id, 2, (0.0, 0.0))]
        runs = create_runs(arize, count, sizes)
        tasks = sorted({task for _, task in runs})
        arize.clear_requests()
        found = probe(
            bench.sides["ours"],
            "wait",
            url=arize.url,
            extra={} if limited else {"requests_per_minute": UNLIMITED_BUDGET},
            kind=kind,
            warm_up=warm_up,
            runs=runs,
            conn_id=CONN_ID,
            poll_interval=sizes.poll_interval,
            max_seconds=sizes.max_seconds * seconds_factor,
        )
        # The first request belongs to the warm-up.
        _, *requests = [request for request in arize.requests() if request["operation"].startswith("rest.")]
        noticed_at = found.pop("noticed_at")
        finished_at = {run["id"]: run["finished_at"] for run in arize.runs()}
        if kind == "ours" and not limited:
            found["floor_cpu_seconds"] = probe(
                bench.sides["ours"], "floor", url=arize.url, tasks=tasks, requests=len(requests)
            )["cpu_seconds"]
    delays = [at - finished_at[run_id] for run_id, at in noticed_at.items()]
    return {
        "kind": kind,
        "waits": count,
        "tasks": len(tasks),
        "limited": limited,
        "requests": len(requests),
        "rejected": sum(request["status"] == 429 for request in requests),
        "not_noticed": count - len(noticed_at),
        "delay_median": quantile(delays, 0.5) if delays else None,
        "delay_p99": quantile(delays, 0.99) if delays else None,
        **found,
    }


def measure(bench: Bench) -> list[dict[str, Any]]:
    """Wait with this provider's trigger and with one request per run and poll, at the same time."""
    rows = []
    for limited in (True, False):
        with ThreadPoolExecutor() as pool:
            waiting = [
                pool.submit(partial(wait, bench, kind, bench.sizes.compared, limited=limited))
                for kind in ("ours", "yardstick")
            ]
            rows += [future.result() for future in waiting]
    return rows


def measure_growth(bench: Bench) -> list[dict[str, Any]]:
    """Wait for more and more runs with this provider, with the documented limit."""
    return [
        wait(bench, "ours", count, limited=True, seconds_factor=GROWTH_SECONDS_FACTOR)
        for count in bench.sizes.waits
    ]
