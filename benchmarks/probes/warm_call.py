"""Read a run and start one, through a hook and with bare ``requests``, by turns, on open sessions."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import requests
from telling import tell, told

given = told()
url, key, run_id, task_id = (given[name] for name in ("url", "key", "run_id", "task_id"))
WINDOW = datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 2, tzinfo=UTC)
CALLS = 10


def ours() -> dict[str, Callable[[], Any]]:
    from airflow_provider_online_tasks.api import calls
    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
    from airflow_provider_online_tasks.inputs import RunInput

    hook = OnlineTasksHook(given["conn_id"])
    window = {"data_start_time": WINDOW[0], "data_end_time": WINDOW[1]}
    call = calls.run_online_task(RunInput(online_task_id=task_id, **window))
    query = {"query": call.document(), "variables": {"input": dict(call.input)}}
    return {
        "read": lambda: hook.get_task_run(run_id),
        "start": lambda: hook.run_online_task(RunInput(online_task_id=task_id, **window)),
        "bare start": lambda: post(f"{url}/graphql", query, {"x-api-key": key}),
    }


def peer() -> dict[str, Callable[[], Any]]:
    from airflow.providers.arize_ax.hooks.arize_ax import ArizeAxHook

    hook = ArizeAxHook()
    window = {"data_start_time": WINDOW[0].isoformat(), "data_end_time": WINDOW[1].isoformat()}
    return {
        "read": lambda: hook.get_task_run(run_id),
        "start": lambda: hook.trigger_task_run(task_id, data_start_time=WINDOW[0], data_end_time=WINDOW[1]),
        "bare start": lambda: post(f"{url}/v2/tasks/{task_id}/trigger", window, BEARER),
    }


session = requests.Session()
BEARER = {"Authorization": f"Bearer {key}"}


def post(address: str, body: Any, headers: dict[str, str]) -> Any:
    return session.post(address, json=body, headers=headers, timeout=30).json()


def get() -> Any:
    return session.get(f"{url}/v2/task-runs/{run_id}", headers=BEARER, timeout=30).json()


kinds = {"bare read": get, **(ours() if given["side"] == "ours" else peer())}
samples: dict[str, list[float]] = {kind: [] for kind in kinds}
for number in range(given["rounds"] + 1):
    order = list(kinds.items())[:: 1 if number % 2 else -1]
    for kind, call in order:
        for _ in range(CALLS):
            began = time.perf_counter()
            call()
            if number:  # the first round opens the connections and imports what is imported late
                samples[kind].append(time.perf_counter() - began)

tell(json.loads(json.dumps({"samples": samples})))
