"""What it costs to wait for many runs at once, and how late their ends are noticed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from benchmarks.measuring import CONN_ID, Bench, create_runs, create_task, emulator, probe, quantile

DOCUMENTED_PER_MINUTE = 100
# What this provider may ask where nothing limits it: more than it needs.
FREE_PER_MINUTE = 600
KINDS = ("ours", "yardstick")
SENSORS = {
    "ours": ("airflow_provider_online_tasks.sensors.runs", "OnlineTaskRunSensor"),
    "peer": ("airflow.providers.arize_ax.sensors.arize_ax", "ArizeAxTaskRunSensor"),
}


def wait(bench: Bench, kind: str, count: int, *, limited: bool, most_seconds: float | None = None) -> Any:
    """Have one process wait for runs at an emulator of its own.

    :param kind: ``ours`` or ``yardstick``.
    :param limited: whether the emulator enforces the documented limit.
    :param most_seconds: how long at most, in place of the sizes' own.
    """
    sizes = bench.sizes
    with emulator(queries_per_minute=DOCUMENTED_PER_MINUTE if limited else None) as arize:
        task_id = create_task(arize)
        before = [(run_id, task_id) for run_id in arize.create_runs(task_id, 2, (0.0, 0.0))]
        runs = create_runs(arize, count, sizes)
        arize.clear_requests()
        found = probe(
            bench.ours,
            "wait",
            arize=arize,
            extra={} if limited else {"requests_per_minute": FREE_PER_MINUTE},
            kind=kind,
            before=before,
            runs=runs,
            conn_id=CONN_ID,
            poll_interval=sizes.poll_interval,
            most_seconds=most_seconds or sizes.most_seconds,
        )
        # The first was for what the process was made ready with.
        _, *requests = [one for one in arize.requests() if one["operation"].startswith("rest.")]
        noticed = found.pop("noticed_at")
        late = lateness(arize, noticed)
    return {
        "kind": kind,
        "waits": count,
        "tasks": len({task for _, task in runs}),
        "limited": limited,
        "requests": len(requests),
        "refused": sum(one["status"] == 429 for one in requests),
        "not_noticed": count - len(noticed),
        "late_median": quantile(late, 0.5) if late else None,
        "late_p99": quantile(late, 0.99) if late else None,
        "late_most": max(late, default=None),
        "cpu_seconds": found["cpu_seconds"],
        "memory_before": found["memory_before"],
        "memory_peak": found["memory_peak"],
        "loop_delay_median": quantile(found["loop_delays"], 0.5),
        "loop_delay_p99": quantile(found["loop_delays"], 0.99),
        "loop_delay_most": max(found["loop_delays"]),
    }


def lateness(arize: Any, noticed: dict[str, float]) -> list[float]:
    """Return how many seconds after each run's end its event came."""
    ended = {run["id"]: run["finished_at"] for run in arize.runs()}
    return [at - ended[run_id] for run_id, at in noticed.items()]


def together(*measured: Any) -> list[Any]:
    """Run measurements side by side: what else the machine does meets all of them."""
    with ThreadPoolExecutor(len(measured)) as pool:
        return [one.result() for one in [pool.submit(call) for call in measured]]


def sense(bench: Bench, side: str) -> list[dict[str, Any]]:
    """Have sensors wait, a process each, at an emulator without limits."""
    module, sensor = SENSORS[side]
    with emulator() as arize:
        sizes = bench.sizes
        made = create_runs(arize, sizes.sensors, sizes, seconds=sizes.sensed_seconds)
        runs = [run for run, _ in made]
        arize.clear_requests()
        found = probe(
            bench.sides[side],
            "sensors",
            arize=arize,
            module=module,
            sensor=sensor,
            runs=runs,
            poll_interval=bench.sizes.poll_interval,
        )["sensors"]
        requests = arize.requests("rest.*")
        late = lateness(arize, {one["run_id"]: one["noticed_at"] for one in found})
    return [
        {
            "cpu_seconds": one["cpu_seconds"],
            "memory": one["memory"],
            "late": after,
            "requests": len(requests) / len(found),
        }
        for one, after in zip(found, late, strict=True)
    ]


def measure(bench: Bench) -> dict[str, Any]:
    """Wait with this provider's triggers and with the yardstick's, side by side; then by sensors."""
    count = bench.sizes.compared[-1]
    rows = []
    for limited in (True, False):
        rows += together(*(partial(wait, bench, kind, count, limited=limited) for kind in KINDS))
    sides = list(bench.sides)
    sensors = dict(zip(sides, together(*(partial(sense, bench, side) for side in sides)), strict=True))
    return {"rows": rows, "sensors": sensors, "sizes": described(bench)}


def described(bench: Bench) -> dict[str, Any]:
    """Return what was waited for."""
    sizes = bench.sizes
    return {
        "run_seconds": sizes.run_seconds,
        "poll_interval": sizes.poll_interval,
        "most_seconds": sizes.most_seconds,
        "runs_per_task": sizes.runs_per_task,
        "limit": DOCUMENTED_PER_MINUTE,
    }
