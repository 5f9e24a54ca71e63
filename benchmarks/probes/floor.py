"""Fetch and parse the pages that a wait needs, with bare httpx and json: the floor of its CPU time."""

from __future__ import annotations

import asyncio
import json
import os
import time

import httpx
from probe_io import read_arguments, write_result

arguments = read_arguments()


async def fetch() -> float:
    connection = json.loads(os.environ["AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT"])
    headers = {"Authorization": f"Bearer {connection['password']}"}
    tasks = arguments["tasks"]
    async with httpx.AsyncClient(base_url=connection["host"], headers=headers) as client:
        before = 0.0
        for number in range(arguments["requests"] + 1):
            page = await client.get(f"/v2/tasks/{tasks[number % len(tasks)]}/runs?limit=100")
            assert json.loads(page.content)["task_runs"]
            # The first request opens the connection and is not counted.
            before = before or time.process_time()
        return time.process_time() - before


write_result({"cpu_seconds": asyncio.run(fetch())})
