"""What a call costs on a session that is open, over the same bytes sent by bare ``requests``."""

from __future__ import annotations

import json
import statistics
from typing import Any

from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.inputs import RunInput
from benchmarks.measuring import API_KEY, CONN_ID, Bench, client, create_task, emulator, probe
from benchmarks.replay import replay


def measure(bench: Bench) -> dict[str, Any]:
    """Make calls in processes of their own, against the emulator and against a replay of its answers."""
    found: dict[str, dict[str, list[Any]]] = {"emulator": {}, "replay": {}}
    with emulator(run_seconds=0) as arize:
        # The peer's SDK reads the task first, and takes none whose evaluators are written in it.
        hub = [{"evaluator_id": next(iter(arize.evaluator_ids.values()))}]
        task_id = create_task(arize, evaluators=hub)
        [run_id] = arize.create_runs(task_id, 1, bench.sizes.run_seconds)
        told: dict[str, Any] = {"run_id": run_id, "task_id": task_id, "conn_id": CONN_ID}
        told["rounds"] = bench.sizes.warm_rounds
        with client(arize) as asking:
            window = {"data_start_time": "2020-01-01", "data_end_time": "2020-01-02"}
            _, started = asking.exchange(
                calls.run_online_task(RunInput.read({"online_task_id": task_id, **window}))
            )
            _, read = asking.exchange(calls.get_task_run(run_id))
            _, task = asking.exchange(calls.get_task(task_id))
        answers = {
            f"GET /v2/task-runs/{run_id}": read.body.decode(),
            f"GET /v2/tasks/{task_id}": task.body.decode(),
            "POST /graphql": started.body.decode(),
            f"POST /v2/tasks/{task_id}/trigger": read.body.decode(),
        }
        with replay(bench.output, answers) as url:
            for side, python in bench.pairs(bench.sizes.warm_processes):
                for server, address in (("emulator", arize.url), ("replay", url)):
                    where: dict[str, Any] = {"url": address, "key": API_KEY, "side": side}
                    samples = probe(python, "warm_call", arize=address, **told, **where)["samples"]
                    medians = {kind: statistics.median(times) for kind, times in samples.items()}
                    found[server].setdefault(side, []).append(medians)
    return {"calls": bench.sizes.warm_rounds * 10, "samples": json.loads(json.dumps(found))}
