"""The first call of a task: import the hook, get the connection, read a run's status."""

from __future__ import annotations

from typing import Any

from benchmarks.measuring import CONN_ID, Bench, create_runs, emulator, probe

HOOKS = {
    "ours": ("airflow_provider_online_tasks.hooks.online_tasks", "OnlineTasksHook", CONN_ID),
    "peer": ("airflow.providers.arize_ax.hooks.arize_ax", "ArizeAxHook", "arize_ax_default"),
}


def measure(bench: Bench) -> dict[str, list[Any]]:
    """Return the samples of each side, taken in alternation."""
    samples: dict[str, list[Any]] = {side: [] for side in bench.sides}
    with emulator() as arize:
        [(run_id, _)] = create_runs(arize, 1, bench.sizes)
        for side, python in bench.pairs(bench.sizes.first_calls):
            module, hook, conn_id = HOOKS[side]
            arguments = {"module": module, "hook": hook, "conn_id": conn_id, "run_id": run_id}
            samples[side].append(probe(python, "first_call", url=arize.url, **arguments))
    return samples
