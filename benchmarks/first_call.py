"""What a task pays for its first call: the import, the connection, and the call."""

from __future__ import annotations

from typing import Any

from benchmarks.measuring import CONN_ID, Bench, create_runs, emulator, probe
from benchmarks.parse import HEAVY

HOOKS = {
    "ours": ("airflow_provider_online_tasks.hooks.online_tasks", "OnlineTasksHook", CONN_ID),
    "peer": ("airflow.providers.arize_ax.hooks.arize_ax", "ArizeAxHook", "arize_ax_default"),
}


def measure(bench: Bench) -> dict[str, Any]:
    """Read a run's status in fresh processes, by turns with the peer's hook."""
    found: dict[str, list[Any]] = {side: [] for side in bench.sides}
    with emulator() as arize:
        [(run_id, _)] = create_runs(arize, 1, bench.sizes)
        for side, python in bench.pairs(bench.sizes.first_calls):
            module, hook, conn_id = HOOKS[side]
            told: dict[str, Any] = {"module": module, "hook": hook, "conn_id": conn_id}
            told |= {"run_id": run_id, "heavy": HEAVY}
            found[side].append(probe(python, "first_call", arize=arize, **told))
    return {"samples": found}
